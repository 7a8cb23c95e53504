"""Full pipes, and peers that have vanished."""

from __future__ import annotations

from itertools import pairwise
from math import inf

import pytest

from tests.broker.delivery.driver import pair
from tests.broker.driver import Peer, World
from tests.frames import decode_notice
from zchat.broker.limits import (
    RETRY_FIRST,
    RETRY_MAX,
)
from zchat.wire.notices import OK, PUSH


def test_a_full_pipe_is_tried_again_by_the_clock_without_any_credit() -> None:
    world = World()
    speaker, listener = pair(world)
    world.port.full.add(listener.id)
    assert speaker.send("General", "hello")[0] == OK
    assert listener.texts() == []
    assert world.core.counters.retried == 1
    waits = []
    for _ in range(10):
        due = world.core.context.pipes.due
        assert due < inf
        assert not world.core.context.pusher.ready
        tries = world.port.tries.count(listener.id)
        waits.append(due - world.now)
        world.now = due - 1e-6
        world.run()
        assert world.port.tries.count(listener.id) == tries, "not before its time"
        world.now = due
        world.run()
        assert world.port.tries.count(listener.id) == tries + 1
    assert waits[0] == pytest.approx(RETRY_FIRST)
    assert all(later == pytest.approx(min(2 * one, RETRY_MAX)) for one, later in pairwise(waits))
    assert waits[-1] == pytest.approx(RETRY_MAX)
    world.port.full.clear()
    world.pass_time(RETRY_MAX, RETRY_MAX)
    assert listener.texts() == ["hello"]
    assert world.core.due() > world.now + RETRY_MAX
    world.check()


def test_replies_wait_for_a_full_pipe_in_order_and_no_push_overtakes_them() -> None:
    world = World()
    speaker, listener = pair(world)
    world.port.full.add(listener.id)
    first = listener.ask("rooms", None, 10)
    speaker.send("General", "hello")
    second = listener.ask("rooms", None, 10)
    world.run()
    world.port.full.clear()
    speaker.send("General", "world")  # the pipe has room, but replies are waiting
    assert listener.replies.keys().isdisjoint({first, second})
    world.pass_time(RETRY_MAX, RETRY_MAX)
    came = [decode_notice(frame)[:2] for frame in world.port.frames[listener.id]]
    assert came[-3:] == [[OK, first], [OK, second], [PUSH, "General"]]
    assert listener.texts() == ["hello", "world"]
    world.check()


def test_a_full_pipe_in_one_of_many_rooms_holds_up_nobody_else() -> None:
    world = World()
    speaker, stuck = pair(world)
    well = Peer(world, "carol")
    well.join("General")
    world.port.full.add(stuck.id)
    for number in range(5):
        speaker.send("General", number)
    assert well.texts() == [0, 1, 2, 3, 4]


def test_a_vanished_peer_is_counted_and_does_not_fail_the_send() -> None:
    world = World()
    speaker, listener = pair(world)
    world.port.gone.add(listener.id)
    for number in range(3):
        assert speaker.send("General", number)[0] == OK
    assert world.core.counters.failed == 1
    assert world.port.tries.count(listener.id) == 4, "its greeting, its join, the room's state, and no second try"
    assert world.core.context.pusher.due == inf
    world.check()


def test_a_peer_that_vanished_comes_back_and_goes_on_where_it_was() -> None:
    world = World()
    speaker, listener = pair(world)
    world.port.gone.add(listener.id)
    speaker.send("General", "unheard")
    listener.reconnect()
    listener.join("General", (0, 0))
    assert listener.texts() == ["unheard"]
    world.check()
