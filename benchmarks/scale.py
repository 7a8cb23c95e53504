"""What many brokers on one Redis cost, measured small and computed large: docs/scale.md has the reasoning.

Measured are the unit costs: of a message at the Redis, with several brokers that listen; of a notice and of a block of
another one at a broker; of a delivery to a member; of a room in a broker's memory. From these follow the loads of one
room of a million members over 100 brokers, and of a million rooms over 10.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from mmap import PAGESIZE
from threading import Event
from typing import Any

import zchat
from _contenders import ROOM
from _run import DEADLINE, Failed, Pipe, machine, options, run, store_url, workers
from crowd import Crowd, Heard
from opening import Nobody, fill, opening
from zchat.broker import Broker
from zchat.broker.store import open_store
from zchat.broker.store.contract import Append, Present, Stored
from zchat.broker.store.redis.connections.server import Connection
from zchat.broker.store.redis.connections.url import parse
from zchat.protocol.faces.inbox import Inbox
from zchat.protocol.rooms.membership import Membership
from zchat.threads import Bell
from zchat.wire.blocks import join_bodies
from zchat.wire.values import pack

FEW, MANY = 1, 6
"""Brokers that listen in the two runs from whose difference the cost of one follows."""

SMALL, LARGE = 50, 500
"""Members of a room in the two runs from whose difference the cost of a delivery follows."""

MESSAGES = 40
"""Messages in a run of deliveries."""

APART = 0.1
"""Seconds between two of them, so that each is delivered by itself."""

SENDERS = 8
"""Clients that send at once in the run of a busy broker."""

BURST = 10
"""Messages that are sent to the Redis at once, as a busy broker does; fewer than a producer may have on their way."""

BURSTS_APART = 0.005
"""Seconds from one burst to the next."""

MICRO = 1_000_000


def broker_of(pipe: Pipe, url: str, follows: bool) -> None:
    """Be a broker's store that follows a room or not; say the CPU time that it has taken whenever asked."""
    woken = Event()
    store = open_store(url)
    store.open(woken.set)
    if follows:
        store.follow(ROOM, True)
    pipe.say()
    while True:
        woken.wait(0.05)
        woken.clear()
        store.poll(Nobody())
        if pipe.waiting():
            pipe.hear()
            pipe.say(time.process_time())


def redis_used(url: str) -> list[float]:
    """Return the CPU time that the Redis has taken, and the bytes that it has sent, in millions."""
    connection = Connection(parse(url))
    (said,) = connection.ask([("INFO", "everything")])
    connection.close()
    fields = dict(line.split(":", 1) for line in said.decode().splitlines() if ":" in line)
    return [
        float(fields["used_cpu_user"]) + float(fields["used_cpu_sys"]),
        float(fields["total_net_output_bytes"]) / MICRO,
    ]


def shared(listeners: int, follows: bool, messages: int, size: int) -> tuple[float, float, float, float]:
    """Send two messages a millisecond beside so many brokers; return the CPU time of a message, in microseconds.

    It is that of the Redis, of the store of the broker that sends, and of each of those that listen; last come the
    bytes that the Redis has sent for it.
    """
    with store_url("redis") as url, workers() as start:
        brokers = [start(broker_of, url, follows) for _ in range(listeners)]
        for each in brokers:
            each.hear()
        woken = Event()
        store = open_store(url)
        store.open(woken.set)
        bodies = join_bodies([pack("x" * size)])
        answers: list[Any] = []
        before = [*redis_used(url), time.process_time(), *(each.ask() for each in brokers)]
        began = time.monotonic()
        for number in range(1, messages + 1):
            store.append(Append(ROOM, b"p" * 16, number, "alice", bodies, 1, 1), answers.append)
            while time.monotonic() < began + number // BURST * BURSTS_APART:
                woken.wait(0.001)
                woken.clear()
                store.poll(Nobody())
        while len(answers) < messages:
            if time.monotonic() > began + DEADLINE:
                raise Failed("not all was stored")
            woken.wait(0.01)
            woken.clear()
            store.poll(Nobody())
        time.sleep(0.2)
        after = [*redis_used(url), time.process_time(), *(each.ask() for each in brokers)]
        store.close()
    if wrong := [answer for answer in answers if not isinstance(answer, Stored)]:
        raise Failed(f"not stored: {wrong[0]}")
    redis, sent, own, *others = (
        (later - earlier) / messages * MICRO for earlier, later in zip(before, after, strict=True)
    )
    return redis, own, sum(others) / max(1, len(others)), sent


def serve(pipe: Pipe) -> None:
    """Run a broker; say its url, then its CPU time and the bytes that it has pushed whenever asked."""
    with Broker("tcp://127.0.0.1:*", store="memory:") as broker:
        pipe.say(broker.url)
        while True:
            pipe.hear()
            pipe.say((time.process_time(), broker.counters.push_bytes, broker.counters.deliveries))


