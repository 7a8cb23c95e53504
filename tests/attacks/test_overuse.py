"""Attacks by who is let in and uses too much: of the loop, of libzmq's memory, of what lasts."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.attacks.curve import Insider
from tests.attacks.place import Place, keyed_place, meanwhile
from tests.broker.raw import BIG
from tests.running import eventually
from zchat.broker.limits import UNREAD_BYTES
from zchat.errors import LimitReached
from zchat.wire.blocks import join_bodies
from zchat.wire.values import pack

MIB = 1 << 20
TOKENS = itertools.count(1)


def greeted(keyed: Place, user: str = "mallory") -> Insider:
    """Return a raw session of a user that is let in."""
    insider = keyed.insider(keyed.pairs[user])
    insider.shake_hands()
    assert insider.greet(user, next(TOKENS) % 256)[0] == "ok"
    return insider


def joined(keyed: Place, room: str) -> Insider:
    """Return a raw session that is in a room."""
    insider = greeted(keyed)
    assert insider.ask("join", 2, room, 1, None, 0, True)[0] == "ok"
    return insider


# -- the loop ----------------------------------------------------------------------------------------


def array(count: int, value: bytes) -> bytes:
    return b"\x91\xdd" + struct.pack(">I", count) + value * count


def growing(count: int, most: int) -> Iterator[int]:
    """Yield how many to send at once, each time twice as many: between two times, a busy machine pays a debt back."""
    while True:
        yield count
        count = min(2 * count, most)


@pytest.mark.parametrize(
    "bodies",
    [array(174_000, b"\xd6\xff\0\0\0\1"), array(65_000, b"\x90")],
    ids=["timestamps", "empty arrays"],
)
def test_costly_sends_wait_and_nobody_else_does(keyed: Place, bodies: bytes) -> None:
    """One client's mebibytes of timestamps brought 20 others from 2,003 messages a second to 69; its 63 KiB of empty
    arrays to 268."""
    with keyed.talk() as talk, joined(keyed, "Mine") as mallory:
        numbers, bursts = itertools.count(1), growing(2, 32)

        def pressed() -> bool:
            for number in itertools.islice(numbers, next(bursts)):
                mallory.send(pack(("send", 2 + number, "Mine", number, bodies)))
            talk.goes_on()
            return keyed.count("frames_waited") > 0

        eventually(pressed, "they wait while others talk")


def test_who_goes_on_after_that_is_ended(keyed: Place) -> None:
    """Whatever was sent was read and decoded; a session of a user over its share has 64 frames waiting at most."""
    with keyed.talk() as talk, joined(keyed, "Mine") as mallory:
        numbers, bursts = itertools.count(1), growing(8, 128)

        def ended() -> bool:
            with suppress(OSError):
                for number in itertools.islice(numbers, next(bursts)):
                    mallory.send(pack(("send", 2 + number, "Mine", number, array(65_000, b"\x90"))))
            talk.goes_on()
            return keyed.broker.figures.refused.get("too_many_requests", 0) > 0

        eventually(ended, "it is ended")


def test_pages_that_are_asked_for_at_full_tilt_hold_nobody_else_up(keyed: Place) -> None:
    """History came at 600 MB/s, with 390 microseconds of the loop a page: others waited for up to 230 ms."""
    with keyed.talk() as talk, joined(keyed, "Mine") as mallory:
        for number in range(1, 9):
            assert mallory.ask("send", 2 + number, "Mine", number, join_bodies([pack(bytes(2 << 16))]))[0] == "ok"
        for number in range(16):
            mallory.send(pack(("history", 20 + number, "Mine", 0, None, 1_000)))
        eventually(lambda: keyed.count("reads_waited") > 0, "they wait for proof")
        talk.goes_on()


def test_a_stranger_has_no_more_than_one_frame_of_the_loops_time(place: Place) -> None:
    """A stranger's kilobytes of nested arrays took 97 microseconds each: 20 honest clients waited 10 ms."""
    nested = b"\x91" * 900 + b"\xc0"
    with place.talk() as talk:

        def attack() -> None:
            with place.stranger() as stranger, suppress(OSError):
                stranger.shake_hands()
                for _ in range(5):
                    stranger.send(nested)
                assert stranger.ended()

        with meanwhile(attack):
            talk.goes_on()
        eventually(lambda: place.count("cut_no_greeting") > 0, "it is cut")


# -- what is sent and not read -----------------------------------------------------------------------


