"""What a command is about, and what is refused before its handler is called."""

from __future__ import annotations

import pytest

from tests.broker.driver import Peer, World
from zchat.broker.guard.gate import Gate
from zchat.broker.guard.rules import NOBODY, Rules, Table
from zchat.wire.commands import COMMANDS, Target
from zchat.wire.notices import OK

IN_A_ROOM = {
    "leave": (1,),
    "send": (1, b"\x91\xc0"),
    "history": (None, None, 1),
    "mark": (1,),
    "members": (None, 1),
}


def test_a_room_is_what_it_says_whatever_the_case_of_its_name(world: World) -> None:
    alice = Peer(world, "alice")
    alice.join("General")
    assert alice.do("send", "GENERAL", 1, b"\x91\xc0")[0] == OK
    assert alice.do("history", "general", None, None, 1)[2] == "General"


@pytest.mark.parametrize("word", IN_A_ROOM)
def test_a_command_about_a_room_that_is_not_there_is_refused(world: World, word: str) -> None:
    alice = Peer(world, "alice")
    assert alice.do(word, "Nowhere", *IN_A_ROOM[word])[2] == "no_such_room"
    assert "nowhere" not in world.rooms


@pytest.mark.parametrize("word", IN_A_ROOM)
def test_a_spelling_that_is_no_name_is_refused_first(world: World, word: str) -> None:
    alice = Peer(world, "alice")
    assert alice.do(word, "two\nlines", *IN_A_ROOM[word])[2] == "bad_name"


@pytest.mark.parametrize("word", [word for word in IN_A_ROOM if COMMANDS[word].target is Target.MEMBER])
def test_what_requires_a_membership_is_refused_to_others(world: World, word: str) -> None:
    alice, bob = Peer(world, "alice"), Peer(world, "bob")
    alice.join("General")
    assert bob.do(word, "General", *IN_A_ROOM[word])[2] == "not_a_member"


def test_credit_and_typing_without_a_membership_change_nothing_and_are_not_answered(world: World) -> None:
    alice = Peer(world, "alice")
    before = len(alice.other)
    alice.tell("credit", "Nowhere", 1, 1)
    alice.tell("typing", "Nowhere", True)
    assert len(alice.other) == before
    assert "nowhere" not in world.rooms


def test_a_room_that_was_made_for_who_may_not_join_it_is_gone_again() -> None:
    hidden = Rules((Table(("*",), join=NOBODY, create=None),), makers_own=False)
    world = World(gate=Gate({}), rules=hidden)
    alice = Peer(world, "alice")
    assert alice.do("join", "Mine", 1, None, 0, True)[2] == "not_allowed"
    assert "mine" not in world.rooms
