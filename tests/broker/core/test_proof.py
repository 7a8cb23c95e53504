"""Proof of reading: who reads nothing is given no further pages, and who reads waits for none."""

from __future__ import annotations

import pytest

from tests.broker.driver import Clock, LateStore, Peer, World
from zchat.broker.limits import HISTORY_BYTES, MAX_REQUESTS, UNREAD_BYTES
from zchat.wire.notices import OK

PAGE = 200 * 1024
"""About the bytes of a page in these tests."""


@pytest.fixture
def filled(world: World) -> Peer:
    """Give a peer, and General with a message of some size."""
    alice = Peer(world, "alice")
    alice.join("General")
    alice.send("General", "x" * PAGE)
    return alice


def ask(peer: Peer) -> int:
    return peer.ask("history", "General", 0, None, 1)


def test_who_does_not_read_is_sent_a_bounded_number_of_bytes(world: World, filled: Peer) -> None:
    bob = Peer(world, "bob")
    bob.sees = False
    asked = [ask(bob) for _ in range(MAX_REQUESTS)]
    world.run()
    assert sum(map(len, world.port.frames[bob.id])) < UNREAD_BYTES + 2 * PAGE
    answered = [number for number in asked if number in bob.replies]
    assert 0 < len(answered) < len(asked)
    assert world.core.counters.reads_waited == len(asked) - len(answered)
    assert bob.ended() is None


def test_once_it_has_read_it_is_given_the_rest_in_order(world: World, filled: Peer) -> None:
    bob = Peer(world, "bob")
    bob.sees = False
    asked = [ask(bob) for _ in range(MAX_REQUESTS)]
    world.run()
    bob.sees = True
    bob.see()
    world.run()
    assert list(bob.replies)[-len(asked) :] == asked
    assert all(bob.replies[number][0] == OK for number in asked)
    world.check()


def test_a_request_that_has_waited_is_counted_once_however_often_it_is_asked_whether_it_may_go_on(
    world: World, filled: Peer
) -> None:
    bob = Peer(world, "bob")
    bob.sees = False
    asked = [ask(bob) for _ in range(MAX_REQUESTS)]
    world.run()
    waited = len([number for number in asked if number not in bob.replies])
    bob.see()
    world.run()
    assert any(number not in bob.replies for number in asked), "some wait for another answer"
    bob.sees = True
    bob.see()
    world.run()
    assert world.core.counters.reads_waited == waited


def test_no_request_overtakes_those_that_wait_once_less_is_unread_than_it_could_have_been() -> None:
    store = LateStore(lambda: 1)
    world = World(store=store)
    alice = Peer(world, "alice")
    alice.join("General")
    alice.send("General", "x" * 1_000)
    bob = Peer(world, "bob")
    bob.sees = False
    store.holding = True
    asked = [ask(bob) for _ in range(UNREAD_BYTES // HISTORY_BYTES + 1)]
    store.holding = False
    world.run()
    assert asked[-1] not in bob.replies, "what was being read could have been more"
    assert world.sessions[bob.id].unread < UNREAD_BYTES // 2
    asked += [ask(bob), bob.ask("rooms", None, 10), bob.ask("members", "General", None, 10)]
    world.run()
    assert not bob.replies.keys() & set(asked[-4:])
    assert [number for number, *_ in world.sessions[bob.id].asked] == asked[-4:], "in their order"
    assert world.core.counters.reads_waited == 4
    bob.see()
    world.run()
    assert all(bob.replies[number][0] == OK for number in asked)
    assert not world.sessions[bob.id].asked
    world.check()


def test_who_reads_is_asked_before_it_would_have_to_wait(world: World, filled: Peer) -> None:
    bob = Peer(world, "bob")
    for _ in range(20):
        assert ask(bob) in bob.replies
        world.run()
    assert world.core.counters.reads_waited == 0
    assert world.core.counters.states > 0


def test_what_was_answered_after_a_state_frame_is_not_proven_by_it(world: World, filled: Peer) -> None:
    bob = Peer(world, "bob")
    bob.join("General")
    bob.sees = False
    filled.tell("typing", "General", True)
    world.pass_time(0.1)
    session = world.sessions[bob.id]
    assert session.shown
    for _ in range(4):
        ask(bob)
    before = session.unread
    assert before > 3 * PAGE
    bob.see()
    assert session.unread == before


def test_pages_that_the_store_is_reading_count_as_well() -> None:
    store = LateStore(lambda: 1)
    world = World(store=store)
    alice = Peer(world, "alice")
    alice.join("General")
    alice.send("General", "x" * PAGE)
    bob = Peer(world, "bob")
    bob.sees = False
    store.holding = True
    for _ in range(MAX_REQUESTS):
        ask(bob)
    assert len(store._waiting) == UNREAD_BYTES // HISTORY_BYTES
    store.holding = False
    world.run()
    assert sum(map(len, world.port.frames[bob.id])) < UNREAD_BYTES + PAGE
    world.check()


def test_while_the_store_reads_a_client_that_has_read_all_is_asked_for_nothing() -> None:
    store = LateStore(Clock())
    world = World(store=store)
    alice, bob = Peer(world, "alice"), Peer(world, "bob")
    alice.join("General")
    alice.send("General", "x" * PAGE)
    store.holding = True
    asked = [ask(bob) for _ in range(MAX_REQUESTS)]
    world.run()
    assert not bob.states
    store.holding = False
    for _ in asked:
        world.run()
    assert [number for number in bob.replies if number in asked] == asked
    world.check()


@pytest.mark.parametrize("word", ["rooms", "members"])
def test_lists_wait_too(world: World, filled: Peer, word: str) -> None:
    filled.sees = False
    for _ in range(6):
        ask(filled)
    number = filled.ask(word, *(["General"] if word == "members" else []), None, 10)
    world.run()
    assert number not in filled.replies
    filled.sees = True
    filled.see()
    world.run()
    assert filled.replies[number][0] == OK


def test_small_answers_are_not_counted(world: World) -> None:
    alice = Peer(world, "alice")
    alice.join("General")
    for number in range(100):
        alice.send("General", number)
    assert world.sessions[alice.id].unread == 0


def test_a_request_that_has_waited_is_judged_when_it_is_carried_out(world: World, filled: Peer) -> None:
    filled.join("New")
    filled.sees = False
    for _ in range(6):
        ask(filled)
    number = filled.ask("members", "New", None, 10)
    filled.leave("New")
    assert "new" not in world.rooms
    assert number not in filled.replies
    filled.sees = True
    filled.see()
    filled.read()
    assert filled.replies[number][2] == "no_such_room"


def test_a_fresh_connection_has_nothing_to_prove(world: World, filled: Peer) -> None:
    filled.sees = False
    for _ in range(6):
        ask(filled)
    filled.reconnect()
    assert ask(filled) in filled.replies
    world.check()


def test_the_question_waits_while_the_pipe_is_full(world: World, filled: Peer) -> None:
    filled.sees = False
    for _ in range(2):
        ask(filled)
    world.port.full.add(filled.id)
    ask(filled)
    ask(filled)
    world.run()
    before = filled.states[filled.id]
    world.port.full.clear()
    world.pass_time(0.2, 0.01)
    assert filled.states[filled.id] == before + 1
