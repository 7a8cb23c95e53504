"""A page's session: its greeting, its commands in their order, and what it may not."""

from __future__ import annotations

from typing import Any

import pytest

from tests.web.core.harness import EPOCH, House, Promise
from tests.web.core.test_tokens import KEY, token
from zchat.errors import Banned, KeyRemoved, Muted, NotAllowed
from zchat.events import Disconnected, Invited, Reconnected, Removed
from zchat.web.core import limits
from zchat.web.core.letting_in import LettingIn, Patterns

ROW = 3


@pytest.fixture(params=[False, True], ids=["", "eager"])
def house(request: pytest.FixtureRequest) -> House:
    return House(eager=request.param)


# -- the greeting ------------------------------------------------------------------------------------


def test_the_greeting_says_who_the_user_is_and_what_is_agreed(house: House) -> None:
    assert house.browser().hello("alice") == {
        "op": "ok", "id": 1, "user": "alice", "session": "chance-1", "resumed": False,
        "window": 64, "beat": 20_000, "max": 16_384,
    }  # fmt: skip


def test_nothing_is_answered_before_the_greeting(house: House) -> None:
    browser = house.browser()
    assert browser.ask("rooms")["code"] == "no_session"
    assert browser.closed is not None
    assert browser.closed[0] == 4002


def test_what_follows_the_greeting_at_once_waits_for_it(house: House) -> None:
    browser = house.browser()
    browser.session.receive(b'{"op":"hello","id":1,"version":1,"user":"alice"}')
    browser.session.receive(b'{"op":"join","id":2,"room":"General"}')
    browser.session.receive(b'{"op":"send","id":3,"room":"General","body":"hi","key":"k"}')
    house.world.run()
    assert [frame["id"] for frame in browser.frames if "id" in frame] == [1, 2, 3]
    assert [frame["op"] for frame in browser.frames if "id" in frame] == ["ok"] * 3


def test_what_is_malformed_behind_the_greeting_is_answered_after_it_as_later(house: House) -> None:
    house.broker.door = door = Promise(house.world)
    browser = house.browser()
    browser.session.receive(b'{"op":"hello","id":1,"version":1,"user":"alice"}')
    browser.session.receive(b'{"op":"rooms","id":2,"after":7}')
    browser.session.receive(b'{"op":"rooms","id":3}')
    house.world.run()
    assert browser.frames == []
    door.keep()
    house.world.run()
    assert [(frame["id"], frame.get("code", "ok")) for frame in browser.frames] == [
        (1, "ok"),
        (2, "malformed"),
        (3, "ok"),
    ]
    assert browser.closed is None


def test_what_is_malformed_behind_a_greeting_that_fails_is_not_answered(house: House) -> None:
    house.broker.refusals["eve", "connect"] = Banned("you are banned")
    browser = house.browser()
    browser.session.receive(b'{"op":"hello","id":1,"version":1,"user":"eve"}')
    browser.session.receive(b'{"op":"rooms","id":2,"after":7}')
    house.world.run()
    assert [(frame["id"], frame["code"]) for frame in browser.frames] == [(1, "banned")]
    assert (browser.closed or (0,))[0] == 4001


def test_a_page_that_does_not_greet_within_five_seconds_is_closed(house: House) -> None:
    late, early = house.browser(), house.page("alice")
    house.passes(5.1)
    assert (late.closed or (0,))[0] == 1012, "it may come again: its connection may be slow"
    assert early.closed is None


def test_a_page_that_has_greeted_waits_for_the_broker_as_long_as_that_takes(house: House) -> None:
    house.broker.door = door = Promise(house.world)
    page = house.browser()
    page.say(op="hello", id=1, version=1, user="alice")
    house.passes(limits.GREETING_SECONDS + 1)
    assert page.closed is None
    door.keep()
    house.world.run()
    assert page.take("ok")[0]["user"] == "alice"


def test_a_second_greeting_is_a_fault_of_the_page(house: House) -> None:
    page = house.page("alice")
    assert page.hello("alice")["code"] == "malformed"
    assert (page.closed or (0,))[0] == 4002


