"""Which rooms there are: made by the first join, forgotten when nothing is left of them, listed by name."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from tests.broker.driver import LateStore, Peer, World
from zchat import names
from zchat.broker import limits
from zchat.broker.guard.gate import Gate
from zchat.broker.settings import Settings
from zchat.broker.store.contract import Failed
from zchat.broker.store.memory import MemoryStore
from zchat.wire.notices import ERROR, OK


def test_a_room_with_nothing_said_and_nobody_in_it_is_forgotten(world: World) -> None:
    alice, bob = Peer(world, "alice"), Peer(world, "bob")
    alice.join("New")
    bob.join("new")
    alice.do("leave", "NEW", alice.joins["New"])
    assert "new" in world.rooms
    bob.do("bye")
    assert "new" not in world.rooms
    assert alice.do("rooms", "Movies", 100)[2] == [["Sports", 0, 1, 0, None], ["Technology", 0, 1, 0, None]]
    world.check()


def test_a_room_in_which_something_was_said_and_the_brokers_own_stay(world: World) -> None:
    alice = Peer(world, "alice")
    alice.join("New")
    alice.send("New", "hi")
    alice.join("General")
    alice.do("bye")
    assert {"new", "general"} <= world.rooms.keys()


def test_a_room_stays_while_its_first_block_is_being_stored() -> None:
    store = LateStore(lambda: 1)
    world = World(store=store)
    alice, bob = Peer(world, "alice"), Peer(world, "bob")
    alice.join("New")
    store.holding = True
    alice.ask("send", "New", 1, b"\x91\xa2hi")
    alice.do("leave", "New", alice.joins["New"])
    store.holding = False
    bob.join("New", (0, 0))
    assert bob.texts("New") == ["hi"]
    world.check()


def test_a_room_whose_first_block_could_not_be_stored_is_forgotten_with_its_last_member() -> None:
    store = LateStore(lambda: 1)
    world = World(store=store)
    alice = Peer(world, "alice")
    alice.join("New")
    store.failing = Failed("the disk is full")
    store.holding = True
    alice.ask("send", "New", 1, b"\x91\xa2hi")
    alice.do("bye")
    store.holding = False
    world.run()
    world.check()
    assert "new" not in world.rooms


def test_names_of_rooms_are_one_without_regard_to_case(world: World) -> None:
    alice, bob = Peer(world, "alice"), Peer(world, "bob")
    assert alice.join("Straße")[2] == "Straße"
    assert bob.join("STRASSE")[2] == "Straße"


@pytest.mark.parametrize("name", ["", " a", "a ", "#a", "/a", "a\nb", "a" * 65, "e\u0301"])
def test_a_bad_name_is_refused_and_makes_nothing(world: World, name: str) -> None:
    alice = Peer(world, "alice")
    for fields in (("join", name, 1, None, 0, True), ("history", name, None, None, 1), ("send", name, 1, b"\x91\x01")):
        assert alice.do(*fields)[2] == "bad_name"
    world.check()


def test_a_name_of_four_thousand_bytes_is_refused_before_anything_is_made_of_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice = Peer(world, "alice")
    composed: list[int] = []

    def count(text: str) -> int:
        composed.append(len(text))
        return len(text)

    monkeypatch.setattr(names, "unicodedata", SimpleNamespace(normalize=lambda form, text: count(text) and text))
    name = "a" + "\u0315\u0300" * 1_000
    for fields in (
        ("join", name, 1, None, 0, True),
        ("join", name, 1, None, 0, False),
        ("leave", name, 1),
        ("send", name, 1, b"\x91\x01"),
        ("history", name, None, None, 1),
        ("rooms", name, 1),
    ):
        assert alice.do(*fields)[2] == "bad_name"
    alice.tell("credit", name, 1, 1)
    assert alice.other[-1][:3] == [ERROR, None, "bad_name"]
    assert Peer(world, name[:300], greet=False).greet()[2] == "bad_name"
    assert alice.do("join", 10 * name, 1, None, 0, True)[2] == "malformed"
    assert all(length <= names.MAX_CHARACTERS for length in composed)


def test_fixed_rooms_are_all_there_are() -> None:
    world = World(Settings(rooms=("One",), fixed_rooms=True))
    alice = Peer(world, "alice")
    assert alice.join("Two")[2] == "no_such_room"
    assert alice.join("one")[2] == "One"
    assert alice.do("rooms", None, 10)[2:] == [[["One", 1, 1, 0, None]], False]
    world.check()


def test_a_room_that_is_not_to_be_made_is_not_there(world: World) -> None:
    assert Peer(world, "alice").join("New", create=False)[2] == "no_such_room"
    world.check()


def test_rooms_and_memberships_have_bounds(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_MEMBERSHIPS", 3)
    monkeypatch.setattr("zchat.broker.rooms.directory.MAX_ROOMS", 6)
    alice, bob = Peer(world, "alice"), Peer(world, "bob")
    assert alice.join("Sixth")[0] == OK
    assert bob.join("Seventh")[2] == "limit_reached"
    alice.join("General")
    alice.join("Sports")
    assert alice.join("Movies")[2] == "limit_reached"
    assert alice.join("Sports")[0] == OK, "joining again takes no place"
    alice.do("leave", "Sixth", alice.joins["Sixth"])
    assert alice.join("Movies")[0] == OK
    world.check()


def test_the_list_of_rooms_comes_in_pages_by_name(world: World) -> None:
    alice, twin, bob = Peer(world, "alice"), Peer(world, "Alice"), Peer(world, "bob")
    for each in (alice, twin, bob):
        each.join("General")
    alice.send("General", "a", "b")
    names: list[str] = []
    more, last = True, None
    while more:
        rows, more = alice.do("rooms", last, 2)[2:]
        assert len(rows) <= 2
        names += [row[0] for row in rows]
        last = names[-1]
    assert names == ["Crypto", "General", "Movies", "Sports", "Technology"]
    assert alice.do("rooms", "crypto", 1)[2:] == [[["General", 2, 1, 2, None]], True], (
        "people are counted, not sessions"
    )
    assert len(alice.do("rooms", None, 0)[2]) == 1
    assert alice.do("rooms", "zzz", 10)[2:] == [[], False]


# What one user may make, where names are bound


@pytest.fixture
def bound(monkeypatch: pytest.MonkeyPatch) -> World:
    """Give a broker with keys where a user may make two rooms, and one direct room."""
    monkeypatch.setattr("zchat.broker.rooms.directory.USER_ROOMS", 2)
    monkeypatch.setattr("zchat.broker.rooms.directory.USER_DIRECTS", 1)
    return World(gate=Gate({}))


def test_a_user_makes_a_bounded_number_of_rooms_and_others_make_theirs(bound: World) -> None:
    alice, bob = Peer(bound, "alice"), Peer(bound, "bob")
    for name in ("First", "Second"):
        alice.join(name)
        alice.send(name, "hi")
    refused = alice.do("join", "Third", 1, None, 0, True)
    assert refused[2:5] == [
        "limit_reached",
        "you have made 2 rooms, the most that one user may; use one of them",
        False,
    ]
    alice.join("General")
    bob.join("Third")
    alice.join("third")


def test_a_room_that_is_forgotten_makes_place_for_another_of_its_makers(bound: World) -> None:
    alice = Peer(bound, "alice")
    for name in ("First", "Second"):
        alice.join(name)
    alice.do("leave", "First", alice.joins["First"])
    alice.join("Third")
    assert alice.do("join", "Fourth", 9, None, 0, True)[0] == ERROR


def test_direct_rooms_are_counted_apart_and_for_the_one_who_made_them(bound: World) -> None:
    alice, bob = Peer(bound, "alice"), Peer(bound, "bob")
    alice.join("@alice\nbob")
    assert alice.do("join", "@alice\ncarol", 2, None, 0, True)[2] == "limit_reached"
    bob.join("@bob\ncarol")
    alice.join("First")
    assert {room.name: room.maker for room in bound.rooms.values() if room.maker} == {
        "@alice\nbob": "alice",
        "@bob\ncarol": "bob",
        "First": "alice",
    }


def test_guests_are_counted_together(bound: World) -> None:
    for number in range(2):
        Peer(bound, f"guest-{number}").join(f"Room {number}")
    assert Peer(bound, "guest-7").do("join", "Room 7", 1, None, 0, True)[2] == "limit_reached"


def test_who_first_says_something_in_a_room_has_not_made_it(bound: World) -> None:
    alice, bob = Peer(bound, "alice"), Peer(bound, "bob")
    alice.join("First")
    bob.join("First")
    bob.send("First", "hi")
    assert bound.rooms["first"].maker == "alice"
    assert isinstance(bound.store, MemoryStore)
    assert bound.store._ledger.rooms["First"].maker == "alice"


def test_without_keys_a_room_has_no_maker_and_nobody_too_many(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zchat.broker.rooms.directory.USER_ROOMS", 1)
    alice = Peer(world, "alice")
    for name in ("First", "Second"):
        alice.join(name)
    assert {room.maker for room in world.rooms.values()} == {""}
