"""Where connections come in: asyncio's own servers accept until no descriptor is left, and then log each failure."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable
from functools import partial
from ssl import SSLContext

from zchat.logs import web_log
from zchat.web.core.limits import GREETING_SECONDS
from zchat.web.descriptors import Share

BACKLOG = 1024
"""Connections that may wait to be accepted: all pages come back at once after a restart."""

ACCEPTED_AT_ONCE = 4
"""Connections accepted in a turn of the loop: what each brings about takes its share of the next turns, and those who
are connected have theirs between."""

REST_SECONDS = 0.25
"""Seconds for which nobody is accepted once not even one descriptor was left to do so."""

_NOT_HERE = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)


class Listener:
    """The addresses at which connections come in, one host's.

    `share`: the descriptors that they may take; once these are used up, newcomers are hung up on, and `full` is called
    for each. `arrive` returns the protocol of a newcomer from an address, None to hang up too. If TLS is not agreed
    upon, the protocol's `connection_lost` is all that is called of it.
    """

    def __init__(
        self, share: Share, arrive: Callable[[str], asyncio.BaseProtocol | None], full: Callable[[], None]
    ) -> None:
        self._share = share
        self._arrive = arrive
        self._full = full
        self._tls: SSLContext | None = None
        self._sockets: list[socket.socket] = []
        self._beginning: set[asyncio.Task[None]] = set()

    async def listen(self, host: str, port: int, tls: SSLContext | None) -> int:
        """Begin to accept connections; return the port.

        Raises:
            OSError: the address can't be had.
        """
        self._tls = tls
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        missing: OSError | None = None
        try:
            for family, _, _, _, address in dict.fromkeys(found):
                try:
                    self._sockets.append(socket.create_server(address[:2], family=family, backlog=BACKLOG))
                except OSError as error:
                    if error.errno not in _NOT_HERE:
                        raise
                    missing = error
            if missing is not None and not self._sockets:
                raise missing
        except OSError:
            self.close()
            raise
        for each in self._sockets:
            each.setblocking(False)
            loop.add_reader(each, self._accept, each)
        chosen: int = self._sockets[0].getsockname()[1]
        return chosen

    def close(self) -> None:
        """Accept no more."""
        sockets, self._sockets = self._sockets, []
        for each in sockets:
            asyncio.get_running_loop().remove_reader(each)
            each.close()
        for task in self._beginning:
            task.cancel()

    def _accept(self, listening: socket.socket) -> None:
        for _ in range(ACCEPTED_AT_ONCE):
            try:
                connection, address = listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError:  # no descriptor is left, or no memory
                self._share.note()
                asyncio.get_running_loop().remove_reader(listening)
                asyncio.get_running_loop().call_later(REST_SECONDS, self._resume, listening)
                return
            if self._share.is_used_up():
                self._full()
                connection.close()
            elif (protocol := self._arrive(str(address[0]))) is None:
                connection.close()
            else:
                connection.setblocking(False)
                task = asyncio.get_running_loop().create_task(self._begin(connection, protocol))
                self._beginning.add(task)
                task.add_done_callback(partial(self._begun, connection, protocol))

    def _resume(self, listening: socket.socket) -> None:
        if listening in self._sockets:
            asyncio.get_running_loop().add_reader(listening, self._accept, listening)

    async def _begin(self, connection: socket.socket, protocol: asyncio.BaseProtocol) -> None:
        seconds = None if self._tls is None else GREETING_SECONDS
        await asyncio.get_running_loop().connect_accepted_socket(
            lambda: protocol, connection, ssl=self._tls, ssl_handshake_timeout=seconds
        )

    def _begun(self, connection: socket.socket, protocol: asyncio.BaseProtocol, task: asyncio.Task[None]) -> None:
        self._beginning.discard(task)
        if task.cancelled():
            connection.close()  # the task may not even have begun
        elif (error := task.exception()) is None:
            return
        elif not isinstance(error, OSError):
            web_log.error("a connection failed: %s: %s", type(error).__name__, error, event="fault")
        protocol.connection_lost(None)