def test_another_version_of_the_protocol_is_refused(house: House) -> None:
    browser = house.browser()
    assert browser.ask("hello", version=2, user="alice")["code"] == "version"
    assert (browser.closed or (0,))[0] == 4001


def test_a_user_whom_the_broker_does_not_let_in_reads_why(house: House) -> None:
    house.broker.refusals["eve", "connect"] = Banned("you are banned", detail=1_800_000_000)
    browser = house.browser()
    answer = browser.hello("eve")
    assert (answer["code"], answer["until"], answer["retryable"]) == ("banned", 1_800_000_000, False)
    assert (browser.closed or (0,))[0] == 4001
    assert house.gateway.users == {}


def test_a_page_that_comes_while_the_broker_is_away_is_asked_to_come_again(house: House) -> None:
    house.broker.away = True
    browser = house.browser()
    assert browser.hello("alice")["code"] == "deadline_exceeded"
    assert [bye["retry"] for bye in browser.take("bye")] == [2500]
    assert (browser.closed or (0,))[0] == 1012


def test_one_user_has_twenty_connections_at_most(house: House) -> None:
    for _ in range(limits.CONNECTIONS_A_USER):
        house.page("alice")
    assert house.browser().hello("Alice")["code"] == "limit_reached"
    assert house.browser().hello("bob")["op"] == "ok"
    assert len([client for client in house.broker.clients if client.user == "alice"]) == 1


# -- rooms --------------------------------------------------------------------------------------------


def test_a_page_reads_from_now_on_its_own_messages_too(house: House) -> None:
    house.say("General", "bob", "before")
    page, other = house.page("alice", "General"), house.page("bob", "General")
    sent = page.ask("send", room="General", body={"x": 1}, key="k")
    house.say("General", "carol", "two", "three")
    assert sent["seq"] == 2
    assert page.bodies() == [{"x": 1}, "two", "three"] == other.bodies()


def test_a_join_returns_the_newest_messages_and_reads_on_after_them(house: House) -> None:
    house.say("General", "bob", *range(5))
    browser = house.browser()
    browser.hello("alice")
    joined = browser.ask("join", room="General", history=2)
    assert [row[ROW] for row in joined["rows"]] == [3, 4]
    assert (joined["position"], joined["more"], joined["members"]) == (f"{EPOCH}:5", True, 1)
    house.say("General", "bob", "new")
    assert browser.bodies() == ["new"]


def test_a_page_that_comes_back_goes_on_where_it_was(house: House) -> None:
    page = house.page("alice", "General")
    house.say("General", "bob", "one")
    position = page.take("messages")[0]["position"]
    page.drop()
    house.say("General", "bob", "two")
    house.say("General", "bob", "three")
    later = house.page("alice")
    assert later.ask("join", room="General", after=position)["position"] == position
    assert later.bodies() == ["two", "three"]


def test_the_start_is_a_position_too(house: House) -> None:
    house.say("General", "bob", "one", "two")
    page = house.page("alice")
    page.ask("join", room="General", after="start")
    assert page.bodies() == ["one", "two"]


def test_a_position_of_another_log_is_a_gap_after_which_the_room_is_read_on(house: House) -> None:
    house.say("General", "bob", "one", "two")
    page = house.page("alice")
    page.ask("join", room="General", after="77:1")
    gap = {"op": "gap", "room": "General", "after": 1, "upto": 2, "reason": "reset", "position": f"{EPOCH}:2"}
    assert page.take("gap") == [gap]
    house.say("General", "bob", "three")
    assert page.bodies() == ["three"]


def test_a_user_is_there_once_and_leaves_with_the_last_page(house: House) -> None:
    one, two = house.page("alice", "General"), house.page("alice", "General")
    room = house.client("alice").joined["general"]
    assert (room.reads, room.present) == (False, True)
    one.ask("leave", room="General")
    assert not room.left
    two.ask("leave", room="General")
    assert room.left


