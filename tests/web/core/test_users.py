"""A user of pages: one session, however many pages, as long as it is needed."""

from __future__ import annotations

import pytest

from tests.web.core.harness import House
from tests.web.core.test_tokens import KEY, token
from zchat.errors import ConnectionLost, Expired, KeyRemoved
from zchat.events import Invited
from zchat.web.core.letting_in import LettingIn


def test_all_pages_of_a_user_share_one_session() -> None:
    house = House()
    house.page("alice", "General")
    house.page("ALICE", "general")
    assert [client.user for client in house.broker.clients] == ["zchat web", "alice"]
    assert house.broker.asked.count("alice join General") == 1


def test_a_session_ends_half_a_minute_after_the_last_page_but_not_before_its_messages_are_sent() -> None:
    house = House()
    page = house.page("alice", "General")
    house.broker.away = True
    page.say(op="send", id=9, room="General", body="x", key="k")
    page.drop()
    house.passes(31)
    assert not house.client("alice").closed
    house.broker.away = False
    for promise in house.client("alice").joined["general"].waiting:
        promise.keep()
    house.world.run()
    assert len(house.broker.log("General")) == 1
    client = house.client("alice")
    house.passes(31)
    assert client.closed
    assert house.gateway.users == {}


def test_a_session_that_ends_by_itself_has_its_pages_come_again() -> None:
    house = House()
    page = house.page("alice", "General")
    house.tell("alice", Expired("silent for too long"))
    assert (page.closed or (0,))[0] == 1012
    assert house.gateway.users == {}
    assert house.page("alice", "General").closed is None


def test_a_key_of_the_gateways_that_is_let_in_no_more_is_no_fault_of_the_pages_which_come_again() -> None:
    house = House()
    page = house.page("alice", "General")
    house.tell("alice", KeyRemoved("this key is no longer web's here"))
    assert (page.closed or (0,))[0] == 1012


@pytest.mark.parametrize("name", ["zchat web", "ZChat Web"])
def test_nobody_comes_in_under_the_gateways_own_name(name: str) -> None:
    house = House()
    browser = house.browser()
    answer = browser.hello(name)
    assert (answer["code"], answer["text"]) == ("not_let_in", f"{name} is the gateway's own name: use another")
    assert (browser.closed or (0,))[0] == 4001


def test_a_page_is_invited_to_the_rooms_alone_in_which_its_token_lets_the_user() -> None:
    house = House(LettingIn(token_key=KEY))
    found = []
    for rooms in (["Ops"], ["@*"], ["@bob"], None):
        page = house.browser()
        claims = {"sub": "alice", "exp": int(house.world.wall()) + 60, **({} if rooms is None else {"rooms": rooms})}
        assert page.hello(token=token(claims))["op"] == "ok"
        page.frames.clear()
        found.append(page)
    house.tell("alice", Invited("@bob", "bob"))
    assert [len(page.take("invited")) for page in found] == [0, 1, 1, 1]


def test_a_session_that_can_not_begin_is_tried_again_by_the_next_page() -> None:
    house = House()
    house.broker.refusals["alice", "connect"] = ConnectionLost("no broker answered")
    assert house.browser().hello("alice")["code"] == "connection_lost"
    house.broker.refusals.clear()
    assert house.browser().hello("alice")["op"] == "ok"


def test_a_page_that_takes_nothing_is_not_told_of_every_invitation() -> None:
    house = House()
    page = house.page("alice")
    page.paused = True
    for _ in range(100):
        house.tell("alice", Invited("@bob", "bob"))
    assert page.frames == []
    assert house.gateway.context.counters.dropped_events == 100


def test_a_session_that_is_ended_before_its_task_begins_never_begins() -> None:
    house = House()
    user = house.gateway.user("alice")
    user.close()
    house.world.run()
    assert [client.user for client in house.broker.clients] == ["zchat web"]
    assert house.gateway.users == {}
