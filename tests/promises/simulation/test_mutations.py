"""Faults planted in the code, one at a time: the simulation finds each of them."""

from __future__ import annotations

from functools import cache

import pytest

from tests.promises.simulation.mutations import MUTATIONS, planted
from tests.promises.simulation.simulation import Simulation

SEEDS = 1_000
"""Seeds within which each must be caught."""

CAUGHT_BY: dict[str, int] = {
    "reply before commit": 0,
    "resend under a new number": 0,
    "resend during the commit": 6,
    "a later block stored after an earlier one was refused": 8,
    "cursor moved on a failed push": 0,
    "push tried again only when credit comes": 0,
    "late credit of an earlier join counted": 0,
    "credit returned twice": 0,
    "epoch ignored": 2,
    "position not moved over own messages": 1,
    "what is received moved over own messages before the gap": 36,
    "what is taken moved over own messages before the gap": 7,
    "what was taken while a join was under way not returned": 246,
    "own messages of an earlier join kept": 94,
    "trim under a reader": 5,
    "a fenced connection's late leave obeyed": 14,
    "a session sent its own messages": 0,
    "what is held forgotten at a join": 0,
    "a member not woken by credit": 0,
    "bytes of who left still counted": 0,
    "a room kept that nobody needs": 0,
    "a producer kept after its goodbye": 0,
    "what was decided kept although its commit failed": 3,
    "an answer given to the wrong connection": 4,
    "a late greeting obeyed": 119,
    "a gap of trimmed messages not told": 0,
    "an update lost when a pipe is full": 0,
    "a state frame sent before the last was seen": 0,
    "any number counted as seen": 0,
    "an answer over the lost connection waited for": 1,
    "a user gone with the first session that leaves": 0,
    "typing not ended by a message": 1,
    "typing not ended at its time": 0,
    "no whole picture for a session that came back": 0,
    "a mark that goes back accepted": 0,
    "a mark answered before it is safe": 0,
    "a mark not asked for again after a lost connection": 0,
    "leaving and coming told of who came back in time": 4,
    "who came back and joined no more kept for ever": 0,
    "nobody invited who comes later": 0,
    "nobody invited who is connected": 1,
    "who left while the connection was lost shown for ever": 3,
    "names kept from before a crowd": 1,
    "a clock that was just set ahead believed": 3,
    "a position moved over own messages that are yet to be sent": 10,
    "own messages no more sent after a lost connection": 10,
    "the log sent after a gap to who asked for none": 10,
    "who asked not to be counted is here all the same": 10,
    "a room kept for who looked and has gone": 11,
    "sessions kept whose key was taken out": 2,
    "the keys known as they were at the start": 2,
    "a key that is another user's now taken for the one's before": 2,
    "a user whose key was taken out kept because there are guests": 16,
    "a key asked about at the door alone": 2,
    "any name had with any key": 16,
    "another name than the key's passed over in silence": 16,
    "a session given to anyone who has its token": 16,
    "an unknown key let in": 14,
    "handshakes that are never allowed again": 2,
    "a key that comes too often refused for good": 8,
    "a connection cut before its last word": 0,
    "a session's connection left open after its end": 2,
    "what never greets left": 4,
    "a producer forgotten with its connection": 1,
    "frames of who claims a routing id believed": 2,
    "frames not looked at any more while there are newcomers": 65,
    "a number not matched to its connection": 4,
    "the end of a connection not noticed": 14,
}
"""A seed that catches each: when the code has changed so much that it no longer does, others are tried."""


def _complaint(seed: int) -> str | None:
    """Return what a seed finds wrong, None if all is well."""
    try:
        Simulation(seed).run()
    except Exception as error:  # a promise broken, or a core that fell over
        return f"{type(error).__name__}: {error}"
    return None


@cache
def _sound(seed: int) -> bool:
    """Tell whether nothing is wrong with a seed as long as nothing is planted."""
    return _complaint(seed) is None


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_planted_fault_is_caught(name: str) -> None:
    for seed in (CAUGHT_BY[name], *range(SEEDS)):
        with planted(MUTATIONS[name]):
            complaint = _complaint(seed)
        if complaint is not None and _sound(seed):
            print(f"{name}: caught by seed {seed}: {complaint}")
            return
    pytest.fail(f"{name} was not caught within {SEEDS} seeds")
