"""Who moderates whom, and what is refused to moderators."""

from __future__ import annotations

from typing import Any

import pytest

from tests.broker.core.moderating import RULES, Place, code
from tests.broker.driver import Clock, LateStore, Peer, World
from zchat.broker.core import access
from zchat.broker.guard.rules_text import parse
from zchat.broker.rooms.wall_clock import SECOND
from zchat.broker.store.contract import Failed, Full, Places
from zchat.wire.commands import COMMANDS, Right
from zchat.wire.limits import MAX_SANCTION
from zchat.wire.notices import OK

# -- who may ---------------------------------------------------------------------------------------

MODERATION: tuple[tuple[str, tuple[Any, ...]], ...] = (
    ("kick", ("zoe", "")),
    ("ban", ("zoe", 0, "")),
    ("unban", ("zoe",)),
    ("mute", ("zoe", 0, "")),
    ("unmute", ("zoe",)),
    ("close", ("",)),
    ("open", ()),
    ("sanctions", (None, 10)),
)
OF_USERS = [(word, fields) for word, fields in MODERATION if fields[:1] == ("zoe",)]


def test_every_command_of_moderation_is_tried_here() -> None:
    assert {word for word, _ in MODERATION} == {word for word, spec in COMMANDS.items() if spec.right is Right.MODERATE}


@pytest.mark.parametrize(("word", "fields"), MODERATION)
def test_a_session_of_version_1_moderates_nothing(word: str, fields: tuple[Any, ...]) -> None:
    world = Place()
    root = world.peer("root", "Ops", version=1)
    assert root.do(word, "Ops", *fields)[2:4] == ["version", f"{word} requires version 2 of the protocol"]


@pytest.mark.parametrize(("word", "fields"), MODERATION)
def test_owners_and_operators_moderate_and_nobody_else(word: str, fields: tuple[Any, ...]) -> None:
    world = Place()
    expected = {"root": OK, "anna": OK, "bob": "not_allowed", "guest-1a2b3c4d": "not_allowed"}
    peers = {user: world.peer(user, "Ops") for user in expected}
    assert {user: code(peer.do(word, "Ops", *fields)) for user, peer in peers.items()} == expected
    world.check()


@pytest.mark.parametrize(("word", "fields"), MODERATION)
def test_a_room_that_may_not_be_seen_is_none_for_a_moderator_of_others_too(word: str, fields: tuple[Any, ...]) -> None:
    world = Place(RULES.replace('names = ["*"]', 'names = ["*"]\nsee = ["zoe"]'))
    world.peer("zoe").join("Ops")
    bob = world.peer("bob")
    there = bob.do(word, "Ops", *fields)
    assert (there[2], there[3]) == ("no_such_room", bob.do(word, "Oops", *fields)[3].replace("Oops", "Ops"))


def test_who_may_not_moderate_learns_whom_to_ask_by_name_if_they_are_there() -> None:
    world = Place(f"makers_own = false\n{RULES}")
    bob = world.peer("bob", "Ops")

    def refusal() -> str:
        return str(bob.do("kick", "Ops", "zoe", "")[3]).removeprefix("you may not moderate 'Ops': ask ")

    assert refusal() == "one of its owners or an operator"
    anna = world.peer("anna", "Ops")
    world.peer("anna", "Ops")
    assert refusal() == "'anna', who may"
    world.peer("root", "Ops")
    assert refusal() == "'anna' or 'root', who may"
    assert code(anna.do("ban", "Ops", "bob", 0, "")) == OK
    assert refusal() == "one of its owners or an operator", "who is banned may not know who is there"


def test_without_rules_who_has_made_a_room_is_to_be_asked_if_there_is_such_a_user() -> None:
    world = Place(rules=None)
    bob = world.peer("bob", "Ops", "General")
    carl = world.peer("carl", "Ops")
    assert carl.do("kick", "Ops", "zoe", "")[3].endswith("ask 'bob', who may")
    bob.leave("Ops")
    assert carl.do("kick", "Ops", "zoe", "")[3].endswith("ask one of its owners, or who runs the broker")


@pytest.mark.parametrize(("word", "fields"), [each for each in MODERATION if each[0] in ("ban", "unban", "sanctions")])
def test_operators_alone_moderate_the_broker_as_a_whole(word: str, fields: tuple[Any, ...]) -> None:
    world = Place()
    assert code(world.peer("root").do(word, None, *fields)) == OK
    for user in ("anna", "bob"):
        assert code(world.peer(user, "Ops").do(word, None, *fields)) == "not_allowed"


