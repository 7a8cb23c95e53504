"""Faults planted in the code, one at a time: the simulation finds each of them."""

from __future__ import annotations

from functools import cache

import pytest

from tests.promises.simulation.mutations import MUTATIONS
from tests.promises.simulation.planting import catch, complaint
from tests.promises.simulation.simulation import Simulation
from tests.promises.simulation.test_simulation import FIRST
from tests.promises.simulation.test_simulation import SEEDS as SOUND

SEEDS = 1_000
"""Seeds within which each must be caught."""

CAUGHT_BY: dict[str, int] = {
    "reply before commit": 0,
    "resend under a new number": 0,
    "resend during the commit": 10,
    "a later block stored after an earlier one was refused": 19,
    "cursor moved on a failed push": 0,
    "push tried again only when credit comes": 0,
    "late credit of an earlier join counted": 0,
    "credit returned twice": 0,
    "epoch ignored": 2,
    "position not moved over own messages": 1,
    "what is received moved over own messages before the gap": 15,
    "what is taken moved over own messages before the gap": 7,
    "what was taken while a join was under way not returned": 197,
    "own messages of an earlier join kept": 2,
    "trim under a reader": 5,
    "a fenced connection's late leave obeyed": 14,
    "a session sent its own messages": 0,
    "what is held forgotten at a join": 0,
    "a member not woken by credit": 0,
    "bytes of who left still counted": 0,
    "a room kept that nobody needs": 2,
    "a producer kept after its goodbye": 0,
    "what was decided kept although its commit failed": 3,
    "an answer given to the wrong connection": 5,
    "a late greeting obeyed": 20,
    "a gap of trimmed messages not told": 0,
    "an update lost when a pipe is full": 0,
    "a state frame sent before the last was seen": 0,
    "any number counted as seen": 0,
    "an answer over the lost connection waited for": 1,
    "a user gone with the first session that leaves": 0,
    "typing not ended by a message": 10,
    "typing not ended at its time": 0,
    "no whole picture for a session that came back": 0,
    "a mark that goes back accepted": 0,
    "a mark answered before it is safe": 0,
    "a mark not asked for again after a lost connection": 0,
    "leaving and coming told of who came back in time": 6,
    "who came back and joined no more kept for ever": 0,
    "nobody invited who comes later": 3,
    "nobody invited who is connected": 1,
    "who left while the connection was lost shown for ever": 11,
    "names kept from before a crowd": 1,
    "a clock that was just set ahead believed": 3,
    "a position moved over own messages that are yet to be sent": 10,
    "own messages no more sent after a lost connection": 10,
    "the log sent after a gap to who asked for none": 10,
    "who asked not to be counted is here all the same": 10,
    "a room kept for who looked and has gone": 10,
    "sessions kept whose key was taken out": 2,
    "the keys known as they were at the start": 2,
    "a key that is another user's now taken for the one's before": 2,
    "a user whose key was taken out kept because there are guests": 22,
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
    "a producer forgotten with its connection": 0,
    "frames of who claims a routing id believed": 2,
    "frames not looked at any more while there are newcomers": 65,
    "a number not matched to its connection": 17,
    "the end of a connection not noticed": 29,
    "rules as they were at the start": 8,
    "who may not be in a room any more left in it": 10,
    "who is put out not notified": 16,
    "what was yet to be sent not withheld": 22,
    "names sent to who may see them no more": 10,
    "names known before left to who may see them no more": 56,
    "the log's beginning read by who may join alone": 22,
    "what was said over a lost connection withheld": 66,
    "what was said after leaving read by who comes again": 49,
    "the right to read not asked for": 87,
    "the right to send not asked for": 28,
    "a hidden room refused as one that is there": 10,
    "a rate that nothing is taken from": 10,
    "a frame that waits overtaken": 1,
    "a share for each session of a user": 18,
    "a ping that waits as all else does": 1,
    "what is left of a check forgotten": 1,
    "what is left of a check done after what came later": 7,
    "what waited of a lost connection carried out": 95,
    "a frame lost that waits when another is carried out": 1,
    "sanctions forgotten when the broker starts again": 8,
    "a sanction that ends early": 8,
    "a sanction that never ends": 8,
    "what is over never removed": 8,
    "a ban that puts nobody out": 10,
    "a ban answered before it is safe": 8,
    "messages of who is muted stored": 19,
    "messages to a closed room stored": 8,
    "equals put out by equals": 24,
    "who is banned from the broker greeted": 22,
    "who is put out still sent to": 8,
    "operators let in through a gateway": 19,
    "a key taken for a gateway's that no longer is one": 42,
    "sessions kept that came through a key when it was a gateway's": 20,
    "who comes through a gateway taken for the gateway": 2,
}
"""A seed that catches each: when the code has changed so much that it no longer does, others are tried."""


def _run(seed: int) -> None:
    Simulation(seed).run()


@cache
def _sound(seed: int) -> bool:
    """Tell whether nothing is wrong with a seed as long as nothing is planted; of the first ones another test does."""
    return FIRST <= seed < FIRST + SOUND or complaint(_run, seed) is None


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_planted_fault_is_caught(name: str) -> None:
    catch(name, MUTATIONS[name], (CAUGHT_BY[name], *range(SEEDS)), _run, _sound)
