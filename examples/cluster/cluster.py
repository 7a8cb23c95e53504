"""One Redis, two brokers and two clients on this machine: alice writes at one broker, bob reads at the other.

`python examples/cluster/cluster.py` shows what bob reads, and what to type in other terminals: to chat along, and to
kill a broker or the Redis, which are started again. Ctrl-C ends everything; what was said goes with a temporary folder.
Change URLS, or set the environment variable CLUSTER_URLS, if other programs listen there. It requires redis-server
(apt-get install redis-server) and `pip install 'zchat-zmq[redis]'`.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import zchat

URLS = os.environ.get("CLUSTER_URLS", "tcp://127.0.0.1:5555,tcp://127.0.0.1:5556").split(",")
ROOM = "General"
START_SECONDS = 30.0


class Kept:
    """A program that runs, and is started again whenever it ends, for as long as a `with` block lasts.

    The block begins once the program has written `ready`; if it ends before, or takes too long, everything ends. What
    it writes goes to a file in `folder`, and its errors to the terminal.
    """

    _process: "subprocess.Popen[bytes]"

    def __init__(self, name: str, line: list[str], ready: str, folder: Path) -> None:
        self._name = name
        self._line = line
        self._ready = ready
        self._output = folder / f"{name}.out"
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._keep)

    def _start(self) -> "subprocess.Popen[bytes]":
        # A session of its own: Ctrl-C is for this program, which ends the others in order.
        with self._output.open("wb") as output:
            process = subprocess.Popen(self._line, stdin=subprocess.DEVNULL, stdout=output, start_new_session=True)
        print(f"{self._name} runs; to see what is lost without it: kill -9 {process.pid}", flush=True)
        return process

    def _said(self) -> str:
        return self._output.read_text(encoding="utf-8", errors="replace")

    def _last_words(self) -> str:
        """Return what the program has written last, as a part of why it has ended."""
        return "".join(f"\n  {line}" for line in self._said().splitlines()[-5:])

    def _wait(self) -> None:
        """Wait until the program is ready, or end everything with why it isn't."""
        deadline = time.monotonic() + START_SECONDS
        while self._ready not in self._said():
            if self._process.poll() is not None:
                sys.exit(f"{self._name} has ended before it was ready{self._last_words()}")
            if time.monotonic() > deadline:
                sys.exit(f"{self._name} is not ready after {START_SECONDS:g} seconds{self._last_words()}")
            time.sleep(0.05)

    def _keep(self) -> None:
        while not self._stopping.wait(0.5):
            if (code := self._process.poll()) is not None:
                # Of its own accord, if it wasn't killed by a signal: then it has said why.
                print(f"{self._name} has ended{'' if code < 0 else self._last_words()}", flush=True)
                self._process = self._start()

    def __enter__(self) -> None:
        self._process = self._start()
        try:
            self._wait()
        except BaseException:
            self._end()
            raise
        self._thread.start()

    def __exit__(self, *error: object) -> None:
        self._stopping.set()
        self._thread.join()
        self._end()

    def _end(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def show(event: zchat.Event) -> None:
    if isinstance(event, zchat.Message):
        print(f"bob reads: {event.user}: {event.body}", flush=True)
    elif isinstance(event, zchat.Disconnected | zchat.Reconnected | zchat.Gap):
        print(f"bob: {type(event).__name__}", flush=True)


def main() -> None:
    redis = shutil.which("redis-server") or sys.exit("redis-server is not installed: apt-get install redis-server")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="zchat-")))
        socket = folder / "redis"
        settings = ["--port", "0", "--unixsocket", str(socket), "--dir", str(folder), "--save", ""]
        settings += ["--appendonly", "yes", "--appendfsync", "always", "--maxmemory-policy", "noeviction"]
        stack.enter_context(Kept("Redis", [redis, *settings], "to accept connections", folder))
        for number, url in enumerate(URLS, 1):
            line = [sys.executable, "-m", "zchat", "broker", "--bind", url, "--log-level", "warning"]
            line += ["--store", f"redis+unix://{socket}"]
            stack.enter_context(Kept(f"broker {number}", line, "zchat broker at", folder))
        print(f"to chat along: zchat client --connect {','.join(URLS)} --user YOU", flush=True)
        alice = stack.enter_context(zchat.Client(URLS, user="alice"))
        bob = stack.enter_context(zchat.Client(URLS[::-1], user="bob", on_event=show))
        bob.join(ROOM)
        room = alice.join(ROOM)
        number = 0
        while True:
            number += 1
            try:
                room.send(f"line {number}", timeout=60)
            except zchat.ZchatError as error:
                print(f"alice could not send line {number}: {error}", flush=True)
            time.sleep(1)


if __name__ == "__main__":
    for ending in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, signal.default_int_handler)
    try:
        main()
    except KeyboardInterrupt:
        print("bye")
    except zchat.ZchatError as error:
        sys.exit(f"the cluster ends: {error}")
