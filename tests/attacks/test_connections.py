"""Attacks by who reaches the port of a broker without keys: what each did before, and what is left of it."""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import pytest

import zchat
from tests.attacks.zmtp import COMMAND, LONG, MORE, Stranger, frame, greeting, prop, ready
from tests.broker.raw import ANY, Talk
from tests.running import DEADLINE, eventually
from zchat.broker import Broker
from zchat.broker.guard import connections as guard
from zchat.broker.limits import CUT_AFTER, ENDLESS_BYTES, UNGREETED_BYTES
from zchat.wire.blocks import join_bodies
from zchat.wire.values import pack


@pytest.fixture
def broker() -> Iterator[Broker]:
    with Broker(ANY) as broker:
        yield broker


def ids(broker: Broker) -> list[bytes]:
    """Return the routing ids of the sessions, as a stranger can guess them: they are counted up."""
    assert broker._loop is not None
    assert broker._loop.core is not None
    return list(broker._loop.core._sessions)


# -- the routing id of a connection that has died ----------------------------------------------------


def claimed(broker: Broker, routing_id: bytes) -> Stranger:
    """Connect under a routing id until that is free; a claim that comes too early is never answered."""
    deadline = time.monotonic() + DEADLINE
    while time.monotonic() < deadline:
        stranger = Stranger(broker.url)
        stranger.shake_hands(prop(b"Identity", routing_id))
        stranger.say(frame(pack(("rooms", 1, None, 10))))
        stranger.socket.settimeout(0.5)
        try:
            stranger.hear()
        except TimeoutError:
            stranger.socket.close()
            continue
        except ConnectionError:
            pass
        return stranger
    raise AssertionError("the id is never free")


def test_who_claims_the_routing_id_of_a_dead_connection_does_not_get_its_session(broker: Broker) -> None:
    """It could read alice's direct room and write as alice, for up to 15 s, without her token."""
    bob = zchat.Client(broker.url, user="bob")
    with Stranger(broker.url) as alice:
        alice.shake_hands()
        assert alice.greet("alice")[0] == "ok"
        (routing_id,) = [each for each in ids(broker) if broker._loop.core._sessions[each].user == "alice"]  # type: ignore[union-attr]
        assert alice.ask("join", 2, "@alice\nbob", 1, None, 0, True)[0] == "ok"
    with claimed(broker, routing_id), bob, ExitStack() as stack:
        room = bob.direct("alice")
        for number in range(20):
            room.send(number)
        for word in ("send", "history", "credit", "bye", "leave"):
            stranger = stack.enter_context(Stranger(broker.url))
            stranger.shake_hands(prop(b"Identity", routing_id))
            commands = {
                "send": ("send", 3, "@alice\nbob", 1, join_bodies([pack("I am alice")])),
                "history": ("history", 3, "@alice\nbob", 0, None, 10),
                "credit": ("credit", "@alice\nbob", 1, 1),
                "bye": ("bye", 3),
                "leave": ("leave", 3, "@alice\nbob", 1),
            }
            stranger.say(frame(pack(commands[word])))
            stranger.socket.settimeout(2.0)
            heard = []
            with suppress(ConnectionError, TimeoutError):
                while True:
                    heard.append(stranger.hear())
            assert not [notice for notice in heard if notice[0] != "error"], f"{word}: {heard}"
            stranger.socket.close()
        assert [message.body for message in room.history()] == list(range(20))
        assert "alice" not in {message.user for message in room.history()}


# -- those who never become clients ------------------------------------------------------------------

HALF_OPEN = {
    "silent": b"",
    "ten bytes": greeting()[:10],
    "a greeting, then silence": greeting(),
    "a handshake, then silence": greeting() + ready(),
    "a frame begun": greeting() + ready() + bytes((LONG,)) + (1 << 20).to_bytes(8, "big") + b"x" * 1000,
}


