"""A room's roster: whatever has happened, one update brings a member from what it was sent to what is so."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.broker.driver import Picture
from zchat.broker.rooms import roster as module
from zchat.broker.rooms.roster import Roster
from zchat.wire.values import unpack

USERS = ["alice", "bob", "carol", "dave"]
NAMES = 3

acts = st.one_of(
    st.tuples(st.just("enter"), st.sampled_from(USERS)),
    st.tuples(st.just("leave"), st.sampled_from(USERS)),
    st.tuples(st.just("type"), st.sampled_from(USERS), st.booleans()),
    st.tuples(st.just("read"), st.sampled_from(USERS), st.integers(1, 9), st.booleans()),
    st.tuples(st.just("grow")),
    st.tuples(st.just("tell"), st.integers(0, 2)),
)


class Told:
    """A member: the version that it was sent last, and what it knows by that."""

    def __init__(self, roster: Roster) -> None:
        self._roster = roster
        self.version = 0
        self.picture = Picture()

    def update(self) -> None:
        if self.version != self._roster.version:
            self.picture.update(unpack(self._roster.update(self.version)))
            self.version = self._roster.version


def carry_out(roster: Roster, act: Any) -> None:
    match act:
        case "enter", user:
            roster.enter(user, user.title(), since=1, read_mark=0, at_end=False)
        case "leave", user if user in roster.people:
            roster.leave(user)
        case "type", user, active:
            roster.type(user, active)
        case "read", user, seq, at_end:
            roster.set_read_mark(user, seq, at_end)
        case ("grow",):
            roster.grew()


@given(st.lists(acts, max_size=40), st.integers(0, 2))
def test_whatever_happens_each_member_knows_what_is_so_with_its_next_update(script: list[Any], tombstones: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "TOMBSTONES", tombstones)
        roster = Roster("General", NAMES)
        members = [Told(roster) for _ in range(3)]
        for act in script:
            carry_out(roster, act)
            if act[0] == "tell":
                members[act[1]].update()
        for member in members:
            member.update()
            if not roster.version:
                continue
            if roster.crowd:
                assert member.picture == Picture(None, len(roster.people), roster.typing, len(roster.at_end))
            else:
                people = {each.name: (each.since, each.typing, each.read_mark) for each in roster.people.values()}
                assert member.picture == Picture(people, len(people))


def test_a_user_is_here_from_the_first_session_to_the_last() -> None:
    roster = Roster("General", NAMES)
    assert roster.enter("bob", "Bob", 1, 0, False)
    assert not roster.enter("bob", "bob", 2, 0, False), "the second session"
    assert not roster.leave("bob")
    assert roster.leave("bob")
    assert roster.people == {}


def test_a_room_is_a_crowd_beyond_its_names_until_it_has_three_quarters_of_them() -> None:
    roster = Roster("General", 4)
    for number in range(5):
        roster.enter(f"user {number}", f"user {number}", 1, 0, False)
    assert roster.crowd
    roster.leave("user 0")
    assert roster.crowd
    roster.leave("user 1")
    assert not roster.crowd


def test_in_a_crowd_a_mark_matters_only_where_it_changes_who_has_read_everything() -> None:
    roster = Roster("General", 0)
    roster.enter("bob", "Bob", 1, 0, False)
    assert not roster.set_read_mark("bob", 3, at_end=False)
    assert roster.set_read_mark("bob", 4, at_end=True)
    assert not roster.set_read_mark("bob", 4, at_end=True)
    assert roster.grew(), "and now nobody has"
    assert not roster.grew()


def test_who_is_not_here_changes_nothing() -> None:
    roster = Roster("General", NAMES)
    assert not roster.type("bob", True)
    assert not roster.set_read_mark("bob", 3, at_end=True)
    assert (roster.version, roster.typing, roster.at_end) == (0, 0, set())


def test_the_users_are_listed_by_name_page_by_page() -> None:
    roster = Roster("General", NAMES)
    for user in ("carol", "alice", "bob"):
        roster.enter(user, user.title(), 1, 0, False)
    first, more = roster.page(None, 2)
    assert ([entry.user for entry in first], more) == (["Alice", "Bob"], True)
    rest, more = roster.page("bob", 2)
    assert ([entry.user for entry in rest], more) == (["Carol"], False)
