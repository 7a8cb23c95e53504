"""The long form: every call cancelled at every wait, and tasks cancelled at random, over asyncio and uvloop in turn."""

from __future__ import annotations

import argparse
import asyncio
import time
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.loop import KINDS, new_loop
from tests.promises.tasks.stress import Stress
from tests.promises.tasks.table import Talk, door, sweep
from zchat.broker import Broker

ROUND_SECONDS = 5.0
"""Seconds of one run of the stress, with a seed of its own."""


async def sweeps(folder: Path) -> int:
    """Cancel every call at every wait; return how often one was cancelled."""
    with door(folder) as place:
        async with Talk(place, "names") as talk:
            names = list(talk.cases())
        return sum([await sweep(place, name, f"room of {name}") for name in names])


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, help="one run of the stress over each, with this seed")
    options = parser.parse_args()
    if options.seed is None:
        for kind in KINDS:
            with TemporaryDirectory() as folder, asyncio.Runner(loop_factory=partial(new_loop, kind)) as runner:
                print(f"{kind}: cancelled {runner.run(sweeps(Path(folder)))} times at chosen waits", flush=True)
    until = time.monotonic() + options.seconds
    seed = options.seed or 1
    while True:
        for kind in KINDS:
            with Broker("tcp://127.0.0.1:*", store="memory:") as broker:
                stress = Stress(broker.url, min(ROUND_SECONDS, options.seconds), seed)
                print(f"{kind}, seed {seed}:", end=" ", flush=True)
                with asyncio.Runner(loop_factory=partial(new_loop, kind)) as runner:
                    runner.run(stress.run())
                print(", ".join(f"{count} {what}" for what, count in sorted(stress.count.items())), flush=True)
        seed += 1
        if options.seed is not None or time.monotonic() > until:
            break


if __name__ == "__main__":
    main()
