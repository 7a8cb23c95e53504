"""Rights: what is asked of them, once a command, before anything is carried out."""

from __future__ import annotations

from typing import Any

import pytest

from tests.broker.driver import Peer, World
from zchat.broker.core import access
from zchat.broker.port import Peer as Stranger
from zchat.broker.rooms.room import Room
from zchat.errors import Malformed
from zchat.wire.commands import COMMANDS, Right, Target
from zchat.wire.notices import OK

ASKED: dict[str, tuple[tuple[Any, ...], Right, str | None]] = {
    "join": (("New", 9, None, 0, True), Right.JOIN, "New"),
    "send": (("GENERAL", 1, b"\x91\x01"), Right.SEND, "General"),
    "history": (("General", None, None, 1), Right.READ, "General"),
    "mark": (("general", 1), Right.READ, "General"),
    "members": (("General", None, 1), Right.MEMBERS, "General"),
    "stats": ((), Right.STATS, None),
}
"""For each answered command with a right: its fields, the right, and the room that it is asked for."""


class Rules:
    """Note what is asked, and refuse it if it is to."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Right, str | None]] = []
        self.refusing = False

    def check(self, peer: Stranger, right: Right, room: Room | None) -> None:
        self.asked.append((peer.user, right, None if room is None else room.name))
        if self.refusing:
            raise Malformed("you may not", code="malformed")


@pytest.fixture
def rules(monkeypatch: pytest.MonkeyPatch) -> Rules:
    rules = Rules()
    monkeypatch.setattr(access, "check", rules.check)
    return rules


def test_every_command_with_a_right_is_tried_here() -> None:
    there = {word for word, spec in COMMANDS.items() if spec.right is not Right.NOTHING}
    assert there == {*ASKED, "typing"}


@pytest.mark.parametrize("word", ASKED)
def test_a_right_is_asked_for_once_with_the_user_and_the_room_itself(word: str, world: World, rules: Rules) -> None:
    alice = Peer(world, "Alice")
    alice.join("General")
    rules.asked.clear()
    fields, right, room = ASKED[word]
    assert alice.do(word, *fields)[0] == OK
    assert rules.asked == [("alice", right, room)]


@pytest.mark.parametrize("word", ASKED)
def test_what_is_not_allowed_is_refused_and_changes_nothing(word: str, world: World, rules: Rules) -> None:
    alice = Peer(world, "alice")
    alice.join("General")
    rules.refusing = True
    assert alice.do(word, *ASKED[word][0])[2:4] == ["malformed", "you may not"]
    assert "new" not in world.rooms
    assert world.rooms["general"].last == 0
    world.check()


def test_typing_where_it_is_not_allowed_is_shown_to_nobody(world: World, rules: Rules) -> None:
    alice = Peer(world, "alice")
    alice.join("General")
    rules.refusing = True
    alice.tell("typing", "General", True)
    assert rules.asked[-1] == ("alice", Right.SEND, "General")
    roster = world.rooms["general"].roster
    assert roster is not None
    assert not roster.typing


def test_nothing_is_asked_about_a_room_that_the_user_has_not_joined(world: World, rules: Rules) -> None:
    alice = Peer(world, "alice")
    alice.tell("typing", "General", True)
    assert alice.do("send", "General", 1, b"\x91\x01")[2] == "not_a_member"
    assert rules.asked == []


def test_a_room_is_the_first_field_of_a_command_and_whether_it_is_made_the_last_that_it_needs() -> None:
    for spec in COMMANDS.values():
        names = [field.name for field in spec.fields[: spec.shape.needed] if field.name != "request"]
        assert ("room" in names) == (spec.target is not Target.NOTHING)
        assert spec.target is Target.NOTHING or names[0] == "room"
        assert ("create" in names) == (spec.target is Target.MADE)
        assert spec.target is not Target.MADE or names[-1] == "create"
