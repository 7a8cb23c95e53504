"""A room that is read once for all: who is live, who is late, and what each receives."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest

from tests.web.core.harness import EPOCH, Browser, House
from zchat.errors import Busy, NotAllowed
from zchat.events import Crowd, Gap, MemberJoined, MemberLeft, ReadMark, Typing
from zchat.web.core import channel as channels
from zchat.web.core import limits
from zchat.web.core.limits import WINDOW


@pytest.fixture(params=[False, True], ids=["", "eager"])
def house(request: pytest.FixtureRequest) -> House:
    return House(eager=request.param)


def seqs(page: Browser) -> list[int]:
    return [row[0] for frame in page.take("messages") for row in frame["rows"]]


def acknowledge_all(page: Browser, room: str = "General") -> list[int]:
    """Take and acknowledge until nothing more comes; return the seqs."""
    found: list[int] = []
    taken = 0
    while got := [frame for frame in page.frames if frame["op"] in ("messages", "gap")]:
        taken += len(got)
        found += seqs(page)
        page.take("gap")
        page.say(op="ack", room=room, taken=taken)
    return found


def test_a_page_is_sent_a_window_of_frames_beyond_those_it_has_taken(house: House) -> None:
    page, other = house.page("alice", "General"), house.page("bob", "General")
    most = WINDOW + 24
    for number in range(1, most + 1):
        house.say("General", "carol", number)
        other.say(op="ack", room="General", taken=number)
    assert seqs(page) == [*range(1, WINDOW + 1)]
    assert seqs(other) == [*range(1, most + 1)]
    page.say(op="ack", room="General", taken=8)
    assert seqs(page) == [*range(WINDOW + 1, WINDOW + 9)]
    page.say(op="ack", room="General", taken=8)
    page.say(op="ack", room="General", taken=3)
    page.say(op="ack", room="General", taken=9999)
    assert seqs(page) == [], "credit is a running count"
    page.say(op="ack", room="General", taken=24)
    assert seqs(page) == [*range(WINDOW + 9, most + 1)]
    house.say("General", "carol", "live again")
    assert seqs(page) == []
    page.say(op="ack", room="General", taken=most)
    assert seqs(page) == [most + 1]
    assert house.gateway.context.counters.late >= 1


def test_a_gap_counts_as_a_frame(house: House) -> None:
    page = house.page("alice", "General")
    for number in range(WINDOW):
        log = house.broker.log("General")
        log += [log[0]] if log else house.broker.say("General", "bob", "x")
        house.client("zchat web").put(Gap("General", number * 2 + 1, number * 2 + 2, "trimmed"))
        house.world.run()
    assert len([frame for frame in page.frames if frame["op"] in ("gap", "messages")]) == WINDOW


def test_a_page_whose_connection_is_slow_is_written_nothing_and_goes_on_later(house: House) -> None:
    page = house.page("alice", "General")
    house.say("General", "bob", 1)
    page.paused = True
    house.say("General", "bob", 2)
    house.say("General", "bob", 3)
    assert seqs(page) == [1]
    page.paused = False
    page.session.resumed()
    house.world.run()
    assert seqs(page) == [2, 3]
    house.say("General", "bob", 4)
    assert seqs(page) == [4]
    assert "alice history General" not in house.broker.asked, "the ring had it"


def test_a_page_that_is_very_late_is_brought_on_from_the_log_by_its_own_right(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channels, "RING_BYTES", 300)
    monkeypatch.setattr(channels, "CATCH_UP_ROWS", 7)
    page = house.page("alice", "General")
    for number in range(100):
        house.say("General", "bob", number)
    found = acknowledge_all(page)
    assert found == [*range(1, 101)]
    assert "alice history General" in house.broker.asked
    assert "zchat web history General" not in house.broker.asked
    house.say("General", "bob", "live")
    assert seqs(page) == [101]


def test_what_retention_removed_meanwhile_is_a_gap(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channels, "RING_BYTES", 1)
    page = house.page("alice", "General")
    page.paused = True
    for number in range(10):
        house.say("General", "bob", number)
    house.broker.first["General"] = 8
    page.paused = False
    page.session.resumed()
    house.world.run()
    (gap,) = page.take("gap")
    assert (gap["after"], gap["upto"], gap["reason"], gap["position"]) == (0, 7, "trimmed", f"{EPOCH}:7")
    assert seqs(page) == [8, 9, 10]


def test_all_that_was_removed_is_one_gap(house: House) -> None:
    house.say("General", "bob", *range(5))
    house.broker.first["General"] = 6
    page = house.page("alice")
    page.ask("join", room="General", after=f"{EPOCH}:2")
    assert [(gap["after"], gap["upto"]) for gap in page.take("gap")] == [(2, 5)]
    house.say("General", "bob", "new")
    assert page.bodies() == ["new"]


def test_what_was_said_before_a_user_came_is_withheld_if_the_broker_says_so(house: House) -> None:
    house.page("bob", "General")
    house.say("General", "bob", *range(5))
    house.broker.refusals["eve", "history General"] = NotAllowed("you may not read that")
    eve = house.page("eve")
    eve.ask("join", room="General", after=f"{EPOCH}:2")
    house.say("General", "bob", "new")
    assert [(gap["after"], gap["upto"], gap["reason"]) for gap in eve.take("gap")] == [(2, 5, "withheld")]
    assert eve.bodies() == ["new"]


def test_the_frames_that_others_were_sent_before_a_user_came_are_not_that_users(house: House) -> None:
    house.page("bob", "General")
    for number in range(1, 6):
        house.say("General", "bob", number)
    house.broker.refusals["eve", "history General"] = NotAllowed("you may not read that")
    eve = house.page("eve")
    eve.ask("join", room="General", after=f"{EPOCH}:2")
    house.say("General", "bob", "new")
    assert [(gap["after"], gap["upto"], gap["reason"]) for gap in eve.take("gap")] == [(2, 5, "withheld")]
    assert eve.bodies() == ["new"]


def test_history_that_is_not_to_be_had_now_is_asked_for_again(house: House) -> None:
    house.say("General", "bob", *range(5))
    house.broker.refusals["alice", "history General"] = Busy("too much")
    page = house.page("alice")
    page.ask("join", room="General", after=f"{EPOCH}:2")
    assert page.frames == []
    del house.broker.refusals["alice", "history General"]
    house.passes(1.1)
    assert seqs(page) == [3, 4, 5]


def test_a_page_that_knows_more_than_the_gateway_waits_for_what_is_new(house: House) -> None:
    house.say("General", "bob", 1, 2)
    page = house.page("alice")
    page.ask("join", room="General", after=f"{EPOCH}:4")
    house.say("General", "bob", 3)
    assert page.frames == []
    house.say("General", "bob", 4, 5, 6)
    assert seqs(page) == [5, 6], "of the frame in which it stands the rest"
    house.say("General", "bob", 7)
    assert seqs(page) == [7]


def test_seqs_that_begin_anew_are_a_gap_for_all_and_nothing_of_the_old_log_follows(house: House) -> None:
    live, late = house.page("alice", "General"), house.page("bob", "General")
    late.paused = True
    house.say("General", "carol", "old", "older")
    house.broker.logs["General"] = []
    house.broker.epoch = 9
    house.tell("zchat web", Gap("General", 2, 0, "reset"))
    house.say("General", "carol", "new")
    late.paused = False
    late.session.resumed()
    house.world.run()
    assert [frame["op"] for frame in live.frames] == ["messages", "gap", "messages"]
    gap = {"op": "gap", "room": "General", "after": 0, "upto": 0, "reason": "reset", "position": "9:0"}
    assert late.take("gap") == [gap]
    assert (
        late.take("messages")
        == [live.frames[-1]]
        == [{"op": "messages", "room": "General", "rows": live.frames[-1]["rows"], "position": "9:1"}]
    )


def test_the_ring_is_bounded_by_its_bytes(house: House) -> None:
    house.page("alice", "General")
    for _ in range(40):
        house.say("General", "bob", "x" * 50_000)
    channel = house.gateway.channels["general"]
    assert channel._ring_bytes <= limits.RING_BYTES
    assert len(channel._ring) == 20


def test_a_frame_is_encoded_once_for_all(house: House) -> None:
    for number in range(10):
        house.page(f"user {number}", "General")
    house.say("General", "bob", "x")
    assert house.gateway.context.counters.frames == 1


def test_positions_of_frames_adjoin(house: House) -> None:
    page = house.page("alice", "General")
    for number in range(10):
        house.say("General", "bob", *range(number + 1))
    frames = page.take("messages")
    assert all(before["rows"][-1][0] + 1 == after["rows"][0][0] for before, after in pairwise(frames))
    assert all(frame["position"] == f"{EPOCH}:{frame['rows'][-1][0]}" for frame in frames)


# -- events ------------------------------------------------------------------------------------------


def test_events_come_to_all_and_are_dropped_for_who_can_not_keep_up(house: House) -> None:
    page, slow = house.page("alice", "General"), house.page("bob", "General")
    slow.paused = True
    house.tell("zchat web", Typing("General", "carol", True))
    assert page.frames == [{"op": "event", "room": "General", "kind": "Typing", "user": "carol", "active": True}]
    assert slow.frames == []
    assert house.gateway.context.counters.dropped_events == 1


def test_what_happens_within_a_moment_is_shown_together_and_of_what_has_a_state_only_the_latest(house: House) -> None:
    page = house.page("alice", "General")
    for happened in (
        MemberJoined("General", "carol"),
        Typing("General", "carol", True),
        ReadMark("General", "carol", 4),
        Typing("General", "dave", True),
        MemberLeft("General", "carol"),
        Typing("General", "carol", False),
        ReadMark("General", "carol", 5),
        MemberJoined("General", "carol"),
    ):
        house.client("zchat web").put(happened)
    house.world.run()
    assert page.frames == []
    late = house.page("bob", "General")
    house.client("zchat web").put(ReadMark("General", "dave", 6))
    house.world.run()
    house.passes(0)
    shown = [(each["kind"], each["user"], each.get("active", each.get("seq"))) for each in page.take("event")]
    last = ("ReadMark", "dave", 6)
    assert shown == [
        ("MemberJoined", "carol", None),
        ("Typing", "dave", True),
        ("MemberLeft", "carol", None),
        ("Typing", "carol", False),
        ("ReadMark", "carol", 5),
        ("MemberJoined", "carol", None),
        last,
    ]
    assert [(each["kind"], each["user"], each["seq"]) for each in late.take("event")] == [last], "it came later"


def test_so_much_that_has_happened_is_shown_at_once(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channels, "MAX_HAPPENED", 3)
    page = house.page("alice", "General")
    for number in range(4):
        house.client("zchat web").put(MemberJoined("General", f"user {number}"))
    house.world.run()
    assert len(page.take("event")) == 3
    house.passes(0)
    assert len(page.take("event")) == 1


def test_names_are_for_those_to_whom_the_broker_tells_them(house: House) -> None:
    page, counted = house.page("alice", "General"), house.page("guest", "General")
    house.client("guest").joined["general"].crowded = True
    house.tell("guest", Crowd("General", 3, 0, 2))
    assert [event["kind"] for event in counted.take("event")] == ["Crowd"]
    house.tell("zchat web", MemberJoined("General", "carol"))
    assert [event["kind"] for event in page.take("event")] == ["MemberJoined"]
    assert counted.frames == []
    house.client("guest").joined["general"].crowded = False
    house.tell("zchat web", MemberJoined("General", "dave"))
    assert [event["kind"] for event in (*page.take("event"), *counted.take("event"))] == ["MemberJoined"] * 2
    house.tell("zchat web", Crowd("General", 1200, 1, 2))
    assert [event["kind"] for event in (*page.take("event"), *counted.take("event"))] == ["Crowd"] * 2


def test_nothing_of_who_is_there_is_told_before_the_broker_has_told_the_user_anything(house: House) -> None:
    page = house.page("alice", "General")
    house.client("alice").joined["general"].member_count = 0
    house.tell("zchat web", MemberJoined("General", "carol"))
    assert page.frames == []


# -- everything at once --------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(20))
def test_a_page_receives_every_message_once_and_in_order_whatever_it_does(
    house: House, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    import random

    chance = random.Random(seed)
    monkeypatch.setattr(channels, "RING_BYTES", chance.choice([1, 400, 1 << 20]))
    monkeypatch.setattr(channels, "CATCH_UP_ROWS", chance.choice([1, 3, 500]))
    page = house.page("alice", "General")
    received: list[int] = []
    position, taken, said = "0:0", 0, 0

    def take() -> None:
        nonlocal position, taken
        for frame in page.take("messages"):
            received.extend(row[0] for row in frame["rows"])
            position = frame["position"]
            taken += 1

    for _ in range(300):
        match chance.randrange(6):
            case 0 | 1:
                count = chance.randrange(1, 4)
                house.say("General", "bob", *range(count))
                said += count
            case 2:
                take()
                page.say(op="ack", room="General", taken=chance.randint(0, taken + 1))
            case 3:
                page.paused = not page.paused
                if not page.paused:
                    page.session.resumed()
                    house.world.run()
            case 4 if chance.random() < 0.2:
                take()
                page.drop()
                page, taken = house.page("alice"), 0
                page.ask("join", room="General", after=position)
            case _:
                house.passes(chance.random())
    page.paused = False
    page.session.resumed()
    house.world.run()
    for _ in range(said + 2):
        take()
        page.say(op="ack", room="General", taken=taken)
        house.passes(2)
    assert received == [*range(1, said + 1)], f"seed {seed}: {json.dumps(received)}"


def test_a_member_that_has_left_is_written_nothing(house: House) -> None:
    page = house.page("alice", "General")
    house.say("General", "bob", *range(5))
    page.ask("join", room="General", after="start")
    page.ask("leave", room="General")
    page.frames.clear()
    house.say("General", "bob", "x")
    assert page.frames == []
    assert house.gateway.channels["general"].members == set()
    found: Any = house.gateway.channels["general"].live
    assert found == set()