@pytest.mark.parametrize(("word", "fields"), OF_USERS)
@pytest.mark.parametrize(
    ("by", "whom", "text"),
    [
        ("anna", "otto", "'otto' owns 'Ops' too: ask an operator"),
        ("anna", "OTTO", "'OTTO' owns 'Ops' too: ask an operator"),
        ("anna", "root", "'root' is an operator: ask who runs the broker"),
        ("anna", "Anna", "nobody moderates themselves: ask another"),
        ("root", "root", "nobody moderates themselves: ask another"),
        ("root", "otto", ""),
        ("anna", "bob", ""),
    ],
)
def test_nobody_acts_on_themselves_their_equals_or_those_above(
    word: str, fields: tuple[Any, ...], by: str, whom: str, text: str
) -> None:
    world = Place()
    world.peer("otto", "Ops")  # who has made the room owns it
    target, peer = world.peer(whom, "Ops"), world.peer(by, "Ops")
    answer = peer.do(word, "Ops", whom, *fields[1:])
    assert (answer[0] == OK) == (not text)
    if text:
        assert answer[2:4] == ["not_allowed", text]
        assert code(target.send("Ops", "still here")) == OK
    world.check()


def test_no_operator_bans_another_from_the_broker() -> None:
    world = Place(RULES.replace('["root"]', '["root", "toor"]'))
    assert world.peer("root").do("ban", None, "toor", 0, "")[3] == "'toor' is an operator: ask who runs the broker"


def test_without_keys_and_logins_nobody_moderates() -> None:
    world = World()
    alice = Peer(world, "alice", version=2)
    alice.join("Ops")
    for word, fields in MODERATION:
        assert alice.do(word, "Ops", *fields)[2:4] == [
            "not_allowed",
            "names are claims here: nobody can be told from another; start the broker with --keys",
        ]


def test_without_rules_who_has_made_a_room_owns_it_and_there_are_no_operators() -> None:
    world = Place(rules=None)
    alice, bob = world.peer("alice", "Ops"), world.peer("bob", "Ops", "Bobs")
    assert code(bob.do("ban", "Ops", "alice", 0, "")) == "not_allowed"
    assert code(alice.do("ban", None, "bob", 0, "")) == "not_allowed"
    assert code(alice.do("ban", "Ops", "bob", 0, "")) == OK
    assert [notice[2] for notice in bob.removed()] == ["banned"]
    assert code(bob.do("mute", "Bobs", "alice", 0, "")) == OK
    world.check()


@pytest.mark.parametrize("user", ["alice", "root"])
def test_nobody_moderates_a_direct_room(user: str) -> None:
    world = Place()
    peer = world.peer(user, f"@{user}\nbob")
    for word, fields in MODERATION:
        answer = peer.do(word, f"@{user}\nbob", *(("bob", *fields[1:]) if fields[:1] == ("zoe",) else fields))
        assert answer[2] == "not_allowed"
        assert answer[3].startswith("nobody moderates a direct room")
    assert world.peer("otto").do("kick", f"@{user}\nbob", "bob", "")[2] == "no_such_room"


def test_a_sanction_of_one_who_comes_to_own_the_room_has_no_effect_for_as_long() -> None:
    world = Place()
    anna, bob = world.peer("anna", "Ops"), world.peer("bob", "Ops")
    anna.do("ban", "Ops", "bob", 0, "")
    world.core.revise(parse(RULES.replace('"otto"', '"bob"')))
    assert code(bob.join("Ops")) == OK
    world.core.revise(parse(RULES))
    world.run()
    assert [notice[2] for notice in bob.removed()] == ["banned", "banned"]
    assert code(bob.join("Ops")) == "banned"
    world.check()


def test_an_owner_whom_an_operator_has_banned_moderates_nothing() -> None:
    world = Place()
    root, anna = world.peer("root", "Ops"), world.peer("anna", "Ops")
    root.do("ban", "Ops", "anna", 0, "")
    assert [notice[2] for notice in anna.removed()] == ["banned"]
    assert code(anna.do("kick", "Ops", "bob", "")) == "banned"
    assert code(world.peer("otto").do("unban", "Ops", "anna")) == "not_allowed"
    assert code(root.do("unban", "Ops", "anna")) == OK
    assert code(anna.join("Ops")) == OK


# -- what is wrong ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "fields", "expected"),
    [
        ("kick", ("x" * 65, ""), "bad_name"),
        ("ban", ("a\nb", 0, ""), "bad_name"),
        ("unmute", ("",), "bad_name"),
        ("ban", ("bob", MAX_SANCTION + 1, ""), "malformed"),
        ("mute", ("bob", 1, "x" * 201), "malformed"),
        ("kick", ("bob", "two\nlines"), "malformed"),
        ("close", ("\x1b[31m",), "malformed"),
    ],
)
def test_what_is_wrong_is_refused_and_changes_nothing(word: str, fields: tuple[Any, ...], expected: str) -> None:
    world = Place()
    anna, bob = world.peer("anna", "Ops"), world.peer("bob", "Ops")
    assert code(anna.do(word, "Ops", *fields)) == expected
    assert bob.removed() == []
    assert anna.do("sanctions", "Ops", None, 10)[2] == []
    assert code(anna.do(word, "a\nb", *fields)) == "bad_name"


