"""The entrance of a broker that runs: what it costs, what it counts and logs, what it leaves alone."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

import zchat
from tests.attacks.zmtp import Stranger, frame
from tests.broker.raw import ANY, Talk
from tests.running import DEADLINE, eventually
from zchat.broker import Broker
from zchat.broker.edge import entrance
from zchat.broker.guard import connections as guard
from zchat.broker.port import Cut
from zchat.wire.values import pack


@pytest.fixture
def broker() -> Iterator[Broker]:
    with Broker(ANY) as broker:
        yield broker


def test_cuts_are_logged_a_line_a_reason_and_second(
    broker: Broker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "zchat.broker")
    monkeypatch.setattr(guard, "GREET_WITHIN", 0.1)
    began = time.monotonic()
    with ExitStack() as stack:
        strangers = [stack.enter_context(Stranger(broker.url)) for _ in range(50)]
        assert all(stranger.ended() for stranger in strangers)
    eventually(lambda: broker.counters.cut_before_greeting == 50, "all are counted")

    def lines() -> list[str]:
        return [line for line in caplog.messages if "that did not greet within 5 s" in line]

    eventually(lambda: sum(int(line.split()[1]) for line in lines()) == 50, "all are logged")
    assert len(lines()) <= 3 + time.monotonic() - began


def test_a_session_that_has_ended_is_cut_after_its_last_word(broker: Broker) -> None:
    with Stranger(broker.url) as alice:
        alice.shake_hands()
        assert alice.greet("alice")[0] == "ok"
        assert alice.ask("bye", 2) == ["ok", 2]
        assert alice.ended()
    eventually(lambda: broker.counters.cut_after_end == 1, "it is counted")


def test_a_session_that_goes_on_elsewhere_is_cut_where_it_was(broker: Broker) -> None:
    with Stranger(broker.url) as before, Stranger(broker.url) as after:
        before.shake_hands()
        after.shake_hands()
        assert before.greet("alice")[0] == "ok"
        assert after.ask("hello", 1, 1, 1, "alice", b"\1" * 16, b"\1" * 16, 0, 2)[0] == "ok"
        assert before.hear()[:2] == ["end", "superseded"]
        assert before.ended()
        assert after.ask("rooms", 2, None, 1)[0] == "ok"


def test_who_has_greeted_stays_however_long_it_is_silent_for_the_door(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Stranger(broker.url) as alice:
        alice.shake_hands()
        assert alice.greet("alice")[0] == "ok"
        monkeypatch.setattr(guard, "GREET_WITHIN", 0.2)
        time.sleep(1)  # five times as long
        assert alice.ask("rooms", 2, None, 1)[0] == "ok"


def test_a_client_that_is_cut_comes_back(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    assert broker._loop is not None
    with zchat.Client(broker.url, user="alice", timeout=DEADLINE) as alice:
        room = alice.join("General")
        core = broker._loop.core
        assert core is not None
        (session,) = core.sessions.values()
        peer = session.peer
        broker._loop.cut(peer, Cut.ENDED)
        eventually(lambda: session.peer is not peer, "it has another connection")
        assert room.send("here", timeout=DEADLINE).seq == 1


def test_newcomers_take_half_of_the_files_at_most(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entrance, "limit", lambda: 20)
    with Talk(broker) as talk:
        strangers = [Stranger(broker.url) for _ in range(15)]
        eventually(lambda: broker.counters.cut_too_many_newcomers == 5, "the oldest are cut")
        talk.goes_on()
        for stranger in strangers:
            stranger.socket.close()


def test_what_a_closed_connection_had_sent_is_still_read(broker: Broker) -> None:
    for number in range(30):
        with Stranger(broker.url) as alice:
            alice.shake_hands()
            assert alice.greet("alice", number + 1)[0] == "ok"
            alice.say(frame(pack(("bye", 2))))
    eventually(lambda: not broker._loop.core.sessions, "all have said goodbye")  # type: ignore[union-attr]
    assert broker.counters.expired == 0