def test_who_reads_nothing_costs_a_bounded_number_of_bytes(place: Place) -> None:
    """49 KiB of requests made libzmq hold 12.7 MB for each connection, which nothing counted; 1,000 of them 12 GB."""
    with place.client("alice") as alice, place.stranger("bob") as bob:
        alice.join("Talk").send_many("x" * 100_000 for _ in range(3))
        bob.shake_hands()
        assert bob.greet("bob")[0] == "ok"
        before = place.count("answer_bytes")
        for number in range(16):
            bob.send(pack(("history", 2 + number, "Talk", 0, None, 1_000)))
        eventually(lambda: place.count("reads_waited") > 0, "it has to prove that it reads")
        alice.history("Talk")  # it is answered after them
        assert place.count("answer_bytes") - before < UNREAD_BYTES + 2 * 300_000 + MIB


# -- what lasts --------------------------------------------------------------------------------------


def test_no_user_takes_all_producers(keyed: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """106 sessions in 950 rooms each took the 100,000 producers in 20 s: nobody new could send for a day."""
    monkeypatch.setattr("zchat.broker.store.ledger.MAX_PRODUCERS", 6)
    assert keyed.broker._loop is not None
    keyed.broker._loop._store._ledger._producers_of._most = 3  # type: ignore[attr-defined]
    for number in range(8):
        with joined(keyed, f"Room {number}") as mallory:
            assert mallory.ask("send", 3, f"Room {number}", 1, join_bodies([pack("mine")]))[0] == "ok"
    assert keyed.count("producers_forgotten") == 5
    with keyed.talk() as talk:
        talk.goes_on()


def test_no_user_makes_all_rooms(keyed: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """100,000 times join, send and leave, 19 s, and there was no new room any more, and no new direct room."""
    monkeypatch.setattr("zchat.broker.rooms.directory.USER_ROOMS", 5)
    monkeypatch.setattr("zchat.broker.rooms.directory.MAX_ROOMS", 20)
    answers = []
    with greeted(keyed) as mallory:
        for number in range(20):
            room = f"Room {number}"
            answers.append(mallory.ask("join", 2 + 3 * number, room, 1, None, 0, True)[0])
            if answers[-1] == "ok":
                assert mallory.ask("send", 3 + 3 * number, room, 1, join_bodies([pack("mine")]))[0] == "ok"
                assert mallory.ask("leave", 4 + 3 * number, room, 1)[0] == "ok"
    assert answers.count("ok") == 5
    with keyed.talk() as talk, keyed.client("carol") as carol:
        talk.goes_on()
        carol.direct("alice").send("hello")


def test_no_user_takes_all_sessions(keyed: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """10,050 sessions of one machine, and newcomers were refused, for ever if these pinged."""
    monkeypatch.setattr("zchat.broker.limits.USER_SESSIONS", 2)
    monkeypatch.setattr("zchat.broker.limits.MAX_SESSIONS", 5)
    with greeted(keyed), greeted(keyed):
        with keyed.client("carol"), pytest.raises(LimitReached, match="2 sessions"):
            keyed.client("mallory")
        with keyed.talk() as talk:
            talk.goes_on()


def test_no_user_takes_all_read_marks(keyed: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """112 names set 900 read marks each, in 4 s, and there was no new one any more."""
    monkeypatch.setattr("zchat.broker.store.ledger.MAX_READ_MARKS", 4)
    assert keyed.broker._loop is not None
    keyed.broker._loop._store._ledger._read_marks_of._most = 3  # type: ignore[attr-defined]
    with keyed.client("mallory") as mallory, keyed.client("alice") as alice:
        for number in range(8):
            mallory.join(f"Room {number}").send("mine")
            mallory.mark_read(f"Room {number}", 1)
        assert alice.mark_read("Room 7", 1) == 1
    assert keyed.count("read_marks_forgotten") == 5


# -- how fast ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limit", "bodies", "slowed"),
    [("messages = 5", b"\xdc\x03\xe8" + b"\xc0" * 1_000, "slowed_messages"), ("bytes = 1_000", BIG, "slowed_bytes")],
    ids=["messages", "bytes"],
)
def test_by_the_rules_no_user_floods_a_room_or_fills_the_disk(
    tmp_path: Path, limit: str, bodies: bytes, slowed: str
) -> None:
    """1,000 nils a block were 7.9 M messages a second: the history that is kept was gone in 0.13 s; and a client
    wrote as many mebibytes as the disk took."""
    rules = tmp_path / "rules.toml"
    rules.write_text(f"[limits]\n{limit}\n")
    with keyed_place(tmp_path / "server", rules) as keyed, joined(keyed, "Talk") as mallory:
        answers = [mallory.ask("send", 2 + number, "Talk", number, bodies) for number in range(1, 11)]
        assert [answer[0] for answer in answers].count("ok") == 1
        assert all(answer[2] == "busy" and answer[5] > 60_000 for answer in answers if answer[0] == "error")
        assert keyed.count(slowed) == 9
        with keyed.talk() as talk:
            talk.goes_on()
