"""A room's roster: the latest of who is here, and the difference to what the application has received."""

from __future__ import annotations

from itertools import islice
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zchat.errors import Busy
from zchat.events import Crowd, Event, Invited, MemberJoined, MemberLeft, ReadMark, Typing
from zchat.protocol.rooms.roster import RETURN_SECONDS, Roster
from zchat.wire.notices import PersonEntry

ROOM = "General"


def person(name: str, *, typing: bool = False, mark: int = 0) -> PersonEntry:
    return PersonEntry(name, 1_000, typing, mark)


class Seen(Roster):
    """A roster of alice's; `calls` counts how often it had something to tell."""

    def __init__(self) -> None:
        self.calls = 0
        super().__init__(self._count)
        self.begin(ROOM, "alice")

    def _count(self) -> None:
        self.calls += 1

    def told(self) -> list[Event]:
        """Take everything that is new."""
        return list(self.take())

    def whole(self, *people: PersonEntry, now: float = 0.0) -> None:
        self.named(True, len(people), {each.user.lower(): each for each in people}, now)

    def change(self, now: float = 0.0, **people: PersonEntry | None) -> None:
        self.named(False, len(people), people, now)

    def come_back(self) -> None:
        self.lost()
        self.begin(ROOM, "alice")


@pytest.fixture
def roster() -> Seen:
    roster = Seen()
    roster.whole(person("alice"), person("bob"))
    return roster


def test_the_first_names_tell_nothing(roster: Seen) -> None:
    assert roster.told() == []
    assert (roster.members, roster.calls) == (2, 0)


def test_coming_and_going_typing_and_reading_are_reported(roster: Seen) -> None:
    roster.change(carol=person("Carol"))
    assert roster.told() == [MemberJoined(ROOM, "Carol")]
    roster.change(bob=person("bob", typing=True))
    assert roster.told() == [Typing(ROOM, "bob", True)]
    roster.change(bob=person("bob", mark=7))
    assert roster.told() == [Typing(ROOM, "bob", False), ReadMark(ROOM, "bob", 7)]
    roster.change(bob=None)
    assert roster.told() == [MemberLeft(ROOM, "bob")]
    assert roster.told() == []


def test_what_is_undone_before_it_is_taken_is_not_reported(roster: Seen) -> None:
    roster.change(carol=person("carol"))
    roster.change(bob=person("bob", typing=True))
    roster.change(carol=None)
    roster.change(bob=person("bob"))
    assert not roster.waiting
    assert roster.told() == []


def test_only_the_latest_mark_is_reported(roster: Seen) -> None:
    for mark in range(1, 100):
        roster.change(bob=person("bob", mark=mark))
    assert roster.told() == [ReadMark(ROOM, "bob", 99)]


def test_however_much_happens_there_is_no_more_to_tell_than_people_are_here_or_were_reported(roster: Seen) -> None:
    for number in range(10_000):
        for now in (person(f"user{number}", typing=True), None):
            roster.named(False, 2, {f"user{number}": now}, 0.0)
    assert len(roster._before) <= 2
    assert roster.told() == []


def test_who_leaves_while_typing_has_ended_that_first(roster: Seen) -> None:
    roster.change(bob=person("bob", typing=True))
    roster.told()
    roster.change(bob=None)
    assert roster.told() == [Typing(ROOM, "bob", False), MemberLeft(ROOM, "bob")]


def test_of_the_own_user_only_a_mark_that_another_session_moved_is_reported(roster: Seen) -> None:
    roster.marked_read(5)
    for own in (person("alice", typing=True), person("alice", mark=5), None, person("alice", mark=5)):
        roster.change(alice=own)
    assert (roster.told(), roster.calls) == ([], 0)
    roster.change(alice=person("alice", mark=9))
    assert roster.told() == [ReadMark(ROOM, "alice", 9)]


def test_a_mark_of_its_own_is_not_reported_when_a_lower_one_was_asked_for_since(roster: Seen) -> None:
    roster.marked_read(10)
    roster.mark_stored(10)
    roster.marked_read(7)
    roster.mark_stored(7)
    roster.change(alice=person("alice", mark=10))
    assert roster.told() == []
    roster.change(alice=person("alice", mark=11))
    assert roster.told() == [ReadMark(ROOM, "alice", 11)]


