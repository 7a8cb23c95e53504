"""A room's picture: the latest of who is here, and the difference to what the application was told."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zchat.errors import Busy
from zchat.events import Crowd, Invited, MemberJoined, MemberLeft, ReadMark, Typing
from zchat.protocol.membership import Person
from zchat.protocol.roster import RETURN_SECONDS, Picture

ROOM = "General"


def person(name: str, *, typing: bool = False, mark: int = 0) -> Person:
    return Person(name, 1_000, typing, mark)


class Seen(Picture):
    """A picture of alice's; `calls` counts how often it had something to tell."""

    def __init__(self) -> None:
        self.calls = 0
        super().__init__(self._count)
        self.begin(ROOM, "alice")

    def _count(self) -> None:
        self.calls += 1

    def whole(self, *people: Person, now: float = 0.0) -> None:
        self.named(True, len(people), {each.user.lower(): each for each in people}, now)

    def change(self, now: float = 0.0, **people: Person | None) -> None:
        self.named(False, len(people), people, now)

    def come_back(self) -> None:
        self.lost()
        self.begin(ROOM, "alice")


@pytest.fixture
def picture() -> Seen:
    picture = Seen()
    picture.whole(person("alice"), person("bob"))
    return picture


def test_the_first_names_tell_nothing(picture: Seen) -> None:
    assert picture.take() == []
    assert (picture.members, picture.calls) == (2, 0)


def test_coming_and_going_typing_and_reading_are_told(picture: Seen) -> None:
    picture.change(carol=person("Carol"))
    assert picture.take() == [MemberJoined(ROOM, "Carol")]
    picture.change(bob=person("bob", typing=True))
    assert picture.take() == [Typing(ROOM, "bob", True)]
    picture.change(bob=person("bob", mark=7))
    assert picture.take() == [Typing(ROOM, "bob", False), ReadMark(ROOM, "bob", 7)]
    picture.change(bob=None)
    assert picture.take() == [MemberLeft(ROOM, "bob")]
    assert picture.take() == []


def test_what_is_undone_before_it_is_taken_is_not_told(picture: Seen) -> None:
    picture.change(carol=person("carol"))
    picture.change(bob=person("bob", typing=True))
    picture.change(carol=None)
    picture.change(bob=person("bob"))
    assert not picture.waiting
    assert picture.take() == []


def test_only_the_latest_mark_is_told(picture: Seen) -> None:
    for mark in range(1, 100):
        picture.change(bob=person("bob", mark=mark))
    assert picture.take() == [ReadMark(ROOM, "bob", 99)]


def test_however_much_happens_there_is_no_more_to_tell_than_people_are_here_or_were_told(picture: Seen) -> None:
    for number in range(10_000):
        for now in (person(f"user{number}", typing=True), None):
            picture.named(False, 2, {f"user{number}": now}, 0.0)
    assert len(picture._before) <= 2
    assert picture.take() == []


def test_who_leaves_while_typing_has_ended_that_first(picture: Seen) -> None:
    picture.change(bob=person("bob", typing=True))
    picture.take()
    picture.change(bob=None)
    assert picture.take() == [Typing(ROOM, "bob", False), MemberLeft(ROOM, "bob")]


def test_of_the_own_user_only_a_mark_that_another_session_moved_is_told(picture: Seen) -> None:
    picture.marked(5)
    for own in (person("alice", typing=True), person("alice", mark=5), None, person("alice", mark=5)):
        picture.change(alice=own)
    assert (picture.take(), picture.calls) == ([], 0)
    picture.change(alice=person("alice", mark=9))
    assert picture.take() == [ReadMark(ROOM, "alice", 9)]


def test_what_was_taken_and_put_back_is_told_once_and_before_what_comes_later(picture: Seen) -> None:
    picture.change(bob=person("bob", typing=True), carol=person("carol"))
    first, *others = picture.take()
    picture.put_back(others)
    picture.change(dave=person("dave"))
    assert [first, *picture.take(), *picture.take()] == [
        Typing(ROOM, "bob", True),
        MemberJoined(ROOM, "carol"),
        MemberJoined(ROOM, "dave"),
    ]


def test_an_invitation_is_told_before_anything_else(picture: Seen) -> None:
    picture.change(carol=person("carol"))
    picture.invited("bob")
    assert picture.take() == [Invited(ROOM, "bob"), MemberJoined(ROOM, "carol")]
    assert picture.take() == []


# -- a lost connection -----------------------------------------------------------------------------


def test_a_lost_connection_ends_everybodys_typing(picture: Seen) -> None:
    picture.change(bob=person("bob", typing=True))
    picture.take()
    picture.lost()
    assert picture.take() == [Typing(ROOM, "bob", False)]


def test_what_changed_meanwhile_is_told_after_the_return(picture: Seen) -> None:
    picture.come_back()
    picture.whole(person("alice"), person("bob", mark=3), person("carol"))
    assert picture.take() == [ReadMark(ROOM, "bob", 3), MemberJoined(ROOM, "carol")]


