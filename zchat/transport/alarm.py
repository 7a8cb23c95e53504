"""Waking a thread that polls sockets."""

from __future__ import annotations

import threading

import zmq

from zchat.address import inproc_address


class Alarm:
    """What wakes a thread that polls: an inproc PAIR, rung under a lock, without blocking."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]]) -> None:
        self._lock = threading.Lock()
        self._rung = False
        self._closed = False
        self.socket = context.socket(zmq.PAIR)
        self.socket.linger = 0
        address = inproc_address()
        self.socket.bind(address)
        self._bell = context.socket(zmq.PAIR)
        self._bell.linger = 0
        self._bell.connect(address)

    def ring(self) -> None:
        """Wake the owner. Any thread."""
        with self._lock:
            if not self._rung and not self._closed:
                self._rung = True
                self._bell.send(b"", zmq.NOBLOCK)

    def quiet(self) -> None:
        """Record that it was heard. The owner's thread."""
        with self._lock:
            if self._rung:
                self._rung = False
                self.socket.recv(zmq.NOBLOCK)

    def close(self) -> None:
        """Close both ends. The owner's thread."""
        with self._lock:
            self._closed = True
            self._bell.close()
        self.socket.close()
