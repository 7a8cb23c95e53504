"""Attacks by who reaches a broker's port, or is let in with a key: what each did before, and what is left of it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress

import pytest

from tests.attacks.place import Place, open_place
from tests.attacks.zmtp import COMMAND, MORE, Stranger, greeting, prop
from tests.promises.faults.processes import Memory
from tests.running import DEADLINE, eventually
from zchat.broker.guard import connections as guard
from zchat.broker.guard import doorkeeper
from zchat.broker.limits import CUT_AFTER, ENDLESS_BYTES
from zchat.wire.blocks import join_bodies
from zchat.wire.values import pack

SOON_CUT = 0.1
"""Seconds until a connection is cut in a test that waits for several cuts."""


def ids(place: Place) -> dict[str, bytes]:
    """Return the routing ids of the sessions by user, as a stranger can guess them: they are counted up."""
    assert place.broker._loop is not None
    assert place.broker._loop.core is not None
    return {session.user: routing_id for routing_id, session in place.broker._loop.core.sessions.items()}


# -- the routing id of a connection that has died ----------------------------------------------------


def claimed(place: Place, routing_id: bytes) -> Stranger:
    """Connect under a routing id until that is free; a claim that comes too early is never answered."""
    deadline = time.monotonic() + DEADLINE
    while time.monotonic() < deadline:
        stranger = place.stranger()
        stranger.shake_hands(prop(b"Identity", routing_id))
        stranger.send(pack(("rooms", 1, None, 10)))
        stranger.socket.settimeout(SOON_CUT + 0.5)
        try:
            stranger.hear()
        except TimeoutError:
            stranger.socket.close()
            continue
        except ConnectionError:
            pass
        return stranger
    raise AssertionError("the id is never free")


def test_who_claims_the_routing_id_of_a_dead_connection_does_not_get_its_session(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It could read alice's direct room and write as alice, for up to 15 s, without her token."""
    for module in (guard, doorkeeper):
        monkeypatch.setattr(module, "CUT_AFTER", SOON_CUT)
    bob = place.client("bob")
    with place.stranger("alice") as alice:
        alice.shake_hands()
        assert alice.greet("alice")[0] == "ok"
        routing_id = ids(place)["alice"]
        assert alice.ask("join", 2, "@alice\nbob", 1, None, 0, True)[0] == "ok"
    with claimed(place, routing_id), bob, ExitStack() as stack:
        room = bob.direct("alice")
        for number in range(20):
            room.send(number)
        for word in ("send", "history", "credit", "bye", "leave"):
            stranger = stack.enter_context(place.stranger())
            stranger.shake_hands(prop(b"Identity", routing_id))
            commands = {
                "send": ("send", 3, "@alice\nbob", 1, join_bodies([pack("I am alice")])),
                "history": ("history", 3, "@alice\nbob", 0, None, 10),
                "credit": ("credit", "@alice\nbob", 1, 1),
                "bye": ("bye", 3),
                "leave": ("leave", 3, "@alice\nbob", 1),
            }
            stranger.send(pack(commands[word]))
            stranger.socket.settimeout(SOON_CUT + 0.2)
            heard = []
            with suppress(ConnectionError, TimeoutError):
                while True:
                    heard.append(stranger.hear())
            assert not [notice for notice in heard if notice[0] != "error"], f"{word}: {heard}"
            stranger.socket.close()
        assert [message.body for message in room.history()] == list(range(20))
        assert "alice" not in {message.user for message in room.history()}
    eventually(lambda: place.count("cut_foreign_session") >= 1, "it is counted")


# -- those who never become clients ------------------------------------------------------------------


def begin_frame(stranger: Stranger) -> None:
    stranger.shake_hands()
    stranger.say(stranger.framed(bytes(1 << 20))[:1000])


HALF_OPEN: dict[str, Callable[[Stranger], object]] = {
    "silent": lambda stranger: None,
    "ten bytes": lambda stranger: stranger.say(greeting(stranger.mechanism)[:10]),
    "a greeting, then silence": lambda stranger: stranger.say(greeting(stranger.mechanism)),
    "a handshake, then silence": lambda stranger: stranger.shake_hands(),
    "a frame begun": begin_frame,
}


