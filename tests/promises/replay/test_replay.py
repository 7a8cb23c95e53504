"""What people really said, said again through a broker, everyone with a client of his own."""

from __future__ import annotations

import os
import re
import resource
import signal
import subprocess
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from tests.promises.replay.log import Come, Go, Say, acts, stretches
from tests.running import DEADLINE, OWN_HOST, ROOT, ZCHAT, Running
from zchat import Client, Message, Position
from zchat.broker import Broker
from zchat.names import fold

OPEN_FILES = 4096
"""Descriptors for a few hundred clients and their broker in one process: each takes five."""

STRETCHES = 50
"""Stretches of a log: who comes or goes within one does so together. One by one, each of some hundred members is sent a
state frame for each of some hundred, which is more than half of all work. In a short log a stretch is one act."""

TOGETHER = 16
"""Members that come or go at the same time."""

DATA = ROOT / "tests" / "data"
IRC_DATA = os.environ.get("ZCHAT_IRC_DATA", "")

ODDITIES = """\
=== brad[]   has joined #u
[11:12] <brad[] > \x02bold\x0f \x1b[31mred\x07\x08 tab\there \x7f \x00
[11:12] <Émile> one\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029line
=== brad[]  is now known as @100%
[11:13] <@100%>
[11:13]  * @100% waves
=== bob  has joined #u
[11:13] <émile> e\u0301 is not \u00e9
=== mode/#u [+o bob]  by ChanServ
=== bob is now known as BOB
[11:14] <bob> \u202eש\u200d\ufeff \U0001f600 \ufffe
=== bob  has joined #u
=== Émile is now known as bob
[11:14] <brad[] > back
=== bob  has left #u []
[11:15] <@100%> so long\r
"""
"""What goes wrong first: control characters, names that zchat refuses, users who are one but for case."""


STEP = 1 if "ZCHAT_EVERY_REPLAY" in os.environ else 4
"""Of so many real logs one is replayed in each way: each takes ten seconds."""


def _logs(first: int) -> Iterator[object]:
    yield pytest.param(ODDITIES, id="oddities")
    for path in sorted(DATA.glob("*-lines.txt")):
        yield pytest.param(path, id=path.stem)
    found = sorted(Path(IRC_DATA).glob("2*.txt")) if IRC_DATA else []
    for path in found[first if STEP > 1 else 0 :: STEP]:
        yield pytest.param(path, id=path.stem)
    if not found:
        reason = f"there are no logs in {IRC_DATA!r}" if IRC_DATA else "ZCHAT_IRC_DATA names no directory of logs"
        yield pytest.param("", id="ZCHAT_IRC_DATA", marks=pytest.mark.skip(reason))


some_logs = pytest.mark.parametrize("log", list(_logs(0)))
other_logs = pytest.mark.parametrize("log", list(_logs(2)))


class House:
    """Keep a broker that can be stopped and started, at one address over one store."""

    def __init__(self, store: str) -> None:
        self._store = store
        self._bind = f"tcp://{OWN_HOST}:*"
        self.start()

    @property
    def url(self) -> str:
        return self._bind

    def start(self) -> None:
        self._broker = Broker(self._bind, store=self._store)
        self._bind = self._broker.__enter__().url

    def stop(self) -> None:
        self._broker.__exit__(None, None, None)


class KilledHouse(House):
    """Keep a broker that is a process of its own; it is stopped by SIGKILL."""

    def start(self) -> None:
        command = [*ZCHAT, "broker", "--bind", self._bind, "--store", self._store]
        self._process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self._running = Running(self._process)
        found = re.search(r"tcp://\S+", self._running.until("clients: about"))
        assert found
        self._bind = found[0]

    def stop(self) -> None:
        with self._process:
            self._process.kill()
            assert self._running.end() == -signal.SIGKILL


@pytest.fixture(scope="module", autouse=True)
def _enough_descriptors() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture(scope="module")
def in_memory() -> Iterator[House]:
    house = House("memory:")
    yield house
    house.stop()


@pytest.fixture
def killed(tmp_path: Path) -> Iterator[House]:
    house = KilledHouse(f"sqlite:{tmp_path / 'rooms.db'}")
    yield house
    house.stop()


@pytest.fixture(scope="module")
def on_disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    house = House(f"sqlite:{tmp_path_factory.mktemp('replay') / 'rooms.db'}")
    yield house
    house.stop()


