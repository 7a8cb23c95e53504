"""History: one client reads a whole room from the SQLite store, page by page."""

from __future__ import annotations

import time

import zchat
from _contenders import ROOM, Zchat, served
from _run import Failed, Pipe, in_turn, options, report, run, workers


def fill(pipe: Pipe, url: str, size: int, messages: int) -> None:
    """Send all messages and say that they are stored."""
    text = "x" * size
    with zchat.Client(url, user="writer") as client:
        client.join(ROOM).send_many(text for _ in range(messages))
    pipe.say()


def read(pipe: Pipe, url: str, limit: int, messages: int) -> None:
    """Read the room from its beginning whenever told to, and say how many nanoseconds it took."""
    with zchat.Client(url, user="reader") as client:
        pipe.say()
        while True:
            pipe.hear()
            start = time.perf_counter_ns()
            last = 0
            while page := client.history(ROOM, after=last, limit=limit):
                if [message.seq for message in page] != list(range(last + 1, last + 1 + len(page))):
                    raise Failed(f"the page after {last:,} has holes")
                last = page[-1].seq
            if last != messages:
                raise Failed(f"{messages:,} messages are stored, history ended at {last:,}")
            pipe.say(time.perf_counter_ns() - start)


def main() -> None:
    parser = options("Measure how fast one client reads a whole room.")
    parser.add_argument("--messages", type=int, default=1_000_000, help="messages in the room (default 1000000)")
    parser.add_argument("--limit", type=int, default=1000, help="messages a call (default 1000)")
    parser.set_defaults(store="sqlite")
    arguments = parser.parse_args()
    with workers() as start, served(Zchat(arguments.store), start) as url:
        start(fill, url, arguments.size, arguments.messages).hear()
        reader = start(read, url, arguments.limit, arguments.messages)
        reader.hear()

        def measure() -> dict[str, float]:
            return {"messages/s": arguments.messages / reader.ask() * 1e9}

        rows = in_turn({str(Zchat(arguments.store)): measure}, arguments.rounds)
    report(
        f"history of {arguments.messages:,} messages of {arguments.size} bytes, limit {arguments.limit}",
        rows,
        arguments.json,
    )


if __name__ == "__main__":
    run(main)