def test_a_mark_above_the_one_that_was_stored_is_another_sessions(roster: Seen) -> None:
    roster.marked_read(1_000)
    roster.mark_stored(10)
    roster.change(alice=person("alice", mark=12))
    assert roster.told() == [ReadMark(ROOM, "alice", 12)]


def test_marks_in_a_log_that_is_no_more_hide_none_in_the_next(roster: Seen) -> None:
    roster.marked_read(10)
    roster.mark_stored(10)
    roster.marks_lost()
    roster.change(alice=person("alice", mark=3))
    assert roster.told() == [ReadMark(ROOM, "alice", 3)]


def test_what_was_found_and_not_taken_is_reported_once_and_before_what_comes_later(roster: Seen) -> None:
    roster.change(bob=person("bob", typing=True), carol=person("carol"))
    first = next(roster.take())
    roster.change(dave=person("dave"))
    assert [first, *roster.told(), *roster.told()] == [
        Typing(ROOM, "bob", True),
        MemberJoined(ROOM, "carol"),
        MemberJoined(ROOM, "dave"),
    ]


def test_an_invitation_is_reported_before_anything_else(roster: Seen) -> None:
    roster.change(carol=person("carol"))
    roster.invited("bob")
    assert roster.told() == [Invited(ROOM, "bob"), MemberJoined(ROOM, "carol")]
    assert roster.told() == []


# -- a lost connection -----------------------------------------------------------------------------


def test_a_lost_connection_ends_everybodys_typing(roster: Seen) -> None:
    roster.change(bob=person("bob", typing=True))
    roster.told()
    roster.lost()
    assert roster.told() == [Typing(ROOM, "bob", False)]


def test_what_changed_meanwhile_is_reported_after_the_return(roster: Seen) -> None:
    roster.come_back()
    roster.whole(person("alice"), person("bob", mark=3), person("carol"))
    assert roster.told() == [ReadMark(ROOM, "bob", 3), MemberJoined(ROOM, "carol")]


def test_who_is_missing_after_a_return_is_gone_once_the_time_to_come_back_is_over(roster: Seen) -> None:
    roster.come_back()
    roster.whole(person("alice"), now=10.0)
    assert roster.members == 2
    assert roster.expire(10.0) == 10.0 + RETURN_SECONDS
    assert roster.told() == []
    assert roster.expire(10.0 + RETURN_SECONDS) == float("inf")
    assert roster.members == 1
    assert roster.told() == [MemberLeft(ROOM, "bob")]


def test_who_comes_back_in_time_does_not_flap(roster: Seen) -> None:
    roster.come_back()
    roster.whole(person("alice"), now=10.0)
    roster.named(False, 2, {"bob": person("bob")}, 11.0)
    assert roster.members == 2
    roster.expire(20.0)
    assert (roster.told(), roster.members) == ([], 2)


def test_a_second_loss_gives_the_time_to_come_back_anew(roster: Seen) -> None:
    roster.come_back()
    roster.whole(person("alice"), now=10.0)
    roster.come_back()
    assert roster.expire(20.0) == float("inf")
    roster.whole(person("alice"), now=20.0)
    assert roster.expire(20.0 + RETURN_SECONDS / 2) == 20.0 + RETURN_SECONDS
    roster.expire(20.0 + RETURN_SECONDS)
    assert roster.told() == [MemberLeft(ROOM, "bob")]


def test_later_whole_pictures_of_the_same_join_are_believed_at_once(roster: Seen) -> None:
    roster.whole(person("alice"))
    assert roster.told() == [MemberLeft(ROOM, "bob")]


# -- crowds ----------------------------------------------------------------------------------------


def test_a_crowd_is_counts_the_latest_only(roster: Seen) -> None:
    roster.change(bob=person("bob", typing=True))
    roster.told()
    for members in range(201, 300):
        roster.crowded(members, 1, 2)
    assert roster.members == 299
    assert roster.told() == [Typing(ROOM, "bob", False), Crowd(ROOM, 299, 1, 2)]
    roster.crowded(299, 1, 2)
    assert not roster.waiting


def test_a_crowd_that_is_joined_is_reported_at_once() -> None:
    roster = Seen()
    roster.crowded(10_000, 0, 1)
    assert roster.told() == [Crowd(ROOM, 10_000, 0, 1)]


