"""zchat's two clients, with threads and with asyncio, and nats-py beside them: speed, latency, memory.

Every kind in turn within a run, so that all have the same machine. Servers, writers and readers are processes of their
own; all readers are in one, with a thread each or in one loop. zchat's messages are stored, in memory if nothing else
is said, and what is sent is acknowledged; nats-py's are neither, but for the sends at once, which go into a stream
in memory. A message lost or delivered twice ends the run with an error.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from functools import partial
from importlib.util import find_spec

from _faces import WAYS, Kind, Tasks, Threads, call
from _nats import Nats
from _run import Disturbed, in_turn, options, report, run, workers

WARM_UP = 200
"""Messages at the beginning that don't count for latency: connections, caches and clocks settle."""

SLOWEST = 1.5
"""How many times as long as planned a run may take: beyond it, it wasn't one message a millisecond."""

SLOWER = 8
"""How many times fewer messages nats-py is given to deliver than zchat, so that it takes about as long."""

TABLES = ("deliveries", "latency", "sends", "idle")


def deliveries(kind: Kind, readers: int, messages: int, text: str) -> dict[str, float]:
    """Return the deliveries a second of one run, and what each costs the readers' process."""
    if isinstance(kind, Nats):
        messages = max(1, messages // SLOWER)
    with workers() as first, kind.served(first) as url, workers() as start:
        reader = start(call, kind, "read", url, readers, messages)
        reader.hear()
        writer = start(call, kind, "publish", url, text, messages)
        writer.hear()
        began = writer.ask()
        end, used = reader.hear()
    total = messages * readers
    return {"deliveries/s": total / (end - began) * 1e9, "reader's CPU ns": used / total}


def latency(writing: Kind, reading: Kind, size: int, messages: int, loose: bool) -> dict[str, float]:
    """Return how long messages were under way at one a millisecond, and how long a call took, in microseconds."""
    messages += WARM_UP
    with workers() as first, reading.served(first) as url, workers() as start:
        reader = start(call, reading, "hear", url, messages)
        reader.hear()
        writer = start(call, writing, "say", url, size, messages)
        writer.hear()
        slow, took = writer.ask()
        delays = sorted(reader.hear()[WARM_UP:])
    if slow > SLOWEST and not loose:
        raise Disturbed(f"the pace could not be kept: a run took {slow:.1f} times as long as planned")
    calls = sorted(took[WARM_UP:])
    return {
        "p50 µs": delays[len(delays) // 2] / 1000,
        "p99 µs": delays[len(delays) * 99 // 100] / 1000,
        "p50 µs of send": calls[len(calls) // 2] / 1000,
    }


def sends(kind: Kind, together: int, messages: int, text: str) -> dict[str, float]:
    """Return the acknowledged sends a second of one run."""
    messages -= messages % together
    with workers() as first, kind.served(first) as url, workers() as start:
        took = start(call, kind, "send", url, text, messages, together).hear()
    return {"acknowledged/s": messages / took * 1e9}


def idle(kind: Kind, clients: int) -> dict[str, float]:
    """Return what each of many clients in one process costs."""
    with workers() as first, kind.served(first) as url, workers() as start:
        cost: dict[str, float] = start(call, kind, "idle", url, clients).hear()
    return cost


def kinds(store: str, ways: Sequence[str]) -> list[Kind]:
    """Return the kinds that can run here, the one that all are compared with at the end."""
    found: list[Kind] = []
    loops = ["uvloop", "asyncio"] if find_spec("uvloop") else ["asyncio"]
    if not Nats.missing():
        found += [Nats(loop) for loop in loops]
    found += [Tasks(way, loop, store) for loop in loops for way in reversed(ways)]
    return [*found, *(Threads(way, store) for way in reversed(ways))]


def pairs(store: str) -> dict[str, tuple[Kind, Kind]]:
    """Return who writes and who reads where latency is measured, by name."""
    usual = kinds(store, WAYS[:1])
    writer = usual[-1]
    found = {str(kind) if isinstance(kind, Nats) else f"{kind} > {kind}": (kind, kind) for kind in usual[:-1]}
    found |= {f"{writer} > {kind}": (writer, kind) for kind in usual if not isinstance(kind, Nats)}
    return found


def tables(arguments: argparse.Namespace) -> dict[str, dict[str, Callable[[], dict[str, float]]]]:
    """Return what is run for each table, by title and kind."""
    store, size, text = arguments.store, arguments.size, "x" * arguments.size
    each = {kind: str(kind) for kind in kinds(store, WAYS[:1])}
    found: dict[str, dict[str, Callable[[], dict[str, float]]]] = {}
    if "deliveries" in arguments.tables:
        for readers in arguments.readers:
            count = arguments.messages or max(20_000, min(500_000, 3_000_000 // readers))
            found[f"deliveries a second: readers {readers}, messages {count:,} of {size} bytes"] = {
                str(kind): partial(deliveries, kind, readers, count, text) for kind in kinds(store, WAYS)
            }
    if "latency" in arguments.tables:
        count = arguments.messages or 2_000
        found[f"latency, one message of {size} bytes a millisecond, writer > reader"] = {
            name: partial(latency, writing, reading, size, count, arguments.loose)
            for name, (writing, reading) in pairs(store).items()
        }
    if "sends" in arguments.tables:
        for together in arguments.together:
            count = arguments.messages or {1: 3_000, 50: 15_000}.get(together, 30_000)
            found[f"acknowledged sends a second, at once {together}, messages {count:,} of {size} bytes"] = {
                name: partial(sends, kind, together, count, text) for kind, name in each.items()
            }
    if "idle" in arguments.tables:
        found[f"what a client costs, {arguments.clients} in one process, joined and idle"] = {
            name: partial(idle, kind, arguments.clients) for kind, name in each.items()
        }
    return found


def main() -> None:
    parser = options("Compare zchat's clients with threads and with asyncio, and nats-py.")
    parser.add_argument("--tables", nargs="+", choices=TABLES, default=TABLES, help="which to make (default all)")
    parser.add_argument("--readers", nargs="+", type=int, default=[1, 10], help="of deliveries (default 1 and 10)")
    parser.add_argument("--together", nargs="+", type=int, default=[1, 50, 1000], help="sends (default 1, 50 and 1000)")
    parser.add_argument("--clients", type=int, default=300, help="that are idle (default 300)")
    parser.add_argument("--messages", type=int, help="in a round (default: for a few seconds)")
    parser.add_argument("--loose", action="store_true", help="go on where the pace isn't kept, to see that it runs")
    parser.add_argument("--kinds", nargs="+", help="only these, by their names in the tables")
    arguments = parser.parse_args()
    if missing := Nats.missing():
        print(f"without nats-py's figures: {missing} not installed", file=sys.stderr)
    if not find_spec("uvloop"):
        print("without uvloop's figures: uvloop not installed", file=sys.stderr)
    for title, contenders in tables(arguments).items():
        chosen = {name: each for name, each in contenders.items() if not arguments.kinds or name in arguments.kinds}
        if chosen:
            report(title, in_turn(chosen, arguments.rounds), arguments.json)


if __name__ == "__main__":
    run(main)
