"""A listener where a Redis should be: it answers, but what a test has it say."""

from __future__ import annotations

import socketserver
from pathlib import Path
from threading import Thread
from types import TracebackType

from tests.running import DEADLINE


class Stranger:
    """A listener at the socket `path` for as long as its `with` block.

    It answers each INFO and CONFIG with what is given, and each other command with OK; or anything with `greeting`.
    """

    def __init__(self, path: Path, info: bytes = b"", config: bytes = b"*0\r\n", greeting: bytes = b"") -> None:
        self.url = f"redis+unix://{path}"
        path.unlink(missing_ok=True)

        class Answer(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                while data := self.request.recv(4096):
                    named = b"+OK\r\n" * data.count(b"CLIENT\r\n")
                    special = info if b"INFO\r\n" in data else config if b"CONFIG\r\n" in data else b""
                    self.request.sendall(greeting or named or special or b"+OK\r\n" * data.count(b"*"))
                    if greeting:
                        return

        class Server(socketserver.ThreadingUnixStreamServer):
            daemon_threads = True

            def handle_error(self, request: object, client_address: object) -> None:
                """Say nothing of peers that hung up."""

        self._server = Server(str(path), Answer)
        self._thread = Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def __enter__(self) -> str:
        """Give the URL of a store on it."""
        return self.url

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join(DEADLINE)
        self._server.server_close()


def bulk(text: bytes) -> bytes:
    """Return a reply that is a string."""
    return b"$%d\r\n%s\r\n" % (len(text), text)


INFO = (
    b"redis_version:7.2.0\r\nrole:master\r\naof_enabled:1\r\nrun_id:abc\r\nmaxmemory_policy:noeviction\r\n"
    b"config_file:/srv/caf\xe9/redis.conf\r\n"
)
"""What a Redis says of itself, whose configuration lies at a path that is not UTF-8."""

SETTINGS = b"*4\r\n" + b"".join(map(bulk, (b"appendfsync", b"always", b"no-appendfsync-on-rewrite", b"no")))
"""What a Redis answers that flushes its disk before it does."""

HTTP = b"HTTP/1.1 400 Bad Request\r\n\r\n"
ZMTP = b"\xff\0\0\0\0\0\0\0\1\x7f"

NO_REDIS: dict[str, dict[str, bytes]] = {
    "a web server": {"greeting": HTTP},
    "a broker": {"greeting": ZMTP},
    "bytes that no length bounds": {"greeting": b"$x\r\n"},
    "an info without a version": {"info": bulk(b"role:master\r\n")},
    "a version that is no number": {"info": bulk(INFO.replace(b"7.2.0", b"7.x"))},
    "no id of the run": {"info": bulk(INFO.replace(b"run_id", b"run")), "config": SETTINGS},
    "an info that is nil": {"info": b"$-1\r\n"},
    "an info that is a number": {"info": b":4\r\n"},
    "an info that is a list": {"info": b"*1\r\n:4\r\n"},
    "settings that are nil": {"info": bulk(INFO), "config": b"*-1\r\n"},
    "settings that are a number": {"info": bulk(INFO), "config": b":1\r\n"},
    "settings without a value": {"info": bulk(INFO), "config": b"*1\r\n$1\r\na\r\n"},
    "settings whose names are lists": {"info": bulk(INFO), "config": b"*2\r\n*0\r\n*0\r\n"},
}
"""Answers of what is no Redis, by what gives them."""
