"""What runs in processes of its own: publishers, readers, one that sends garbage."""

from __future__ import annotations

import random
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from urllib.parse import urlsplit

import msgpack
import zmq

import zchat
from tests.promises.faults.audit import Stream, text_of
from tests.promises.faults.processes import Pipe
from tests.running import DEADLINE

ROOM = "General"

GARBAGE_ROOM = "Technology"
"""Where garbage is sent to: some of it may by chance be a block."""

PULSE_ROOM = "Sports"

BEAT = 0.005
"""Seconds between two messages of the pulse."""

CHUNK = 2_000
"""Messages in one `send_many`: a publisher looks up between two of them."""

REPORT = 2_000
"""Messages after which a reader says how far it is."""

PAUSE = 40_000
"""Microseconds between two messages that mean that the flow had stopped: no connection is made again so soon."""

SILENCE = 0.2
"""Seconds of silence after which a reader looks up."""


def publish(pipe: Pipe, url: list[str], publisher: int, size: int, rate: int) -> None:
    """Send until told to stop, then say what was acknowledged.

    Between two `send_many` it sends one message alone and keeps the answer. `rate`: messages a
    second at most, 0 for as many as it can.
    """
    receipts: list[tuple[int, str, int]] = []
    number = 0

    def texts() -> Iterator[str]:
        nonlocal number
        for _ in range(CHUNK):
            number += 1
            yield text_of(publisher, number, size)

    with zchat.Client(url, user=f"publisher {publisher}") as client:
        room = client.join(ROOM)
        pipe.say("ready")
        acknowledged = 0
        began = time.monotonic()
        while pipe.hear(max(0.0, began + acknowledged / rate - time.monotonic()) if rate else 0.0) is None:
            acknowledged += room.send_many(texts(), timeout=DEADLINE)
            number += 1
            stored = room.send(text_of(publisher, number, size), timeout=DEADLINE)
            receipts.append((stored.seq, stored.body, stored.timestamp))
            acknowledged += 1
    pipe.say("done", (publisher, acknowledged, receipts))


def read(pipe: Pipe, url: list[str], user: str) -> None:
    """Take every message until told the last one's seq, then say what came: a `Stream`; say meanwhile how far it is."""
    stream = Stream()
    end: int | None = None
    report_at = 0
    with zchat.Client(url, user=user) as client:
        room = client.join(ROOM, after=zchat.Position(0, 0))
        pipe.say("ready")
        while end is None or stream.seqs.last < end:
            for message in room.messages(timeout=SILENCE):
                stream.take(message)
                if stream.count >= report_at:
                    report_at = stream.count + REPORT
                    pipe.say("at", stream.seqs.last)
            word = pipe.hear()
            if word is not None:
                end = word[1]
        pipe.say("at", stream.seqs.last)
    pipe.say("done", stream)


def pulse(pipe: Pipe, url: list[str]) -> None:
    """Send one message after the other and take each as another client; say of the first after a pause how late it was.

    That is when it was stored and when it was taken, in seconds since 1970. Nobody here has a
    backlog: it tells when messages flow.
    """
    before = 0
    with zchat.Client(url, user="pulse") as sender, zchat.Client(url, user="hand") as reader:
        room, messages = sender.join(PULSE_ROOM), reader.join(PULSE_ROOM).messages(timeout=DEADLINE)
        pipe.say("ready")
        while pipe.hear(BEAT) is None:
            stored = room.send("beat", timeout=DEADLINE)
            taken = next(messages)
            if (taken.seq, taken.timestamp) != (stored.seq, stored.timestamp):
                raise AssertionError(f"{taken} came, {stored} was due")
            if stored.timestamp - before > PAUSE:
                pipe.say("resumed", (stored.timestamp / 1e6, time.time()))
            before = stored.timestamp
    pipe.say("done", before)


def pester(pipe: Pipe, url: str, seed: int, greet: bool) -> None:
    """Send garbage until told to stop: raw TCP, ZeroMQ frames, commands that lie; one connection after the other.

    `greet`: with sessions now and then, which are left to expire.
    """
    chance = random.Random(seed)
    address = urlsplit(url)
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    pipe.say("ready")
    sent = 0
    try:
        while pipe.hear() is None:
            if chance.random() < 0.5:
                with suppress(OSError):  # nobody listens, or it was cut off
                    _raw(str(address.hostname), address.port or 0, chance)
            else:
                _frames(context, url, chance, greet)
            sent += 1
            pipe.say("sent", sent)
    finally:
        context.destroy(linger=0)
    pipe.say("done", sent)


def _raw(host: str, port: int, chance: random.Random) -> None:
    greeting = b"\xff" + bytes(8) + b"\x7f\x03\x00NULL".ljust(55, b"\0")
    with socket.create_connection((host, port), timeout=0.05) as connection:
        connection.sendall(chance.choice([b"", greeting, greeting[:11]]) + chance.randbytes(chance.randrange(2_000)))
        while connection.recv(1 << 16):
            pass


def _frames(context: zmq.Context[zmq.Socket[bytes]], url: str, chance: random.Random, greet: bool) -> None:
    dealer = context.socket(zmq.DEALER)
    dealer.linger = 0
    try:
        dealer.connect(url)
        if greet and chance.random() < 0.5:
            producer, token = chance.randbytes(16), chance.randbytes(16)
            dealer.send(msgpack.packb(("hello", 1, 1, 1, "garbage", producer, token, 0, 1)))
            dealer.send(msgpack.packb(("join", 2, GARBAGE_ROOM, 1, None, 0, False)))
        for _ in range(chance.randrange(1, 20)):
            frames = [_frame(chance) for _ in range(chance.choice([1, 1, 1, 3]))]
            dealer.send_multipart(frames, zmq.NOBLOCK)
        while dealer.poll(50):
            dealer.recv_multipart()
    except zmq.Again:
        pass
    finally:
        dealer.close()


def _frame(chance: random.Random) -> bytes:
    body = chance.randbytes(chance.randrange(200))
    lies: list[object] = [
        ("send", 3, GARBAGE_ROOM, 1, body),
        ("send", 3, GARBAGE_ROOM, 1, b"\xdd\xff\xff\xff\xff" + body),
        ("send", -3, GARBAGE_ROOM, 1 << 62, b"\x91" * 10_000),
        ("credit", ROOM, 1, chance.randrange(1 << 60)),
        ("join", 4, ROOM, chance.randrange(5), (chance.randrange(9), chance.randrange(1 << 40)), 10_000, True),
        ("history", 5, ROOM, 0, None, 1 << 62),
        ("hello", 6, 1, 1, "garbage", body[:15], body, 0, 1),
        {"send": 1},
        chance.randrange(1 << 60),
    ]
    packed: bytes = msgpack.packb(chance.choice(lies))
    return chance.choice([packed, body, packed[: chance.randrange(len(packed))], packed + body, b""])
