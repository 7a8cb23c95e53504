"""How soon a change of a room's state is at every member, while the room carries half of the load it can, and at rest.

First a publisher sends as fast as it can to the members, who take every event: that is the load the
room can carry. Then it sends at half that rate, and visitors come one after the other, type, read and
leave. A sample is the time from just before a visitor's call to the moment at which one member's
`events()` gives the event: with a hundred members each change is a hundred samples. A change that a
member is not told ends the run with an error, and so does a pace that could not be kept.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from itertools import pairwise
from math import inf
from threading import Thread

import zchat
from _contenders import ROOM, Zchat, paced, served
from _run import DEADLINE, Failed, Pipe, Worker, in_turn, options, report, run, workers
from zchat.events import MemberJoined, MemberLeft, ReadMark, Typing
from zchat.messages import Message

SILENCE = 20.0
"""Seconds without an event after which a member gives up: something is lost or stuck."""

TOGETHER = 500
"""Messages that the publisher makes between two looks at the clock, if it is paced: about what its blocks hold at full
speed. In smaller ones half of the messages would be more than half of the work: each costs every member the same."""

REST = 0.1
"""Seconds between two acts of a visitor: each is reported by itself, not together with the one before."""

SETTLE = 1.0
"""Seconds between the last change and the message that ends the run, which could overtake it."""

SLOWEST = 1.2
"""How many times as long as planned the publisher may take at half load: beyond it, it wasn't half."""

LAST = "the last one"

KINDS = {MemberJoined: "came", Typing: "types", ReadMark: "read", MemberLeft: "left"}


def publish(pipe: Pipe, url: str, size: int, messages: int, rate: float) -> None:
    """Send when told to, `rate` messages a second (0: all it can); say how long it took."""
    with zchat.Client(url, user="publisher") as client:
        room = client.join(ROOM)
        text = "x" * size
        room.send("something to mark as read")
        pipe.say()
        pipe.hear()
        began = time.monotonic()
        room.send_many(paced(text, messages, rate, TOGETHER), timeout=DEADLINE)
        pipe.say(time.monotonic() - began)
        pipe.hear()
        room.send(LAST)
        pipe.wait_for_the_end()


def take(pipe: Pipe, url: str, numbers: range, messages: int) -> None:
    """Take all events with a thread a member; say when all have all messages, then when each change was reported."""
    full: list[float] = []
    told: list[tuple[str, str, str, int]] = []

    def one(client: zchat.Client) -> None:
        count = 0
        for event in client.events(timeout=SILENCE):
            if isinstance(event, Message):
                count += 1
                if count == messages + 1:
                    full.append(time.monotonic())
                if event.body == LAST:
                    break
            elif type(event) in KINDS and not (isinstance(event, Typing) and not event.active):
                told.append((client.user, KINDS[type(event)], getattr(event, "user", ""), time.perf_counter_ns()))

    with ExitStack() as stack:
        clients = [stack.enter_context(zchat.Client(url, user=f"member {number}")) for number in numbers]
        for client in clients:
            client.join(ROOM)
        threads = [Thread(target=one, args=(client,), daemon=True) for client in clients]
        for thread in threads:
            thread.start()
        pipe.say()
        for thread in threads:
            thread.join(DEADLINE)
        if messages and len(full) != len(numbers):
            raise Failed(f"of {len(numbers)} members {len(full)} have all messages")
        pipe.say((max(full, default=0.0), [each for each in told if each[2].startswith("visitor")]))
        pipe.wait_for_the_end()


def visit(pipe: Pipe, url: str, visits: int) -> None:
    """Come, type, read and leave as one user after the other, when told to; say when each was called."""
    called: list[tuple[str, str, int]] = []
    pipe.say()
    pipe.hear()
    for number in range(visits):
        user = f"visitor {number}"
        with zchat.Client(url, user=user) as client:
            time.sleep(REST)
            called.append(("came", user, time.perf_counter_ns()))
            room = client.join(ROOM)
            time.sleep(REST)
            called.append(("types", user, time.perf_counter_ns()))
            room.typing()
            time.sleep(REST)
            called.append(("read", user, time.perf_counter_ns()))
            room.mark_read(1)
            time.sleep(REST)
            called.append(("left", user, time.perf_counter_ns()))
            room.leave()
    pipe.say(called)
    pipe.wait_for_the_end()


