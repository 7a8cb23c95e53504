"""Many rooms at once: in each of a hundred ten talk, and each of them is given all that is said there, its own too.

A talker is a client with a thread of its own, or a task of its process' one loop. All begin together: each hands its
messages over at once, then takes until it has everything that was said in its room. Time runs from the word to begin
until the last has all.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from threading import Event, Thread

import zchat
from _contenders import Talker, Zchat, served
from _peers import Peer, installed
from _run import DEADLINE, Failed, Pipe, in_turn, options, report, run, workers

SILENCE = 20.0
"""Seconds without a message after which a talker gives up."""


@dataclass(frozen=True)
class InTasks(Zchat):
    """zchat whose talkers are tasks: by the face for asyncio."""

    def __str__(self) -> str:
        return f"{super().__str__()}, asyncio"


def talk(pipe: Pipe, contender: Zchat | Peer, url: str, rooms: range, talkers: int, each: int, text: str) -> None:
    """Have all talkers of some rooms talk when told to, and say when the last had everything."""
    if isinstance(contender, InTasks):
        asyncio.run(talk_in_tasks(pipe, url, rooms, talkers, each, text))
        return
    ends: list[int] = []
    begin = Event()

    def take_part(room: Talker) -> None:
        begin.wait(DEADLINE)
        room.send_many([text] * each)
        for count, _ in enumerate(room.messages(timeout=SILENCE), 1):
            if count == talkers * each:
                ends.append(time.perf_counter_ns())
                break

    with ExitStack() as stack:
        places = [(room, f"talker {number} of {room}") for room in rooms for number in range(talkers)]
        joined = [stack.enter_context(contender.subscriber(url, user, each, f"Room{room}")) for room, user in places]
        threads = [Thread(target=take_part, args=(room,), daemon=True) for room in joined]
        for thread in threads:
            thread.start()
        pipe.say()
        pipe.hear()
        begin.set()
        for thread in threads:
            thread.join(DEADLINE)
        if len(ends) != len(threads):
            raise Failed(f"{len(threads) - len(ends)} of {len(threads)} talkers lost messages")
        pipe.say(max(ends))
        pipe.wait_for_the_end()


async def talk_in_tasks(pipe: Pipe, url: str, rooms: range, talkers: int, each: int, text: str) -> None:
    """Do what `talk` does, in tasks of one loop."""

    async def take_part(room: zchat.AsyncRoom) -> int:
        await room.send_many([text] * each)
        count = 0
        async for _ in room.messages(timeout=SILENCE):
            count += 1
            if count == talkers * each:
                break
        return time.perf_counter_ns()

    async with AsyncExitStack() as stack:
        joined = []
        for room in rooms:
            for number in range(talkers):
                client = await stack.enter_async_context(zchat.AsyncClient(url, user=f"talker {number} of {room}"))
                joined.append(await client.join(f"Room{room}", echo=True))
        pipe.say()
        await asyncio.to_thread(pipe.hear)
        pipe.say(max(await asyncio.gather(*map(take_part, joined))))
        await asyncio.to_thread(pipe.wait_for_the_end)


def deliveries(contender: Zchat | Peer, arguments: argparse.Namespace) -> dict[str, float]:
    """Return the deliveries a second of one run, and the CPU that each took."""
    rooms, talkers, each = arguments.rooms, arguments.talkers, max(1, arguments.messages // contender.slowness)
    count = rooms * talkers * talkers * each
    bounds = [rooms * number // arguments.processes for number in range(arguments.processes + 1)]
    with workers() as start, served(contender, start) as url:
        shares = [
            start(talk, contender, url, range(*share), talkers, each, "x" * arguments.size)
            for share in pairwise(bounds)
        ]
        for share in shares:
            share.hear()
        before = start.cpu()
        began = time.perf_counter_ns()
        for share in shares:
            share.tell()
        ended = max(share.hear() for share in shares)
        return {"deliveries/s": count / (ended - began) * 1e9, **start.spent(before, count)}


def main() -> None:
    parser = options("Measure deliveries a second in many rooms at once, zchat in turn with its peers.")
    parser.add_argument("--rooms", type=int, default=100)
    parser.add_argument("--talkers", type=int, default=10, help="in each room (default 10)")
    parser.add_argument(
        "--processes", type=int, default=4, help="that the talkers are in (default 4: paho has few files)"
    )
    parser.add_argument("--messages", type=int, default=100, help="of each talker; of slow peers fewer (default 100)")
    arguments = parser.parse_args()
    store = arguments.store
    contenders: list[Zchat | Peer] = [InTasks(store, echo=True), *installed(), Zchat(store, echo=True)]
    report(
        f"deliveries a second: in each of {arguments.rooms} rooms {arguments.talkers} talk, "
        f"{arguments.messages} messages of {arguments.size} bytes each",
        in_turn({str(each): partial(deliveries, each, arguments) for each in contenders}, arguments.rounds),
        arguments.json,
    )


if __name__ == "__main__":
    run(main)