def test_who_is_missing_after_a_return_is_gone_once_the_time_to_come_back_is_over(picture: Seen) -> None:
    picture.come_back()
    picture.whole(person("alice"), now=10.0)
    assert picture.members == 2
    assert picture.expire(10.0) == 10.0 + RETURN_SECONDS
    assert picture.take() == []
    assert picture.expire(10.0 + RETURN_SECONDS) == float("inf")
    assert picture.members == 1
    assert picture.take() == [MemberLeft(ROOM, "bob")]


def test_who_comes_back_in_time_does_not_flap(picture: Seen) -> None:
    picture.come_back()
    picture.whole(person("alice"), now=10.0)
    picture.named(False, 2, {"bob": person("bob")}, 11.0)
    assert picture.members == 2
    picture.expire(20.0)
    assert (picture.take(), picture.members) == ([], 2)


def test_a_second_loss_gives_the_time_to_come_back_anew(picture: Seen) -> None:
    picture.come_back()
    picture.whole(person("alice"), now=10.0)
    picture.come_back()
    assert picture.expire(20.0) == float("inf")
    picture.whole(person("alice"), now=20.0)
    assert picture.expire(20.0 + RETURN_SECONDS / 2) == 20.0 + RETURN_SECONDS
    picture.expire(20.0 + RETURN_SECONDS)
    assert picture.take() == [MemberLeft(ROOM, "bob")]


def test_later_whole_pictures_of_the_same_join_are_believed_at_once(picture: Seen) -> None:
    picture.whole(person("alice"))
    assert picture.take() == [MemberLeft(ROOM, "bob")]


# -- crowds ----------------------------------------------------------------------------------------


def test_a_crowd_is_counts_the_latest_only(picture: Seen) -> None:
    picture.change(bob=person("bob", typing=True))
    picture.take()
    for members in range(201, 300):
        picture.crowded(members, 1, 2)
    assert picture.members == 299
    assert picture.take() == [Typing(ROOM, "bob", False), Crowd(ROOM, 299, 1, 2)]
    picture.crowded(299, 1, 2)
    assert not picture.waiting


def test_a_crowd_that_is_joined_is_told_of_at_once() -> None:
    picture = Seen()
    picture.crowded(10_000, 0, 1)
    assert picture.take() == [Crowd(ROOM, 10_000, 0, 1)]


def test_when_a_crowd_has_names_again_the_difference_is_told(picture: Seen) -> None:
    picture.crowded(300, 0, 0)
    picture.take()
    picture.whole(person("alice"), person("carol"))
    assert sorted(picture.take(), key=str) == [MemberJoined(ROOM, "carol"), MemberLeft(ROOM, "bob")]


def test_the_first_names_after_a_crowd_was_joined_tell_nothing() -> None:
    picture = Seen()
    picture.crowded(300, 0, 0)
    picture.take()
    picture.whole(person("alice"), person("carol"))
    assert picture.take() == []


def test_why_a_mark_was_not_stored_is_told_once(picture: Seen) -> None:
    error = Busy("too many marks")
    picture.unmarked(error)
    assert picture.refusal() is error
    assert picture.refusal() is None


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
    picture = Seen()
    picture.whole()
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
            picture.named(False, 0, entries, now)
        elif kind in ("whole", "return"):
            if kind == "return":
                picture.come_back()
            picture.named(True, 0, {name: each for name, each in entries.items() if each}, now)
        elif kind == "crowd":
            picture.crowded(300, 1, 1)
        elif kind == "lost":
            picture.lost()
        elif kind == "time":
            picture.expire(now)
        elif kind == "take":
            follow(picture.take())
        else:
            events = picture.take()
            follow(events[:1])
            picture.put_back(events[1:])
    picture.expire(now + 100)
    while picture.waiting:
        follow(picture.take())
    others = {name: each for name, each in picture._people.items() if name != "alice"}
    assert here == others.keys()
    assert typing == {name for name, each in others.items() if each.typing}
    assert {name: marks[name] for name in others} == {name: each.mark for name, each in others.items()}


def test_nobody_types_any_more_in_a_crowd_that_is_none_any_more() -> None:
    picture = Seen()
    picture.crowded(151, 2, 0)
    assert picture.take() == [Crowd(ROOM, 151, 2, 0)]
    picture.whole(person("alice"), person("bob"))
    assert picture.take() == [Crowd(ROOM, 2, 0, 0)]
    assert picture.take() == []
    picture.crowded(151, 2, 0)
    assert picture.take() == [Crowd(ROOM, 151, 2, 0)]


def test_nobody_types_in_a_crowd_while_the_connection_is_lost() -> None:
    picture = Seen()
    picture.crowded(300, 2, 1)
    assert picture.take() == [Crowd(ROOM, 300, 2, 1)]
    picture.lost()
    assert picture.take() == [Crowd(ROOM, 300, 0, 1)]
