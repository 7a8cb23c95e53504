"""A broker that has used up its file descriptors, and one that begins with few."""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import zmq

import zchat
from tests.broker.raw import ANY, Talk
from tests.running import DEADLINE, ROOT, eventually
from zchat.broker import Broker
from zchat.broker.edge import descriptors, door

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="newcomers are turned away on Linux alone")

LIMITED = """
import logging, os, resource, sys
import zchat.broker.store.sqlite.store
from zchat.broker import Broker
url, most = sys.argv[1], int(sys.argv[2])
logging.basicConfig(level="INFO", format="%(levelname)s %(message)s")
resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
with Broker(url) as broker:
    print(broker.url, flush=True)
    held = []
    for line in sys.stdin:
        if line == "hold\\n":
            try:
                while True:
                    held.append(os.dup(0))
            except OSError:
                pass
        if line == "release\\n":
            while held:
                os.close(held.pop())
        print(line, end="", flush=True)
"""

NO_GREAT_LOAD = 0.4
"""Of a core: a broker that accepts in vain takes one whole, and on a busy machine most of one."""


class Limited:
    """A broker in a process that may have few files open."""

    def __init__(self, url: str, most: int, log: Path) -> None:
        self._log = log
        with log.open("w") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-c", LIMITED, url, str(most)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                cwd=ROOT,
            )
        self.url = self._read()

    def do(self, what: str) -> None:
        assert self.process.stdin
        self.process.stdin.write(f"{what}\n")
        self.process.stdin.flush()
        assert self._read() == what

    def end(self) -> int:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.close()
        code = self.process.wait(DEADLINE)
        self.process.stdout.close()
        return code

    def log(self) -> list[str]:
        return self._log.read_text().splitlines()

    def dial(self) -> socket.socket:
        """Connect, and say nothing."""
        if self.url.startswith("ipc"):
            caller = socket.socket(socket.AF_UNIX)
            caller.connect(self.url.removeprefix("ipc://"))
            return caller
        return socket.create_connection(("127.0.0.1", int(self.url.rpartition(":")[2])))

    def load(self) -> float:
        """Return how much of a core it takes, for a second."""
        began, before = time.monotonic(), self._seconds()
        time.sleep(1)  # what is measured is this second
        return (self._seconds() - before) / (time.monotonic() - began)

    def _seconds(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def _read(self) -> str:
        assert self.process.stdout
        return self.process.stdout.readline().strip()


@contextmanager
def limited(url: str, most: int, log: Path) -> Iterator[Limited]:
    broker = Limited(url, most, log)
    try:
        yield broker
    finally:
        broker.process.kill()
        broker.end()


FAILS = "ERROR accepting connections fails: the limit of {} open files (ulimit -n) is reached"


@pytest.mark.parametrize(("address", "most"), [(ANY, 64), ("ipc://{}/z", 512)], ids=["tcp", "ipc"])
def test_strangers_who_never_greet_lock_nobody_out(tmp_path: Path, address: str, most: int) -> None:
    with (
        limited(address.format(tmp_path), most, tmp_path / "log") as broker,
        ExitStack() as here,
        Talk(broker) as talk,  # type: ignore[arg-type]
    ):
        for number in range(most):
            here.enter_context(broker.dial())
            if number % 16 == 15:  # a flood over ipc can be faster than the door: that is not promised
                talk.goes_on()
        assert broker.load() < NO_GREAT_LOAD
        assert broker.process.poll() is None
        talk.goes_on()
        with zchat.Client(broker.url, user="carol", timeout=DEADLINE) as client:
            client.join("Talk")
        assert talk.alice.stats().counts["cut_too_many_newcomers"] > 0
        talk.goes_on()
        broker.do("still here")
        assert broker.end() == 0


def test_clients_that_find_no_place_wait_at_little_cost_and_one_gets_in_when_another_leaves(tmp_path: Path) -> None:
    with limited(ANY, 64, tmp_path / "log") as broker, ExitStack() as stack:
        here: list[zchat.Client] = []

        def come() -> None:
            full = FAILS.format(64) in broker.log()
            here.append(zchat.Client(broker.url, user="bob", timeout=0.5 if full else DEADLINE / 4))
            stack.callback(here[-1].close, timeout=0)

        with pytest.raises(zchat.ConnectionLost):  # noqa: PT012 (at some time or other)
            for _ in range(64):
                come()
        assert broker.load() < NO_GREAT_LOAD
        for each in here[:3]:
            each.close()
        with zchat.Client(broker.url, user="late", timeout=DEADLINE) as late:
            assert late.join("General").send("here").seq == 1
        assert [line for line in broker.log() if "accepting" in line] == [FAILS.format(64)]


def test_a_program_that_has_taken_every_descriptor_burns_no_core_over_newcomers(tmp_path: Path) -> None:
    with limited(ANY, 64, tmp_path / "log") as broker, ExitStack() as here:
        talk = here.enter_context(Talk(broker))  # type: ignore[arg-type]
        broker.do("hold")
        callers = [here.enter_context(broker.dial()) for _ in range(20)]
        eventually(lambda: FAILS.format(64) in broker.log(), "it is noticed")
        for caller in callers:
            caller.settimeout(DEADLINE)
        heard = [caller.recv(1) for caller in callers]
        assert heard.count(b"") >= 18, "hung up on, but for one that libzmq had in hand when it was stopped"
        assert broker.load() < NO_GREAT_LOAD
        talk.goes_on()
        broker.do("release")
        with zchat.Client(broker.url, user="carol", timeout=DEADLINE) as client:
            client.join("Talk")
        talk.goes_on()


# -- the door itself ---------------------------------------------------------------------------------


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """Give a function that says whether descriptors are scarce."""

    def set(scarce: bool) -> None:
        monkeypatch.setattr(door, "scarce", lambda ipc: scarce)

    return set


@pytest.mark.parametrize(
    "url",
    [ANY, "tcp://[::1]:*", "ipc://*", f"ipc://@zchat-door-{os.getpid()}"],
    ids=["tcp", "IPv6", "ipc", "a name without a file"],
)
def test_a_shut_door_lets_nobody_in_keeps_those_inside_and_opens_again(
    url: str, few: Callable[[bool], None], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "zchat.broker")
    monkeypatch.setattr("zchat.broker.figures.log_lines.RECOVERED_AFTER", 0.05)
    try:
        broker = Broker(url, insecure=True).__enter__()
    except zchat.AddressError:
        pytest.skip("this machine has no IPv6")

    def shut() -> None:
        """Have too few descriptors, and knock as nobody in particular until somebody was turned away."""
        before = broker.counters.turned_away
        few(True)

        def knock() -> bool:
            caller.connect(broker.url)
            caller.disconnect(broker.url)
            return broker.counters.turned_away > before

        eventually(knock, "the door is shut")

    with ExitStack() as stack:
        stack.callback(broker.stop)
        context = stack.enter_context(zmq.Context[zmq.Socket[bytes]]())
        caller = stack.enter_context(context.socket(zmq.DEALER))
        caller.ipv6 = True
        talk = stack.enter_context(Talk(broker))
        for _ in range(3):
            shut()
            with pytest.raises(zchat.ConnectionLost):
                zchat.Client(broker.url, user="carol", timeout=0.3)
            assert broker.counters.turned_away > 0
            talk.goes_on()
            few(False)
            with zchat.Client(broker.url, user="carol", timeout=DEADLINE) as client:
                client.join("Talk")
        eventually(lambda: "accepting connections has recovered" in caplog.messages, "it lasts")
        shut()
        talk.goes_on()
    assert broker.wait(0), "a broker that is shut can be stopped"


def test_the_log_says_once_that_it_is_full_however_often_one_leaves_and_another_comes(
    few: Callable[[bool], None], caplog: pytest.LogCaptureFixture
) -> None:
    with Broker(ANY) as broker, Talk(broker) as talk:
        for _ in range(5):
            for scarce in (True, False):
                few(scarce)
                before = broker.counters.turns
                eventually(lambda before=before: broker.counters.turns > before + 1, "a turn")  # type: ignore[misc]
                talk.goes_on()
    assert sum("accepting connections" in text for text in caplog.messages) <= 1


# -- the limit ---------------------------------------------------------------------------------------


def test_a_share_of_the_descriptors_is_kept_from_newcomers() -> None:
    assert [descriptors.kept_free(most, ipc=False) for most in (20, 64, 1024, 1 << 20)] == [5, 16, 16, 16]
    assert [descriptors.kept_free(most, ipc=True) for most in (20, 64, 1024, 1 << 20)] == [5, 16, 256, 1 << 18]


def test_descriptors_are_scarce_when_the_lowest_free_one_is_among_those_that_are_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lowest = os.dup(0)
    os.close(lowest)
    for most, scarce in ((None, False), (lowest + 17, False), (lowest + 16, True), (lowest + 1, True)):
        monkeypatch.setattr(descriptors, "limit", lambda most=most: most)
        monkeypatch.setattr(descriptors, "kept_free", lambda most, ipc: 16)
        assert descriptors.scarce(ipc=False) is scarce


STARTS = """
import resource, sys
import zchat
import zchat.broker.store.sqlite.store
from zchat.broker import Broker
before = int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_NOFILE, (before, before))
try:
    with Broker("tcp://127.0.0.1:*", store=sys.argv[2]):
        print("started")
except zchat.ZchatError as error:
    print(error)
assert resource.getrlimit(resource.RLIMIT_NOFILE) == (before, before), "a program's limits are its own"
"""


@pytest.mark.parametrize("most", [4, 7, 12, 20, 30, 40, 64])
def test_a_broker_that_has_too_few_descriptors_to_start_says_so(tmp_path: Path, most: int) -> None:
    run = subprocess.run(
        [sys.executable, "-c", STARTS, str(most), f"sqlite:{tmp_path}/z.db"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout == "started\n" or ("Too many open files" in run.stdout and "ulimit -n" in run.stdout)
    assert (run.stdout == "started\n") == (most >= 40)
