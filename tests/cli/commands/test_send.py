"""`zchat send`: what it sends, what it says is stored when it is cut short, and its progress on a terminal only."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

import pytest

import zchat
import zchat as library
from tests.cli.driver import bodies
from tests.cli.outside import CODES, caught, unread_by
from tests.mortal import Mortal
from tests.running import DEADLINE, Start, Zchat, eventually
from zchat.broker import Broker

OUTCOME = re.compile(
    r"zchat: (?:interrupted: |.*; )([\d,]+) lines? stored \(up to seq ([\d,]+) in General\)"
    r"(?:, the next ([\d,]+) sent but not acknowledged \(.*\))?, the rest not stored\n"
)


def numbers(told: str) -> tuple[int, int, int]:
    match = OUTCOME.fullmatch(told)
    assert match, told
    stored, last, unanswered = (int((number or "0").replace(",", "")) for number in match.groups())
    return stored, last, unanswered


def count(url: str) -> int:
    with zchat.Client(url, user="looker") as client:
        newest = client.history("General", limit=1, timeout=DEADLINE)
        return newest[-1].seq if newest else 0


def has_more_than(url: str, messages: int) -> None:
    eventually(lambda: count(url) > messages, "lines are stored")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stream_that_is_interrupted_tells_where_to_go_on(
    start: Start, broker: Broker, number: int, code: int
) -> None:
    with zchat.Client(broker.url, user="bob") as bob:
        bob.join("General").send("before")
    running = start(shell='seq 100000000 | exec "$@" send General', traced=False, PYTHONUNBUFFERED="")
    has_more_than(broker.url, 10_000)
    [sender] = [
        int(pid)
        for pid in os.listdir("/proc")
        if pid.isdigit() and command_of(pid)[1:3] == ["-m", "zchat"] and broker.url in environment_of(pid)
    ]
    os.kill(sender, number)
    assert running.end() == code
    stored, last, unanswered = numbers(running.errors)
    assert unanswered == 0, "its answers were waited for"
    assert stored > 10_000
    assert last == stored + 1 == count(broker.url), "one was there before"
    with zchat.Client(broker.url, user="looker") as client:
        assert client.history("General", limit=1)[0].body == str(stored)


def command_of(pid: str) -> list[str]:
    try:
        return Path("/proc", pid, "cmdline").read_text().split("\0")
    except OSError:
        return []


def environment_of(pid: str) -> str:
    try:
        return Path("/proc", pid, "environ").read_text()
    except OSError:
        return ""


def test_lines_in_flight_at_a_broker_that_stands_still_are_told_apart(start: Start, tmp_path: Path) -> None:
    with Mortal(f"sqlite:{tmp_path / 'z.db'}") as mortal:
        running = start("send", "General", traced=False, ZCHAT_URL=mortal.url)
        running.write("one\ntwo\n")
        has_more_than(mortal.url, 1)
        mortal.freeze()
        running.write("three\n")
        running.write("four\n")
        eventually(lambda: unread_by(running.process.pid) == 0, "it has read them")
        eventually(lambda: unread_at(mortal.url) > 0, "something of them waits at the broker")
        running.process.send_signal(signal.SIGINT)
        assert running.process.wait(DEADLINE) == 130
        mortal.thaw()
        running.end()
        stored, last, unanswered = numbers(running.errors)
        assert (stored, last) == (2, 2)
        assert unanswered in (1, 2), "the second may have been read and not sent"


def unread_at(url: str) -> int:
    """Return the bytes that wait to be read from connections to an address, as the kernel tells them."""
    port = int(url.rpartition(":")[2])
    waiting = 0
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, _, _, queues, *_ = line.split()
        if int(local.rpartition(":")[2], 16) == port:
            waiting += int(queues.rpartition(":")[2], 16)
    return waiting


def test_a_broker_that_is_killed_for_good_leaves_a_true_count(start: Start, tmp_path: Path) -> None:
    with Mortal(f"sqlite:{tmp_path / 'z.db'}") as mortal:
        running = start(shell='seq 100000000 | "$@" send General', ZCHAT_URL=mortal.url)
        has_more_than(mortal.url, 10_000)
        mortal.kill()
        assert running.end() == 1
        stored, last, unanswered = numbers(running.errors)
        assert stored == last > 10_000
        mortal.start()
        assert stored <= count(mortal.url) <= stored + unanswered


def test_one_message_that_fails_is_reported_as_not_stored(zchat: Zchat) -> None:
    done = zchat("send", "General", "x" * (120 << 10), *["y" * (120 << 10)] * 9)
    assert done.returncode == 1
    assert re.fullmatch(r"zchat: a message has .* bytes at most.*; the message is not stored\n", done.stderr)


def test_send_joins_its_words_to_one_message_and_prints_nothing(zchat: Zchat, broker: Broker) -> None:
    done = zchat("send", "Kitchen", "tea", "is", "ready")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert bodies(broker, "Kitchen") == ["tea is ready"]


def test_send_makes_every_line_of_its_input_a_message(zchat: Zchat, broker: Broker) -> None:
    done = zchat("send", "General", stdin=b"one\n\ntwo\n\xff\xc3\xa9\nlast")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert bodies(broker, "General") == ["one", "", "two", "\ufffdé", "last"]


def test_send_sends_many_lines_in_order(zchat: Zchat, broker: Broker) -> None:
    lines = [f"line {number}" for number in range(20_000)]
    assert zchat("send", "Log", stdin="\n".join(lines) + "\n").returncode == 0
    found: list[object] = []
    with library.Client(broker.url, user="reader") as client:
        while len(found) < 20_000:
            found += [message.body for message in client.history("Log", after=len(found), limit=1000)]
    assert found == lines


def test_send_tells_how_many_were_stored_when_it_fails(zchat: Zchat, broker: Broker) -> None:
    done = zchat("send", "General", stdin="one\ntwo\n" + "x" * (3 << 20) + "\nfour\n")
    assert done.returncode == 1
    assert done.stderr.startswith("zchat: ")
    assert done.stderr.endswith("; 2 lines stored (up to seq 2 in General), the rest not stored\n")
    assert bodies(broker, "General") == ["one", "two"]


def test_all_lines_before_one_that_no_message_can_hold_are_stored(start: Start, tmp_path: Path) -> None:
    with Mortal(f"sqlite:{tmp_path / 'z.db'}") as mortal:
        running = start("send", "General", traced=False, ZCHAT_URL=mortal.url)
        running.write("one\n")
        has_more_than(mortal.url, 0)
        mortal.freeze()
        running.write("two\n" * 6_000 + "x" * (3 << 20) + "\nafter it\n")
        eventually(lambda: unread_by(running.process.pid) == 0, "it has read them: four blocks are sent at most")
        mortal.thaw()
        assert running.end() == 1
        assert numbers(running.errors) == (6_001, 6_001, 0)


def test_send_takes_arguments_that_are_no_text(zchat: Zchat, broker: Broker) -> None:
    assert zchat("send", "General", "caf\udce9").returncode == 0
    assert bodies(broker, "General") == ["caf\ufffd"]


@pytest.mark.parametrize(("text", "told"), [("hello", "the message is not stored"), ("", "no line stored")])
@pytest.mark.parametrize("number", list(CODES), ids=lambda number: number.name)
def test_a_signal_before_it_has_connected_is_reported_as_later(
    start: Start, text: str, told: str, number: signal.Signals
) -> None:
    with Mortal() as mortal:
        mortal.freeze()
        running = start("send", "General", *text.split(), ZCHAT_URL=mortal.url)
        eventually(lambda: caught(running.process.pid) == len(CODES), "it has begun")
        running.process.send_signal(number)
        assert running.end() == CODES[number]
        assert running.errors == f"zchat: interrupted: {told}\n"
        mortal.thaw()


def test_a_signal_once_everything_is_stored_changes_nothing(start: Start, broker: Broker) -> None:
    program = (
        "import os, signal, sys; from zchat.cli import connection; before = connection.Client.close\n"
        "def close(self, *a):\n os.kill(os.getpid(), signal.SIGTERM); return before(self, *a)\n"
        "connection.Client.close = close\nfrom zchat.cli.main import main; main(sys.argv[1:])"
    )
    running = start(shell='exec "$1" -c "$PROGRAM" send General hello', PROGRAM=program)
    assert running.end() == 0
    assert running.errors == ""
    assert bodies(broker, "General") == ["hello"]


def test_what_one_sends_is_no_news_to_oneself_but_hides_nothing_that_is(zchat: Zchat, broker: Broker) -> None:
    def unread() -> int | None:
        with library.Client(broker.url, user="alice") as client:
            return {room.name: room.unread for room in client.rooms()}["General"]

    assert zchat("send", "General", stdin="one\ntwo\n").returncode == 0
    assert unread() == 0, "there was nothing else"
    with library.Client(broker.url, user="bob") as bob:
        bob.join("General").send("new")
        assert zchat("send", "General", "mine").returncode == 0
        assert unread() == 2, "as the broker counts"
        bob.join("Sports").send("never read")
        assert zchat("send", "Sports", "mine").returncode == 0
    with library.Client(broker.url, user="alice") as alice:
        assert {room.name: room.unread for room in alice.rooms()}["Sports"] is None
