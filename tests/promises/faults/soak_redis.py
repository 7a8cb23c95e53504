"""The long form over Redis: broker and server are killed again and again for some minutes, a line of figures a round.

python -m tests.promises.faults.soak_redis --minutes 10
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from tests.promises.faults import scenarios
from tests.promises.faults.scenarios import Figures
from tests.redis_server import RedisServer

KILLS = 10
PUBLISHERS = 4

HEAD = "round  killed     messages    a second  flowing after s (median, most)    lost  twice  late  changed"


def round_of(folder: Path, seed: int, kills: int) -> dict[str, Figures]:
    """Run each scenario once, over a server of its own."""
    found: dict[str, Figures] = {}
    for name in ("broker", "brokers", "server"):
        place = folder / name
        place.mkdir()
        with RedisServer("redis-server", place) as server:
            if name == "broker":
                found[name] = scenarios.killed(
                    place, restarts=kills, publishers=PUBLISHERS, seed=seed, store=server.url
                )
            elif name == "brokers":
                found[name] = scenarios.one_of_two_killed(
                    place, server, restarts=kills, publishers=PUBLISHERS, seed=seed
                )
            else:
                found[name] = scenarios.server_killed(place, server, restarts=kills, publishers=PUBLISHERS, seed=seed)
    return found


def line_of(number: int, name: str, figures: Figures) -> str:
    """Return the line of figures of one scenario in a round."""
    kinds = ("lost", "twice", "late", "changed")
    lost, twice, late, changed = (sum(getattr(verdict, kind) for verdict in figures.verdicts) for kind in kinds)
    return (
        f"{number:5}  {name:7}{figures.verdicts[0].messages:12,}{figures.rate:12,.0f}"
        f"{median(figures.flowing):23.2f}{max(figures.flowing):6.2f}{lost:12}{twice:7}{late:6}{changed:9}"
    )


def main() -> None:
    """Run rounds until the time is over; exits 1 if anything was found wrong."""
    parser = argparse.ArgumentParser(description="Put a broker over Redis, publishers and readers under fault.")
    parser.add_argument("--minutes", type=float, default=10.0, help="begin rounds for so long (default 10)")
    parser.add_argument("--kills", type=int, default=KILLS, help=f"of each kind in a round (default {KILLS})")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}\n{HEAD}", flush=True)
    end = time.monotonic() + arguments.minutes * 60
    number = 0
    clean = True
    while time.monotonic() < end:
        number += 1
        with tempfile.TemporaryDirectory(prefix="zchat-soak-") as folder:
            found = round_of(Path(folder), arguments.seed + number, arguments.kills)
        for name, figures in found.items():
            print(line_of(number, name, figures), flush=True)
            clean &= figures.clean
    sys.exit(0 if clean else 1)


if __name__ == "__main__":
    main()
