"""The rules for addresses: what libzmq would accept and zchat doesn't is refused in words."""

from __future__ import annotations

import re
from itertools import count

from zchat.errors import AddressError

DEFAULT_URL = "tcp://127.0.0.1:5555"
"""Where a broker listens by default: on loopback, because without keys anyone who reaches it can use any name."""

MAX_PORT = 65_535
"""The highest port of TCP; given a higher number, libzmq uses another port."""


def check_address(url: str, *, listening: bool = False) -> None:
    """Check a broker's address. Any thread.

    Args:
        url: the address.
        listening: True if a broker is to listen on it; its port may then be `*`.

    Raises:
        AddressError: it is neither tcp://HOST:PORT nor ipc://PATH.
    """
    if re.fullmatch(r"ipc://.+", url):
        return
    parts = re.fullmatch(r"tcp://(\S+):([^:]*)", url)
    if parts is None:
        raise AddressError(f"{url!a} is not an address: use tcp://HOST:PORT or ipc://PATH, for instance {DEFAULT_URL}")
    port = parts[2]
    if not (listening and port == "*") and not (re.fullmatch("[0-9]{1,5}", port) and 1 <= int(port) <= MAX_PORT):
        raise AddressError(f"{url!a} has the port {port!a}: ports are 1 to {MAX_PORT}")


def host_and_port(place: str) -> tuple[str, int]:
    """Return the host and the port of `HOST:PORT`, 0 for the ports `*` and `0`: any free one. Any thread.

    Raises:
        AddressError: `place` has another form.
    """
    parts = re.fullmatch(r"(?:\[(\S+)\]|([^\s:\[\]/]+)):([^:]*)", place)
    if parts is None:
        raise AddressError(f"{place!a} is not HOST:PORT, as in 127.0.0.1:9556 or [::1]:9556")
    port = "0" if parts[3] == "*" else parts[3]
    if not re.fullmatch("[0-9]{1,5}", port) or int(port) > MAX_PORT:
        raise AddressError(f"{place!a} has the port {port!a}: ports are 1 to {MAX_PORT}, or * for any free one")
    return parts[1] or parts[2], int(port)


_counted = count()


def inproc_address() -> str:
    """Return an address within this process that was never returned before. Any thread.

    libzmq frees an address some time after its socket is closed, so that one made of an object's id,
    which Python reuses immediately, would be in use for a while.
    """
    return f"inproc://zchat-{next(_counted)}"


def is_ipv6(url: str) -> bool:
    """Return True if the address is one of IPv6, for which libzmq has an option. Any thread."""
    return "[" in url