class Stay:
    """Take part under one name, from a join to a leave, and remember what came.

    Every other one reads whenever it says something, the rest only when they leave: so there are
    always members that read along, and members that the broker has stopped sending to.
    """

    def __init__(self, user: str, said: int) -> None:
        self.user = user
        self._client: Client | None = None
        self._joined = said
        self._after: Position | None = None
        self._echo = range(0)
        self._heard: list[Message] = []

    def connect(self, house: House) -> None:
        self._client = Client(house.url, user=self.user, timeout=DEADLINE)

    def enter(self, room: str) -> None:
        assert self._client
        self._room = self._client.join(room, after=self._after, timeout=DEADLINE)

    def say(self, text: str) -> Message:
        """Say something, having read what came by now."""
        if self._joined % 2:
            self._heard += self._room.messages(timeout=0)
        return self._room.send(text, timeout=DEADLINE)

    def pause(self, said: int) -> None:
        """Close the client; another one is to go on from where the reading has come to.

        The new client did not say what the old one said: such that lies ahead is sent to it.
        """
        self._after = self._room.position
        self._echo = range(self._after.seq + 1, said + 1)
        self.close()

    def hear(self, record: list[Message]) -> None:
        """Wait for everything that the others have said, and compare it."""
        due = record[self._joined :]
        expected = [message for message in due if message.user != self.user or message.seq in self._echo]
        if expected and self._heard[-1:] != expected[-1:]:
            for message in self._room.messages(timeout=DEADLINE):
                self._heard.append(message)
                if message.seq == expected[-1].seq:
                    break
        assert self._heard == expected, self.user
        assert self._room.position.seq == len(record), self.user

    def leave(self) -> None:
        self._room.leave(timeout=DEADLINE)
        self.close()

    def close(self, timeout: float = DEADLINE) -> None:
        if self._client:
            self._client.close(timeout)


def replay(log: str | Path, house: House, *, restart: bool, room: str) -> None:
    """Have everybody do what the log says, and compare what each hears, and the history, with it.

    The broker numbers what is said as the log does, and answers a send with the message as
    everyone gets it, its time included; so those answers, their texts being the log's, are the
    record that the rest is compared with.
    """
    script = list(acts(log if isinstance(log, str) else log.read_bytes().decode()))
    lines = [act for act in script if isinstance(act, Say)]
    assert lines, "the log has something that was said"
    record: list[Message] = []
    stays: dict[str, Stay] = {}

    def come(acts: Sequence[Come]) -> None:
        new = [Stay(act.user, len(record)) for act in acts]
        stays.update((fold(stay.user), stay) for stay in new)
        enter(new)

    def enter(some: Sequence[Stay]) -> None:
        at_once(partial(Stay.connect, house=house), some)
        at_once(partial(Stay.enter, room=room), some)

    def go(acts: Sequence[Go]) -> None:
        some = [stays[fold(act.user)] for act in acts]
        at_once(partial(Stay.hear, record=record), some)
        at_once(Stay.leave, some)
        for stay in some:
            del stays[fold(stay.user)]

    def at_once(do: Callable[[Stay], None], some: Iterable[Stay]) -> None:
        for _ in pool.map(do, some):
            pass

    pool = ThreadPoolExecutor(TOGETHER)
    try:
        for comings, between, goings in stretches(script, max(1, len(script) // STRETCHES)):
            come(comings)
            for act in between:
                if isinstance(act, Come):
                    come([act])
                elif isinstance(act, Go):
                    go([act])
                else:
                    record.append(stays[fold(act.user)].say(act.text))
                    if restart and len(record) == len(lines) // 2:
                        house.stop()
                        house.start()
                        at_once(partial(Stay.pause, said=len(record)), stays.values())
                        enter(list(stays.values()))
            go(goings)
        assert not stays
        told = [(number, *line) for number, line in enumerate(lines, 1)]
        assert [(message.seq, message.user, message.body) for message in record] == told
        with Client(house.url, user="reader", timeout=DEADLINE) as reader:
            history = reader.history(room, after=0, limit=len(record) + 1, timeout=DEADLINE)
        assert history == record
    finally:
        pool.shutdown()
        for stay in stays.values():
            stay.close(0)


@other_logs
def test_everyone_hears_all_that_others_said_while_he_was_there(
    log: str | Path, in_memory: House, request: pytest.FixtureRequest
) -> None:
    """What is replayed with a restart, on a disk, holds in memory and without one too."""
    replay(log, in_memory, restart=False, room=request.node.callspec.id)


@some_logs
def test_everyone_hears_all_of_it_over_a_restart_of_the_broker(
    log: str | Path, on_disk: House, request: pytest.FixtureRequest
) -> None:
    replay(log, on_disk, restart=True, room=request.node.callspec.id)


@pytest.mark.parametrize("log", [ODDITIES, *sorted(DATA.glob("*-lines.txt"))], ids=["oddities", "small"])
def test_everyone_hears_all_of_it_over_a_broker_that_was_killed(log: str | Path, killed: House) -> None:
    replay(log, killed, restart=True, room="killed")


@pytest.mark.skipif(not IRC_DATA or not Path(IRC_DATA).is_dir(), reason="ZCHAT_IRC_DATA names no directory of logs")
def test_seven_of_the_logs_hold_control_characters_that_the_reading_of_them_keeps() -> None:
    logs = [path.read_bytes().decode() for path in sorted(Path(IRC_DATA).glob("2*.txt"))]
    said = ["".join(act.text for act in acts(log) if isinstance(act, Say)) for log in logs]
    assert sum(any(ord(character) < 32 for character in text) for text in said) == 7
