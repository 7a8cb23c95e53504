"""What honest clients keep beside hostile ones: their rate, and how long a send takes to be acknowledged.

Broker, honest clients and hostile ones are three processes. The clients are bare sockets, many to a thread: an honest
one sends a message at its pace to a room of its own, and answers what it is sent; a hostile one keeps as much under way
as it may, and begins again if it is ended. Before each disturbed run comes one that is not, and one in which the
hostile clients do the same at another broker: what honest clients lose there they lose to a machine that is busy.
"""

from __future__ import annotations

import argparse
import itertools
import os
import struct
import time
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import msgpack
import zmq

from _contenders import Zchat, key_folder, served
from _run import Failed, Pipe, Row, in_turn, options, report, run, workers
from zchat.transport.keys import NO_KEYS, PUBLIC, SECRET, SERVER, USERS, credentials

WARM_UP = 1.0
"""Seconds before figures are taken."""

UNDER_WAY = 16
"""Requests that a hostile client has unanswered."""

LOWEST = 19
"""The niceness of hostile clients, and of the other broker: the lowest priority there is."""

MIB = 1 << 20

pack: Callable[[Any], bytes] = msgpack.packb


class Peer:
    """One client over a socket of its own, with the key of its user if there is a folder of them."""

    def __init__(self, context: zmq.Context[Any], url: str, user: str, folder: Path | None) -> None:
        self._context, self._url, self._user = context, url, user
        self._credentials = NO_KEYS
        if folder is not None:
            key, server = folder / USERS / f"{user}{SECRET}", folder / f"{SERVER}{PUBLIC}"
            self._credentials = credentials(key, server)
        self.out = 0
        self._numbers = itertools.count(1)
        self._connect()

    def _connect(self) -> None:
        self.socket = self._context.socket(zmq.DEALER)
        self.socket.linger = 0
        self.socket.sndhwm = 4 * UNDER_WAY
        key, servers = self._credentials
        if key is not None:
            self.socket.curve_publickey, self.socket.curve_secretkey = key.public.encode(), key.secret.encode()
            self.socket.curve_serverkey = servers[0].encode()
        self.socket.connect(self._url)
        self.out = 0
        self._blocks = itertools.count(1)
        self.say("hello", 1, 1, self._user, os.urandom(16), os.urandom(16), 0, 1)
        self.say("join", self._user, 1, None, 0, True)

    def again(self) -> None:
        """Begin again, over another connection."""
        self.socket.close()
        self._connect()

    def say(self, word: str, *fields: Any) -> int:
        """Send a request; return its number."""
        number = next(self._numbers)
        self.socket.send(pack((word, number, *fields)), zmq.NOBLOCK)
        self.out += 1
        return number

    def send(self, bodies: bytes) -> int:
        """Send a block to the room of its own; return the request's number."""
        return self.say("send", self._user, next(self._blocks), bodies)

    def hear(self) -> list[Any] | None:
        """Return the next notice, None if there is none; answer what is to be answered."""
        try:
            notice: list[Any] = msgpack.unpackb(self.socket.recv(zmq.NOBLOCK))
        except zmq.Again:
            return None
        if notice[0] == "state":
            self.socket.send(pack(("seen", notice[1])), zmq.NOBLOCK)
        elif notice[0] in ("ok", "error"):
            self.out -= 1
        return notice


# -- honest ones -------------------------------------------------------------------------------------