def join(arguments: argparse.Namespace, start: Callable[..., Worker], url: str, messages: int) -> list[Worker]:
    """Start the members, in processes; returns once all are in the room."""
    count = arguments.processes
    shares = pairwise(arguments.members * number // count for number in range(count + 1))
    workers = [start(take, url, range(*share), messages) for share in shares]
    for worker in workers:
        worker.hear()
    return workers


def capacity(arguments: argparse.Namespace) -> float:
    """Return how many messages a second the room can carry to all members."""
    with workers() as start, served(Zchat(arguments.store), start) as url:
        members = join(arguments, start, url, arguments.messages)
        publisher = start(publish, url, arguments.size, arguments.messages, 0.0)
        publisher.hear()
        began = time.monotonic()
        publisher.ask()
        publisher.tell()
        return float(arguments.messages / (max(worker.hear()[0] for worker in members) - began))


def changes(arguments: argparse.Namespace, share: float) -> dict[str, float]:
    """Return how long changes took, in milliseconds, at that share of what the room can carry."""
    rate = share * capacity(arguments) if share else 0.0
    seconds = arguments.visits * (4 * REST + 0.1) + 1
    messages = int(rate * seconds)
    with workers() as start, served(Zchat(arguments.store), start) as url:
        members = join(arguments, start, url, messages)
        publisher = start(publish, url, arguments.size, messages, rate)
        publisher.hear()
        visitor = start(visit, url, arguments.visits)
        visitor.hear()
        publisher.tell()
        called = visitor.ask()
        took = publisher.hear()
        time.sleep(SETTLE)
        publisher.tell()
        told = [each for worker in members for each in worker.hear()[1]]
    if took > SLOWEST * seconds:
        raise Failed(f"{messages:,} messages took {took:.1f} s, not {seconds:.1f}: the pace could not be kept")
    delays = sorted(_delays(called, told, arguments.members))
    return {
        "p99 ms": delays[len(delays) * 99 // 100],
        "p50 ms": delays[len(delays) // 2],
        "longest ms": delays[-1],
        "messages/s": rate,
    }


def _delays(called: list[tuple[str, str, int]], told: list[tuple[str, str, str, int]], members: int) -> Iterator[float]:
    """Yield the milliseconds of each change to each member; one that was conflated came with what came next.

    Infinity for a visitor of whom a member received nothing, so late that coming and leaving were the same.
    """
    at = {(member, kind, user): when for member, kind, user, when in told}
    for member in {each[0] for each in told}:
        known = inf
        for kind, user, when in reversed(called):
            if kind == "left":
                known = inf  # what comes next is another visitor
            known = at.get((member, kind, user), known)
            if known == inf and (member, "came", user) in at:
                raise Failed(f"{member} was not told that {user} {kind}")
            yield (known - when) / 1e6
    if len({each[0] for each in told}) != members:
        raise Failed("a member received nothing")


def main() -> None:
    parser = options("Measure how soon a change of a room's state is at every member.")
    parser.add_argument("--members", type=int, default=100)
    parser.add_argument("--processes", type=int, default=10, help="that the members are in (default 10)")
    parser.add_argument("--messages", type=int, default=20_000, help="messages that find the load (default 20000)")
    parser.add_argument("--visits", type=int, default=20, help="visitors in a run, four changes each (default 20)")
    arguments = parser.parse_args()
    report(
        f"a change of state at each of {arguments.members} members, in processes {arguments.processes}, "
        f"visits {arguments.visits}, store {arguments.store}",
        in_turn(
            {"half load": partial(changes, arguments, 0.5), "at rest": partial(changes, arguments, 0.0)},
            arguments.rounds,
        ),
        arguments.json,
    )


if __name__ == "__main__":
    run(main)
