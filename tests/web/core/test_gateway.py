"""The gateway: places, rooms that are read, sessions that are remembered."""

from __future__ import annotations

import pytest

from tests.web.core.harness import Browser, Client, House
from tests.web.core.test_tokens import KEY, token
from zchat.errors import NotAllowed
from zchat.events import Disconnected, Reconnected, Removed
from zchat.web.core import limits
from zchat.web.core.letting_in import Caller, LettingIn, Patterns
from zchat.web.core.timers import SWEEP


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


def test_a_link_is_up_for_a_user_while_both_sessions_have_a_connection() -> None:
    house = House(LettingIn(open_to_all=True, public=Patterns(["news"])))
    alice, watcher = house.page("alice", "General"), house.browser()
    watcher.hello()

    def told(page: Browser) -> list[bool]:
        return [each["up"] for each in page.take("link")]

    house.tell("zchat web", Disconnected("lost"))
    assert (told(alice), told(watcher)) == ([False], [False])
    late = house.browser()
    late.hello("alice")
    assert told(late) == [False], "right after the answer"
    house.tell("alice", Disconnected("lost"))
    house.tell("alice", Reconnected())
    assert told(alice) == [], "it was down, and still is"
    house.tell("alice", Disconnected("lost"))
    house.tell("zchat web", Reconnected())
    assert (told(alice), told(watcher)) == ([], [True])
    late = house.browser()
    late.hello("alice")
    assert told(late) == [False]
    house.tell("alice", Reconnected())
    assert (told(alice), told(late)) == ([True], [True])
    house.gateway.lose_reader()
    house.tell("alice", Disconnected("lost"))
    house.tell("alice", Reconnected())
    assert told(alice) == [False]
    third = house.browser()
    third.hello()
    assert (told(third), told(watcher)) == ([False], [False])


def test_a_user_who_comes_while_the_gateway_has_no_connection_is_told_when_it_is_back() -> None:
    house = House()
    house.tell("zchat web", Disconnected("lost"))
    page = house.browser()
    page.hello("alice")
    house.tell("zchat web", Reconnected())
    assert [each["up"] for each in page.take("link")] == [False, True]


def test_without_a_session_of_its_own_nobody_comes_in_and_pages_go_on_where_they_were_once_there_is_another() -> None:
    house = House(LettingIn(open_to_all=True, public=Patterns(["news"])))
    gateway = house.gateway
    alice, bob, watcher, lost = house.page("alice", "General"), house.page("bob"), house.browser(), house.page("lost")
    watcher.hello()
    house.tell("lost", Disconnected("the connection is lost"))
    lost.frames.clear()
    gateway.lose_reader()
    for page in (alice, bob, watcher):
        assert [each["up"] for each in page.take("link")] == [False]
    assert lost.take("link") == [], "it knows"
    assert not gateway.up
    late = house.browser()
    answer = late.hello("carol")
    assert (answer["code"], answer["retryable"]) == ("connection_lost", True)
    assert late.closed is not None
    assert (late.closed[0], [each["op"] for each in late.frames]) == (1012, ["bye"])
    for page, room in ((bob, "General"), (watcher, "news")):
        answer = page.ask("join", room=room)
        assert (answer["code"], answer["retryable"]) == ("connection_lost", True)
    seq = alice.ask("send", room="General", body="by alice", key="k")["seq"]
    house.broker.say("General", "bob", "unheard")

    gateway.read_by_users("secret")
    gateway.read_by(reader := Client(house.world, "zchat web"))
    house.broker.clients.remove(house.reader)
    house.broker.clients.append(reader)
    house.world.spawn(gateway.read())
    house.world.run()
    assert (gateway.up, gateway.channels) == (True, {})
    assert not gateway.is_own("secret"), "it may have other rights"
    assert [each["up"] for each in bob.take("link")] == [True]
    assert lost.take("link") == [], "their own session has no connection"
    assert (bob.closed, watcher.closed) == (None, None)
    assert alice.take("bye")
    assert alice.closed is not None
    assert alice.closed[0] == 1012
    again = house.page("alice")
    again.ask("join", room="General", after=f"5:{seq - 1}")
    house.say("General", "bob", "heard")
    assert again.bodies() == ["by alice", "unheard", "heard"]


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


def test_a_room_is_read_for_a_minute_from_when_the_last_page_left_and_not_from_an_older_time() -> None:
    house = House()
    page = house.page("alice", "General")
    page.ask("leave", room="General")
    house.passes(59)
    page.ask("join", room="General")
    page.ask("leave", room="General")
    house.passes(59)
    assert set(house.gateway.channels) == {"general"}
    house.passes(2)
    assert house.gateway.channels == {}


@pytest.mark.parametrize("eager", [False, True])
def test_a_room_that_is_no_longer_read_as_a_page_comes_is_read_anew_for_it(eager: bool) -> None:
    house = House(eager=eager)
    other, page = house.page("bob"), house.page("alice", "General")
    page.ask("leave", room="General")
    house.shut("zchat web", "left General")
    house.shut("zchat web", "joined General")
    house.world.time += limits.IDLE_CHANNEL_SECONDS + 1
    page.session.receive(b'{"op":"join","id":90,"room":"General"}')  # in the same turn as the timer
    house.passes(0)
    house.open("zchat web", "left General")
    house.open("zchat web", "joined General")
    assert page.answer(90) is not None
    house.say("General", "bob", "hi")
    assert page.bodies() == ["hi"]
    assert house.reader.joined["general"].joined
    assert other.closed is None


def test_a_room_that_was_opened_for_pages_which_have_gone_is_read_for_a_minute() -> None:
    house = House()
    page = house.page("alice")
    house.shut("zchat web", "join General")
    page.begin("join", room="General")
    page.drop()
    house.open("zchat web", "join General")
    assert set(house.gateway.channels) == {"general"}
    house.passes(limits.IDLE_CHANNEL_SECONDS + 1)
    assert (house.gateway.channels, house.reader.joined, house.gateway._openings) == ({}, {}, {})


@pytest.mark.parametrize("eager", [False, True])
def test_nothing_is_left_of_a_user_who_can_not_come_in(eager: bool) -> None:
    house = House(eager=eager)
    house.broker.refusals["bad", "connect"] = NotAllowed("no such name")
    for _ in range(2):
        page = house.browser()
        assert page.hello("bad")["code"] == "not_allowed"
        assert (page.closed or (0,))[0] == 4001
    assert house.gateway.users == {}
    house.passes(limits.IDLE_USER_SECONDS + limits.GREETING_SECONDS)
    assert len(house.gateway.context.timers) == 0


def test_the_timer_of_a_token_goes_with_its_connection() -> None:
    house = House(LettingIn(token_key=KEY))
    claims = {"sub": "alice", "exp": int(house.world.wall()) + 365 * 86_400}
    for _ in range(500):
        page = house.browser()
        assert page.hello(token=token(claims))["op"] == "ok"
        page.drop()
    assert len(house.gateway.context.timers) <= 2 * SWEEP