def behave(pipe: Pipe, url: str, folder: Path | None, clients: int, rate: float, seconds: float) -> None:
    """Send at a pace from many clients; say how many messages a second were acknowledged, and how long each took."""
    with zmq.Context() as context:
        peers = [Peer(context, url, f"honest {number}", folder) for number in range(clients)]
        poller = zmq.Poller()
        by_socket = {peer.socket: peer for peer in peers}
        for peer in peers:
            poller.register(peer.socket, zmq.POLLIN)
        sent: dict[tuple[Peer, int], float] = {}
        start = time.monotonic() + WARM_UP / 2
        due = deque((start + number / rate / clients, peer) for number, peer in enumerate(peers))
        pipe.say()
        pipe.hear()
        took: list[float] = []
        begin = time.monotonic() + WARM_UP
        end = begin + seconds
        while (now := time.monotonic()) < end:
            while due[0][0] <= now:
                when, peer = due.popleft()
                due.append((max(when + 1 / rate, now - 1), peer))
                if peer.out < UNDER_WAY:
                    sent[peer, peer.send(b"\x91\xa5hello")] = when
            for socket, _ in poller.poll(int(max(0.0, min(due[0][0], end) - now) * 1000)):
                peer = by_socket[socket]
                while (notice := peer.hear()) is not None:
                    if notice[0] == "end" or notice[0] == "error":
                        raise Failed(f"an honest client was refused: {notice}")
                    when = sent.pop((peer, notice[1]), 0.0) if notice[0] == "ok" else 0.0
                    if when and time.monotonic() >= begin:
                        took.append(time.monotonic() - when)
        acknowledged = len(took)
        took = sorted(took) or [seconds]  # none came: each has taken as long at least
        p50, p99 = (took[len(took) * share // 100] * 1000 for share in (50, 99))
        pipe.say({"sent/s": acknowledged / seconds, "p50 ms": p50, "p99 ms": p99})
        for peer in peers:
            peer.socket.close()


# -- hostile ones ------------------------------------------------------------------------------------


def array(count: int, value: bytes) -> bytes:
    """Return the bodies of one message: an array of the same value over and over."""
    return b"\x91\xdd" + struct.pack(">I", count) + value * count


def sends(bodies: bytes) -> Callable[[Peer], Any]:
    """Return what sends the same block over and over."""
    return lambda peer: peer.send(bodies)


def join_and_leave(peer: Peer) -> None:
    """Make a room that lasts."""
    name = f"room {os.urandom(4).hex()}"
    peer.say("join", name, 1, None, 0, True)
    peer.say("send", name, 1, b"\x91\xc0")
    peer.say("leave", name, 1)


def malformed(peer: Peer) -> None:
    """Send a mebibyte that is no command, and asks for no answer."""
    peer.socket.send(b"\xdd" + struct.pack(">I", 500_000) + b"\xa1a" * 500_000, zmq.NOBLOCK)


KINDS: dict[str, Callable[[Peer], Any]] = {
    "timestamps, 1 MiB a send": sends(array(174_000, b"\xd6\xff\0\0\0\1")),
    "empty arrays, 63 KiB a send": sends(array(65_000, b"\x90")),
    "maps, 125 KiB a send": sends(array(32_000, b"\x81\xa1a\0")),
    "short texts, 1 MiB a send": sends(array(340_000, b"\xa2ab")),
    "1 MiB of text a send": sends(b"\x91\xc6" + struct.pack(">I", MIB - 6) + b"x" * (MIB - 6)),
    "1,000 nils a send": sends(b"\xdc\x03\xe8" + b"\xc0" * 1000),
    "history": lambda peer: peer.say("history", "filled", 0, None, 1000),
    "rooms": lambda peer: peer.say("rooms", None, 500),
    "stats": lambda peer: peer.say("stats"),
    "rooms made and left": join_and_leave,
    "malformed, 1 MiB": malformed,
    "ping": lambda peer: peer.socket.send(pack(("ping",)), zmq.NOBLOCK),
}
"""What a hostile client sends as fast as it may, by its name in the table."""


def harm(pipe: Pipe, url: str, folder: Path | None, kind: str, clients: int) -> None:
    """Send what the kind says until the end, at the lowest priority: elsewhere it would have a processor of its own."""
    attack = KINDS[kind]
    os.nice(LOWEST)
    with zmq.Context() as context:
        peers = [Peer(context, url, f"hostile {number}", folder) for number in range(clients)]
        if kind == "history":
            fill(peers[0])
        pipe.say()
        while not pipe.waiting():
            busy = False
            for peer in peers:
                try:
                    while (notice := peer.hear()) is not None:
                        busy = True
                        if notice[0] == "end":
                            peer.again()
                            break
                    while peer.out < UNDER_WAY:
                        attack(peer)
                        busy = True
                        if kind in ("ping", "malformed, 1 MiB"):
                            break
                except zmq.Again:
                    pass
            if not busy:
                time.sleep(0.0005)
        for peer in peers:
            peer.socket.close()


def fill(peer: Peer) -> None:
    """Store what is read as history: 64 MiB in blocks of 64 KiB."""
    peer.say("join", "filled", 1, None, 0, True)
    for number in range(1, 1025):
        peer.say("send", "filled", number, b"\xdc\x01\0" + (b"\xd9\xfa" + b"x" * 250) * 256)
        while peer.out > UNDER_WAY // 2:
            peer.hear()


class Another(Zchat):
    """A broker beside the one that is measured, as if it ran elsewhere."""

    def broker(self, store: str) -> AbstractContextManager[Any]:
        """Return a broker over a store; this process has the lowest priority from now on."""
        os.nice(LOWEST)
        return super().broker(store)


def measure(
    kind: str | None, clients: int, folder: Path | None, arguments: argparse.Namespace, *, elsewhere: bool = False
) -> dict[str, float]:
    """Return what honest clients had in one run beside so many hostile ones; `elsewhere`: those at another broker."""
    with workers() as start, ExitStack() as brokers:
        url = attacked = brokers.enter_context(served(Zchat(arguments.store, folder), start))
        if elsewhere:
            attacked = brokers.enter_context(served(Another(arguments.store, folder), start))
        honest = start(behave, url, folder, arguments.honest, arguments.rate, arguments.seconds)
        honest.hear()
        if kind is not None:
            start(harm, attacked, folder, kind, clients).hear()
        figures: dict[str, float] = honest.ask()
        return figures


def main() -> None:
    parser = options("Measure what honest clients keep beside hostile ones.")
    parser.add_argument("--honest", type=int, default=99, help="honest clients (default 99)")
    parser.add_argument("--rate", type=float, default=10, help="messages a second that each sends (default 10)")
    parser.add_argument("--hostile", type=int, default=1, help="hostile clients (default 1)")
    parser.add_argument("--seconds", type=float, default=3, help="seconds of a run (default 3)")
    parser.add_argument("--kind", action="append", choices=list(KINDS), help="one kind of attack; may be repeated")
    parser.add_argument("--without-keys", action="store_true", help="names are free: a share is a session's")
    arguments = parser.parse_args()
    users = [f"{what} {number}" for what in ("honest", "hostile") for number in range(getattr(arguments, what))]
    with nullcontext() if arguments.without_keys else key_folder(users) as folder:
        rows = table(folder, arguments)
    title = f"{arguments.honest} honest clients of {arguments.rate:g} messages/s beside {arguments.hostile} hostile"
    report(title, rows, arguments.json)


def table(folder: Path | None, arguments: argparse.Namespace) -> list[Row]:
    """Return a row for each kind of attack."""
    rows: list[Row] = []
    for kind in arguments.kind or KINDS:
        runs: dict[str, Callable[[], dict[str, float]]] = {
            "undisturbed": partial(measure, None, 0, folder, arguments),
            "elsewhere": partial(measure, kind, arguments.hostile, folder, arguments, elsewhere=True),
            kind: partial(measure, kind, arguments.hostile, folder, arguments),
        }
        undisturbed, elsewhere, disturbed = in_turn(runs, arguments.rounds)
        kept = disturbed["sent/s"] / undisturbed["sent/s"]
        rows.append(
            {
                "beside": kind,
                "sent/s": disturbed["sent/s"],
                "kept": kept,
                "p50 ms": disturbed["p50 ms"],
                "p99 ms": disturbed["p99 ms"],
                "undisturbed": undisturbed["p99 ms"],
                "times": disturbed["p99 ms"] / undisturbed["p99 ms"],
                "elsewhere": elsewhere["p99 ms"],
                "times elsewhere": disturbed["p99 ms"] / elsewhere["p99 ms"],
            }
        )
    return rows


if __name__ == "__main__":
    run(main)
