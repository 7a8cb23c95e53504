"""Run seeds of the simulation.

`python -m tests.promises.simulation.run` with `--seeds 100`, for a time `--seconds 60`, or one again `--seed 4711`;
`--several` for those with several brokers over one store.
"""

from __future__ import annotations

import argparse
import logging
import sys
import time
from pathlib import Path

from tests.promises.simulation.several.fleet import Fleet
from tests.promises.simulation.simulation import Simulation

DELIVERIES_A_MINUTE = 200_000
FAULTS_A_MINUTE = 10_000
SEVERAL_FAULTS_A_MINUTE = 1_500
"""What a minute of one core must do at least, or the simulation shows too little. Several brokers meet fewer faults, as
each takes them longer to get over."""

ENOUGH = 0.5
"""Minutes of one core after which that can be judged."""


def main() -> int:
    """Run what the command line says; returns 1 if a seed failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=0, help="how many seeds")
    parser.add_argument("--seconds", type=float, default=0.0, help="run seeds for that long")
    parser.add_argument("--first", type=int, default=None, help="the first of them; by default the time chooses it")
    parser.add_argument("--seed", type=int, default=None, help="run this one again, and write down all that happens")
    parser.add_argument("--several", action="store_true", help="with several brokers over one store")
    options = parser.parse_args()
    stage: type[Simulation | Fleet] = Fleet if options.several else Simulation
    logging.disable(logging.WARNING)  # what clients warn of is what they were meant to meet
    if options.seed is not None:
        return _again(stage, options.seed)
    first = int(time.time()) * 10_000 if options.first is None else options.first
    return _many(stage, first, options.seeds, options.seconds)


def _many(stage: type[Simulation | Fleet], first: int, seeds: int, seconds: float) -> int:
    start, spent = time.monotonic(), time.process_time()
    faults = delivered = sent = done = 0
    kinds: dict[str, int] = {}
    while done < seeds if seeds else time.monotonic() - start < seconds:
        seed = first + done
        try:
            report = stage(seed).run()
        except Exception as error:  # a promise broken, or a core that fell over: both are reported with their seed
            print(f"seed {seed}: {type(error).__name__}: {error}")
            print(f"run it again with: make simulate {'SEVERAL=1 ' if stage is Fleet else ''}SEED={seed}")
            return 1
        done += 1
        faults += report.faults
        delivered += report.delivered
        sent += report.sent
        for kind, count in report.counts.items():
            kinds[kind] = kinds.get(kind, 0) + count
    minutes = (time.process_time() - spent) / 60
    print(f"{done} seeds from {first}: {sent:,} messages sent, {delivered:,} delivered, {faults:,} faults")
    print(f"a minute of one core: {delivered / minutes:,.0f} delivered, {faults / minutes:,.0f} faults")
    print(", ".join(f"{kind} {count}" for kind, count in sorted(kinds.items())))
    least = SEVERAL_FAULTS_A_MINUTE if stage is Fleet else FAULTS_A_MINUTE
    if minutes >= ENOUGH and (delivered < DELIVERIES_A_MINUTE * minutes or faults < least * minutes):
        print(f"that is too little: {DELIVERIES_A_MINUTE:,} and {least:,} there must be")
        return 1
    return 0


def _again(stage: type[Simulation | Fleet], seed: int) -> int:
    path = Path(f"simulation-{seed}.log")
    with path.open("w") as log:
        simulation = stage(seed)
        simulation.world.log = lambda line: log.write(line + "\n")
        try:
            report = simulation.run()
        except Exception as error:  # as above
            print(f"seed {seed}: {type(error).__name__}: {error}")
            print(f"trace {simulation.world.trace}; all that happened stands in {path}")
            return 1
    print(f"seed {seed}: all well; trace {report.trace}; all that happened stands in {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