def test_a_reload_is_no_farewell_but_half_a_minute_is(house: House) -> None:
    page = house.page("alice", "General")
    room = house.client("alice").joined["general"]
    page.drop()
    house.passes(29)
    again = house.page("alice", "General")
    assert house.client("alice").joined["general"] is room
    house.passes(60)
    assert not room.left
    again.drop()
    house.passes(31)
    assert [client.user for client in house.broker.clients] == ["zchat web"]
    assert house.gateway.users == {}


def test_one_who_watches_is_not_there_and_says_nothing(house: House) -> None:
    page = house.page("alice", "General", watch=True)
    assert not house.client("alice").joined["general"].present
    assert page.ask("send", room="General", body="x", key="k")["code"] == "not_a_member"
    page.ask("join", room="General")
    assert house.client("alice").joined["general"].present
    assert page.ask("send", room="General", body="x", key="k")["op"] == "ok"
    assert page.bodies() == ["x"]


def test_a_direct_room_is_read_by_the_user_alone(house: House) -> None:
    alice, bob = house.page("alice", "@bob"), house.page("bob")
    house.tell("bob", Invited("@alice", "alice"))
    assert bob.take("invited") == [{"op": "invited", "room": "@alice", "user": "alice"}]
    bob.ask("join", room="@alice")
    alice.ask("send", room="@bob", body="psst", key="k")
    assert alice.bodies() == ["psst"] == bob.bodies()
    assert house.gateway.channels == {}
    house.tell("bob", Invited("@alice", "alice"))
    assert bob.take("invited") == [], "it is open"


def test_a_room_that_the_gateway_may_not_read_is_read_by_its_users(house: House) -> None:
    house.broker.refusals["zchat web", "join Secret"] = NotAllowed("you may not join Secret")
    alice, bob = house.page("alice", "Secret"), house.page("bob", "Secret")
    alice.ask("send", room="Secret", body="x", key="k")
    assert alice.bodies() == ["x"] == bob.bodies()
    assert house.gateway.channels == {}


def test_what_the_broker_refuses_a_user_is_refused_though_others_read_the_room(house: House) -> None:
    house.page("alice", "General")
    house.broker.refusals["eve", "join General"] = NotAllowed("you may not join General")
    eve = house.page("eve")
    assert eve.ask("join", room="General")["code"] == "not_allowed"
    house.say("General", "alice", "secret")
    assert eve.bodies() == []


def test_a_page_follows_fifty_rooms_at_most(house: House) -> None:
    page = house.page("alice", *(f"room {number}" for number in range(limits.MAX_ROOMS)))
    assert page.ask("join", room="one more")["code"] == "limit_reached"
    assert page.ask("join", room="room 1")["op"] == "ok"


def test_a_user_who_is_put_out_reads_why_on_every_page_and_no_more_of_the_room(house: House) -> None:
    pages = [house.page("eve", "General"), house.page("eve", "General")]
    house.tell("eve", Removed("General", "calm down", "alice", 1_800_000_000.5, "banned"))
    house.say("General", "alice", "at last")
    for page in pages:
        assert page.frames == [
            {
                "op": "removed", "room": "General", "code": "banned", "reason": "calm down", "by": "alice",
                "until": 1_800_000_000,
            }
        ]  # fmt: skip


def test_a_user_who_is_banned_everywhere_is_told_and_not_to_come_again(house: House) -> None:
    page = house.page("eve", "General")
    house.tell("eve", Banned("you are banned"))
    assert [error["code"] for error in page.take("error")] == ["banned"]
    assert (page.closed or (0,))[0] == 4001


