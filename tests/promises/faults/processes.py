"""Real processes: a broker that is killed and comes back, and workers that say how far they are."""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import signal
import socket
import subprocess
import time
import traceback
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from threading import Condition, Thread
from typing import Any

from tests.running import DEADLINE, ROOT, ZCHAT, Running, eventually

ENDING = 5.0
"""Seconds that a worker has to end by itself when it is no longer listened to."""

PORTS = range(20_000, 32_000)
"""Ports for brokers: below those that the system gives to clients, one of which could take it meanwhile."""

_SPAWN = multiprocessing.get_context("spawn")


def free_port() -> int:
    """Return a port of `PORTS` that nobody listens at."""
    start = os.getpid() * 7 % len(PORTS)
    for port in (*PORTS[start:], *PORTS[:start]):
        with socket.socket() as tried:
            try:
                tried.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(port)
    raise AssertionError("no port is free")


class Served:
    """Run `zchat broker` in a process of its own: on the same port and store each time it is started.

    `store`: its URL, None for a file in `folder`; another one counts from the next start.
    """

    def __init__(self, folder: Path, *options: str, store: str | None = None) -> None:
        self._options = options
        self.path = folder / "log.sqlite"
        self.store = store or f"sqlite:{self.path}"
        self.port = free_port()
        self.url = f"tcp://127.0.0.1:{self.port}"
        self._running: Running | None = None

    @property
    def pid(self) -> int:
        """Return the number of its process."""
        assert self._running is not None
        return self._running.process.pid

    def start(self) -> float:
        """Start it; returns the time (since 1970, in seconds) at which it said that it listens."""
        command = [*ZCHAT, "broker", "--bind", self.url, "--store", self.store, "--log-format", "json"]
        command += self._options
        self._running = Running(
            subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        )
        running = self._running
        eventually(lambda: '"listening"' in running.errors, "it listens")
        return time.time()

    @property
    def alive(self) -> bool:
        """True if its process runs."""
        return self._running is not None and self._running.process.poll() is None

    def kill(self) -> None:
        """End it as a crash does."""
        assert self._running is not None
        self._running.process.kill()
        self._end(self._running)

    def stop(self) -> dict[str, int]:
        """End it in order; returns what it counted."""
        if self._running is None:
            return {}
        running, self._running = self._running, None
        if running.process.poll() is None:
            resume(running.process.pid)
            running.process.terminate()
        assert self._end(running) == 0, running.errors
        counts: dict[str, int] = json.loads(running.errors.splitlines()[-1])["counts"]
        return counts

    @staticmethod
    def _end(running: Running) -> int:
        with running.process:  # which closes its pipes
            return running.end()

    def forget(self) -> None:
        """End it if it still runs, however."""
        if self._running is not None and self._running.process.poll() is None:
            self.kill()


class Worker:
    """Run `target(pipe, *arguments)` in a process of its own; what it said last with each word is kept."""

    def __init__(self, target: Callable[..., None], *arguments: Any) -> None:
        its_ears, self._mouth = _SPAWN.Pipe(duplex=False)
        self._ears, its_mouth = _SPAWN.Pipe(duplex=False)
        self._name = target.__name__
        self._process = _SPAWN.Process(target=_work, args=(its_ears, its_mouth, target, arguments), daemon=True)
        self._process.start()
        its_ears.close()
        its_mouth.close()
        self._changed = Condition()
        self._said: dict[str, Any] = {}
        self._over = False
        self._thread = Thread(target=self._listen, daemon=True)
        self._thread.start()

    @property
    def pid(self) -> int:
        """Return the number of its process."""
        assert self._process.pid is not None
        return self._process.pid

    def tell(self, word: str, value: Any = None) -> None:
        """Send it a word."""
        try:
            self._mouth.send((word, value))
        except OSError:  # it has ended: say why
            self.until(word)
            raise

    def latest(self, word: str) -> Any:
        """Return what it said last with this word, None if it never did."""
        with self._changed:
            return self._said.get(word)

    def until(self, word: str, true: Callable[[Any], object] = lambda value: True, deadline: float = DEADLINE) -> Any:
        """Wait until what it said last with a word is as wanted, and return that."""

        def there() -> bool:
            return self._over or (word in self._said and bool(true(self._said[word])))

        with self._changed:
            in_time = self._changed.wait_for(there, deadline)
            assert "failed" not in self._said, f"{self._name} failed:\n{self._said['failed']}"
            assert in_time, f"{self._name} did not get to {word!r} within {deadline:g} s: {self._said}"
            value = self._said.get(word)
            assert not self._over or (word in self._said and true(value)), f"{self._name} ended: {self._said}"
            return value

    def stop(self) -> None:
        """End it, whatever it does."""
        self._mouth.close()
        if self._process.is_alive():
            resume(self.pid)
        self._process.join(ENDING)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        self._thread.join(ENDING)
        self._ears.close()
        self._process.close()

    def _listen(self) -> None:
        try:
            while True:
                word, value = self._ears.recv()
                with self._changed:
                    self._said[word] = value
                    self._changed.notify_all()
        except (EOFError, OSError):
            with self._changed:
                self._over = True
                self._changed.notify_all()


class Pipe:
    """Talk, in a worker, to the one who started it."""

    def __init__(self, ears: Connection, mouth: Connection) -> None:
        self._ears = ears
        self._mouth = mouth

    def say(self, word: str, value: Any = None) -> None:
        """Say something."""
        self._mouth.send((word, value))

    def hear(self, seconds: float = 0.0) -> tuple[str, Any] | None:
        """Return the next word, None if there is none within `seconds`; raises EOFError at the end."""
        if not self._ears.poll(seconds):
            return None
        word: tuple[str, Any] = self._ears.recv()
        return word


def _work(ears: Connection, mouth: Connection, target: Callable[..., None], arguments: Sequence[Any]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the one who started it ends it
    pipe = Pipe(ears, mouth)
    try:
        target(pipe, *arguments)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        pass  # the one who started it is gone
    except Exception:
        pipe.say("failed", traceback.format_exc())


def suspend(pid: int) -> None:
    """Stop a process where it stands."""
    os.kill(pid, signal.SIGSTOP)


def resume(pid: int) -> None:
    """Let a stopped process go on."""
    os.kill(pid, signal.SIGCONT)


class Memory:
    """Watch how much memory a process has at most, in bytes. Linux."""

    def __init__(self, pid: int) -> None:
        self._folder = Path(f"/proc/{pid}")
        self._before = 0

    def reset(self) -> None:
        """Begin anew: the most is what it has now."""
        (self._folder / "clear_refs").write_text("5")
        self._before = self.most

    @property
    def grown(self) -> int:
        """Return by how much the most is more than it had at the last `reset`."""
        return self.most - self._before

    @property
    def most(self) -> int:
        """Return the most that it had since the last `reset`."""
        return self._bytes("VmHWM")

    @property
    def now(self) -> int:
        """Return what it has now."""
        return self._bytes("VmRSS")

    def _bytes(self, name: str) -> int:
        found = re.search(rf"{name}:\s+(\d+) kB", (self._folder / "status").read_text())
        assert found
        return int(found[1]) * 1024
