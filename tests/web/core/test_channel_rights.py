"""What a page is sent of a room that the gateway reads for all: from where its user's own membership begins."""

from __future__ import annotations

from typing import Any

import pytest

from tests.web.core.harness import EPOCH, Browser, House, Room
from zchat.errors import NotAllowed
from zchat.events import Disconnected, Gap, Reconnected
from zchat.messages import GapReason, Position
from zchat.web.core import limits
from zchat.web.core.letting_in import LettingIn, Patterns


@pytest.fixture
def house() -> House:
    """A room that alice and the gateway read, and that eve may join, and not read."""
    house = House()
    house.broker.refusals["eve", "history General"] = NotAllowed("you may not read that")
    house.alice = house.page("alice", "General")  # type: ignore[attr-defined]
    return house


def log_of(page: Browser) -> list[Any]:
    """Return what a page was sent of the log since the last time: bodies, and the ends of gaps with why."""
    found: list[Any] = []
    for frame in page.frames:
        if frame["op"] == "messages":
            found += [row[3] for row in frame["rows"]]
        elif frame["op"] == "gap":
            found.append((frame["upto"], frame["reason"]))
    page.frames.clear()
    return found


def lose(house: House, user: str) -> Room:
    room = house.client(user).joined["general"]
    room.away = room.out = True
    house.tell(user, Disconnected("lost"))
    return room


def test_a_user_who_comes_in_before_the_gateway_has_read_what_was_said_is_not_sent_it(house: House) -> None:
    reader = house.stall("zchat web")
    house.say("General", "bob", "one", "two")
    page = house.browser()
    page.hello("eve")
    assert page.ask("join", room="General")["position"] == f"{EPOCH}:2"
    house.say("General", "bob", "three")
    house.catch_up(reader)  # one batch, which begins before and ends after
    assert log_of(page) == ["three"]
    assert log_of(house.alice) == ["one", "two", "three"]  # type: ignore[attr-defined]
    house.say("General", "bob", "four")
    assert log_of(page) == ["four"]
    assert not house.gateway.channels["general"]._cuts


def test_a_position_further_on_than_the_gateway_has_read_is_one_of_the_log(house: House) -> None:
    house.say("General", "bob", "one")
    house.broker.epoch += 1
    reader = house.stall("zchat web")
    house.say("General", "bob", "two", "three")
    page = house.browser()
    page.hello("eve")
    page.ask("join", room="General", after=f"{EPOCH + 1}:3")
    house.catch_up(reader)
    assert log_of(page) == []
    house.say("General", "bob", "four")
    assert log_of(page) == ["four"]


@pytest.mark.parametrize(("reads", "expected"), [(False, [(3, GapReason.WITHHELD)]), (True, ["one", "two", "three"])])
def test_what_was_said_while_a_user_was_out_during_a_lost_link_is_asked_of_the_log(
    house: House, reads: bool, expected: list[Any]
) -> None:
    page = house.page("eve", "General")
    room = lose(house, "eve")
    house.say("General", "bob", "one", "two")
    house.say("General", "bob", "three")
    if reads:
        house.broker.refusals.clear()
    room.away = room.out = False
    room.began = None  # a gap is on its way, which says where the membership begins
    house.tell("eve", Reconnected())
    house.passes(limits.REJOINED_SECONDS)
    assert log_of(page) == []
    room.begin_anew()
    house.passes(limits.REJOINED_SECONDS)
    assert log_of(page) == expected
    house.say("General", "bob", "four")
    assert log_of(page) == ["four"]


def test_who_was_there_over_a_lost_link_is_sent_what_was_said_meanwhile(house: House) -> None:
    page = house.page("eve", "General")
    room = lose(house, "eve")
    house.say("General", "bob", "one")
    room.away = room.out = False
    house.tell("eve", Reconnected())
    assert log_of(page) == ["one"]


def test_a_membership_that_begins_anew_further_on_than_the_gateway_has_read_waits_for_it(house: House) -> None:
    page = house.page("eve", "General")
    reader = house.stall("zchat web")
    room = lose(house, "eve")
    house.say("General", "bob", "one", "two")
    room.begin_anew()
    room.away = room.out = False
    house.say("General", "bob", "three")
    house.tell("eve", Reconnected())
    house.catch_up(reader)
    assert log_of(page) == [(2, GapReason.WITHHELD), "three"]
    house.say("General", "bob", "four")
    assert log_of(page) == ["four"]


