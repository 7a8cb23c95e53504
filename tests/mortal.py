"""A broker in a process of its own, to be killed and started again at the same address."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread
from types import TracebackType

import zmq

from tests.running import DEADLINE, OWN_HOST, ROOT
from zchat.wire.values import pack, unpack

PROGRAM = """
import sys
from zchat.broker import Broker
url, store, *rooms = sys.argv[1:]
with Broker(url, store=store, **({"rooms": rooms, "fixed_rooms": True} if rooms else {})) as broker:
    print(broker.url, flush=True)
    sys.stdin.readline()
"""


class Mortal:
    """Hold such a broker; `rooms`, if any, are the only ones that it has."""

    def __init__(self, store: str = "memory:", *rooms: str) -> None:
        self.url = f"tcp://{OWN_HOST}:*"
        self._arguments: tuple[str, ...] = (store, *rooms)
        self.start()

    def __enter__(self) -> Mortal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def start(self, *rooms: str) -> None:
        """Start it, where it was the last time; `rooms` stand in for those that it had."""
        arguments = (self._arguments[0], *rooms) if rooms else self._arguments
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, self.url, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        assert self.process.stdout
        self.url = self.process.stdout.readline().strip()
        assert self.url

    def kill(self) -> None:
        """Kill it, as a power cut would end it."""
        self.process.kill()
        self._reap()

    def stop(self) -> None:
        """Stop it in good order."""
        assert self.process.stdin
        self.process.stdin.close()
        self._reap()

    def freeze(self) -> None:
        """Have it stand still."""
        self.process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.process.pid, os.WSTOPPED)

    def thaw(self) -> None:
        """Have it go on."""
        self.process.send_signal(signal.SIGCONT)

    def _reap(self) -> None:
        self.process.wait(DEADLINE)
        for stream in (self.process.stdin, self.process.stdout):
            if stream:
                stream.close()


@contextmanager
def refusing(url: str) -> Iterator[None]:
    """Run what refuses every greeting for good, as a broker of another age would."""
    ended = Event()

    def run() -> None:
        with zmq.Context() as context, context.socket(zmq.ROUTER) as router:
            router.linger = 0
            router.bind(url)
            while not ended.is_set():
                if router.poll(50):
                    peer, frame = router.recv_multipart()
                    router.send_multipart((peer, pack(("error", unpack(frame)[1], "version", "too old", False, None))))

    thread = Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(DEADLINE)
