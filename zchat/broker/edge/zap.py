"""How libzmq asks whether a connection is let in: the handler of ZAP requests, in the loop's own thread.

The protocol: https://rfc.zeromq.org/spec/27/. libzmq asks over a socket within the process, once a connection, when its
handshake is nearly done, and puts what the answer holds on every frame of the connection. A connection waits for its
answer; nobody is let in once the handler is gone.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import NamedTuple

import zmq
from zmq.utils import z85

from zchat.errors import BadName
from zchat.names import fold
from zchat.transport.keys import guest_name

if sys.platform != "win32":
    import pwd

ADDRESS = "inproc://zeromq.zap.01"
"""Where libzmq looks for the handler of its context."""

PROPERTY = "Connection"
"""The property of each frame that has the number of its connection. No peer can forge it: what a handler says stands
before what a peer says of itself."""


class ZapRequest(NamedTuple):
    """One connection that asks to be let in."""

    sender: bytes
    number: bytes
    address: str
    """An IP address; over ipc `localhost:UID:GID:PID`."""
    key: str | None
    """The public key of its handshake, 40 characters; None without encryption."""

    def find_guest(self) -> str:
        """Return the name that the owner of its key has as a guest."""
        return "" if self.key is None else guest_name(self.key)

    def find_login(self) -> str:
        """Return the login of the process at its other end, "" if it has none."""
        return login_of(self.address)


def login_of(address: str) -> str:
    """Return the login of the user at the other end of a connection over ipc, "" if it has none.

    What the address says of it comes from the system: no peer can forge it. "" also for a login that differs
    from another by case alone, as "Root" from "root", unless it is in lower case: they would be one user here.
    """
    host, _, numbers = address.partition(":")
    user, _, _ = numbers.partition(":")
    if host != "localhost" or not user.isdigit() or sys.platform == "win32":
        return ""
    try:
        login = pwd.getpwuid(int(user)).pw_name
    except (KeyError, OverflowError):
        return ""
    folded = _folded(login)
    return login if login == folded or (folded and _is_alone(int(user), folded)) else ""


def _is_alone(user: int, folded: str) -> bool:
    """Return whether no other user of the system has a login that is the same but for its case."""
    with suppress(KeyError):
        if pwd.getpwnam(folded).pw_uid != user:  # a directory may list nobody
            return False
    return not any(_folded(each.pw_name) == folded for each in pwd.getpwall() if each.pw_uid != user)


def _folded(login: str) -> str:
    try:
        return fold(login)
    except BadName:  # a system may have logins that are no names here
        return ""


class Zap:
    """The socket at which libzmq asks. The loop's thread alone; it must be there before the ROUTER is bound."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]]) -> None:
        self.socket = context.socket(zmq.ROUTER)
        self.socket.linger = 0
        self.socket.rcvhwm = self.socket.sndhwm = 0  # connections that have yet to greet are bounded elsewhere
        self.socket.bind(ADDRESS)
        self.fd = int(self.socket.fd)
        """What can be read once somebody asks after `requests` has returned fewer than it can."""

    def requests(self, most: int) -> list[ZapRequest]:
        """Return the connections that ask now, `most` of them at most."""
        found: list[ZapRequest] = []
        while len(found) < most and int(self.socket.get(zmq.EVENTS)) & zmq.POLLIN:
            sender, _, _, number, *fields = self.socket.recv_multipart(zmq.NOBLOCK)
            _domain, address, _identity, mechanism, *credentials = fields
            key = z85.encode(credentials[0]).decode() if mechanism == b"CURVE" else None
            found.append(ZapRequest(sender, number, address.decode("ascii", "replace"), key))
        return found

    def let_in(self, request: ZapRequest, connection: int) -> None:
        """Let a connection in, under its number."""
        value = str(connection).encode()
        name = PROPERTY.encode()
        metadata = bytes((len(name),)) + name + len(value).to_bytes(4, "big") + value
        self._answer(request, b"200", b"OK", metadata)

    def refuse(self, request: ZapRequest, *, later: bool) -> None:
        """Refuse a connection, for good or for now.

        A code of 300 would be the word for the latter, but libzmq sends nothing then, and the peer waits.
        """
        self._answer(request, *((b"500", b"too many") if later else (b"400", b"not let in")), b"")

    def _answer(self, request: ZapRequest, code: bytes, text: bytes, metadata: bytes) -> None:
        self.socket.send_multipart([request.sender, b"", b"1.0", request.number, code, text, b"", metadata])

    def close(self) -> None:
        """Close it: nobody is let in any more."""
        self.socket.close(0)
