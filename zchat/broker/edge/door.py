"""The door: the addresses at which a broker takes newcomers in."""

from __future__ import annotations

import errno
import os
from typing import Any

import zmq

from zchat.address import DEFAULT_URL, IPC, check_address, is_ipv6
from zchat.broker.edge.ipc_socket import IpcSocket, in_use
from zchat.errors import AddressError

BACKLOG = 1024
"""Connections that may wait for being accepted: a fleet that comes back at once."""


class Door:
    """The addresses that a ROUTER listens at. The loop's thread alone."""

    def __init__(self, router: zmq.Socket[bytes]) -> None:
        router.setsockopt(zmq.BACKLOG, BACKLOG)
        self._router = router
        self._ipc: list[IpcSocket] = []

    def open(self, url: str) -> str:
        """Listen at an address; return it as clients can connect to it.

        Raises:
            AddressError: it is malformed, in use, or not this machine's.
        """
        check_address(url, listening=True)
        return self._open_ipc(url) if url.startswith(IPC) else self._open_tcp(url)

    def close(self) -> None:
        """Remove the files of sockets; the ROUTER is closed next."""
        for each in self._ipc:
            each.close()

    def _open_ipc(self, url: str) -> str:
        listening = IpcSocket(url, BACKLOG)
        self._ipc.append(listening)
        address: Any = os.fsencode(listening.url)  # bytes, for a path need not be text
        self._router.setsockopt(zmq.USE_FD, os.dup(listening.fileno()))
        try:
            self._router.bind(address)
        finally:
            self._router.setsockopt(zmq.USE_FD, -1)
        return listening.url

    def _open_tcp(self, url: str) -> str:
        self._router.setsockopt(zmq.IPV6, is_ipv6(url))
        try:
            self._router.bind(url)
        except zmq.ZMQError as error:
            raise _refusal(url, error) from error
        endpoint = self._router.getsockopt(zmq.LAST_ENDPOINT)
        assert isinstance(endpoint, bytes)
        return endpoint.rstrip(b"\0").decode()


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
            return AddressError(f"{url!r} is not an address: use tcp://HOST:PORT, for instance {DEFAULT_URL}")
    return AddressError(f"can't listen at {url}: {reason}; use an address of this machine")
