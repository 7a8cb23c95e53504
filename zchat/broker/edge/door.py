"""The door: the addresses at which a broker takes newcomers in, and when it does not.

libzmq has no word for "accept nobody for a while": at the limit of open files it tries without a pause, a core's worth,
and of ipc it ends the process; and unbinding an address ends the connections that came in by it. So the door keeps
a descriptor of each listening socket, and while descriptors are scarce it lets libzmq's own stand for a socket that
nobody can reach (`dup2`). libzmq's epoll goes on watching the real one, so newcomers are accepted and turned away here,
at once. This is for Linux: elsewhere libzmq would no longer hear of newcomers.
"""

from __future__ import annotations

import errno
import math
import os
import shutil
import socket
import sys
import time
from contextlib import suppress
from typing import Any

import zmq

from zchat.address import DEFAULT_URL, IPC, check_address, inproc_address, is_ipv6
from zchat.broker.edge.descriptors import scarce
from zchat.broker.edge.ipc_socket import IpcSocket, in_use, temporary_folder
from zchat.broker.figures.counters import Counters
from zchat.broker.figures.log_lines import LogLines
from zchat.broker.forks import forget, keep_from_children
from zchat.broker.guard.connections import Connections
from zchat.broker.guard.doorkeeper import CHECK_EVERY
from zchat.broker.port import Peer
from zchat.checks import shown
from zchat.errors import AddressError, ZchatError
from zchat.files import limit

BACKLOG = 4096
"""Connections that may wait for being accepted: a fleet that comes back at once."""

TURNED_AWAY_AT_ONCE = 64
"""Newcomers that are turned away at an address in one turn: about a millisecond."""

SETTLE_SECONDS = 5.0
"""How long libzmq's thread may take to begin to listen: it has nothing else to do yet."""

TROUBLE = "accepting connections"
"""What fails while newcomers are turned away, as the log has it."""


