"""Looking up the names of hosts: what is asked and found, and, where threads wait, threads that ask.

libzmq looks a name up in its one thread, in which every client of the process then waits, and takes one address of it.
"""

from __future__ import annotations

import _socket
import os
import re
import socket
from collections import deque
from collections.abc import Callable
from typing import Any

from zchat.address import is_ip
from zchat.errors import AddressError, UsageError, ZchatError
from zchat.threads import RealThread, allocate_lock, start

MAX_LOOKUPS = 16
"""Threads that look names up at once: each name takes one, however many clients ask for it; the others wait."""


def host_of(url: str) -> str:
    """Return the name in an address that has to be looked up, "" if there is none. Any thread."""
    parts = re.fullmatch(r"tcp://(?:\S*;)?([^\[\];]+):\d+", url)
    return "" if parts is None or is_ip(parts[1]) else parts[1]


FAMILIES = (socket.AF_INET, socket.AF_INET6)
"""Those of the addresses that are tried."""

NOT_OF_THE_NAME = {getattr(socket, name, None) for name in ("EAI_AGAIN", "EAI_FAIL", "EAI_MEMORY", "EAI_SYSTEM")}
"""The numbers of a resolver's errors that say nothing about the name: no server answers, or is of use, or no memory is
free."""


class Lookup:
    """The lookup of the host that an address names, which somebody carries out.

    `done` is called with it once it is over, by what carries it out. `host` is what is looked up if it is for no
    address.
    """

    def __init__(self, url: str, done: Callable[[Lookup], object], host: str = "") -> None:
        self.url = url
        self.host = host or host_of(url)
        self.found: list[str] = []
        """The host's addresses."""
        self.urls: list[str] = []
        """The address with each of the host's in place of its name, in the order in which they are to be tried."""
        self.error: Exception | None = None
        """Why there are none."""
        self.over = False
        self._done = done

    @property
    def unknown(self) -> bool:
        """Return True if there is no such host, or no address of it: to try again soon makes no sense.

        That is what resolvers say about a name, or what no name can be; all else says that none could be asked.
        """
        if isinstance(self.error, socket.gaierror):
            return self.error.errno not in NOT_OF_THE_NAME
        return self.error is None or isinstance(self.error, UnicodeError)

    @property
    def reason(self) -> str:
        """Return why there are no addresses yet, or will be none."""
        if not self.over:
            return f"looking up the host {self.host!a} takes too long: check the machine's DNS, or use an address"
        if self.error is None:
            return f"the host {self.host!a} has no address of IPv4 or IPv6"
        what = "was not found" if self.unknown else "could not be looked up"
        return f"the host {self.host!a} {what} ({getattr(self.error, 'strerror', None) or self.error})"

    @property
    def refusal(self) -> UsageError | None:
        """Return the error that says why to try again soon makes no sense; None if it may make some."""
        error = None
        if isinstance(self.error, UsageError):  # the interpreter is ending
            error = UsageError(str(self.error))
        elif self.unknown:
            error = AddressError(f"{self.reason}; check the name, or use the machine's address")
        if error is not None:
            error.__cause__ = self.error
        return error

    def end(self, found: list[str], error: Exception | None) -> None:
        """Record the host's addresses, or why there are none."""
        before, _, after = self.url.rpartition(f"{self.host}:")
        self.found = found
        self.urls = [f"{before}{f'[{each}]' if ':' in each else each}:{after}" for each in found]
        self.error = error
        self.over = True
        self._done(self)


def look_up_in_thread(lookup: Lookup) -> None:
    """Carry a lookup out in a thread of ours, which calls its `done`. Any thread."""
    _pool().add(lookup)


class _Pool:
    """The threads of one process that look names up: as many as are needed, up to MAX_LOOKUPS."""

    def __init__(self) -> None:
        self._lock = allocate_lock()
        self._asked: dict[str, list[Lookup]] = {}  # who waits for a name
        self._names: deque[str] = deque()  # those that no thread has taken yet
        self._threads = 0

    def add(self, lookup: Lookup) -> None:
        """Have a name looked up."""
        self._lock.acquire()
        try:
            asked = self._asked.setdefault(lookup.host, [])
            asked.append(lookup)
            if len(asked) > 1:
                return
            self._names.append(lookup.host)
            if self._threads == MAX_LOOKUPS:
                return
            self._threads += 1
        finally:
            self._lock.release()
        try:
            start(RealThread(self._run, "zchat-lookup"))
        except (ZchatError, RuntimeError) as error:
            self._run_without(error)

    def _run(self) -> None:
        while (name := self._next()) is not None:
            found: list[str] = []
            error: Exception | None = None
            try:
                found = _addresses(name)
            except Exception as failure:  # of the system, or of whatever stands in for its function
                error = failure
            self._lock.acquire()
            asked = self._asked.pop(name)
            self._lock.release()
            for lookup in asked:
                lookup.end(found, error)

    def _run_without(self, error: Exception) -> None:
        """Fail what no thread has taken: there is none for it."""
        while (name := self._next()) is not None:
            for lookup in self._asked.pop(name):
                lookup.end([], error)

    def _next(self) -> str | None:
        """Return the next name, None if there is none: then the thread ends."""
        self._lock.acquire()
        try:
            if self._names:
                return self._names.popleft()
            self._threads -= 1
            return None
        finally:
            self._lock.release()


_pools: dict[int, _Pool] = {}


def _pool() -> _Pool:
    """Return the pool of this process: a forked child has none of its threads."""
    pool = _pools.get(os.getpid())
    return _pools.setdefault(os.getpid(), _Pool()) if pool is None else pool


def _addresses(name: str) -> list[str]:
    """Return the addresses of a host, each once, in the system's order."""
    look_up: Any = socket.getaddrinfo
    if str(getattr(look_up, "__module__", "")).partition(".")[0] in ("gevent", "eventlet"):  # for the thread of a loop
        look_up = _socket.getaddrinfo
    return each_once(look_up(name, None, type=socket.SOCK_STREAM))


def each_once(found: list[Any]) -> list[str]:
    """Return the addresses that the system has found, as `getaddrinfo` gives them, each once, in its order."""
    return list(dict.fromkeys(str(place[0]) for family, _, _, _, place in found if family in FAMILIES))
