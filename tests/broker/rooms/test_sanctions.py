"""The sanctions of one room."""

from __future__ import annotations

from zchat.broker.rooms.sanctions import Sanctions
from zchat.broker.store.contract import Sanction


def sanction(number: int, kind: str, user: str = "") -> Sanction:
    return Sanction("Ops", user, kind, 0, "alice", 0, "", number=number)


def test_there_is_one_of_a_kind_for_a_user_whatever_their_case_and_all_come_in_order() -> None:
    sanctions = Sanctions()
    assert not sanctions
    one, two, three, four = (
        sanction(1, "mute", "bob"),
        sanction(2, "ban", "Straße"),
        sanction(3, "closed"),
        sanction(4, "ban", "STRASSE"),
    )
    assert [sanctions.put(each) for each in (one, two, three, four)] == [None, None, None, two]
    assert sanctions.all() == [one, three, four]
    assert sanctions.put(sanction(5, "closed")) == three
    for each in (one, four, four):
        sanctions.remove(each)
    assert [each.number for each in sanctions.all()] == [5]
    sanctions.remove(three)
    assert not sanctions
