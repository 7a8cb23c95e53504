"""Whatever goes wrong, nothing is lost, nothing comes twice, and everybody catches up."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.promises.simulation.broker import MET
from tests.promises.simulation.faults import DISASTERS, FAULTS
from tests.promises.simulation.simulation import CLIENTS, MESSAGES, MIN_FAULTS, Report, Simulation
from tests.running import ROOT

SEEDS = 20
FIRST = 0

_reports: dict[int, Report] = {}


@pytest.mark.parametrize("seed", range(FIRST, FIRST + SEEDS))
def test_every_promise_is_kept_whatever_goes_wrong(seed: int) -> None:
    simulation = Simulation(seed)
    report = _reports[seed] = simulation.run()
    assert len(simulation.actors) >= CLIENTS[0] >= 5
    assert len(simulation.rooms) >= 3
    assert report.sent >= MESSAGES >= 500
    assert report.faults >= MIN_FAULTS >= 20
    assert report.delivered > (0 if simulation.asking else len(simulation.truth.acknowledged))  # some ask for no log


def test_every_kind_of_fault_is_met_within_a_few_seeds_and_every_way_of_being_shut_out_or_kept_waiting() -> None:
    missing = {fault.__name__ for fault in FAULTS | DISASTERS} | set(MET)
    for seed in range(FIRST, FIRST + 4 * SEEDS):  # a day passes in one seed of six
        missing -= (_reports.get(seed) or Simulation(seed).run()).counts.keys()
        if not missing:
            return
    assert not missing


def test_a_seed_runs_the_same_way_each_time() -> None:
    assert Simulation(FIRST).run() == Simulation(FIRST).run()


def test_a_seed_runs_the_same_way_in_another_process() -> None:
    code = f"from tests.promises.simulation.simulation import Simulation; print(Simulation({FIRST}).run().trace)"
    traces = {
        subprocess.run(
            [sys.executable, "-c", code],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": hashes, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        ).stdout.strip()
        for hashes in ("1", "2")
    }
    assert traces == {Simulation(FIRST).run().trace}
