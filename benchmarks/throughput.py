"""Deliveries a second: publishers send as fast as they can, every subscriber takes every message.

Broker, publishers and subscribers are processes of their own; each subscriber is a client with
a thread that takes messages. Time runs from the first send to the moment at which the last
subscriber has its last message. A message lost or delivered twice ends the run with an error.
"""

from __future__ import annotations

import argparse
import time
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from functools import partial
from threading import Thread

import zchat
from _contenders import Contender, Subscriber, Yardstick, Zchat, key_folder, served
from _peers import installed
from _run import DEADLINE, STORES, Failed, Pipe, in_turn, options, report, run, workers

SILENCE = 20.0
"""Seconds without a message after which a subscriber gives up: something is lost or stuck."""


@dataclass(frozen=True)
class ByBatches(Zchat):
    """zchat whose subscribers take `batches()`: the numbers and bodies of each."""

    def __str__(self) -> str:
        return f"{super().__str__()}, batches()"


def publish(pipe: Pipe, contender: Contender, url: str, user: str, text: str, messages: int) -> None:
    """Send all messages when told to, and say when the first was sent."""
    with contender.publisher(url, user) as room:
        pipe.say()
        pipe.hear()
        start = time.perf_counter_ns()
        stored = room.send_many(text for _ in range(messages))
        if stored != messages:
            raise Failed(f"{user} sent {messages:,} messages, {stored:,} were stored")
        pipe.say(start)
        pipe.wait_for_the_end()


def subscribe(pipe: Pipe, contender: Contender, url: str, users: list[str], last: int, total: int, seqs: int) -> None:
    """Take all messages with a thread a subscriber, and say when the last subscriber had its last."""
    ends: list[int] = []
    with ExitStack() as stack:
        rooms = [stack.enter_context(contender.subscriber(url, user, last)) for user in users]
        take = _take_batches if isinstance(contender, ByBatches) else _take
        threads = [Thread(target=take, args=(room, total, seqs, ends), daemon=True) for room in rooms]
        for thread in threads:
            thread.start()
        pipe.say()
        for thread in threads:
            thread.join(DEADLINE)
        if len(ends) != len(users):
            raise Failed(f"{len(users) - len(ends)} of {len(users)} subscribers lost messages")
        pipe.say(max(ends))
        pipe.wait_for_the_end()


def _take(room: Subscriber, total: int, seqs: int, ends: list[int]) -> None:
    count = seen = 0
    for message in room.messages(timeout=SILENCE):
        count += 1
        seen += message[1]
        if count == total:
            break
    if (count, seen) == (total, seqs):
        ends.append(time.perf_counter_ns())


def _take_batches(room: zchat.Room, total: int, seqs: int, ends: list[int]) -> None:
    count = seen = 0
    for batch in room.batches(timeout=SILENCE):
        count += len(batch.bodies)
        seen += sum(batch.seqs)
        if count >= total:
            break
    if (count, seen) == (total, seqs):
        ends.append(time.perf_counter_ns())


def deliveries(contender: Contender, arguments: argparse.Namespace) -> dict[str, float]:
    """Return the deliveries a second of one run."""
    publishers, subscribers = arguments.publishers, arguments.subscribers
    each = max(1, arguments.messages // contender.slowness // publishers)
    total = each * publishers
    # zchat numbers the messages of a room, the yardstick those of a publisher: no number twice, none left out
    seqs = publishers * each * (each + 1) // 2 if isinstance(contender, Yardstick) else total * (total + 1) // 2
    users = _readers(arguments)
    shares = [users[number :: arguments.subscriber_processes] for number in range(arguments.subscriber_processes)]
    text = "x" * arguments.size
    with workers() as start, served(contender, start) as url:
        readers = [start(subscribe, contender, url, share, each, total, seqs) for share in shares if share]
        for worker in readers:
            worker.hear()
        writers = [start(publish, contender, url, user, text, each) for user in _writers(arguments)]
        for worker in writers:
            worker.hear()
        before = start.cpu()
        for worker in writers:
            worker.tell()
        first = min(worker.hear() for worker in writers)
        last = max(worker.hear() for worker in readers)
        count = total * subscribers
        return {"deliveries/s": count / (last - first) * 1e9, **start.spent(before, count)}


def _readers(arguments: argparse.Namespace) -> list[str]:
    return [f"reader {number}" for number in range(arguments.subscribers)]


def _writers(arguments: argparse.Namespace) -> list[str]:
    return [f"writer {number}" for number in range(arguments.publishers)]


def main() -> None:
    parser = options("Measure deliveries a second, zchat in turn with its peers and plain pyzmq.")
    parser.add_argument("--publishers", type=int, default=1)
    parser.add_argument("--subscribers", type=int, default=10)
    parser.add_argument("--subscriber-processes", type=int, default=1)
    parser.add_argument("--messages", type=int, help="messages in all (default: for about 2,000,000 deliveries)")
    parser.add_argument("--stores", action="store_true", help="run zchat with all stores in turn")
    parser.add_argument("--keys", action="store_true", help="run zchat with keys and without in turn")
    parser.add_argument("--window", type=int, default=Yardstick.window, help="of the yardstick, in messages")
    parser.add_argument("--only", choices=["zchat", "yardstick"], help="leave the others out")
    arguments = parser.parse_args()
    if arguments.messages is None:
        arguments.messages = max(20_000, min(500_000, 2_000_000 // arguments.subscribers))

    stores = list(STORES) if arguments.stores else [arguments.store]
    with key_folder([*_readers(arguments), *_writers(arguments)]) if arguments.keys else nullcontext() as folder:
        contenders: list[Contender] = []
        if arguments.only != "yardstick":
            contenders += [Zchat(store, keys) for store in stores for keys in ([folder, None] if folder else [None])]
        if arguments.only is None:
            contenders += [ByBatches(store) for store in stores]
            contenders += installed()
        if arguments.only != "zchat":
            contenders.append(Yardstick(arguments.window, arguments.publishers))
        rows = in_turn({str(each): partial(deliveries, each, arguments) for each in contenders}, arguments.rounds)
    report(
        f"deliveries a second: publishers {arguments.publishers}, subscribers {arguments.subscribers} "
        f"in processes {arguments.subscriber_processes}, messages {arguments.messages:,} of {arguments.size} bytes",
        rows,
        arguments.json,
    )


if __name__ == "__main__":
    run(main)
