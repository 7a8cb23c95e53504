"""A connection's sockets: the DEALER, and the monitor of its TCP connection. One thread's: see `receive_thread`."""

from __future__ import annotations

import errno
import os
import sys
from enum import Enum, auto
from typing import Any

import zmq

from zchat.address import DEFAULT_URL, inproc_address, is_ipv6
from zchat.errors import AddressError
from zchat.transport.context import CONNECTION_FILES, check_free, no_sockets, send_part
from zchat.transport.descriptor import read_by_libzmq
from zchat.transport.keys import Key
from zchat.wire.limits import MAX_FRAME

LINGER_MS = 200
"""How long a closing socket goes on sending what it was given: a credit, a goodbye."""

SEND_MARK = 1_000
"""Frames that may wait in the DEALER: 16 requests, a credit a room; one more means that nothing reads."""

ENDLESS_BYTES = 2 * MAX_FRAME
"""Bytes that may come without a frame: those of one that is incomplete, and as many that are being read."""

WAITING_BYTES = 256 << 20
"""Bytes of frames that may wait to be received: as many as an honest broker has out to all its members together."""

FRAMING = 64
"""Bytes that a frame takes on the way beside its own, at most."""

HANDSHAKE_MS = 5_000
"""How long a handshake may take: libzmq's own 30 s are longer than a caller waits."""

NEVER_MS = 2**31 - 1
"""Wait until libzmq connects again by itself: the client's own tries come long before, over fresh sockets."""

BREAKS = {
    zmq.Event.DISCONNECTED: "the connection broke",
    zmq.Event.CONNECT_RETRIED: "no broker answers there",
    zmq.Event.HANDSHAKE_FAILED_NO_DETAIL: "a program that is not a broker answers there",
    zmq.Event.HANDSHAKE_FAILED_PROTOCOL: "a program that is not a broker answers there",
    zmq.Event.HANDSHAKE_FAILED_AUTH: "the broker there refused the connection",
}
"""What libzmq reports of a connection that can't go on, in words."""


_NOBLOCK = int(zmq.NOBLOCK)
_NOT_NOW = 500  # what a broker's handler of ZAP requests answers then


class Failure(Enum):
    """How a connection failed before there was a session."""

    NONE = auto()
    REFUSED = auto()
    """The broker doesn't let the key in."""
    LATER = auto()
    """It lets in no more for now."""
    UNKNOWN = auto()
    """Something was there, and the handshake came to no end: wrong keys, or no broker."""


class Dealer:
    """One connection to a broker; `patient` lets libzmq try until something listens there.

    `key` is the client's pair and `server` the broker's public key; None without keys.

    Raises:
        AddressError: `url` is no address.
        ZchatError: there is no file descriptor left.
    """

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        url: str,
        *,
        patient: bool,
        key: Key | None = None,
        server: str = "",
    ) -> None:
        check_free(CONNECTION_FILES)
        self.url = url
        self.failure = Failure.NONE
        """How the handshake failed, as `broken` has found."""
        self.connected = False
        """True once there is a connection, as `broken` has found."""
        self._fd = -1  # that connection's descriptor, which is libzmq's
        self._base = 0  # the bytes that libzmq has read from it and that are accounted for without frames
        self.taken = 0
        """The bytes of the frames received over that connection, with `FRAMING` for each; the receiver adds them up."""
        try:
            self.socket = context.socket(zmq.DEALER)
        except zmq.ZMQError as error:
            raise no_sockets(error) from error
        try:
            self.monitor = context.socket(zmq.PAIR)
        except zmq.ZMQError as error:
            self.socket.close(0)
            raise no_sockets(error) from error
        try:
            self.socket.setsockopt(zmq.SNDHWM, SEND_MARK)
            # A mark that is reached, a ping of ZMTP and a reset make libzmq end the process: `excess` bounds bytes.
            self.socket.setsockopt(zmq.RCVHWM, 0)
            self.socket.setsockopt(zmq.MAXMSGSIZE, MAX_FRAME)
            self.socket.setsockopt(zmq.HANDSHAKE_IVL, HANDSHAKE_MS)
            if key is not None:
                self.socket.setsockopt(zmq.CURVE_SERVERKEY, server.encode())
                self.socket.setsockopt(zmq.CURVE_PUBLICKEY, key.public.encode())
                self.socket.setsockopt(zmq.CURVE_SECRETKEY, key.secret.encode())
            if not patient:
                self.socket.setsockopt(zmq.RECONNECT_IVL, NEVER_MS)
            self.socket.setsockopt(zmq.IPV6, is_ipv6(url))
            place = inproc_address()
            self.socket.monitor(place, sum(BREAKS) | zmq.EVENT_CONNECTED)
            self.monitor.connect(place)
            address: Any = os.fsencode(url)  # bytes, for a path need not be text
            self.socket.connect(address)
        except zmq.ZMQError as error:
            self.close()
            if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS):
                raise no_sockets(error) from error
            raise AddressError(
                f"{url!r} is not a broker's address ({error.strerror}): use tcp://HOST:PORT, for instance {DEFAULT_URL}"
            ) from error
        self.polled = ((self.socket, zmq.POLLIN), (self.monitor, zmq.POLLIN))

    def send(self, frame: bytes) -> bool:
        """Send one frame; False if too many wait to be sent already."""
        try:
            send_part(self.socket, frame, _NOBLOCK)
        except zmq.Again:
            return False
        return True

    def broken(self) -> str:
        """Return how the connection broke, nothing if it didn't."""
        how = ""
        while int(self.monitor.get(zmq.EVENTS)) & zmq.POLLIN:
            event, *_ = self.monitor.recv_multipart(zmq.NOBLOCK)  # in the machine's order: it comes from this process
            kind = int.from_bytes(event[:2], sys.byteorder)
            if kind == zmq.EVENT_CONNECTED:
                self.connected = True
                self._fd, self._base, self.taken = int.from_bytes(event[2:], sys.byteorder), 0, 0
            else:
                self._fd = -1  # another's by now, or soon
                how = how or BREAKS[zmq.Event(kind)]
                if kind == zmq.EVENT_HANDSHAKE_FAILED_AUTH:
                    code = int.from_bytes(event[2:], sys.byteorder)
                    self.failure = Failure.LATER if code == _NOT_NOW else Failure.REFUSED
                elif kind != zmq.EVENT_CONNECT_RETRIED and self.failure is Failure.NONE:
                    self.failure = Failure.UNKNOWN
        return how

    def excess(self) -> str:
        """Return in words what comes without end, "" if nothing does; over TCP, on Linux.

        libzmq keeps frames until they are received, and parts of a message until the last one has come, however many.
        """
        read = read_by_libzmq(self._fd)  # first: what it had read by now is a message by the next line, or none
        if read == -1 or int(self.monitor.get(zmq.EVENTS)) & zmq.POLLIN:  # the descriptor may be another's by now
            return ""
        waiting = int(self.socket.get(zmq.EVENTS)) & zmq.POLLIN
        held = read - self._base - self.taken
        self._base += min(0, held)
        if waiting:
            return "more than can be received" if held > WAITING_BYTES else ""
        return "a message without an end" if held > ENDLESS_BYTES else ""

    def close(self, lingering: bool = False) -> None:
        """Close it; what is not sent yet is dropped unless `lingering`."""
        if not self.socket.closed:
            self.socket.monitor(None, 0)
        self.monitor.close(0)
        self.socket.close(LINGER_MS if lingering else 0)