def test_when_a_crowd_has_names_again_the_difference_is_reported(roster: Seen) -> None:
    roster.crowded(300, 0, 0)
    roster.told()
    roster.whole(person("alice"), person("carol"))
    assert sorted(roster.told(), key=str) == [MemberJoined(ROOM, "carol"), MemberLeft(ROOM, "bob")]


def test_the_first_names_after_a_crowd_was_joined_tell_nothing() -> None:
    roster = Seen()
    roster.crowded(300, 0, 0)
    roster.told()
    roster.whole(person("alice"), person("carol"))
    assert roster.told() == []


def test_after_a_mark_was_refused_one_that_another_session_moves_as_far_is_reported(roster: Seen) -> None:
    roster.marked_read(5)
    roster.mark_refused(Busy("too many marks"))
    roster.change(alice=person("alice", mark=5))
    assert roster.told() == [ReadMark(ROOM, "alice", 5)]


def test_why_a_mark_was_not_stored_is_reported_once(roster: Seen) -> None:
    error = Busy("too many marks")
    roster.mark_refused(error)
    assert roster.refusal() is error
    assert roster.refusal() is None


# -- whatever happens ------------------------------------------------------------------------------

_names = st.sampled_from(["alice", "bob", "carol", "dave"])
_states = st.one_of(st.none(), st.tuples(st.booleans(), st.integers(0, 3)))
_steps = st.lists(
    st.one_of(
        st.tuples(st.just("change"), st.dictionaries(_names, _states, min_size=1)),
        st.tuples(st.just("whole"), st.dictionaries(_names, _states)),
        st.tuples(st.just("return"), st.dictionaries(_names, _states)),
        st.tuples(st.sampled_from(["crowd", "lost", "take", "break", "time"]), st.none()),
    ),
    max_size=30,
)


@given(_steps)
def test_who_follows_the_events_knows_what_is_so(steps: list[tuple[str, dict[str, Any] | None]]) -> None:
    roster = Seen()
    roster.whole()
    here: set[str] = set()
    typing: set[str] = set()
    marks: dict[str, int] = {}
    now = 0.0

    def follow(events: list[Any]) -> None:
        for event in events:
            match event:
                case MemberJoined():
                    assert event.user not in here
                    here.add(event.user)
                    marks[event.user] = 0
                case MemberLeft():
                    assert event.user not in typing
                    here.remove(event.user)
                case Typing():
                    assert event.user in here
                    assert (event.user in typing) is not event.active
                    (typing.add if event.active else typing.remove)(event.user)
                case ReadMark() if event.user != "alice":
                    assert marks[event.user] != event.seq
                    marks[event.user] = event.seq

    for kind, people in steps:
        now += 1.0
        entries = {
            name: None if state is None else person(name, typing=state[0], mark=state[1])
            for name, state in (people or {}).items()
        }
        if kind == "change":
            roster.named(False, 0, entries, now)
        elif kind in ("whole", "return"):
            if kind == "return":
                roster.come_back()
            roster.named(True, 0, {name: each for name, each in entries.items() if each}, now)
        elif kind == "crowd":
            roster.crowded(300, 1, 1)
        elif kind == "lost":
            roster.lost()
        elif kind == "time":
            roster.expire(now)
        elif kind == "take":
            follow(roster.told())
        else:
            follow([*islice(roster.take(), 1)])
    roster.expire(now + 100)
    while roster.waiting:
        follow(roster.told())
    others = {name: each for name, each in roster._people.items() if name != "alice"}
    assert here == others.keys()
    assert typing == {name for name, each in others.items() if each.typing}
    assert {name: marks[name] for name in others} == {name: each.read_mark for name, each in others.items()}


def test_nobody_types_any_more_in_a_crowd_that_is_none_any_more() -> None:
    roster = Seen()
    roster.crowded(151, 2, 0)
    assert roster.told() == [Crowd(ROOM, 151, 2, 0)]
    roster.whole(person("alice"), person("bob"))
    assert roster.told() == [Crowd(ROOM, 2, 0, 0)]
    assert roster.told() == []
    roster.crowded(151, 2, 0)
    assert roster.told() == [Crowd(ROOM, 151, 2, 0)]


def test_nobody_types_in_a_crowd_while_the_connection_is_lost() -> None:
    roster = Seen()
    roster.crowded(300, 2, 1)
    assert roster.told() == [Crowd(ROOM, 300, 2, 1)]
    roster.lost()
    assert roster.told() == [Crowd(ROOM, 300, 0, 1)]
