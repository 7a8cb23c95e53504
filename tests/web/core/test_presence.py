"""Whether a user is in a room for others follows from what the user's pages want now."""

from __future__ import annotations

import json

import pytest

from tests.web.core.harness import Browser, House
from zchat.errors import Banned, DeadlineExceeded
from zchat.web.core import limits


@pytest.fixture(params=[False, True], ids=["", "eager"])
def house(request: pytest.FixtureRequest) -> House:
    return House(eager=request.param)


def is_there(house: House) -> bool | None:
    """Return whether eve is in General for others, None if she doesn't even watch it."""
    room = house.client("eve").joined.get("general")
    return None if room is None else room.present


def send(page: Browser) -> str:
    answer = page.ask("send", room="General", body="hi", key=f"k{page._ids}")
    return str(answer.get("code", "ok"))


def both(house: House) -> tuple[Browser, Browser]:
    """Return a page that watches and one that takes part."""
    watches, takes_part = house.page("eve", "General", watch=True), house.page("eve", "General")
    assert is_there(house)
    assert send(watches) == "ok"
    watches.frames.clear()
    takes_part.frames.clear()
    return watches, takes_part


def test_when_the_last_page_leaves_that_takes_part_the_others_watch(house: House) -> None:
    watches, takes_part = both(house)
    house.page("eve", "General").ask("leave", room="General")
    assert is_there(house), "another one takes part"
    takes_part.ask("leave", room="General")
    assert is_there(house) is False
    assert send(watches) == "not_a_member"
    watches.say(op="typing", room="General", active=True)
    assert house.client("eve").joined["general"].typed == []
    house.say("General", "bob", "on")
    assert watches.bodies() == ["on"]


def test_when_it_is_lost_the_others_watch_half_a_minute_later_unless_one_is_back(house: House) -> None:
    watches, takes_part = both(house)
    takes_part.drop()
    house.passes(limits.IDLE_USER_SECONDS - 1)
    again = house.page("eve", "General")
    house.passes(limits.IDLE_USER_SECONDS)
    assert is_there(house)
    again.drop()
    house.passes(limits.IDLE_USER_SECONDS - 1)
    another = house.page("eve", "General", watch=True)
    assert is_there(house)
    house.passes(2)
    assert is_there(house) is False, "one that watches changes nothing"
    house.say("General", "bob", "on")
    assert watches.bodies() == another.bodies() == ["on"]
    assert house.broker.asked.count("eve join General") == 3, "to watch, to take part, to watch"


def test_a_page_that_watches_what_it_took_part_in_is_there_no_longer(house: House) -> None:
    page = house.page("eve", "General")
    page.ask("join", room="General", watch=True)
    assert is_there(house) is False
    assert send(page) == "not_a_member"
    page.ask("join", room="General")
    assert is_there(house)
    for command in (
        {"op": "leave", "id": 98, "room": "General"},
        {"op": "join", "id": 99, "room": "General", "watch": True},
    ):
        page.session.receive(json.dumps(command).encode())  # one right behind the other
    house.world.run()
    assert [(page.answer(number) or {})["op"] for number in (98, 99)] == ["ok", "ok"]
    assert is_there(house) is False


@pytest.mark.parametrize("others", [False, True])
def test_a_leave_right_behind_a_message_ends_it_as_soon_as_that_is_stored(house: House, others: bool) -> None:
    if others:
        house.page("eve", "General", watch=True)
    page = house.page("eve", "General")
    house.broker.away = True
    message = page.begin("send", room="General", body="bye", key="k")
    assert page.ask("leave", room="General")["op"] == "ok"
    assert is_there(house)
    house.broker.away = False
    for promise in house.client("eve").joined["general"].waiting:
        promise.keep()
    house.world.run()
    assert (page.answer(message) or {})["op"] == "ok"
    assert is_there(house) is (False if others else None)


def test_who_comes_back_while_a_message_waits_stays(house: House) -> None:
    page = house.page("eve", "General")
    house.broker.away = True
    page.begin("send", room="General", body="bye", key="k")
    page.ask("leave", room="General")
    page.ask("join", room="General")
    house.broker.away = False
    for promise in house.client("eve").joined["general"].waiting:
        promise.keep()
    house.world.run()
    house.passes(limits.IDLE_USER_SECONDS)
    assert is_there(house)
    assert page.closed is None


def test_who_is_lost_after_that_has_their_time(house: House) -> None:
    page = house.page("eve", "General")
    house.broker.away = True
    page.begin("send", room="General", body="bye", key="k")
    page.ask("leave", room="General")
    page.ask("join", room="General")
    page.drop()
    house.broker.away = False
    for promise in house.client("eve").joined["general"].waiting:
        promise.keep()
    house.world.run()
    house.passes(limits.IDLE_USER_SECONDS - 1)
    assert is_there(house)


def test_what_a_page_that_watches_has_sent_before_is_stored(house: House) -> None:
    watches, takes_part = both(house)
    house.shut("eve", "join Ops")
    house.page("eve").begin("join", room="Ops")
    takes_part.ask("leave", room="General")  # which has to wait for its turn
    house.broker.away = True
    message = watches.begin("send", room="General", body="hi", key="k")
    house.broker.away = False
    house.open("eve", "join Ops")
    assert is_there(house)
    for promise in house.client("eve").joined["general"].waiting:
        promise.keep()
    house.world.run()
    assert (watches.answer(message) or {})["op"] == "ok"
    assert is_there(house) is False


def test_nothing_can_be_sent_any_more_while_the_user_leaves_to_watch(house: House) -> None:
    watches, takes_part = both(house)
    house.shut("eve", "left General")
    takes_part.ask("leave", room="General")
    assert send(watches) == "not_a_member"
    house.open("eve", "left General")
    assert is_there(house) is False


def test_a_page_that_begins_to_watch_anew_goes_on_in_the_same_membership(house: House) -> None:
    page = house.page("eve", "General", watch=True)
    page.ask("join", room="General", watch=True)
    assert house.broker.asked.count("eve join General") == 1


@pytest.mark.parametrize("kept", [False, True])
def test_pages_that_may_not_watch_on_are_told_so(house: House, kept: bool) -> None:
    watches, takes_part = both(house)
    house.broker.refusals["eve", "join General"] = DeadlineExceeded("later") if kept else Banned("you are banned")
    takes_part.ask("leave", room="General")
    assert is_there(house) is None
    assert [frame["code"] for frame in watches.take("removed")] == ([] if kept else ["banned"])
    assert (watches.closed is not None) is kept, "it comes again"


def test_a_room_that_the_users_session_reads_is_not_watched_unseen(house: House) -> None:
    watches, takes_part = house.page("eve", "@bob", watch=True), house.page("eve", "@bob")
    takes_part.ask("leave", room="@bob")
    house.passes(limits.IDLE_USER_SECONDS)
    assert house.client("eve").joined["@bob"].present
    assert house.broker.asked.count("eve join @bob") == 1
    assert watches.closed is None
