"""The gateway: places, rooms that are read, sessions that are remembered."""

from __future__ import annotations

import pytest

from tests.web.core.harness import House
from zchat.errors import NotAllowed
from zchat.events import Disconnected, Reconnected, Removed
from zchat.web.core import limits
from zchat.web.core.letting_in import Caller, LettingIn, Patterns


def test_places_are_bounded_by_address_and_in_all() -> None:
    house = House(max_connections=60)
    one, many = Caller("192.0.2.1", True, None), Caller("127.0.0.1", False, None)
    browsers = [house.browser(one) for _ in range(limits.CONNECTIONS_AN_ADDRESS)]
    assert house.gateway.full_for(one)
    assert not house.gateway.full_for(Caller("192.0.2.2", True, None))
    browsers[0].drop()
    assert not house.gateway.full_for(one)
    for _ in range(11):
        assert not house.gateway.full_for(many)
        house.browser(many)
    assert house.gateway.full_for(many)
    for browser in browsers:
        browser.drop()
    assert house.gateway._addresses == {"127.0.0.1": 11}


def test_rooms_are_read_unseen() -> None:
    house = House()
    house.page("alice", "General")
    room = house.reader.joined["general"]
    assert (room.reads, room.echo, room.present) == (True, False, False)


def test_a_room_that_nobody_follows_is_read_for_another_minute() -> None:
    house = House()
    page = house.page("alice", "General")
    page.ask("leave", room="General")
    house.passes(59)
    other = house.page("bob", "General")
    house.passes(5)
    assert set(house.gateway.channels) == {"general"}
    other.drop()
    house.passes(61)
    assert house.gateway.channels == {}
    assert house.reader.joined == {}
    house.page("alice", "General")
    assert set(house.gateway.channels) == {"general"}


def test_a_room_that_the_gateway_may_read_no_longer_ends_for_who_only_watches_and_others_go_on_by_themselves() -> None:
    house = House(LettingIn(open_to_all=True, public=Patterns(["*"])))
    house.broker.log("General")
    page, watcher = house.page("alice", "General"), house.browser()
    watcher.hello()
    assert watcher.ask("join", room="General")["op"] == "ok"
    position = house.gateway.channels["general"].position
    house.broker.refusals["zchat web", "join General"] = NotAllowed("not for you")
    house.tell("zchat web", Removed("General", "", "", None, "not_allowed"))
    assert [frame["code"] for frame in watcher.take("removed")] == ["not_allowed"]
    assert house.gateway.channels == {}
    assert page.take("removed") == []
    assert (page.closed or (0,))[0] == 1012
    again = house.browser()
    again.hello("alice")
    house.say("General", "bob", "meanwhile")
    assert again.ask("join", room="General", after=f"{position.epoch}:{position.seq}")["op"] == "ok"
    house.say("General", "bob", "now")
    assert again.bodies() == ["meanwhile", "now"]


def test_it_is_known_whether_the_broker_is_there() -> None:
    house = House()
    house.tell("zchat web", Disconnected("lost"))
    assert not house.gateway.up
    house.tell("zchat web", Reconnected())
    assert house.gateway.up


def test_sessions_without_a_connection_are_bounded_and_the_oldest_is_forgotten_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "MAX_LOST_SESSIONS", 2)
    house = House()
    sessions = []
    for _ in range(3):
        browser = house.browser()
        sessions.append(browser.hello("alice")["session"])
        browser.drop()
    resumed = [house.browser().hello("alice", session=session)["resumed"] for session in sessions]
    assert resumed == [False, True, True]
    assert house.gateway.context.counters.forgotten == 1


def test_nothing_is_left_of_pages_that_have_gone() -> None:
    house = House()
    for number in range(20):
        house.page(f"user {number}", "General", "@bob").drop()
    house.passes(31)
    house.passes(61)
    house.passes(301)
    house.page("bob").drop()
    house.passes(31)
    house.passes(301)
    gateway = house.gateway
    assert (gateway.connected, gateway.users, gateway.channels, gateway._addresses) == ({}, {}, {}, {})
    assert len(gateway._lost) + len(gateway._sessions) <= 1
    assert [task for task in house.world.tasks if not task.done] == house.world.tasks[:1], "only the reader's is left"


def test_rooms_that_users_read_by_themselves_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_CONNECTIONS", 3)
    house = House()
    for number in range(10):
        house.gateway.read_by_users(f"room {number}")
        assert house.gateway.is_own(f"room {number}")
    assert len(house.gateway._read_by_users) <= 3
    assert house.gateway.is_own("@bob")


def test_a_timer_that_fails_is_logged_and_the_others_have_their_turn() -> None:
    house, called = House(), []

    def fail() -> None:
        raise ValueError("a fault")

    timers = house.gateway.context.timers
    for call in (fail, lambda: called.append(1)):
        timers.at(house.world.time, call)
    house.gateway.turn()
    house.gateway.turn()
    assert called == [1]
    assert [str(error) for error in house.world.faults] == ["a fault"]
    house.world.faults.clear()
