"""A page's session: what it may ask for in how long, and what it learns of rooms and users."""

from __future__ import annotations

from typing import Any

import pytest

from tests.web.core.harness import House
from tests.web.core.test_session import ROW, send
from tests.web.core.test_tokens import KEY, token
from zchat.web.core import limits
from zchat.web.core.letting_in import LettingIn


@pytest.fixture(params=[False, True], ids=["", "eager"])
def house(request: pytest.FixtureRequest) -> House:
    return House(eager=request.param)


# -- bounds ------------------------------------------------------------------------------------------


def test_commands_come_in_bursts_and_then_so_many_a_second(house: House) -> None:
    page = house.page("alice")
    answers = [page.ask("rooms") for _ in range(int(limits.COMMANDS_BURST))]
    refused = [answer for answer in answers if answer["op"] == "error"]
    assert len(refused) == 1, "the greeting was one"
    assert (refused[0]["code"], refused[0]["after"]) == ("too_fast", 51)
    house.passes(1)
    assert [page.ask("rooms")["op"] for _ in range(20)] == ["ok"] * 20


def test_messages_come_more_slowly_than_commands(house: House) -> None:
    page = house.page("alice", "General")
    codes = [send(page, "x", f"k{number}").get("code") for number in range(22)]
    assert codes == [None] * 20 + ["too_fast"] * 2
    house.passes(0.5)
    assert send(page, "x", "later")["op"] == "ok"


def test_a_page_that_goes_on_much_too_fast_is_closed(house: House) -> None:
    page = house.page("alice")
    for _ in range(int(limits.COMMANDS_BURST + limits.REFUSALS_BURST) + 1):
        page.say(op="typing", room="General", active=True)
    assert (page.closed or (0,))[0] == 4029
    assert page.frames[-1]["after"] == 10_000


def test_pings_and_parts_of_commands_are_counted_and_too_many_end_the_connection(house: House) -> None:
    stranger, page = house.browser(), house.page("alice")
    for one, many in ((stranger, limits.STRANGER_FRAMES), (page, limits.FRAMES_BURST)):
        ends = []
        for _ in range(int(many) + 2):
            one.session.count_frame()
            ends.append(one.closed and one.closed[0])
        assert ends == [None] * int(many) + [4029] * 2
        assert [(error["code"], error["after"]) for error in one.frames] == [("too_fast", 10_000)]


def test_acknowledgements_are_free_if_they_change_something(house: House) -> None:
    page = house.page("alice", "General")
    for number in range(1, 300):
        house.say("General", "bob", number)
        page.say(op="ack", room="General", taken=number)
    assert page.bodies() == [*range(1, 300)]
    for _ in range(int(limits.COMMANDS_BURST + limits.REFUSALS_BURST) + 1):
        page.say(op="ack", room="General", taken=1)
    assert (page.closed or (0,))[0] == 4029
    assert house.gateway.context.counters.dropped_acks > 100


