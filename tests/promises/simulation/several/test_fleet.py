"""Whatever goes wrong between brokers and the store that they share, they are one place for their users."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.promises.simulation.several.faults import DISASTERS, FAULTS
from tests.promises.simulation.several.fleet import BROKERS, CLIENTS, IN_VAIN, MESSAGES, MIN_FAULTS, Fleet
from tests.promises.simulation.simulation import Report
from tests.running import ROOT

SEEDS = 25
FIRST = 0

_reports: dict[int, Report] = {}


@pytest.mark.parametrize("seed", range(FIRST, FIRST + SEEDS))
def test_every_promise_is_kept_whatever_goes_wrong(seed: int) -> None:
    fleet = Fleet(seed)
    report = _reports[seed] = fleet.run()
    assert len(fleet.brokers) >= BROKERS[0] >= 2
    assert len(fleet.actors) >= CLIENTS[0] >= 4
    assert report.sent >= MESSAGES >= 200
    assert report.faults >= MIN_FAULTS >= 12
    assert report.delivered > len(fleet.truth.acknowledged)


@pytest.mark.parametrize("seed", range(FIRST, FIRST + 3))
def test_nothing_is_lost_or_told_as_lost_where_nothing_goes_wrong(seed: int) -> None:
    fleet = Fleet(seed, calm=True)
    report = fleet.run()
    assert report.faults == 0
    assert all(client.losses == 0 for client in fleet.clients)


def test_every_kind_of_fault_is_met_within_a_few_seeds() -> None:
    missing = {IN_VAIN, *(fault.__name__ for fault in FAULTS | DISASTERS)}
    for seed in range(FIRST, FIRST + 2 * SEEDS):
        missing -= (_reports.get(seed) or Fleet(seed).run()).counts.keys()
        if not missing:
            return
    assert not missing


def test_a_seed_runs_the_same_way_each_time_in_every_process() -> None:
    code = (
        "from tests.promises.simulation.several.fleet import Fleet; print(Fleet(1).run().trace, Fleet(1).run().trace)"
    )
    traces = set()
    for hashes in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": hashes, "PYTHONPATH": str(ROOT)}
        ran = subprocess.run(
            [sys.executable, "-c", code],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        traces.update(ran.stdout.split())
    assert traces == {Fleet(1).run().trace}
