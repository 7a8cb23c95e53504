"""What waits for a join whose room's end is being located."""

from __future__ import annotations

from typing import Any, cast

from zchat.broker.core.joining import Held, Joins
from zchat.broker.core.replies import Request
from zchat.wire.commands import COMMANDS

SESSION, OTHER, PEER = cast(Any, "session"), cast(Any, "other"), cast(Any, "peer")


def held(number: int | None, session: Any = SESSION) -> Held:
    return Held(Request(PEER, session, number), "leave", COMMANDS["leave"], ["General", 1])


def test_what_is_asked_of_the_room_waits_in_order_and_nothing_else_does() -> None:
    joins = Joins()
    assert not joins.hold("general", held(1))
    joins.begin(SESSION, "general")
    assert joins.hold("general", held(2))
    assert joins.hold("general", held(3))
    assert not joins.hold("movies", held(4))
    assert not joins.hold("general", held(5, OTHER))
    assert not joins.hold("general", held(None)), "what isn't answered could be without end"
    joins.end(SESSION, "general")
    assert [each.request.number for each in joins.ready] == [2, 3]
    assert not joins.hold("general", held(6))
