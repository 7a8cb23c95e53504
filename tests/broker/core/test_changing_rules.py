"""Whatever the rules become, nobody is sent or told what they keep from them; faults planted in the code are found."""

from __future__ import annotations

from functools import cache

import pytest

from tests.broker.core.changing_rules import complaint
from tests.promises.simulation.planting import Change, planted

SEEDS = 12

TRIED = 300
"""Seeds within which each fault must be found."""

FAULTS: dict[str, tuple[int, list[Change]]] = {
    "what may not be seen refused as not allowed": (
        0,
        [Change("zchat.broker.core.access", "judge", "if rights & Right.SEE else Answer.NO_SUCH_ROOM", "")],
    ),
    "members not judged again": (
        0,
        [Change("zchat.broker.core.revision.Revision", "_judge", "if not rights & Right.JOIN:", "if False:")],
    ),
    "who came back and has not joined again not judged": (
        0,
        [
            Change(
                "zchat.broker.core.revision.Revision",
                "_walk",
                "[*session.present, *session.members, *before]",
                "session.members",
            )
        ],
    ),
    "what was said before sent to who may no longer read it": (
        25,
        [Change("zchat.broker.delivery.pusher.Pusher", "withhold", "not member.follows", "True")],
    ),
    "a page sent that was asked for while it could be read": (
        25,
        [Change("zchat.broker.delivery.pusher.Pusher", "_page", "if member.gap is not None:", "if False:")],
    ),
    "everything sent to who may not read": (
        8,
        [Change("zchat.broker.core.access.Access", "floor", "return 0 if self.may", "return 0 if True or self.may")],
    ),
    "what was said meanwhile sent to who has left": (
        76,
        [Change("zchat.broker.core.sessions.Sessions", "leave", "session.floors.pop(room.folded, None)", "pass")],
    ),
    "who was there when the session began forgotten with the connection": (
        19,
        [Change("zchat.broker.core.access.Access", "floor", "floors.setdefault(room.folded, room.last)", "room.last")],
    ),
    "names sent to members that may not see them": (
        0,
        [
            Change(
                "zchat.broker.presence.state_frames.StateFrames",
                "_serve",
                "counted = not self",
                "counted = False and not self",
            )
        ],
    ),
    "names still sent after a change": (
        2,
        [
            Change(
                "zchat.broker.core.revision.Revision",
                "_judge",
                "if bool(rights & Right.MEMBERS) is member.counted:",
                "if False:",
            )
        ],
    ),
    "rights of the maker of a room remembered for the next room of its name": (
        10,
        [Change("zchat.broker.guard.rules.Rules", "rights", "key = (user, room, made)", "key = (user, room, False)")],
    ),
    "everything listed": (
        0,
        [Change("zchat.broker.core.listing.Listing", "_list", "if self._access.may(user, Right.SEE, room)", "")],
    ),
    "figures of rooms that may not be seen": (
        0,
        [Change("zchat.broker.figures.stats.FigureReader", "read", "if sources.sees(user, traffic.room)", "")],
    ),
    "rooms made by who may not": (
        0,
        [Change("zchat.broker.core.access.Access", "check_making", "if self.rules is not None:", "if False:")],
    ),
    "a room's maker not its owner": (
        0,
        [Change("zchat.broker.core.access.Access", "check", "room.maker == peer.user", "False")],
    ),
    "judging that stops at the first turn": (
        0,
        [Change("zchat.broker.core.revision.Revision", "turn", "            return\n", "            break\n")],
    ),
    "the rules of before gone by": (
        0,
        [Change("zchat.broker.core.core.Core", "revise", "self.context.access.rules = rules", "pass")],
    ),
}
"""Faults, each with a seed that finds it: others are tried once the code has changed so much that it no longer does."""


@cache
def unplanted(seed: int) -> str | None:
    """Return what a seed finds wrong with the code as it is."""
    return complaint(seed)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_nobody_gets_what_the_rules_keep_from_them_whatever_they_become(seed: int) -> None:
    assert unplanted(seed) is None


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_found(name: str) -> None:
    first, changes = FAULTS[name]
    for seed in (first, *range(TRIED)):
        with planted(changes):
            found = complaint(seed)
        if found is not None and unplanted(seed) is None:
            print(f"{name}: found by seed {seed}: {found}")
            return
    pytest.fail(f"{name} was not found within {TRIED} seeds")
