"""The long form: brokers in processes of their own under all hostile inputs at once, beside honest clients.

python -m tests.attacks.long --minutes 5

One broker has no keys, the other one has. An input is a connection with all that it says, a handshake with encryption
that goes wrong, a message in a session as the broker counts it (those that come after a session has ended are not), or
a flood (hundreds of frames and more, then a reset), which counts as one. In three rounds the same is done; a broker's
memory after the last is compared with that after the one before, when sessions have expired: what it has taken
once (the newest blocks of rooms, who connections were) it uses again.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import quantiles

from tests.attacks.honest import HONEST, Heard, talk
from tests.attacks.mutations import Mallory
from tests.attacks.place import Approach, make_keys
from tests.promises.faults.processes import Memory, Pipe, Served, Worker
from tests.running import eventually

MALLORIES = tuple(f"mallory {number}" for number in range(8))
"""The hostile users at each broker: with keys each may make ten handshakes a second."""

CONNECTIONS = 10
"""Connections that each of them makes between two batches of frames."""

FLOODS = 0.01
"""How often one of them is followed by a flood."""

MEMORY = 0.05
"""What a broker's memory may grow by in the last round."""

ALLOCATOR = {"MALLOC_TRIM_THRESHOLD_": "0", "MALLOC_MMAP_THRESHOLD_": "65536"}
"""The brokers' allocator (glibc) returns what is free; memory is what they use, not their peak."""

RETAINED = "1000"
"""Messages that a room keeps: what hostile clients are allowed to store is no leak."""

COUNTS = ("lost_before_greeting", "turned_away_", "cut_", "frames", "greeted", "expired")
"""How the counts begin that are printed."""


@dataclass
class Side:
    """One broker, the way to it, and those who come to it."""

    name: str
    broker: Served
    approach: Approach
    rounds: list[int] = field(default_factory=list)
    """Its memory after each round, in bytes."""
    sent: Counter[str] = field(default_factory=Counter)
    """What was sent, by kind."""
    read: int = 0
    """The messages that the broker has counted."""

    @property
    def inputs(self) -> int:
        """Return how many inputs there were."""
        return self.sent["connections"] + self.sent["handshakes"] + self.sent["floods"] + self.read

    heard: list[Heard] = field(default_factory=list)
    """What honest clients had of each other in each round."""


def besiege(pipe: Pipe, approach: Approach, seed: int) -> None:
    """Attack until told to stop, then say what was sent."""
    mallories = [Mallory(approach, seed + number, user) for number, user in enumerate(MALLORIES)]
    chance = random.Random(seed)
    pipe.say("ready")
    while True:
        for mallory in mallories:
            mallory.speak()
            for _ in range(CONNECTIONS):
                mallory.connect()
            if approach.server:
                mallory.shake_hands()
            if chance.random() < FLOODS:
                mallory.flood()
        if pipe.hear() is not None:
            break
    for mallory in mallories:
        mallory.close()
    pipe.say("done", sum((Counter(mallory.sent) for mallory in mallories), Counter()))


def round_of(sides: list[Side], seed: int, seconds: float) -> None:
    """Attack all brokers at once for so long; what came of it is added to the sides."""
    with ExitStack() as stack:
        workers: list[tuple[Side, Worker, Worker]] = []
        for number, side in enumerate(sides):
            honest = Worker(talk, side.approach)
            stack.callback(honest.stop)
            hostile = Worker(besiege, side.approach, seed + len(MALLORIES) * number)
            stack.callback(hostile.stop)
            workers.append((side, honest, hostile))
        for _, honest, hostile in workers:
            honest.until("ready")
            hostile.until("ready")
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            dead = [side.name for side in sides if not side.broker.alive]
            assert not dead, f"the broker {dead[0]} has ended"
            time.sleep(0.1)
        for side, honest, hostile in workers:
            hostile.tell("stop")
            side.sent += hostile.until("done")
            honest.tell("stop")
            side.heard.append(honest.until("done"))


def settle(side: Side) -> dict[str, int]:
    """Wait until a broker has no session but one, and take down its memory; returns its counts."""
    with side.approach.client(HONEST[0]) as client:
        eventually(lambda: client.stats().counts["sessions"] == 1, "hostile sessions have expired")
        side.rounds.append(Memory(side.broker.pid).now)
        side.read = client.stats().counts["frames"]
        return {name: count for name, count in client.stats().counts.items() if name.startswith(COUNTS)}


def attack(folder: Path, seed: int, seconds: float, rounds: int) -> list[Side]:
    """Start two brokers, attack them in rounds of so many seconds, and stop them; returns what came of it."""
    pairs, server = make_keys(folder / "keys", (*HONEST, *MALLORIES))
    with ExitStack() as stack:
        sides = []
        for name, options in (("without keys", ()), ("with keys", ("--keys", str(folder / "keys")))):
            (folder / name).mkdir()
            broker = Served(folder / name, "--retain-messages", RETAINED, *options)
            stack.callback(broker.forget)
            broker.start()
            approach = Approach(broker.url, pairs, server) if options else Approach(broker.url, {})
            sides.append(Side(name, broker, approach))
        for number in range(rounds):
            round_of(sides, seed + 1000 * number, seconds)
            if rounds == 1:
                break
            for side in sides:
                counts = settle(side)
                print(f"round {number + 1}, {side.name}: {line_of(side)}", flush=True)
                print("  " + ", ".join(f"{name} {count:,}" for name, count in counts.items() if count), flush=True)
        for side in sides:
            side.broker.stop()
    return sides


def line_of(side: Side) -> str:
    """Return what came of a round, in words."""
    heard = side.heard[-1]
    cuts = quantiles(heard.seconds, n=100)
    kinds = ", ".join(f"{name} {count:,}" for name, count in side.sent.items())
    return (
        f"{kinds}, messages {side.read:,}; honest messages {heard.number * len(HONEST):,}, "
        f"p50 {cuts[49] * 1000:.1f} ms, p99 {cuts[98] * 1000:.1f} ms, longest {max(heard.seconds) * 1000:.0f} ms; "
        f"memory {side.rounds[-1] / 1e6:.1f} MB"
    )


def main() -> None:
    """Attack in rounds; exits 1 if anything was found wrong."""
    parser = argparse.ArgumentParser(description="Attack real brokers beside honest clients, for minutes.")
    parser.add_argument("--minutes", type=float, default=5.0, help="of all rounds together (default 5)")
    parser.add_argument("--rounds", type=int, default=3, help="the last two are compared (default 3)")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    arguments = parser.parse_args()
    if arguments.rounds < 2:
        parser.error("the last two rounds are compared: --rounds 2 at least")
    print(f"seed {arguments.seed}", flush=True)
    os.environ |= ALLOCATOR  # the brokers'
    with tempfile.TemporaryDirectory(prefix="zchat-attack-") as folder:
        sides = attack(Path(folder), arguments.seed, arguments.minutes * 60 / arguments.rounds, arguments.rounds)
    print(f"inputs: {sum(side.inputs for side in sides):,}")
    wrong = False
    for side in sides:
        before, after = side.rounds[-2:]
        print(f"{side.name}: memory {before / 1e6:.1f} MB before the last round, {after / before - 1:+.1%} after it")
        wrong |= after > before * (1 + MEMORY)
    sys.exit(wrong)


if __name__ == "__main__":
    main()