def test_a_user_who_takes_part_where_they_watched_begins_anew(house: House) -> None:
    one, two = house.page("eve", "General", watch=True), house.page("eve")
    reader = house.stall("zchat web")
    house.shut("eve", "left General")
    coming = two.begin("join", room="General")
    house.say("General", "bob", "between the two")
    house.open("eve", "left General")
    house.say("General", "bob", "then")
    house.catch_up(reader)
    assert (two.answer(coming) or {})["position"] == f"{EPOCH}:1"
    assert log_of(one) == [(1, GapReason.WITHHELD), "then"]
    assert log_of(two) == ["then"]


def test_where_a_membership_began_in_a_log_that_is_no_more_bounds_nothing(house: House) -> None:
    house.say("General", "bob", *range(9))
    page = house.page("eve", "General")
    page.paused = True
    house.broker.logs["General"].clear()
    house.broker.epoch += 1
    house.tell("zchat web", Gap("General", 9, 0, GapReason.RESET))
    house.say("General", "bob", "one")
    page.paused = False
    page.session.resumed()
    assert log_of(page) == [(0, GapReason.RESET), "one"], "of the ring"
    assert page.session._entries["general"].member is not None


def test_where_a_membership_began_in_the_log_that_there_is_now_still_bounds(house: House) -> None:
    page = house.page("eve", "General")
    room = lose(house, "eve")
    house.broker.epoch += 1
    house.say("General", "bob", "one", "two")
    room.begin_anew()
    room.away = room.out = False
    reader = house.stall("zchat web")
    house.tell("eve", Reconnected())
    reader.pending.appendleft(Gap("General", 0, 1, GapReason.RESET))
    reader.pending = type(reader.pending)([reader.pending[0]])
    reader.stalled = False
    reader.put()
    house.world.run()
    assert house.gateway.channels["general"].position == Position(EPOCH + 1, 1)
    assert page.session._entries["general"].member not in house.gateway.channels["general"].live


def test_what_was_said_in_an_old_log_is_not_sent_to_whose_membership_begins_in_the_new_one(house: House) -> None:
    page = house.page("eve", "General")
    room = lose(house, "eve")
    house.say("General", "bob", "one")
    house.say("General", "bob", "two")
    house.broker.logs["General"] = house.broker.log("General")[:1]  # the new log has one message, and the gateway
    house.broker.epoch += 1  # has yet to be told of it
    room.begin_anew()
    room.away = room.out = False
    house.tell("eve", Reconnected())
    assert log_of(page) == [(2, GapReason.WITHHELD)]


def test_no_place_of_a_log_that_is_no_more_is_remembered(house: House) -> None:
    reader = house.stall("zchat web")
    house.say("General", "bob", *range(5))
    page = house.browser()
    page.hello("eve")
    page.ask("join", room="General")
    assert house.gateway.channels["general"]._cuts == {5}
    reader.pending.clear()
    house.broker.logs["General"].clear()
    house.broker.epoch += 1
    reader.stalled = False
    house.tell("zchat web", Gap("General", 0, 0, GapReason.RESET))
    assert not house.gateway.channels["general"]._cuts
    assert log_of(page) == [(0, GapReason.RESET)]


def test_what_is_withheld_from_the_gateway_comes_to_who_may_read_it() -> None:
    house = House(LettingIn(open_to_all=True, public=Patterns(["General"])))
    for user in ("eve", "zchat web"):
        house.broker.refusals[user, "history General"] = NotAllowed("you may not read that")
    alice, late, eve = (house.page(user, "General") for user in ("alice", "alice", "eve"))
    nameless, slow = house.browser(), house.browser()
    for page in (nameless, slow):
        page.hello()
        page.ask("join", room="General")
    house.say("General", "bob", "heard")
    assert [log_of(page) for page in (alice, late, eve, nameless, slow)] == [["heard"]] * 5
    for page in (late, slow):
        page.paused = True
    house.say("General", "bob", "last heard")
    reader = house.stall("zchat web")
    house.say("General", "bob", "one", "two")
    reader.pending.clear()
    reader.stalled = False
    house.tell("zchat web", Gap("General", 2, 4, GapReason.WITHHELD))
    assert log_of(alice) == ["last heard", "one", "two"]
    withheld = ["last heard", (4, GapReason.WITHHELD)]
    assert (log_of(eve), log_of(nameless)) == (withheld, withheld)
    assert house.broker.asked.count("zchat web history General") == 0
    house.say("General", "bob", "then")
    for page in (late, slow):
        page.paused = False
        page.session.resumed()
    house.world.run()
    assert log_of(late) == ["last heard", "one", "two", "then"]
    assert log_of(slow) == [(4, GapReason.WITHHELD), "then"]
    assert [log_of(page) for page in (alice, eve, nameless)] == [["then"]] * 3
    assert house.gateway.channels["general"]._ring_bytes > 0
