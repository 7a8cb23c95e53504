"""One way at half load: how long messages are under way while each contender carries half of what it can.

First it sends all it can, which says what that is; then half as many a second, in a burst a millisecond, or as soon as
the one before is acknowledged. A message's time begins when it is due, so that what waits to be sent counts too.
"""

from __future__ import annotations

import argparse
import time
from functools import partial

from _contenders import Contender, Yardstick, Zchat, served
from _peers import installed
from _run import Failed, Pipe, in_turn, options, percentiles, report, run, workers

BURST_EVERY = 0.001
"""Seconds between two bursts."""

SILENCE = 20.0
"""Seconds without a message after which the reader gives up."""

clock = time.perf_counter_ns


def publish(pipe: Pipe, contender: Contender, url: str, size: int, messages: int, rate: float) -> None:
    """Send all messages when told to, so many a second (0: as fast as can be); say when it began."""
    with contender.publisher(url, "writer") as room:
        pipe.say()
        pipe.hear()
        began = clock()
        sent = 0
        if not rate:
            sent = room.send_many(f"{clock():0{size}}" for _ in range(messages))
        while sent < messages:
            due = min(messages, int((clock() - began) * rate / 1e9))
            if due > sent:
                burst = [f"{began + int(number * 1e9 / rate):0{size}}" for number in range(sent, due)]
                if isinstance(contender, Yardstick):  # its readers acknowledge halves of windows alone
                    for text in burst:
                        room.send(text)
                else:
                    room.send_many(burst)
                sent = due
            else:
                time.sleep(BURST_EVERY)
        pipe.say(began)
        pipe.wait_for_the_end()


def subscribe(pipe: Pipe, contender: Contender, url: str, messages: int) -> None:
    """Take all messages; say how long each was under way, and when the last came."""
    with contender.subscriber(url, "reader", messages) as room:
        pipe.say()
        delays = []
        for message in room.messages(timeout=SILENCE):
            delays.append(clock() - int(message[4]))
            if len(delays) == messages:
                break
        ended = clock()
        if len(delays) < messages:
            raise Failed(f"{messages:,} messages were sent, {len(delays):,} came")
        pipe.say((ended, percentiles(delays)))
        pipe.wait_for_the_end()


def once(contender: Contender, size: int, messages: int, rate: float) -> tuple[float, dict[str, float]]:
    """Return the messages a second of one run, and how long they were under way, with the CPU that each took."""
    with workers() as start, served(contender, start) as url:
        reader = start(subscribe, contender, url, messages)
        reader.hear()  # plain pyzmq's window begins with those who are there
        writer = start(publish, contender, url, size, messages, rate)
        writer.hear()
        before = start.cpu()
        began = writer.ask()
        ended, delays = reader.hear()
        return messages / (ended - began) * 1e9, delays | start.spent(before, messages)


def half(contender: Contender, arguments: argparse.Namespace) -> dict[str, float]:
    """Return the figures at half load of one run, and which load that was."""
    most, _ = once(contender, arguments.size, max(1, arguments.messages // contender.slowness), 0)
    messages = max(10, int(most / 2 * arguments.seconds))
    _, figures = once(contender, arguments.size, messages, most / 2)
    return figures | {"messages/s": most / 2}


def main() -> None:
    parser = options("Measure latency at half load, zchat in turn with its peers and plain pyzmq.")
    parser.add_argument("--messages", type=int, default=300_000, help="messages of the run at full load")
    parser.add_argument("--seconds", type=float, default=2.0, help="of the run at half load (default 2)")
    arguments = parser.parse_args()
    contenders: list[Contender] = [Zchat(arguments.store), *installed(), Yardstick()]
    report(
        f"latency from when a message of {arguments.size} bytes is due to messages(), at half of what each can carry",
        in_turn({str(each): partial(half, each, arguments) for each in contenders}, arguments.rounds),
        arguments.json,
    )


if __name__ == "__main__":
    run(main)