class Taken(Heard):
    """What a user is sent, and takes: what has come is added to `come`, and `credit` is returned for it."""

    def __init__(self, come: set[Inbox[Bell]], credit: Callable[[Membership], None]) -> None:
        Inbox.__init__(self, Bell(), come.add, credit)
        self.pushes = 0


def attend(pipe: Pipe, url: str, members: int) -> None:
    """Be so many members of a room, who take what comes, for ever."""
    crowd = Crowd(url, range(members))
    come: set[Inbox[Bell]] = set()
    for user in crowd.users:
        user.reading = Taken(come, user.core.credit)
        user.join()
    crowd.until(lambda: crowd.right(members), "joined")
    pipe.say()
    while True:
        crowd.turn(0.01)
        for inbox in come:
            while (chunk := inbox.take()) is not None:
                for _ in chunk.messages:
                    pass
                inbox.finish(chunk)
        come.clear()


def delivered(members: int, size: int) -> tuple[float, float]:
    """Return the CPU time of a broker for a message to so many members, in microseconds, and bytes a delivery."""
    with workers() as start:
        broker = start(serve)
        url = broker.hear()
        start(attend, url, members).hear()
        with zchat.Client(url, user="sender") as client:
            room = client.join(ROOM)
            time.sleep(1.0)
            idle = broker.ask()
            time.sleep(MESSAGES * APART)
            before = broker.ask()
            for _ in range(MESSAGES):
                room.send("x" * size)
                time.sleep(APART)
            deadline = time.monotonic() + DEADLINE
            while (after := broker.ask())[2] - before[2] < MESSAGES * members:
                if time.monotonic() > deadline:
                    raise Failed("not all was delivered")
                time.sleep(0.05)
    cpu, pushed, count = (later - earlier for earlier, later in zip(before, after, strict=True))
    return (cpu - before[0] + idle[0]) / MESSAGES * MICRO, pushed / count


def busy(size: int) -> float:
    """Return the CPU time of a broker for each message that many send at once to one member, in microseconds."""
    with workers() as start, ExitStack() as stack:
        broker = start(serve)
        url = broker.hear()
        start(attend, url, 1).hear()
        rooms = [
            stack.enter_context(zchat.Client(url, user=f"sender {each}")).join(ROOM, reads=False)
            for each in range(SENDERS)
        ]
        before = broker.ask()

        def send(room: zchat.Room) -> None:
            for _ in range(MESSAGES):
                room.send("x" * size)

        with ThreadPoolExecutor(SENDERS) as pool:
            list(pool.map(send, rooms))
        return float(broker.ask()[0] - before[0]) / MESSAGES / SENDERS * MICRO


def serve_over(pipe: Pipe, url: str) -> None:
    """Run a broker over a store; say its url, then the bytes of its memory whenever asked."""
    with Broker("tcp://127.0.0.1:*", store=url) as broker:
        pipe.say(broker.url)
        while True:
            pipe.hear()
            with open("/proc/self/statm", encoding="ascii") as found:
                pipe.say(int(found.read().split()[1]) * PAGESIZE)


def arrived(users: int) -> tuple[float, float]:
    """Have users come at another broker; return the CPU time of the Redis for each, and its bytes in a broker's memory.

    The time is in microseconds, and has that of one notice in it.
    """
    with store_url("redis") as store_at, workers() as start:
        broker = start(serve_over, store_at)
        url = broker.hear()
        store = open_store(store_at)
        store.open(lambda: None)
        with zchat.Client(url, user="alice") as client:
            room = client.join(ROOM)
            before = redis_used(store_at)[0], broker.ask()
            for number in range(users):
                store.come(Present(ROOM, "", f"user {number}", 1))
            deadline = time.monotonic() + DEADLINE
            while room.member_count <= users:
                if time.monotonic() > deadline:
                    raise Failed("not all have come")
                store.poll(Nobody())
                time.sleep(0.005)
            after = redis_used(store_at)[0], broker.ask()
        store.close()
    return (after[0] - before[0]) / users * MICRO, (after[1] - before[1]) / users


def units(messages: int, rooms: int, size: int) -> dict[str, float]:
    """Return the unit costs: microseconds of CPU, and bytes."""
    few = shared(FEW, True, messages, size)
    many = shared(MANY, True, messages, size)
    deaf = shared(MANY, False, messages, size)
    a_broker = max(0.0, (many[0] - few[0]) / (MANY - FEW))
    a_notice = max(0.0, (deaf[0] - few[0] + a_broker) / MANY)
    sent_read = (many[3] - few[3]) / (MANY - FEW)
    sent_notice = max(0.0, (deaf[3] - few[3] + sent_read) / MANY)
    small, _ = delivered(SMALL, size)
    large, pushed = delivered(LARGE, size)
    a_delivery = (large - small) / (LARGE - SMALL)
    with store_url("redis") as url:
        bare = opening(url)["MB"]
    with store_url("redis") as url:
        fill(url, rooms, size)
        full = opening(url)["MB"]
    arrival, user = arrived(rooms)
    return {
        "Redis: a message, without listeners": max(0.0, few[0] - a_broker * FEW),
        "Redis: a broker that is told of it and reads it": a_broker,
        "Redis: a broker that is told of it alone": a_notice,
        "broker: storing a message": few[1],
        "broker: a message of another one, followed": many[2],
        "broker: a message of another one, not followed": deaf[2],
        "broker: a message, if it is busy": max(0.0, busy(size) - a_delivery),
        "broker: a delivery": a_delivery,
        "Redis: an arrival, told to one broker": arrival,
        "bytes of a delivery": pushed,
        "bytes from the Redis to a broker that reads it": sent_read,
        "bytes from the Redis to a broker that is told of it": sent_notice,
        "bytes of a user of another broker in a broker's memory": user,
        "bytes of a room in a broker's memory": (full - bare) * 1024 * 1024 / rooms,
    }