class Door:
    """The addresses that a ROUTER listens at. The loop's thread alone.

    `secret` is the broker's own key, "" without keys; with `logins` none is asked for over ipc.
    Newcomers are turned away while only those descriptors are free that are kept for other things.
    """

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        router: zmq.Socket[bytes],
        connections: Connections,
        secret: str = "",
        *,
        logins: bool = False,
    ) -> None:
        self._router = router
        self._connections = connections
        self._secret = secret
        self._logins = logins
        self._vanished: list[Peer] = []
        self._ipc: list[IpcSocket] = []
        self._libzmqs: list[int] = []  # its descriptors of the sockets at which it listens
        self._guarded: list[tuple[int, socket.socket]] = []  # libzmq's descriptor, and ours, of the same socket
        self._nobody: socket.socket | None = None  # a listening socket that nobody can reach
        self._spare = -1  # a descriptor that is given up to turn somebody away if there is no other
        self._shut = False
        self._monitor = context.socket(zmq.PAIR)
        # Its descriptor costs a poll less than the socket, and says that something is new since all was read.
        self.polled: list[tuple[Any, int]] = [(int(self._monitor.fd), zmq.POLLIN)]
        """What can be read when a newcomer is here: then `check` is to be called."""
        self.wake = math.inf
        """When a thread that sleeps is to wake for it."""
        router.setsockopt(zmq.BACKLOG, BACKLOG)
        self._monitor.rcvhwm = 0  # full, it would hold up libzmq's thread
        place = inproc_address()
        events = zmq.EVENT_LISTENING | zmq.EVENT_ACCEPTED | zmq.EVENT_CLOSED | zmq.EVENT_DISCONNECTED
        router.monitor(place, events)
        self._monitor.connect(place)

    def open(self, url: str) -> str:
        """Listen at an address; return it as clients can connect to it.

        Raises:
            AddressError: it is malformed, in use, or not this machine's.
        """
        check_address(url, listening=True)
        if self._secret:  # what is set now holds for this address alone
            self._router.setsockopt(zmq.CURVE_SECRETKEY, self._secret.encode())
            self._router.setsockopt(zmq.CURVE_SERVER, not (self._logins and url.startswith(IPC)))
        return self._open_ipc(url) if url.startswith(IPC) else self._open_tcp(url)

    def check(self, now: float, counters: Counters, log_lines: LogLines) -> None:
        """Let newcomers in if there are descriptors, or else turn them away."""
        if self._shut:
            counters.turned_away += self._turn_away()
        if self._nobody is not None and scarce(bool(self._ipc)):
            if not self._shut:
                self._stand_in()
                log_lines.trouble(TROUBLE, f"the limit of {limit()} open files (ulimit -n) is reached")
                counters.turned_away += self._turn_away()
        elif self._shut:
            self._let_in()
            log_lines.well(TROUBLE)
        self._hear()
        self.wake = now + CHECK_EVERY if self._shut else math.inf

    def close(self) -> None:
        """Remove the files of sockets; the ROUTER is closed next."""
        if self._shut:
            self._let_in()  # libzmq forgets its descriptor only if it stands for what it did
        self._router.monitor(None, 0)
        self._monitor.close(0)
        for each in self._ipc:
            each.close()
        for libzmqs in self._libzmqs:
            forget(libzmqs)
        for _, ours in self._guarded:
            forget(ours.fileno())
            ours.close()
        if self._nobody is not None:
            self._nobody.close()
            self._give_up_spare()

    # -- opening -----------------------------------------------------------------------------------

    def _open_ipc(self, url: str) -> str:
        listening = IpcSocket(url, BACKLOG)
        self._ipc.append(listening)
        address: Any = os.fsencode(listening.url)  # bytes, for a path need not be text
        self._router.setsockopt(zmq.USE_FD, os.dup(listening.socket.fileno()))
        try:
            self._router.bind(address)
        finally:
            self._router.setsockopt(zmq.USE_FD, -1)
        self._guard()
        return listening.url

    def _open_tcp(self, url: str) -> str:
        self._router.setsockopt(zmq.IPV6, is_ipv6(url))
        try:
            self._router.bind(url)
        except zmq.ZMQError as error:
            raise _refusal(url, error) from error
        endpoint = self._endpoint()
        self._guard()
        return endpoint

    def _hear(self, event: int = 0) -> int:
        """Take what the monitor has to tell; return the descriptor that the last `event` was about."""
        about = -1
        while int(self._monitor.get(zmq.EVENTS)) & zmq.POLLIN:
            told, *_ = self._monitor.recv_multipart(zmq.NOBLOCK)  # in the machine's order: it is this process's
            kind = int.from_bytes(told[:2], sys.byteorder)
            fd = int.from_bytes(told[2:], sys.byteorder)
            if kind == zmq.EVENT_ACCEPTED:
                self._connections.accepted(fd, time.monotonic())
            elif kind == zmq.EVENT_DISCONNECTED and (peer := self._connections.closed(fd)) is not None:
                self._vanished.append(peer)
            if kind == event:
                about = fd
        return about

    def take_vanished(self) -> list[Peer]:
        """Return the peers whose connections have ended since the last time."""
        vanished, self._vanished = self._vanished, []
        return vanished

    @property
    def shut(self) -> bool:
        """True while newcomers are turned away."""
        return self._shut

    @property
    def listening(self) -> list[socket.socket]:
        """Return the sockets at which connections come in; on Linux alone."""
        return [ours for _, ours in self._guarded]

    def _guard(self) -> None:
        """Keep a descriptor of the socket that libzmq listens at, and all that is needed to turn newcomers away."""
        libzmqs = self._hear(zmq.EVENT_LISTENING)
        self._libzmqs.append(libzmqs)
        keep_from_children(libzmqs)
        if sys.platform != "linux":
            return
        ours = socket.socket(fileno=os.dup(libzmqs))
        keep_from_children(ours.fileno())
        ours.setblocking(False)
        if self._nobody is None:
            self._nobody = _unreachable()
            self._take_spare()
        self._guarded.append((libzmqs, ours))
        self._wait_for_libzmq(self._nobody)

    def _wait_for_libzmq(self, nobody: socket.socket) -> None:
        """Wait until libzmq's thread watches what it was given: then only may a descriptor stand for another socket.

        It does one thing after the other, and reports when it has closed a socket.
        """
        self._router.setsockopt(zmq.USE_FD, os.dup(nobody.fileno()))
        self._router.bind("ipc://nobody")
        self._router.setsockopt(zmq.USE_FD, -1)
        self._router.unbind(self._endpoint())
        deadline = time.monotonic() + SETTLE_SECONDS
        while self._hear(zmq.EVENT_CLOSED) == -1:
            if time.monotonic() >= deadline:
                raise ZchatError(f"libzmq did not begin to listen within {SETTLE_SECONDS:g} s")
            self._monitor.poll(100)

    def _endpoint(self) -> str:
        endpoint = self._router.getsockopt(zmq.LAST_ENDPOINT)
        assert isinstance(endpoint, bytes)
        return os.fsdecode(endpoint.rstrip(b"\0"))

    # -- shut --------------------------------------------------------------------------------------

    def _stand_in(self) -> None:
        """Have libzmq accept from a socket that nobody can reach."""
        assert self._nobody is not None
        for libzmqs, _ in self._guarded:
            os.dup2(self._nobody.fileno(), libzmqs, inheritable=False)
        self._shut = True
        self.polled += [(ours, zmq.POLLIN) for _, ours in self._guarded]

    def _let_in(self) -> None:
        """Have libzmq accept newcomers again."""
        for libzmqs, ours in self._guarded:
            os.dup2(ours.fileno(), libzmqs, inheritable=False)
        self._shut = False
        del self.polled[1:]

    def _turn_away(self) -> int:
        """Accept those who wait, and hang up on them: a client tries again after a moment. Return how many."""
        count = 0
        for _, ours in self._guarded:
            for _ in range(TURNED_AWAY_AT_ONCE):
                try:
                    newcomer, _ = ours.accept()
                except BlockingIOError:
                    break
                except OSError:  # not even one descriptor is left
                    if self._spare == -1:
                        break
                    self._give_up_spare()
                    continue
                newcomer.close()
                count += 1
        self._take_spare()
        return count

    def _take_spare(self) -> None:
        if self._spare == -1 and self._nobody is not None:
            with suppress(OSError):
                self._spare = os.dup(self._nobody.fileno())

    def _give_up_spare(self) -> None:
        if self._spare != -1:
            spare, self._spare = self._spare, -1
            os.close(spare)


