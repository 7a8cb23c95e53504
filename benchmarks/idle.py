"""What a broker costs while nobody says anything: its CPU time with clients that only listen."""

from __future__ import annotations

import time
from contextlib import ExitStack

import zchat
from _contenders import ROOM, Zchat
from _run import Pipe, in_turn, options, report, run, store_url, workers

SETTLE = 5.0
"""Seconds between the last client's joining and the first round: the greetings are not idleness."""


def serve(pipe: Pipe, store: str) -> None:
    """Run a broker; say its url, then its CPU seconds whenever asked."""
    with Zchat(store).broker(store) as broker:
        pipe.say(broker.url)
        while True:
            pipe.hear()
            pipe.say(time.process_time())


def listen(pipe: Pipe, url: str, count: int) -> None:
    """Connect clients, each in a room, and leave them be."""
    with ExitStack() as stack:
        for number in range(count):
            stack.enter_context(zchat.Client(url, user=f"listener {number}")).join(ROOM)
        pipe.say()
        pipe.wait_for_the_end()


def main() -> None:
    parser = options("Measure what an idle broker costs.")
    parser.add_argument("--clients", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=30.0, help="seconds a round (default 30)")
    parser.set_defaults(rounds=1)
    arguments = parser.parse_args()
    with store_url(arguments.store) as store, workers() as start:
        broker = start(serve, store)
        start(listen, broker.hear(), arguments.clients).hear()

        def measure() -> dict[str, float]:
            used, began = broker.ask(), time.perf_counter()
            time.sleep(arguments.seconds)
            return {"% of a core": (broker.ask() - used) / (time.perf_counter() - began) * 100}

        time.sleep(SETTLE)
        rows = in_turn({str(Zchat(arguments.store)): measure}, arguments.rounds)
    report(f"an idle broker with {arguments.clients} clients over {arguments.seconds:.0f} s", rows, arguments.json)


if __name__ == "__main__":
    run(main)
