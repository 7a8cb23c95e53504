"""Rules: what they give to whom."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.broker.guard.driver import NAMES, ROOMS, USERS, fits
from zchat.broker.guard import rules
from zchat.broker.guard.rules import NOBODY, Rate, Rules, Table, Users
from zchat.names import fold
from zchat.wire.commands import Right

IN_ROOM = Right.SEE | Right.JOIN | Right.READ | Right.SEND | Right.MEMBERS

folded_users = tuple(map(fold, USERS))
folded_rooms = tuple(map(fold, ROOMS))
some: st.SearchStrategy[Users] = st.none() | st.frozensets(st.sampled_from(folded_users[:-1]), max_size=3)
tables = st.builds(
    Table,
    st.lists(st.sampled_from(tuple(map(fold, NAMES))), min_size=1, max_size=3).map(tuple),
    see=some,
    join=some,
    read=some,
    send=some,
    members=some,
    create=some,
    owners=st.frozensets(st.sampled_from(folded_users[:-1]), max_size=1),
    guests=st.integers(0, int(IN_ROOM)),
)


def of(*tables: Table, operators: frozenset[str] = NOBODY) -> Rules:
    return Rules(tables, operators=operators)


def may(rules: Rules, user: str, room: str, right: Right, *, made: bool = False) -> bool:
    return bool(rules.rights(user, room, made) & right)


def test_without_a_table_everybody_may_everything_but_own_and_guests_nothing() -> None:
    found = Rules()
    assert found.rights("bob", "general", False) == IN_ROOM | Right.CREATE
    assert found.rights("guest-1", "general", False) == 0
    assert found.rights("guest-1", "general", True) == 0
    assert found.rights("bob", "general", True) == IN_ROOM | Right.CREATE | Right.MODERATE
    assert found.table("general").most == 0


def test_the_first_table_that_names_a_room_decides() -> None:
    first, second = Table(("ops*",), send=NOBODY, rate=Rate(5)), Table(("ops-db", "*"), see=NOBODY)
    found = of(first, second)
    assert [found.table(name) for name in ("ops-db", "ops", "general")] == [first, first, second]
    assert may(found, "bob", "ops-db", Right.READ)
    assert not may(found, "bob", "ops-db", Right.SEND)
    assert not may(found, "bob", "general", Right.SEE)


def test_operators_may_everything_but_enter_others_direct_rooms() -> None:
    found = of(Table(("*",), see=NOBODY), operators=frozenset({"alice"}))
    assert found.rights("alice", "general", False) == IN_ROOM | Right.CREATE | Right.MODERATE
    assert found.at_broker("alice") == Right.STATS | Right.MODERATE
    assert found.rights("alice", "@bob\ncarol", False) == 0
    assert found.rights("alice", "@alice\nbob", False) == IN_ROOM | Right.CREATE


def test_a_direct_room_is_its_twos_whichever_of_them_may_open_it() -> None:
    found = Rules(direct=frozenset({"bob"}))
    assert found.rights("bob", "@bob\ncarol", False) == IN_ROOM | Right.CREATE
    assert found.rights("carol", "@bob\ncarol", False) == IN_ROOM
    assert found.rights("dave", "@bob\ncarol", False) == 0
    assert Rules().rights("guest-1", "@bob\nguest-1", False) == IN_ROOM  # guests open none


def test_figures_are_for_those_named_and_never_for_guests() -> None:
    assert not Rules().at_broker("bob")
    assert Rules(stats=None).at_broker("bob") == Right.STATS
    assert Rules(stats=frozenset({"bob"})).at_broker("bob") == Right.STATS
    assert not Rules(stats=None).at_broker("guest-1")


def test_who_has_made_a_room_owns_it_unless_the_rules_say_otherwise() -> None:
    closed = Table(("*",), see=NOBODY)
    assert may(Rules((closed,)), "bob", "x", Right.MODERATE, made=True)
    assert not may(Rules((closed,), makers_own=False), "bob", "x", Right.SEE, made=True)


@given(st.lists(tables, max_size=3), st.sampled_from(folded_users), st.sampled_from(folded_rooms), st.booleans())
def test_nobody_may_join_what_they_cant_see_or_read_or_send_where_they_cant_join(
    tables: list[Table], user: str, room: str, made: bool
) -> None:
    rights = of(*tables).rights(user, room, made)
    assert rights & Right.SEE or not rights
    assert rights & Right.JOIN or not rights & (Right.READ | Right.SEND | Right.MEMBERS | Right.MODERATE)


@given(st.lists(tables, min_size=1, max_size=3), st.data())
def test_to_give_a_right_to_fewer_gives_nothing_to_anybody(tables: list[Table], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(tables) - 1))
    right = data.draw(st.sampled_from(("see", "join", "read", "send", "members", "create", "owners")))
    before = getattr(tables[index], right)
    fewer = data.draw(st.frozensets(st.sampled_from(folded_users if before is None else sorted(before) or [""])))
    table = Table(**{**tables[index]._asdict(), right: fewer})
    less = [*tables[:index], table, *tables[index + 1 :]]
    for user in folded_users:
        for room in folded_rooms:
            assert of(*less).rights(user, room, False) & ~of(*tables).rights(user, room, False) == 0


@given(st.lists(tables, max_size=3), tables)
def test_a_table_changes_nothing_about_rooms_that_those_before_it_name(tables: list[Table], last: Table) -> None:
    for room in folded_rooms:
        if any(fits(name, room) for table in tables for name in table.names):
            for user in folded_users:
                assert of(*tables).rights(user, room, False) == of(*tables, last).rights(user, room, False)


def test_rights_are_remembered_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "RULES_CACHE", 3)
    found = Rules()
    for _ in range(2):
        for user in ("a", "b", "c", "d", "e"):
            assert may(found, user, "general", Right.SEND)
            assert len(found._cache) <= 3
    for room in ("a", "b", "c", "d", "e"):
        assert found.table(room).names == ("*",)
        assert len(found._table_of) <= 3
