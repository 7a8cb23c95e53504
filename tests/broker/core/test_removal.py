"""Putting sessions out of rooms, and ending them: at once, and out of their rooms some a turn."""

from __future__ import annotations

import pytest

from tests.broker.core.moderating import RULES, Place, code
from tests.frames import decode_notice
from zchat.broker.core import removal
from zchat.broker.guard.rules_text import parse
from zchat.broker.limits import RETRY_MAX
from zchat.wire.blocks import join_bodies
from zchat.wire.notices import END, ERROR, OK
from zchat.wire.values import pack


def test_sessions_of_version_1_are_ended_at_once_and_taken_out_of_their_rooms_some_a_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(removal, "TURN_UNSEATED", 2)
    world = Place()
    anna = world.peer("anna", "Ops")
    bobs = [world.peer("bob", "Ops", "Other", version=1) for _ in range(5)]
    sessions = world.core.context.sessions.table.of("bob")
    anna.ask("kick", "Ops", "bob", "")
    for bob in bobs:
        bob.read()
    assert [bob.ended() for bob in bobs] == ["kicked"] * 5
    there = []
    while world.core._removal.waiting:
        assert world.core.busy
        world.turn()
        there.append(sum(len(session.present) for session in sessions))
    assert there == [4, 3, 2, 1, 0], "each is a session and a room, which is all that a turn has time for"
    world.check()


def test_who_is_banned_everywhere_does_and_is_sent_nothing_more_in_any_session(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(removal, "TURN_UNSEATED", 1)
    world = Place(RULES.replace('"otto"', '"otto", "eve"'))
    root, bob = world.peer("root"), world.peer("bob", "Ops", "Other")
    eves = [world.peer("eve", "Ops", "Other") for _ in range(6)]
    request = root.ask("ban", None, "eve", 0, "spam")
    bob.ask("send", "Ops", 1, join_bodies([pack("before the ban was in force")]))
    world.turn()
    root.read()
    assert root.replies[request][0] == OK
    for eve in eves:
        eve.read()
    assert [eve.ended() for eve in eves] == ["banned"] * 6
    assert len(world.core._removal.waiting) >= 4, "they are in their rooms yet"
    sent = {eve.id: len(world.port.frames[eve.id]) for eve in eves}
    for eve in eves:
        world.receive(eve.id, pack(("send", 97, "Ops", 1, join_bodies([pack("after it")]))))
        world.receive(eve.id, pack(("ban", 98, "Ops", "bob", 0, "revenge")))
        world.receive(eve.id, pack(("history", 99, "Ops", None, None, 10)))
    root.join("Ops")
    assert root.send("Ops", "among us")[0] == OK
    answers = [decode_notice(frame) for eve in eves for frame in world.port.frames[eve.id][sent[eve.id] :]]
    assert {(notice[0], notice[2]) for notice in answers} == {(ERROR, "no_session")}
    assert bob.texts("Ops") == ["among us"]
    assert [each.user for each in world.store.sanctions()] == ["eve"]
    assert "eve" not in (bob.pictures["Ops"].people or ())
    world.check()


def test_a_session_that_is_put_out_of_several_rooms_is_ended_once() -> None:
    world = Place()
    world.peer("anna", "Ops", "Other")
    bob = world.peer("bob", "Ops", "Other", version=1)
    world.core.revise(parse(RULES + '\njoin = ["zoe"]'))
    world.run()
    assert [notice[1:] for notice in bob.other if notice[0] == END] == [
        ["not_allowed", "you may no longer be in 'Ops': greet again, and go on without it", True]
    ]
    world.check()


def test_kicks_from_two_rooms_in_one_turn_end_a_session_once() -> None:
    world = Place()
    anna, bob = world.peer("anna", "Ops", "Other"), world.peer("bob", "Ops", "Other", version=1)
    kicks = [anna.ask("kick", room, "bob", "") for room in ("Ops", "Other")]
    world.run()
    assert [anna.replies[kick][2] for kick in kicks] == [1, 0], "it has left the other room with its end"
    assert [notice[:2] for notice in bob.other] == [[END, "kicked"]]
    world.check()


def test_other_rules_put_a_session_of_version_2_out_of_the_rooms_they_take_and_it_goes_on() -> None:
    world = Place()
    world.peer("anna", "Ops", "Other")
    bob = world.peer("bob", "Ops", "Other")
    world.core.revise(parse('[[rooms]]\nnames = ["ops"]\njoin = ["zoe"]'))
    world.run()
    assert bob.removed() == [["Ops", 1, "not_allowed", "the broker's rules no longer let you be in it", "", 0]]
    assert bob.ended() is None
    assert code(bob.send("Other", "here")) == "ok"
    assert code(bob.join("Ops")) == "not_allowed"
    world.check()


@pytest.mark.parametrize("means", ["kick", "ban", "rules"])
@pytest.mark.parametrize("where", ["member", "lost its connection", "has left since"])
def test_who_may_not_read_what_was_said_before_has_missed_what_was_said_after_it_was_put_out(
    where: str, means: str
) -> None:
    rules = f'{RULES}\nread = ["anna"]'
    world = Place(rules)
    anna, bob = world.peer("anna", "Ops"), world.peer("bob", "Ops")
    anna.send("Ops", "while there")
    if where != "member":
        bob.reconnect()
    if where == "has left since":
        for _ in range(14):
            world.pass_time(0.5)
            for peer in (anna, bob):
                peer.tell("ping")
        assert set(anna.pictures["Ops"].people or ()) == {"anna"}
    if means == "rules":
        world.core.revise(parse(rules + '\njoin = ["anna"]'))
        world.run()
        anna.send("Ops", "while away")
        world.core.revise(parse(rules))
        world.run()
    else:
        anna.do(means, "Ops", "bob", *([0] if means == "ban" else []), "")
        anna.send("Ops", "while away")
        anna.do("unban", "Ops", "bob")
    bob.join("Ops", (world.rooms["ops"].epochs.current, 1))
    assert [(gap[4], gap[5]) for gap in bob.gaps["Ops"]] == [(2, "withheld")]
    assert bob.texts("Ops") == ["while there"]
    world.check()


@pytest.mark.parametrize("full", [False, True])
def test_what_says_that_a_membership_has_ended_is_counted_among_the_frames_that_were_sent(full: bool) -> None:
    world = Place()
    world.peer("anna", "Ops", "Other")
    eve = world.peer("eve", "Ops", "Other")
    if full:
        world.port.full.add(eve.id)
    before = world.core.counters.answers
    world.core.revise(parse('[[rooms]]\nnames = ["ops"]\njoin = ["zoe"]'))
    world.run()
    world.port.full.clear()
    world.pass_time(RETRY_MAX, RETRY_MAX)
    eve.read()
    assert [room for room, *_ in eve.removed()] == ["Ops"]
    assert world.core.counters.answers == before + 1
    world.check()