def test_what_a_page_has_not_read_is_not_withheld_from_it_because_the_users_session_ends(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zchat.web.core.channel.RING_BYTES", 1)
    page = house.page("alice", "General")
    page.paused = True
    house.say("General", "bob", *range(3))
    house.say("General", "bob", *range(3))
    house.broker.refusals["alice", "history General"] = KeyRemoved("this key is no longer web's here")
    page.paused = False
    page.session.resumed()
    house.world.run()
    house.tell("alice", KeyRemoved("this key is no longer web's here"))
    assert [frame["op"] for frame in page.frames] == ["bye"], "it comes again, and goes on where it was"


def test_pages_are_told_when_the_broker_is_away_and_when_it_is_back(house: House) -> None:
    page = house.page("alice", "General")
    house.tell("alice", Disconnected("lost"))
    house.say("General", "bob", "meanwhile")
    assert page.frames == [{"op": "link", "up": False}], "until it is known whether the user may still read"
    house.tell("alice", Reconnected())
    assert [frame["op"] for frame in page.frames] == ["link", "link", "messages"]


# -- sending -----------------------------------------------------------------------------------------


def send(page: Any, body: Any, key: str) -> dict[str, Any]:
    found: dict[str, Any] = page.ask("send", room="General", body=body, key=key)
    return found


def test_a_message_asked_for_again_over_the_next_connection_is_stored_once(house: House) -> None:
    browser = house.browser()
    session = browser.hello("alice")["session"]
    browser.ask("join", room="General")
    first = send(browser, "x", "k")
    browser.drop()
    again = house.browser()
    assert again.hello("alice", session=session)["resumed"] is True
    again.ask("join", room="General")
    assert send(again, "x", "k") == {**first, "id": 3}
    assert len(house.broker.log("General")) == 1


def test_a_message_on_its_way_when_the_connection_is_lost_is_answered_over_the_next(house: House) -> None:
    browser = house.browser()
    session = browser.hello("alice")["session"]
    browser.ask("join", room="General")
    house.broker.away = True
    browser.say(op="send", id=9, room="General", body="x", key="k")
    browser.drop()
    house.broker.away = False
    again = house.browser()
    again.hello("alice", session=session)
    again.ask("join", room="General")
    again.say(op="send", id=9, room="General", body="x", key="k")
    assert not [frame for frame in again.frames if frame.get("id") == 9]
    for promise in house.client("alice").joined["general"].waiting:
        promise.keep()
    house.world.run()
    assert [frame["seq"] for frame in again.frames if frame.get("id") == 9] == [1]
    assert len(house.broker.log("General")) == 1


def test_a_session_is_remembered_for_five_minutes_and_is_its_users_alone(house: House) -> None:
    browser = house.browser()
    session = browser.hello("alice")["session"]
    browser.drop()
    assert house.browser().hello("bob", session=session)["resumed"] is False
    house.passes(299)
    other = house.browser()
    assert other.hello("alice", session=session)["resumed"] is True
    other.drop()
    house.passes(301)
    assert house.browser().hello("alice", session=session)["resumed"] is False


def test_a_later_connection_takes_its_session_over(house: House) -> None:
    browser = house.browser()
    session = browser.hello("alice")["session"]
    assert house.browser().hello("alice", session=session)["resumed"] is True
    assert (browser.closed or (0,))[0] == 4003


def test_a_message_that_takes_too_long_is_of_open_outcome_and_has_one_later(house: House) -> None:
    page = house.page("alice", "General")
    house.broker.away = True
    page.say(op="send", id=9, room="General", body="x", key="k")
    house.passes(5.1)
    assert [(error["code"], error["retryable"]) for error in page.take("error")] == [("outcome_unknown", True)]
    house.broker.away = False
    for promise in house.client("alice").joined["general"].waiting:
        promise.keep()
    house.world.run()
    assert send(page, "x", "k")["seq"] == 1


def test_a_message_that_was_refused_can_be_sent_again(house: House) -> None:
    page = house.page("eve", "General")
    house.broker.refusals["eve", "send General"] = Muted("you are muted", detail=1_800_000_000)
    refused = send(page, "x", "k")
    assert (refused["code"], refused["until"]) == ("muted", 1_800_000_000)
    del house.broker.refusals["eve", "send General"]
    assert send(page, "x", "k")["op"] == "ok"


def test_messages_of_a_page_keep_their_order(house: House) -> None:
    page = house.page("alice", "General")
    for number in range(20):
        page.session.receive(
            f'{{"op":"send","id":{number + 10},"room":"General","body":{number},"key":"k{number}"}}'.encode()
        )
    house.world.run()
    assert [message.body for message in house.broker.log("General")] == [*range(20)]


def test_a_message_that_is_too_large_is_refused_and_nothing_else_is(house: House) -> None:
    page = house.page("alice", "General")
    assert send(page, "x" * 16_381, "k")["op"] == "ok"
    assert send(page, "x" * 16_382, "l")["code"] == "message_too_large"


def test_no_more_waits_for_the_broker_than_there_is_place_for(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_PENDING_BYTES", 10)
    page = house.page("alice", "General")
    house.broker.away = True
    page.say(op="send", id=8, room="General", body="12345678", key="a")
    assert send(page, "x", "b") == {
        "op": "error", "id": 2 + 1, "code": "busy", "text": "too many messages wait for the broker",
        "retryable": True, "after": 1000,
    }  # fmt: skip


# -- tokens ---------------------------------------------------------------------------------------------


def test_a_token_lets_a_user_into_its_rooms_until_it_expires() -> None:
    house = House(LettingIn(token_key=KEY))
    house.say("Secret", "bob", "x")
    browser = house.browser()
    until = int(house.world.wall()) + 60
    assert browser.hello(token=token({"sub": "alice", "exp": until, "rooms": ["Ops*"]}))["user"] == "alice"
    assert browser.ask("join", room="Ops 1")["op"] == "ok"
    for room in ("Secret", "@bob"):
        assert browser.ask("join", room=room)["code"] == "not_allowed"
        assert browser.ask("history", room=room)["code"] == "not_allowed"
        assert browser.ask("members", room=room)["code"] == "not_allowed"
    assert [room["name"] for room in browser.ask("rooms")["rooms"]] == ["Ops 1"]
    house.passes(59)
    assert browser.ask("rooms")["op"] == "ok"
    house.passes(2)
    assert browser.take("bye")[0]["text"] == "the token has expired"
    assert (browser.closed or (0,))[0] == 1012
    again = house.browser()
    assert again.hello(token=token({"sub": "alice", "exp": until}))["text"] == "the token has expired"
    assert (again.closed or (0,))[0] == 4001


# -- who only watches -----------------------------------------------------------------------------------


def test_without_a_name_public_rooms_are_read_and_nothing_else() -> None:
    house = House(LettingIn(public=Patterns(["gen*"])))
    house.say("General", "bob", "one")
    browser = house.browser()
    assert browser.hello()["user"] is None
    assert browser.ask("join", room="Secret")["code"] == "not_allowed"
    joined = browser.ask("join", room="General", history=5)
    assert [row[ROW] for row in joined["rows"]] == ["one"]
    house.say("General", "bob", "two")
    assert browser.bodies() == ["two"]
    for op, fields in (("rooms", {}), ("members", {"room": "General"}), ("history", {"room": "Secret"})):
        assert browser.ask(op, **fields)["code"] == "not_allowed"
    assert browser.ask("send", room="General", body="x", key="k")["code"] == "not_a_member"
    house.tell("zchat web", Disconnected("lost"))
    assert browser.take("link") == [{"op": "link", "up": False}]


def test_the_gateway_says_bye_when_it_ends(house: House) -> None:
    page = house.page("alice", "General")
    house.gateway.close()
    house.world.run()
    assert page.take("bye")[0]["text"] == "the gateway is shutting down"
    assert (page.closed or (0,))[0] == 1012
    assert [client.user for client in house.broker.clients] == ["zchat web"]


def test_a_users_session_that_has_yet_to_begin_ends_with_the_gateway(house: House) -> None:
    house.broker.door = door = Promise(house.world)
    page = house.browser()
    page.say(op="hello", id=1, version=1, user="alice")
    house.gateway.close()
    house.world.run()
    door.keep()
    house.world.run()
    assert (page.closed or (0,))[0] == 1012
    assert [client.user for client in house.broker.clients] == ["zchat web"]