def test_the_longest_time_and_reason_there_may_be_are_taken() -> None:
    world = Place()
    anna = world.peer("anna", "Ops")
    assert anna.do("ban", "Ops", "bob", MAX_SANCTION, "x" * 200)[2] == world.clock.time + MAX_SANCTION * SECOND
    assert code(world.peer("bob").join("Ops")) == "banned"


@pytest.mark.parametrize(
    ("failing", "expected"), [(Failed("the disk is full"), "store_failed"), (Full("too many wait"), "busy")]
)
def test_what_could_not_be_stored_is_not_in_force(failing: Failed | Full, expected: str) -> None:
    store = LateStore(Clock())
    world = Place(store=store)
    anna, bob = world.peer("anna", "Ops"), world.peer("bob", "Ops")
    anna.do("mute", "Ops", "carol", 0, "")
    store.failing = failing
    for word, fields in (("ban", ("bob", 0, "")), ("mute", ("bob", 0, "")), ("close", ("",)), ("unmute", ("carol",))):
        answer = anna.do(word, "Ops", *fields)
        assert (code(answer), answer[4]) == (expected, True)
    store.failing = None
    assert bob.removed() == []
    assert code(bob.send("Ops", "hello")) == OK
    assert [row[2:4] for row in anna.do("sanctions", "Ops", None, 10)[2]] == [["carol", "mute"]]
    world.check()


def test_makers_and_owners_leave_places_to_owners_and_operators(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "MAKERS_PLACES", Places(5, 2, 4))
    monkeypatch.setattr(access, "OWNERS_PLACES", Places(5, 10, 8))
    monkeypatch.setattr(access, "OPERATORS_PLACES", Places(6, 10, 10))
    world = Place(RULES.replace('["*"]', '["ops"]'))
    anna, root = world.peer("anna", "Ops"), world.peer("root")

    def ban(peer: Peer, room: str | None) -> str:
        users.append(f"u{len(users)}")
        return code(peer.do("ban", room, users[-1], 0, ""))

    users: list[str] = []
    makers = [world.peer(f"maker{number}", f"room{number}") for number in range(3)]
    assert [ban(maker, f"room{n}") for n, maker in enumerate(makers) for _ in range(3)] == [
        *[OK, OK, "limit_reached"] * 2,
        *["limit_reached"] * 3,
    ]
    assert [ban(anna, "Ops") for _ in range(5)] == [OK] * 4 + ["limit_reached"]
    assert ban(root, None) == ban(root, "room0") == OK
    assert ban(root, None) == "limit_reached"
    refused = [line.fields for line in world.core.audit.take_all() if line.event == "refused"]
    assert [each["reason"] for each in refused] == ["limit_reached"] * 7
    world.check()


def test_an_operator_has_more_places_than_an_owner_and_an_owner_by_the_rules_more_than_a_maker() -> None:
    world = Place(RULES.replace('["*"]', '["ops"]'))
    for user, room in (("anna", "Ops"), ("bob", "Bobs")):
        world.peer(user, room)
    places = world.core.context.access.places
    operators = places("root", None)
    owners, makers = places("anna", world.rooms["ops"]), places("bob", world.rooms["bobs"])
    assert operators == places("root", world.rooms["ops"]) == (10_000, 10_000, 100_000)
    assert (owners, makers) == ((9_000, 10_000, 90_000), (9_000, 1_000, 50_000))
    without_rules = Place(None)
    without_rules.peer("bob", "Bobs")
    assert without_rules.core.context.access.places("bob", without_rules.rooms["bobs"]) == makers


def test_a_full_room_takes_no_further_sanction_until_others_are_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "OWNERS_PLACES", Places(2, 10, 10))
    world = Place()
    anna = world.peer("anna", "Ops")
    anna.do("ban", "Ops", "one", 5, "")
    anna.do("ban", "Ops", "two", 0, "")
    assert anna.do("ban", "Ops", "three", 0, "")[2:4] == [
        "limit_reached",
        "Ops has 2 sanctions, and none of yours is kept beyond 2; lift others",
    ]
    for _ in range(16):  # the clock has to have run for a while before anything is removed by it
        world.clock.time += SECOND
        world.pass_time(1)
        anna.tell("ping")
    assert code(anna.do("ban", "Ops", "three", 0, "")) == OK
    world.check()