def one_room(cost: dict[str, float], members: int, brokers: int, a_second: float) -> dict[str, float]:
    """Return the load of one room with so many members, all of which receive each message."""
    each = members / brokers
    arrival = cost["Redis: an arrival, told to one broker"]
    arrival += (brokers - 1) * cost["Redis: a broker that is told of it alone"]
    redis = cost["Redis: a message, without listeners"]
    redis += brokers * cost["Redis: a broker that is told of it and reads it"]
    broker = cost["broker: a message of another one, followed"] + cost["broker: a message, if it is busy"]
    broker += each * cost["broker: a delivery"]
    size = each * cost["bytes of a delivery"]
    return {
        "messages a second": a_second,
        "Redis, cores": redis * a_second / MICRO,
        "Redis, Mbit/s out": brokers * cost["bytes from the Redis to a broker that reads it"] * a_second * 8 / MICRO,
        "each broker, cores": broker * a_second / MICRO,
        "each broker, Mbit/s out": size * a_second * 8 / MICRO,
        "each broker, GB of users": members * cost["bytes of a user of another broker in a broker's memory"] / 1e9,
        "deliveries a second, in all": members * a_second,
        "arrivals a second, most, by the Redis": MICRO / arrival,
        "most, by the Redis": MICRO / redis,
        "most, by a broker": MICRO / broker,
    }


def many_rooms(cost: dict[str, float], rooms: int, brokers: int, members: int, a_second: float) -> dict[str, float]:
    """Return the load of so many rooms, each with some members anywhere, and messages a second in all of them."""
    has_members = 1 - (1 - 1 / brokers) ** members
    redis = cost["Redis: a message, without listeners"]
    redis += brokers * has_members * cost["Redis: a broker that is told of it and reads it"]
    redis += brokers * (1 - has_members) * cost["Redis: a broker that is told of it alone"]
    sent = has_members * cost["bytes from the Redis to a broker that reads it"]
    sent += (1 - has_members) * cost["bytes from the Redis to a broker that is told of it"]
    broker = cost["broker: storing a message"] / brokers
    broker += has_members * (
        cost["broker: a message of another one, followed"] + cost["broker: a message, if it is busy"]
    )
    broker += (1 - has_members) * cost["broker: a message of another one, not followed"]
    broker += members / brokers * cost["broker: a delivery"]
    return {
        "messages a second": a_second,
        "Redis, cores": redis * a_second / MICRO,
        "Redis, Mbit/s out": brokers * sent * a_second * 8 / MICRO,
        "each broker, cores": broker * a_second / MICRO,
        "each broker, Mbit/s out": members / brokers * cost["bytes of a delivery"] * a_second * 8 / MICRO,
        "each broker, GB of rooms": rooms * cost["bytes of a room in a broker's memory"] / 1e9,
        "most, by the Redis": MICRO / redis,
        "most, by a broker": MICRO / broker,
    }


def main() -> None:
    parser = options("Measure what parts of a fleet cost, and compute large ones.")
    parser.add_argument("--messages", type=int, default=3_000, help="in each run beside a Redis (default 3000)")
    parser.add_argument("--rooms", type=int, default=20_000, help="to measure the memory of one (default 20000)")
    arguments = parser.parse_args()
    cost = units(arguments.messages, arguments.rooms, arguments.size)
    tables = {
        "unit costs (microseconds of CPU, bytes)": cost,
        "one room, 1,000,000 members, 100 brokers": one_room(cost, 1_000_000, 100, 5),
        "1,000,000 rooms of 10 members, 10 brokers, a message a minute in each": many_rooms(
            cost, 1_000_000, 10, 10, 1_000_000 / 60
        ),
        "100,000 rooms of 10 members, 10 brokers, a message a minute in each": many_rooms(
            cost, 100_000, 10, 10, 100_000 / 60
        ),
        "100,000 rooms of 10 members, 1 broker, a message a minute in each": many_rooms(
            cost, 100_000, 1, 10, 100_000 / 60
        ),
    }
    if arguments.json:
        print(json.dumps({"machine": machine(), **tables}))
        return
    for title, table in tables.items():
        print(f"\n{title} ({machine()})")
        for name, value in table.items():
            print(f"  {name:55}{value:>15,.2f}")


if __name__ == "__main__":
    run(main)
