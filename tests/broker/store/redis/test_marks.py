"""Read marks as a broker has reported them; how they go with their rooms is in `test_mirror.py`."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from tests.broker.store.driver import Reports
from zchat.broker.store.contract import Marked
from zchat.broker.store.redis import marks
from zchat.broker.store.redis.marks import MirroredMarks, Named
from zchat.broker.store.redis.requests import Call, Request, SetReadMark, Unmark


@dataclass
class Log:
    name: str


LOGS: dict[str, Named] = {"a": Log("A"), "b": Log("B")}


class Held:
    """Marks with quotas, what they report, ask for and answer."""

    def __init__(self) -> None:
        self.asked: list[Request] = []
        self.reports = Reports()
        self.answers: list[object] = []
        self.marks = MirroredMarks(self.asked.append, quotas=True)

    def move(self, room: str, seq: int, moved: int) -> None:
        """Take in that bob's mark was moved, as was asked for here."""
        request = SetReadMark(room, "bob", seq, False)
        call = Call(request, self.answers.append)
        self.marks.replied(call, request, [b"marked", seq, moved], LOGS, self.reports)


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Held:
    monkeypatch.setattr(marks, "USER_READ_MARKS", 1)
    return Held()


def test_a_mark_that_made_place_for_another_stays_gone_whatever_older_looks_say(held: Held) -> None:
    held.move("a", 1, 100)
    held.move("b", 1, 200)
    assert held.answers == [Marked(1, None), Marked(1, ("A", "bob"))]
    assert held.asked == [Unmark("a", "bob", 100)]
    held.marks.compare(("a", "bob"), 1, 100, "A", held.reports, anew=False)
    assert held.reports.of("marked") == [("A", "bob", 1), ("B", "bob", 1), ("A", "bob", 0)]
    held.marks.compare(("a", "bob"), 2, 300, "A", held.reports, anew=False)
    assert held.reports.of("marked")[3:] == [("A", "bob", 2)], "it has moved since"
    assert set(held.marks.kept) == {("a", "bob"), ("b", "bob")}


def test_what_another_broker_removed_stays_gone_too_unless_it_had_moved(held: Held) -> None:
    held.marks.heard(b"M", ("a", "bob"), (3, 100), "A", held.reports)
    held.marks.heard(b"U", ("a", "bob"), (99,), "A", held.reports)
    assert held.marks.kept == {("a", "bob"): (3, 100)}
    held.marks.heard(b"U", ("a", "bob"), (100,), "A", held.reports)
    held.marks.compare(("a", "bob"), 3, 100, "A", held.reports, anew=False)
    assert held.marks.kept == {}
    assert held.reports.of("marked") == [("A", "bob", 3), ("A", "bob", 0)]
    held.marks.compare(("a", "bob"), 3, 100, "A", held.reports, anew=True)
    assert held.marks.kept == {("a", "bob"): (3, 100)}, "in another run of the server it is there"


def test_of_so_many_it_is_known_that_they_are_gone(held: Held, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(marks, "GONE_KEPT", 2)
    for room in "abc":
        held.marks.keep((room, "eve"), 1, 5)
        held.marks.remove((room, "eve"), room, held.reports)
    for room in "abc":
        held.marks.compare((room, "eve"), 1, 5, room, held.reports, anew=False)
    assert set(held.marks.kept) == {("a", "eve")}
