"""Lives of clients at the mercy of a hostile broker, by their seeds: `python -m tests.attacks.run --seeds 100000`."""

from __future__ import annotations

import argparse
import logging

from tests.attacks.victim import Victim

TURNS = 150
"""What happens in one life, at most."""


def live(seed: int) -> None:
    """Let a client live; whatever fails names the seed."""
    victim = Victim(seed)
    try:
        for _ in range(TURNS):
            victim.turn()
            if victim.core.over:
                break
        victim.close()
    except BaseException as error:
        error.add_note(f"seed {seed}")
        raise


def main() -> None:
    """Try many seeds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10_000, help="how many lives")
    parser.add_argument("--first", type=int, default=0, help="the seed of the first")
    given = parser.parse_args()
    logging.getLogger("zchat.client").setLevel(logging.ERROR)  # what a broker refuses is a warning
    for seed in range(given.first, given.first + given.seeds):
        live(seed)
    print(f"{given.seeds:,} clients have lived with a hostile broker")


if __name__ == "__main__":
    main()
