"""A master, its replica and the Sentinels that watch them: real processes, to be killed, stopped and cut off."""

from __future__ import annotations

import subprocess
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.promises.faults.processes import free_port
from tests.redis_server import ALWAYS, RedisServer
from tests.running import DEADLINE, eventually

DOWN_AFTER_MS = 500
"""Milliseconds of silence after which a Sentinel takes a server for down."""


class Watched:
    """A master, replicas and Sentinels that run for as long as a `with` block; `settings` are lines for each Sentinel.

    `cert`: they speak TLS alone, to each other too, with this certificate, whose key is beside it.
    """

    def __init__(
        self,
        program: str,
        folder: Path,
        sentinels: int = 3,
        settings: str = "",
        cert: Path | None = None,
        replicas: int = 1,
    ) -> None:
        self._program = program
        self._folder = folder
        self._count = sentinels
        self._settings = settings
        self._cert = cert
        self._replicas = replicas
        self._stack = ExitStack()
        self.ports: list[int] = []
        """Where the servers are."""
        self.servers: list[RedisServer] = []
        self.sentinels: list[subprocess.Popen[bytes]] = []
        self.places: list[str] = []
        """Host and port of each Sentinel."""

    def __enter__(self) -> Watched:
        with self._stack as stack:
            for number in range(1 + self._replicas):
                folder = self._folder / f"server{number}"
                folder.mkdir()
                self.ports.append(free_port())
                settings = ["--repl-diskless-sync-delay", "0"]
                for name, value in self._listens(self.ports[-1]).items():
                    settings += [f"--{name}", value]
                settings += ["--replicaof", f"127.0.0.1 {self.ports[0]}"] if number else []
                self.servers.append(stack.enter_context(RedisServer(self._program, folder, *ALWAYS, *settings)))
            for number in range(self._count):
                self._start_sentinel(stack, number)
            eventually(lambda: self.knows(self.ports[0]), "the Sentinels know the servers and each other")
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def _start_sentinel(self, stack: ExitStack, number: int) -> None:
        folder, port = self._folder / f"sentinel{number}", free_port()
        folder.mkdir()
        file = folder / "conf"
        file.write_text(
            "".join(f"{name} {value}\n" for name, value in self._listens(port).items())
            + f"bind 127.0.0.1\ndir {folder}\nunixsocket {folder}/s\n"
            f"sentinel monitor chat 127.0.0.1 {self.ports[0]} 2\n"
            f"sentinel down-after-milliseconds chat {DOWN_AFTER_MS}\nsentinel failover-timeout chat 4000\n"
            f"{self._settings}\n",
            encoding="utf-8",
        )
        process = subprocess.Popen(
            [self._program, str(file), "--sentinel"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        stack.callback(process.wait, DEADLINE)
        stack.callback(process.kill)
        self.sentinels.append(process)
        self.places.append(f"127.0.0.1:{port}")
        eventually(lambda: self._says(number), "the Sentinel answers")

    def _listens(self, port: int) -> dict[str, str]:
        """Return the settings by which a server or Sentinel listens at a port."""
        if self._cert is None:
            return {"port": str(port)}
        files = {"cert": self._cert, "key": self._cert.with_name("key.pem"), "ca-cert": self._cert}
        tls = {f"tls-{name}-file": str(path) for name, path in files.items()}
        return {"port": "0", "tls-port": str(port), **tls, "tls-auth-clients": "no", "tls-replication": "yes"}

    @property
    def url(self) -> str:
        """The URL of a store on them."""
        return f"redis{'s' if self._cert else ''}+sentinel://{','.join(self.places)}/chat"

    def _says(self, number: int) -> dict[str, str]:
        """Return what a Sentinel says of the master; empty if nothing."""
        line = ["redis-cli", "-p", self.places[number].rpartition(":")[2]]
        line += ["--tls", "--cacert", str(self._cert)] if self._cert else []
        line += ["SENTINEL", "MASTER", "chat"]
        said = subprocess.run(line, capture_output=True, text=True, check=False, timeout=DEADLINE).stdout.splitlines()
        return dict(zip(said[::2], said[1::2], strict=True)) if len(said) > 1 else {}

    def knows(self, port: int) -> bool:
        """Return whether each Sentinel names the server at a port as the master, and knows all the others."""
        return all(
            (said["port"], said["num-slaves"], int(said["num-other-sentinels"]))
            == (str(port), str(self._replicas), self._count - 1)
            for said in map(self._says, range(self._count))
        )

    def is_master(self, number: int) -> bool:
        """Return whether a server takes writes."""
        return b"role:master" in self.call(number, "INFO", "replication")

    def call(self, number: int, *command: str) -> Any:
        """Return a server's answer to a command; whom it makes a master a Sentinel has hang up on everybody."""
        try:
            return self.servers[number].call(*command)
        except Exception:  # redis-py's, which may not be installed
            return self.servers[number].call(*command)

    def cut_replica(self) -> None:
        """Have the replica stand still, and what it has not received be lost if it takes over."""
        self.servers[1].pause()
        self.servers[0].call("CLIENT", "KILL", "TYPE", "replica")