def _unreachable() -> socket.socket:
    """Return a listening socket whose name is gone.

    Raises:
        ZchatError: there is no place for that name.
    """
    listening = socket.socket(socket.AF_UNIX)
    try:
        folder = temporary_folder()
        try:
            listening.setblocking(False)
            listening.bind(f"{folder}/nobody")
            listening.listen(0)
        finally:
            shutil.rmtree(folder)
    except BaseException:
        listening.close()
        raise
    return listening


def _refusal(url: str, error: zmq.ZMQError) -> AddressError:
    """Return the error for an address of TCP that libzmq doesn't take."""
    host, _, port = url.removeprefix("tcp://").rpartition(":")
    reason = zmq.strerror(error.errno or zmq.EINVAL)
    match error.errno:
        case zmq.EADDRINUSE:
            return in_use(url)
        case zmq.EADDRNOTAVAIL | errno.ENODEV:
            return AddressError(
                f"can't listen at {url}: {host} is not an address of this machine; use one that is, "
                "or tcp://0.0.0.0:PORT for all of them"
            )
        case errno.EACCES:
            return AddressError(
                f"can't listen at {url}: this user may not use port {port} ({reason}); choose one above 1023"
            )
        case zmq.EINVAL | zmq.EPROTONOSUPPORT:
            return AddressError(f"{shown(url)} is not an address: use tcp://HOST:PORT, for instance {DEFAULT_URL}")
    return AddressError(f"can't listen at {url}: {reason}; use an address of this machine")
