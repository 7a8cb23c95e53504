"""Faults planted in what brokers share a store by, one at a time: the simulation of several finds each of them."""

from __future__ import annotations

import pytest

from tests.promises.simulation.planting import catch, complaint
from tests.promises.simulation.several.fleet import run
from tests.promises.simulation.several.mutations import MUTATIONS

SEEDS = 120
"""Seeds within which each must be caught."""

CAUGHT_BY: dict[str, int] = {
    "blocks of a connection that its client has left stored": 26,
    "blocks that a client sends again under a number that has others taken for those": 1,
    "what comes late of an earlier attachment carried out": 78,
    "another run of the server goes on with the epoch of the one before": 1,
    "a lost end taken for the log that was": 1,
    "a join judged by what this broker knows": 0,
    "what was not heard never looked for": 104,
    "pages of another run taken for those of this one": 9,
    "what another broker trimmed passed over in silence": 40,
    "a mark before what it covers": 11,
    "users of a broker that was killed here for ever": 0,
    "what was sent and not answered given up": 1,
}
"""A seed that catches each: when the code has changed so much that it no longer does, others are tried."""


def _sound(seed: int) -> bool:
    """Tell whether nothing is wrong with a seed as long as nothing is planted."""
    return complaint(run, seed) is None


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_planted_fault_is_caught(name: str) -> None:
    catch(name, MUTATIONS[name], (CAUGHT_BY[name], *range(SEEDS)), run, _sound)