@pytest.mark.parametrize("data", HALF_OPEN.values(), ids=HALF_OPEN)
def test_who_does_not_greet_is_cut(broker: Broker, data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those who finished the handshake and never greeted stayed for ever, and took every descriptor."""
    monkeypatch.setattr(guard, "GREET_WITHIN", 0.5)
    with Talk(broker) as talk, Stranger(broker.url) as stranger:
        stranger.say(data)
        assert stranger.ended()
        eventually(lambda: broker.counters.cut_before_greeting == 1, "it is counted")
        talk.goes_on()


def test_metadata_without_bound_is_cut(broker: Broker) -> None:
    """1,000 connections with 1 MB each held 1.5 GB for as long as they stayed."""
    with Talk(broker) as talk, Stranger(broker.url) as stranger:
        stranger.say(greeting())
        with suppress(ConnectionError):
            stranger.say(ready(*(prop(b"X%d" % number, b"x" * 60_000) for number in range(15))))
        assert stranger.ended()
        eventually(lambda: broker.counters.cut_too_many_bytes == 1, "it is counted")
        talk.goes_on()


def test_a_stranger_has_one_frame(broker: Broker) -> None:
    """Each frame of a stranger took 97 µs of the loop, without an end."""
    with Talk(broker) as talk, Stranger(broker.url) as stranger:
        stranger.shake_hands()
        before = broker.counters.frames
        for _ in range(200):
            stranger.say(frame(b"\x91" * 30))
        assert stranger.hear()[0] == "error"
        began = time.monotonic()
        assert stranger.ended()
        assert time.monotonic() - began < CUT_AFTER + DEADLINE / 2
        eventually(lambda: broker.counters.cut_no_greeting == 1, "it is counted")
        assert broker.counters.frames - before < 20, "the rest is not decoded"
        talk.goes_on()


def test_the_oldest_newcomers_make_room(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    """Strangers held every descriptor; newcomers were locked out while the broker spun."""
    monkeypatch.setattr("zchat.broker.guard.doorkeeper.UNGREETED", 20)
    with ExitStack() as stack:
        talk = stack.enter_context(Talk(broker))
        for _ in range(60):
            stack.enter_context(Stranger(broker.url)).say(greeting() + ready())
        eventually(lambda: broker.counters.cut_too_many_newcomers >= 40, "the oldest are cut")
        with zchat.Client(broker.url, user="carol", timeout=DEADLINE) as carol:
            carol.join("Talk")
        talk.goes_on()


# -- messages without an end ---------------------------------------------------------------------------


def peak() -> int:
    """Return this process's peak of memory in bytes: the broker runs in it."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@pytest.mark.parametrize("size", [0, 64 * 1024], ids=["empty frames", "64 KiB frames"])
def test_a_message_without_an_end_is_cut(broker: Broker, size: int) -> None:
    """Endless frames of a single connection took 700 MB of memory a second; empty ones 64 bytes for 2."""
    part = frame(b"x" * size, MORE)
    many = part * max(1, (256 * 1024) // len(part))
    with Talk(broker) as talk, Stranger(broker.url) as stranger:
        stranger.shake_hands()
        assert stranger.greet("mallory")[0] == "ok"
        before, sent = peak(), 0
        with suppress(ConnectionError):
            while sent < 2_000 << 20:
                stranger.say(many)
                sent += len(many)
        eventually(lambda: broker.counters.cut_endless_message == 1, "it is counted")
        assert peak() - before < 1_000 << 20
        assert sent > ENDLESS_BYTES
        talk.goes_on()


def test_large_messages_one_after_the_other_are_no_message_without_an_end(broker: Broker) -> None:
    block = join_bodies([pack("x" * 900_000)])
    with Stranger(broker.url) as stranger:
        stranger.shake_hands()
        assert stranger.greet("alice")[0] == "ok"
        assert stranger.ask("join", 2, "Big", 1, None, 0, True)[0] == "ok"
        for number in range(1, 101):
            assert stranger.ask("send", number + 2, "Big", number, block)[0] == "ok"
        time.sleep(0.6)  # two samples later
        assert stranger.ask("rooms", 200, None, 1)[0] == "ok"
    assert broker.counters.cut_endless_message == 0


def test_pings_of_the_transport_are_no_message_without_an_end(broker: Broker) -> None:
    with Stranger(broker.url) as stranger:
        stranger.shake_hands()
        assert stranger.greet("alice")[0] == "ok"
        for _ in range(1_000):
            stranger.say(frame(b"\x04PING\0\0", COMMAND))
        assert stranger.ask("rooms", 2, None, 1)[0] == "ok"
    assert UNGREETED_BYTES > 1_400
