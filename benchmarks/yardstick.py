"""The same work over plain pyzmq, as the yardstick: what a competent author writes in an afternoon.

A broker forwards each message, as it came, with one send to each subscriber. Publishers and
subscribers have a thread that owns the DEALER and a queue between it and the application, and
pack and unpack each message, a MessagePack array (room, seq, timestamp, user, text). A
publisher keeps at most `window` messages that the slowest subscriber has not acknowledged;
that bounds everything in between, so that nothing is lost.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from queue import Empty, SimpleQueue
from typing import Any, Self

import msgpack
import zmq

ROOM = "General"

WINDOW = 2000
"""Messages under way: as many as libzmq's default marks hold at both ends, and of 100, 300, 1000
and 2000 the best (docs/benchmarks.md)."""

_TIMEOUT = 60.0
"""Seconds that a publisher waits for acknowledgements, and anyone for the broker."""

_MESSAGE = 0x95
"""The first byte of a MessagePack array of five: what the broker forwards unread."""

_PUBLISH = b"P"
_SUBSCRIBE = b"S"
_ACKNOWLEDGE = b"A"


class Broker:
    """Forward messages, in a thread of its own."""

    def __init__(self) -> None:
        self._context: zmq.Context[Any] = zmq.Context()
        self._router = _socket(self._context, zmq.ROUTER)
        self.url = f"tcp://127.0.0.1:{self._router.bind_to_random_port('tcp://127.0.0.1')}"
        self._subscribers: list[bytes] = []
        self._publishers: dict[str, bytes] = {}
        self._taken: dict[str, dict[bytes, int]] = {}
        self._thread = threading.Thread(target=self._forward, daemon=True)
        self._thread.start()

    def __enter__(self) -> Broker:
        return self

    def __exit__(self, *_: object) -> None:
        self._context.term()
        self._thread.join()

    def _forward(self) -> None:
        receive, send, more = self._router.recv, self._router.send, zmq.SNDMORE
        subscribers = self._subscribers
        try:
            while True:
                sender = receive()
                frame = receive()
                if frame[0] == _MESSAGE:
                    for subscriber in subscribers:
                        send(subscriber, more)
                        send(frame)
                else:
                    for peer, reply in self._command(sender, frame[:1], frame[1:]):
                        send(peer, more)
                        send(reply)
        except zmq.ContextTerminated:
            self._router.close()

    def _command(self, sender: bytes, word: bytes, argument: bytes) -> Iterator[tuple[bytes, bytes]]:
        if word == _ACKNOWLEDGE:
            user, seq = msgpack.unpackb(argument)
            taken = self._taken[user]
            before = min(taken.values())
            taken[sender] = seq
            if (slowest := min(taken.values())) > before:
                yield self._publishers[user], msgpack.packb(slowest)
            return
        if word == _SUBSCRIBE:
            self._subscribers.append(sender)
        else:
            self._publishers[argument.decode()] = sender
            self._taken[argument.decode()] = dict.fromkeys(self._subscribers, 0)
        yield sender, word


class _Peer:
    """Own a DEALER in a thread: the constructor returns when the broker has answered.

    The peers of a process share a context, and the first that is left ends them all.
    """

    def __init__(self, url: str, hello: bytes) -> None:
        self._context: zmq.Context[Any] = zmq.Context.instance()
        self._url = url
        self._hello = hello
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._own, daemon=True)
        self._thread.start()
        if not self._ready.wait(_TIMEOUT):
            raise TimeoutError(f"no broker answered at {url}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._context.term()
        self._thread.join()

    def _own(self) -> None:
        dealer = _socket(self._context, zmq.DEALER)
        others: list[zmq.Socket[Any]] = []
        try:
            dealer.connect(self._url)
            dealer.send(self._hello)
            dealer.recv()
            self._serve(dealer, others)
        except zmq.ContextTerminated:
            for socket in (dealer, *others):
                socket.close()

    def _serve(self, dealer: zmq.Socket[Any], others: list[zmq.Socket[Any]]) -> None:
        raise NotImplementedError


class Publisher(_Peer):
    """Send messages; they are numbered 1, 2, 3 … for each publisher."""

    def __init__(self, url: str, user: str, window: int = WINDOW) -> None:
        self._user = user
        self._window = window
        self._numbered = 0
        self._taken = 0
        self._outbox: deque[bytes] = deque()
        self._asleep = False
        self._all_taken = threading.Event()
        super().__init__(url, _PUBLISH + user.encode())
        self._bell = _socket(self._context, zmq.PAIR)
        self._bell.connect("inproc://bell")

    def send(self, text: str) -> None:
        """Hand a message to the thread that sends it."""
        self._numbered += 1
        self._outbox.append(msgpack.packb((ROOM, self._numbered, time.time_ns() // 1000, self._user, text)))
        if self._asleep:
            self._bell.send(b"")

    def send_many(self, texts: Iterable[str]) -> int:
        """Send messages and wait until the slowest subscriber has taken the last."""
        for text in texts:
            self.send(text)
        while self._taken < self._numbered:
            if not self._all_taken.wait(_TIMEOUT):
                raise TimeoutError(f"{self._numbered - self._taken} messages were not acknowledged")
            self._all_taken.clear()
        return self._numbered

    def __exit__(self, *_: object) -> None:
        self._bell.close()
        super().__exit__()

    def _serve(self, dealer: zmq.Socket[Any], others: list[zmq.Socket[Any]]) -> None:
        bell = _socket(self._context, zmq.PAIR)
        others.append(bell)
        bell.bind("inproc://bell")
        self._ready.set()
        poller = zmq.Poller()
        poller.register(dealer, zmq.POLLIN)
        poller.register(bell, zmq.POLLIN)
        outbox, send = self._outbox, dealer.send
        sent = 0
        while True:
            for _ in range(min(self._window - sent + self._taken, len(outbox))):
                send(outbox.popleft())
                sent += 1
            self._asleep = sent - self._taken < self._window
            if self._asleep and outbox:
                continue
            ready = dict(poller.poll())
            self._asleep = False
            if bell in ready:
                _drain(bell)
            if dealer in ready:
                self._taken = max(map(msgpack.unpackb, _drain(dealer)))
                self._all_taken.set()


class Subscriber(_Peer):
    """Take messages, decoded, in their order."""

    def __init__(self, url: str, total: int, window: int = WINDOW) -> None:
        self._last = total
        self._half = max(1, window // 2)
        self._inbox: SimpleQueue[list[Any]] = SimpleQueue()
        super().__init__(url, _SUBSCRIBE)

    def messages(self, timeout: float) -> Iterator[list[Any]]:
        """Yield messages as they come; ends after `timeout` seconds of silence."""
        take = self._inbox.get
        try:
            while True:
                yield take(timeout=timeout)
        except Empty:
            return

    def _serve(self, dealer: zmq.Socket[Any], others: list[zmq.Socket[Any]]) -> None:
        self._ready.set()
        receive, unpack, put = dealer.recv, msgpack.unpackb, self._inbox.put
        half, last = self._half, self._last
        while True:
            for frame in (receive(), *_drain(dealer)):
                message = unpack(frame)
                put(message)
                seq = message[1]
                if seq % half == 0 or seq == last:
                    dealer.send(_ACKNOWLEDGE + msgpack.packb((message[3], seq)))


def _socket(context: zmq.Context[Any], kind: int) -> zmq.Socket[Any]:
    socket: zmq.Socket[Any] = context.socket(kind)
    socket.set_hwm(0)  # the window bounds what is under way
    socket.linger = 0
    return socket


def _drain(socket: zmq.Socket[Any]) -> list[bytes]:
    frames = []
    try:
        while True:
            frames.append(socket.recv(zmq.NOBLOCK))
    except zmq.Again:
        return frames
