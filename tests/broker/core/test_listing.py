"""The list of rooms where there are very many, and few of them are seen."""

from __future__ import annotations

from tests.broker.driver import Peer, World
from zchat.broker.guard.gate import Gate
from zchat.broker.guard.rules_text import parse
from zchat.broker.limits import TURN_LISTED
from zchat.broker.settings import Settings
from zchat.wire.notices import END

HIDDEN = tuple(f"hidden-{number}" for number in range(3 * TURN_LISTED))

RULES = parse('[[rooms]]\nnames = ["hidden-*"]\nsee = ["alice"]')


def crowded() -> World:
    return World(Settings(rooms=("a", *HIDDEN, "y", "z")), gate=Gate(logins=True), rules=RULES)


def names(answer: list[object]) -> list[str]:
    assert isinstance(answer[2], list)
    return [row[0] for row in answer[2]]


def test_of_very_many_rooms_a_turn_goes_through_some() -> None:
    world = crowded()
    bob = Peer(world, "bob")
    request = bob.ask("rooms", None, 100)
    turns = 0
    while request not in bob.replies:
        assert world.core.busy
        world.turn()
        bob.read()
        turns += 1
    assert turns == 3
    assert names(bob.replies[request]) == ["a", "y", "z"]
    assert bob.replies[request][3] is False
    world.check()


def test_pages_have_all_that_is_seen_and_nothing_twice() -> None:
    world = crowded()
    for user, seen in (("alice", sorted(("a", *HIDDEN, "y", "z"))), ("bob", ["a", "y", "z"])):
        peer = Peer(world, user)
        found: list[str] = []
        more = True
        while more:
            answer = peer.do("rooms", found[-1] if found else None, 2 if user == "bob" else 500)
            found += names(answer)
            more = answer[3]
        assert found == seen


def test_what_is_hidden_while_a_list_is_made_is_not_in_it() -> None:
    world = crowded()
    bob = Peer(world, "bob")
    request = bob.ask("rooms", None, 100)
    world.core.revise(parse('[[rooms]]\nnames = ["hidden-*", "a"]\nsee = ["alice"]'))
    world.run()
    assert names(bob.replies[request]) == ["y", "z"]


def test_several_lists_are_made_in_turn_and_one_whose_asker_has_gone_is_given_up() -> None:
    world = crowded()
    bob, carol, dave = (Peer(world, user) for user in ("bob", "carol", "dave"))
    asked = [(peer, peer.ask("rooms", None, 100)) for peer in (bob, carol, dave, bob)]
    dave.tell("bye", 99)
    world.run()
    assert [names(peer.replies[request]) for peer, request in asked if peer is not dave] == [["a", "y", "z"]] * 3
    assert not world.core.context.replies.owed
    assert END not in {notice[0] for peer in (bob, carol) for notice in peer.other}
