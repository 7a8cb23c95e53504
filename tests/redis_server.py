"""A real Redis, at a socket in a folder of its own, to be killed and started again."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest

try:
    import redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry
except ImportError:  # as the package without its extra
    redis = None

from tests.running import DEADLINE, eventually

ALWAYS = ("--appendonly", "yes", "--appendfsync", "always")
"""The settings with which what is answered has reached the disk."""


def certificate(openssl: str, folder: Path) -> Path:
    """Return a new certificate of 127.0.0.1, `cert.pem` in a folder, beside its key `key.pem`."""
    line = [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    line += ["-keyout", "key.pem", "-out", "cert.pem", "-subj", "/CN=zchat", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run(line, cwd=folder, check=True, capture_output=True, timeout=DEADLINE)
    return folder / "cert.pem"


class RedisServer:
    """A Redis that runs for as long as its `with` block; `settings` are options of redis-server."""

    def __init__(self, program: str, folder: Path, *settings: str) -> None:
        self.path = folder / "s"
        self._line = [program, "--port", "0", "--unixsocket", str(self.path), "--dir", str(folder), "--save", ""]
        self._line += ["--daemonize", "no", "--logfile", str(folder / "log"), *(settings or ALWAYS)]
        self._log = folder / "log"
        if redis is None:
            (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)("redis-py is not installed")
        self._connection = redis.UnixDomainSocketConnection(
            path=str(self.path), socket_timeout=DEADLINE, protocol=2, retry=Retry(NoBackoff(), 0)
        )
        self.start()

    def __enter__(self) -> RedisServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    @property
    def url(self) -> str:
        """The URL of a store on it."""
        return f"redis+unix://{self.path}"

    def start(self, *settings: str) -> None:
        """Start it, with what it has kept; returns once it answers. `settings` count more than those that it had."""
        self.path.unlink(missing_ok=True)
        self._process = subprocess.Popen(
            [*self._line, *settings], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        eventually(self._answers, lambda: self._log.read_text(encoding="utf-8"))

    def _answers(self) -> bool:
        try:
            return bool(self.call("PING") == b"PONG")
        except redis.RedisError:
            assert self._process.poll() is None, self._log.read_text(encoding="utf-8")
            return False

    def kill(self) -> None:
        """Kill it, as a power cut would end it."""
        self._connection.disconnect()
        self._process.kill()
        self._process.wait(DEADLINE)

    def lose(self, text: bytes) -> None:
        """Kill it, and start it again without the last command that has a text, and what came after that."""
        self.kill()
        (log,) = self.path.parent.glob("appendonlydir/*.incr.aof")
        kept = log.read_bytes()
        log.write_bytes(kept[: kept.rindex(text)])
        self.start()

    def pause(self) -> None:
        """Have it stand still until `resume`."""
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Have it go on."""
        self._process.send_signal(signal.SIGCONT)

    def call(self, *command: Any) -> Any:
        """Return the answer to one command, over the connection that the tests have."""
        (answer,) = self.calls([command])
        return answer

    def calls(self, commands: list[tuple[Any, ...]]) -> list[Any]:
        """Return the answers to commands, errors among them."""
        connection = self._connection
        try:
            connection.send_packed_command(connection.pack_commands(commands))
            return [_answer(connection) for _ in commands]
        except redis.RedisError:
            connection.disconnect()
            raise

    def keys(self) -> dict[bytes, Any]:
        """Return all that it holds, by key."""
        ways = {
            b"hash": ("HGETALL",),
            b"set": ("SMEMBERS",),
            b"string": ("GET",),
            b"stream": ("XRANGE", "-", "+"),
            b"zset": ("ZRANGE", "0", "-1", "WITHSCORES"),
        }
        names = self.call("KEYS", "*")
        kinds = self.calls([("TYPE", name) for name in names])
        found = self.calls([(ways[kind][0], name, *ways[kind][1:]) for name, kind in zip(names, kinds, strict=True)])
        return {
            name: dict(zip(value[::2], value[1::2], strict=True)) if kind in (b"hash", b"zset") else value
            for name, kind, value in zip(names, kinds, found, strict=True)
        }


def _answer(connection: Any) -> Any:
    try:
        return connection.read_response()
    except redis.ResponseError as error:
        return error