def test_a_hundred_commands_may_wait(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_UNANSWERED", 3)
    page = house.page("alice", "General")
    house.broker.away = True
    for number in range(4):
        page.say(op="send", id=number + 10, room="General", body="x", key=f"k{number}")
    assert [(error["id"], error["code"]) for error in page.take("error")] == [(13, "too_many_requests")]


def test_nothing_is_read_while_much_waits_to_be_carried_out(house: House) -> None:
    page = house.page("alice", "General")
    page.paused = True
    for number in range(3):
        page.say(op="send", id=number + 10, room="General", body="x" * 60_000, key=f"k{number}")
    assert page.held
    page.paused = False
    page.session.resumed()
    house.world.run()
    assert not page.held


@pytest.mark.parametrize("data", [b"[]", b"{", b"\xff", b'"rooms"'], ids=repr)
def test_what_is_no_object_ends_the_connection(house: House, data: bytes) -> None:
    page = house.page("alice")
    page.session.receive(data)
    assert [(frame["op"], frame["code"]) for frame in page.frames] == [("error", "malformed")]
    assert (page.closed or (0,))[0] == 4002


def test_what_is_no_command_ends_the_connection_of_a_page_that_has_not_greeted(house: House) -> None:
    page = house.browser()
    page.receive(b'{"op":"hello","id":7,"version":1,"user":7}')
    assert page.frames == [
        {"op": "error", "id": 7, "code": "malformed", "text": "hello: user is not text", "retryable": False}
    ]
    assert (page.closed or (0,))[0] == 4002


def test_an_object_that_is_no_command_is_answered_and_ends_nothing(house: House) -> None:
    page = house.page("alice", "General")
    page.receive(b'{"op":"send","id":7,"room":"General","key":"k","body":"\\ud83d"}')
    page.receive(b'{"op":"mark","room":"General","seq":1.5}')
    assert page.take("error") == [
        {
            "op": "error",
            "id": 7,
            "code": "malformed",
            "text": "half of a surrogate pair is no text",
            "retryable": False,
        },
        {"op": "error", "code": "malformed", "text": "mark: seq is not a count", "retryable": False},
    ]
    assert page.closed is None
    assert page.ask("send", room="General", body="x", key="k")["op"] == "ok"


def test_a_page_with_a_fault_that_it_repeats_is_closed(house: House) -> None:
    page = house.page("alice")
    for _ in range(int(limits.REFUSALS_BURST) + 1):
        page.receive(b'{"op":"rooms","id":7,"after":7}')
    assert (page.closed or (0,))[0] == 4029


@pytest.mark.parametrize("room", ["x" * 65, "@" + "x" * 65, "x" * 60_000])
def test_a_name_that_is_too_long_is_refused_as_one_and_ends_nothing(house: House, room: str) -> None:
    page = house.page("alice", "General")
    for more in ({"op": "join"}, {"op": "send", "body": "x", "key": "k"}):
        found = page.ask(more.pop("op"), room=room, **more)
        assert (found["op"], found["code"], found["retryable"]) == ("error", "bad_name", False)
        assert found["text"] == f"a room's name has at most 64 characters, this one has {len(room)}"
    unanswered: list[dict[str, Any]] = [
        {"op": "ack", "taken": 1},
        {"op": "typing", "active": True},
        {"op": "mark", "seq": 1},
    ]
    for command in unanswered:
        page.say(room=room, **command)
        assert [(error["code"], "id" in error) for error in page.take("error")] == [("bad_name", False)]
    assert page.closed is None
    assert page.ask("rooms")["op"] == "ok"


def test_a_fault_of_the_gateways_own_ends_one_connection_and_is_reported(house: House) -> None:
    page, other = house.page("alice"), house.page("bob")
    house.client("alice").rooms = None  # type: ignore[assignment,method-assign]
    page.session.receive(b'{"op":"rooms","id":9}')
    with pytest.raises(AssertionError, match="not callable"):
        house.world.run()
    assert (page.closed or (0,))[0] == 1011
    house.world.faults.clear()
    assert other.ask("rooms")["op"] == "ok"


# -- lists, typing, marks -------------------------------------------------------------------------------


def test_lists_come_in_parts_that_go_on_after_a_name(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a", "b", "c", "d", "e"):
        house.say(name, "bob", "x")
    monkeypatch.setattr(limits, "MAX_LISTED", 2)
    page = house.page("alice", "a")
    house.page("bob", "a")
    first = page.ask("rooms")
    assert first["rooms"][0] == {"name": "a", "members": 1, "first": 1, "last": 1, "unread": None}
    assert first["more"] is True
    assert [room["name"] for room in page.ask("rooms", after="B")["rooms"]] == ["c", "d"]
    assert page.ask("rooms", after="d")["more"] is False
    assert [member["user"] for member in page.ask("members", room="a")["members"]] == ["alice", "bob"]
    assert page.ask("members", room="a", after="bob")["members"][0]["user"] == "zchat web"


def test_as_many_rooms_are_asked_of_the_broker_as_one_answer_has(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_LISTED", 100)
    for number in range(1000):
        house.broker.log(f"room {number:03}")
    page = house.page("alice")
    house.broker.asked.clear()
    assert len(page.ask("rooms", after="room 099")["rooms"]) == 100
    assert house.broker.asked == ["alice rooms room 099"]


def test_the_list_of_a_token_for_few_rooms_goes_on_to_those(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_LISTED", 10)
    house = House(LettingIn(token_key=KEY))
    for number in range(35):
        house.broker.log(f"room {number:02}")
    page = house.browser()
    until = house.world.wall() + 60
    page.hello(token=token({"sub": "alice", "exp": until, "rooms": ["room 22", "room 24", "room 33"]}))
    first = page.ask("rooms")
    assert ([room["name"] for room in first["rooms"]], first["more"]) == (["room 22", "room 24"], True)
    second = page.ask("rooms", after="room 24")
    assert [room["name"] for room in second["rooms"]] == ["room 33"]
    assert page.ask("rooms", after="room 33")["rooms"] == []


def test_history_is_read_both_ways(house: House) -> None:
    house.say("General", "bob", *range(1, 11))
    page = house.page("alice")

    def bodies(**fields: Any) -> tuple[list[Any], bool]:
        found = page.ask("history", room="General", **fields)
        return [row[ROW] for row in found["rows"]], found["more"]

    assert bodies(limit=2) == ([9, 10], True)
    assert bodies(before=3) == ([1, 2], False)
    assert bodies(after=8) == ([9, 10], True)
    assert bodies(after=10) == ([], False)


def test_typing_and_marks_are_the_users_own(house: House) -> None:
    page = house.page("alice", "General", "@bob")
    for room in ("General", "@bob", "elsewhere"):
        page.say(op="typing", room=room, active=True)
        page.say(op="mark", room=room, seq=3)
    joined = house.client("alice").joined
    assert [(room.typed, room.marked) for room in joined.values()] == [([True], [3])] * 2
    house.passes(0)
    assert page.take("event") == [{"op": "event", "room": "@bob", "kind": "ReadMark", "user": "alice", "seq": 3}]


def test_a_token_ends_by_the_wall_clock_that_is_set_ahead_or_back_meanwhile() -> None:
    """A machine that has slept, or that was started with a clock that is wrong: its clock of seconds is neither."""
    house = House(LettingIn(token_key=KEY))
    until = int(house.world.wall()) + 60
    pages = [house.browser() for _ in range(2)]
    for page in pages:
        assert page.hello(token=token({"sub": "alice", "exp": until}))["op"] == "ok"
        page.ask("join", room="General")
    house.world.wall_at_zero -= 3600
    house.passes(300)
    assert all(page.ask("rooms")["op"] == "ok" for page in pages), "it is valid for all who come now, too"
    house.world.wall_at_zero += 7200
    house.passes(limits.TOKEN_SECONDS)
    for page in pages:
        assert page.take("bye")[0]["text"] == "the token has expired"
        assert (page.closed or (0,))[0] == 1012


def test_a_token_ends_in_time_where_no_clock_is_set() -> None:
    house = House(LettingIn(token_key=KEY))
    page = house.browser()
    assert page.hello(token=token({"sub": "alice", "exp": house.world.wall() + 7.5}))["op"] == "ok"
    ends = []
    for seconds in (limits.TOKEN_SECONDS, 2.4, 0.2):
        house.passes(seconds)
        ends.append(page.closed and page.closed[0])
    assert ends == [None, None, 1012]