@pytest.mark.parametrize("begin", HALF_OPEN.values(), ids=HALF_OPEN)
def test_who_does_not_greet_is_cut(
    place: Place, begin: Callable[[Stranger], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those who finished the handshake and never greeted stayed for ever, and took every descriptor."""
    with place.talk() as talk, place.stranger() as stranger:
        monkeypatch.setattr(guard, "GREET_WITHIN", 0.5)  # those who talk have greeted
        with suppress(ConnectionError):  # cut before it got so far, on a busy machine
            begin(stranger)
        assert stranger.ended()
        eventually(lambda: place.count("cut_before_greeting") == 1, "it is counted")
        talk.goes_on()


def test_metadata_without_bound_is_cut(place: Place) -> None:
    """1,000 connections with 1 MB each held 1.5 GB for as long as they stayed."""
    with place.talk() as talk, place.stranger() as stranger:
        with suppress(ConnectionError):
            stranger.shake_hands(*(prop(b"X%d" % number, b"x" * 60_000) for number in range(15)))
        assert stranger.ended()
        eventually(lambda: place.count("cut_too_many_bytes") == 1, "it is counted")
        talk.goes_on()


def test_a_stranger_has_one_frame(place: Place) -> None:
    """Each frame of a stranger took 97 µs of the loop, without an end."""
    with place.talk() as talk, place.stranger() as stranger:
        stranger.shake_hands()
        before = place.count("frames")
        for _ in range(80):
            stranger.send(b"\x91" * 30)
        assert stranger.hear()[0] == "error"
        began = time.monotonic()
        assert stranger.ended()
        assert time.monotonic() - began < CUT_AFTER + DEADLINE / 2
        eventually(lambda: place.count("cut_no_greeting") == 1, "it is counted")
        assert place.count("frames") - before < 20, "the rest is not decoded"
        talk.goes_on()


def test_the_oldest_newcomers_make_room(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Strangers held every descriptor; newcomers were locked out while the broker spun."""
    monkeypatch.setattr("zchat.broker.guard.connections.UNGREETED", 20)
    monkeypatch.setattr("zchat.broker.guard.connections.CHANCE", 0.1)
    with ExitStack() as stack:
        talk = stack.enter_context(place.talk())
        for _ in range(60):
            stack.enter_context(place.stranger()).say(greeting(place.mechanism))
        eventually(lambda: place.count("cut_too_many_newcomers") >= 40, "the oldest are cut")
        with place.client("carol") as carol:
            carol.join("Talk")
        talk.goes_on()


# -- messages without an end ---------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 64 * 1024], ids=["empty frames", "64 KiB frames"])
def test_a_message_without_an_end_is_cut(place: Place, size: int) -> None:
    """Endless frames of a single connection took 700 MB of memory a second; empty ones 64 bytes for 2."""
    with place.talk() as talk, place.stranger() as stranger:
        stranger.shake_hands()
        assert stranger.greet("mallory")[0] == "ok"
        memory, sent = Memory(os.getpid()), 0
        memory.reset()
        with suppress(ConnectionError):
            while sent < 2_000 << 20:
                part = b"".join(stranger.framed(bytes(size), MORE) for _ in range(1 if size else 1_000))
                stranger.say(part)
                sent += len(part)
        eventually(lambda: place.count("cut_endless_message") == 1, "it is counted")
        assert memory.grown < 1_000 << 20
        assert sent > ENDLESS_BYTES
        talk.goes_on()


def test_a_flood_a_ping_of_the_transport_and_a_reset_end_no_process(place: Place) -> None:
    """One connection of 1,700 bytes ended any broker: libzmq had stopped reading, and failed an assertion."""
    with place.talk() as talk:
        for number in range(40):
            stranger = place.stranger()
            stranger.shake_hands()
            if number % 2:
                stranger.greet("mallory", number)
            flood = [stranger.framed(pack(("ping",))) for _ in range(200)]
            stranger.say(b"".join(flood) + stranger.framed(b"\x04PING\0\0", COMMAND))
            stranger.reset()
        talk.goes_on()


def test_more_messages_than_can_be_read_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """They wait in the broker's memory, 64 bytes and more for 8 that are sent."""
    monkeypatch.setattr(guard, "HELD_BYTES", 256 * 1024)
    with open_place() as place, place.talk() as talk, place.stranger() as stranger:
        stranger.shake_hands()
        assert stranger.greet("mallory")[0] == "ok"
        flood = stranger.framed(pack(("ping",))) * 10_000
        memory = Memory(os.getpid())
        memory.reset()
        with suppress(ConnectionError):
            while not place.count("cut_endless_message"):
                stranger.say(flood)
        eventually(lambda: place.count("cut_endless_message") == 1, "it is counted")
        assert memory.grown < 500 << 20
        talk.goes_on()


def test_large_messages_one_after_the_other_are_no_message_without_an_end(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "SAMPLE_EVERY", 0.01)  # so that some samples come between them
    block = join_bodies([pack("x" * 900_000)])
    with place.stranger("alice") as stranger:
        stranger.shake_hands()
        assert stranger.greet("alice")[0] == "ok"
        assert stranger.ask("join", 2, "Big", 1, None, 0, True)[0] == "ok"
        for number in range(1, 101):
            assert stranger.ask("send", number + 2, "Big", number, block)[0] == "ok"
        assert stranger.ask("rooms", 200, None, 1)[0] == "ok"
    assert place.count("cut_endless_message") == 0


def test_pings_of_the_transport_are_no_message_without_an_end(place: Place) -> None:
    with place.stranger("alice") as stranger:
        stranger.shake_hands()
        assert stranger.greet("alice")[0] == "ok"
        for _ in range(1_000):
            stranger.send(b"\x04PING\0\0", COMMAND)
        assert stranger.ask("rooms", 2, None, 1)[0] == "ok"
    assert place.count("cut_endless_message") == 0
