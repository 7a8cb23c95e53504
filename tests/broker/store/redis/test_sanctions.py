"""Sanctions as a broker has reported them: what is overtaken has all of them looked at; more is in `test_mirror.py`."""

from __future__ import annotations

import pytest

from tests.broker.store.driver import Reports
from zchat.broker.store.contract import Imposed, Places, Sanction, TooMany
from zchat.broker.store.redis.attachment import Snapshot
from zchat.broker.store.redis.forms import pack_sanction
from zchat.broker.store.redis.hearing import Changes
from zchat.broker.store.redis.notices import Notice
from zchat.broker.store.redis.requests import Call, Impose
from zchat.broker.store.redis.sanctions import MirroredSanctions

NOW = 1_700_000_000_000_000


class Held:
    def __init__(self) -> None:
        self.looks: list[int] = []
        self.reports = Reports()
        self.answers: list[object] = []
        self.sanctions = MirroredSanctions(self.looks.append)

    def hear(self, kind: bytes, number: int, *, replaces: int = 0, count: int) -> None:
        packed = number.to_bytes(8, "big") + b"alice\0" + pack_sanction(sanction(number))
        fields = (packed, replaces) if kind == b"I" else (packed,)
        self.sanctions.heard(Notice(0, kind, b"other", 7, count, fields), self.reports)

    def impose(self, reply: list[object]) -> object:
        request = Impose("general", sanction(0), Places(3, 2, 1))
        self.sanctions.imposed(Call(request, self.answers.append), request, reply, self.reports)
        return self.answers[-1]


def sanction(number: int) -> Sanction:
    return Sanction("General", "bob", "ban", 0, "alice", NOW, "", number=number)


def test_one_takes_the_place_of_another_and_one_that_is_not_known_is_not_lifted() -> None:
    held = Held()
    held.hear(b"I", 1, count=1)
    held.hear(b"I", 2, replaces=1, count=2)
    held.hear(b"X", 1, count=3)
    assert held.sanctions.kept == {2: sanction(2)}
    assert [kind for kind, *_ in held.reports.all] == ["imposed", "imposed"]
    assert held.looks == []


def test_what_is_older_than_the_newest_change_changes_nothing_and_has_all_looked_at() -> None:
    held = Held()
    assert held.impose([b"imposed", 5, None, 9]) == Imposed(sanction(5), None)
    held.hear(b"I", 3, count=8)
    assert (held.sanctions.kept, held.looks) == ({5: sanction(5)}, [0])
    older = Snapshot(Changes(7, 0, 8), {}, {}, [sanction(3)])
    assert not held.sanctions.take_over(older, anew=False)
    assert held.sanctions.take_over(older._replace(changes=Changes(7, 0, 9)), anew=False)
    assert held.sanctions.kept == {3: sanction(3)}
    assert held.sanctions.take_over(older, anew=True), "in another run of the server counts begin anew"


@pytest.mark.parametrize(
    ("full", "says"),
    [
        (b"room", "General has 7 sanctions, and none of yours is kept beyond"),
        (b"moderator", "you have imposed 7 sanctions"),
        (b"all", "the broker has 7 sanctions"),
    ],
)
def test_where_there_is_no_place_the_answer_says_whose_places_are_taken(full: bytes, says: str) -> None:
    held = Held()
    answer = held.impose([b"crowded", full, 7])
    assert isinstance(answer, TooMany)
    assert str(answer[0]).startswith(says)
    assert held.sanctions.kept == {}
