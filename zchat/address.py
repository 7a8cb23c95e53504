"""The rules for addresses: what libzmq takes for one and zchat doesn't is refused in words."""

from __future__ import annotations

import re
from itertools import count

from zchat.errors import AddressError

DEFAULT_URL = "tcp://127.0.0.1:5555"
"""Where a broker listens: on loopback, since without keys whoever reaches it can take any name."""

MAX_PORT = 65_535
"""What TCP has; libzmq takes a greater number and uses another port."""


def check_address(url: str, *, listening: bool = False) -> None:
    """Refuse what is no broker's address; one that it is to listen at may have `*` for its port.

    Any thread.

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
        AddressError: it is no such thing.
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
    """Return an address within this process that was never given out before. Any thread.

    libzmq frees one some time after its socket is closed: the id of an object, which Python uses
    again at once, is in use there for a while.
    """
    return f"inproc://zchat-{next(_counted)}"


def is_ipv6(url: str) -> bool:
    """Tell whether the address is one of IPv6, which libzmq has to be told. Any thread."""
    return "[" in url
