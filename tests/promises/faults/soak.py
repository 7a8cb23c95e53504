"""The long form: every scenario again and again for some minutes, a line of figures a round.

python -m tests.promises.faults.soak --minutes 10
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from tests.promises.faults import scenarios
from tests.promises.faults.scenarios import Figures
from zchat.broker.limits import EXPIRE_AFTER

RESTARTS = 10
PUBLISHERS = 4
BETWEEN = 60_000
"""Messages between two kills at least: a second or more of a full load."""

STOPPED = 10.0
"""Seconds for which a reader stands still; its session outlives that."""

BROKER_STOPPED = EXPIRE_AFTER + 2
"""Seconds for which the broker does: it must not take its own silence for that of its clients."""

OTHERS = 0.5
"""Of their speed the others must keep at least while one reader is stopped: a machine may be busy."""

MEMORY = 10 << 20
"""Bytes that a stopped reader may cost the broker."""

FLOWING = 1.0
"""Seconds in which messages flow again after the broker's return: told if it is passed, as a machine may be busy."""

HEAD = (
    "round  messages    killed: a second  flowing after s (median, most)    "
    "reader stopped: broker MB, others    network: s (most)    broker stopped: s    lost  twice  late  changed"
)


def round_of(folder: Path, seed: int) -> dict[str, Figures]:
    """Run every scenario once, each over a store of its own."""
    runs: dict[str, Callable[[Path], Figures]] = {
        "killed": lambda place: scenarios.killed(
            place, restarts=RESTARTS, publishers=PUBLISHERS, between=BETWEEN, seed=seed
        ),
        "stopped reader": lambda place: scenarios.stopped_reader(
            place, seconds=STOPPED, before=STOPPED, publishers=PUBLISHERS, seed=seed
        ),
        "bad network": lambda place: scenarios.bad_network(place, rounds=4, publishers=PUBLISHERS, seed=seed),
        "stopped broker": lambda place: scenarios.stopped_broker(
            place, seconds=BROKER_STOPPED, publishers=PUBLISHERS, seed=seed
        ),
    }
    found = {}
    for name, run in runs.items():
        place = folder / name
        place.mkdir()
        found[name] = run(place)
    return found


def line_of(number: int, found: dict[str, Figures]) -> str:
    """Return a round's line of figures."""
    killed, reader = found["killed"], found["stopped reader"]
    network, broker = found["bad network"], found["stopped broker"]
    wrong = [
        sum(getattr(verdict, kind) for figures in found.values() for verdict in figures.verdicts)
        for kind in ("lost", "twice", "late", "changed")
    ]
    messages = sum(figures.verdicts[0].messages for figures in found.values())
    return (
        f"{number:5}{messages:10,}{killed.rate:20,.0f}{median(killed.flowing):22.2f}{max(killed.flowing):6.2f}"
        f"{reader.memory / 1e6:32.1f}{reader.others:8.0%}{max(network.flowing):21.2f}{max(broker.flowing):21.2f}"
        f"{wrong[0]:8}{wrong[1]:7}{wrong[2]:6}{wrong[3]:9}"
    )


def faults_of(found: dict[str, Figures], least: int) -> list[str]:
    """Return what a round found wrong, in words."""
    killed, reader = found["killed"], found["stopped reader"]
    faults = [f"{name}: {figures}" for name, figures in found.items() if not figures.clean]
    faults += [
        f"{name}: {found[name].counters['expired']} healthy sessions ended"
        for name in ("stopped reader", "stopped broker")
        if found[name].counters["expired"]
    ]
    if killed.rate < least:
        faults.append(f"killed: {killed.rate:,.0f} messages a second were acknowledged, a load below {least:,}")
    if max(killed.flowing) > FLOWING:
        faults.append(f"killed: messages flowed again {max(killed.flowing):.2f} s after the broker's return")
    if reader.others < OTHERS:
        faults.append(f"stopped reader: the others went on at {reader.others:.0%} of their speed")
    if reader.memory > MEMORY:
        faults.append(f"stopped reader: it cost the broker {reader.memory / 1e6:.1f} MB")
    return faults


def main() -> None:
    """Run rounds until the time is over; exits 1 if anything was found wrong."""
    parser = argparse.ArgumentParser(description="Put a real broker, publishers and readers under fault, for minutes.")
    parser.add_argument("--minutes", type=float, default=10.0, help="begin rounds for so long (default 10)")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--rate", type=int, default=50_000, help="least messages a second under kills (default 50000)")
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}\n{HEAD}", flush=True)
    end = time.monotonic() + arguments.minutes * 60
    number = 0
    faults: list[str] = []
    while time.monotonic() < end:
        number += 1
        with tempfile.TemporaryDirectory(prefix="zchat-soak-") as folder:
            found = round_of(Path(folder), arguments.seed + number)
        print(line_of(number, found), flush=True)
        told = faults_of(found, arguments.rate)
        faults += told
        print(*(f"  ! {fault}" for fault in told), sep="\n", end="\n" if told else "", flush=True)
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
