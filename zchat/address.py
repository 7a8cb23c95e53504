"""The rules for addresses: what libzmq would accept and zchat doesn't is refused in words."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from ipaddress import IPv6Address, ip_address
from itertools import count

from zchat import paths
from zchat.checks import shown
from zchat.errors import AddressError, UsageError

DEFAULT_URL = "tcp://127.0.0.1:5555"
"""Where a broker listens by default: on loopback, because without keys anyone who reaches it can use any name."""

MAX_PORT = 65_535
"""The highest port of TCP; given a higher number, libzmq uses another port."""

MAX_LABEL = 63
"""Characters between two dots of a host's name, as the domain name system has them (RFC 1035)."""

IPC = "ipc://"
"""What the addresses of sockets on this machine begin with."""

ANY_IPC = "ipc://*"
"""Where a broker listens in a new folder, as with the port `*` at a free port."""

MAX_IPC_PATH = 107 if sys.platform == "linux" else 103
"""Bytes of a socket's path: one less than the system has room for, for the zero at its end."""


def check_urls(url: str | Sequence[str]) -> list[str]:
    """Return the addresses of the brokers that a client may connect to, in turn. Any thread.

    Raises:
        UsageError: there is none, or one is no text.
    """
    given: object = url
    if isinstance(given, bytes | bytearray | memoryview | Mapping) or not isinstance(given, Iterable):
        raise UsageError(f"a client is given the address of a broker, or several, not {shown(given)}")
    urls = [url] if isinstance(url, str) else list(url)
    if not urls:
        raise UsageError("a client needs the address of at least one broker")
    if wrong := [each for each in urls if not isinstance(each, str)]:
        raise UsageError(f"a broker's address is text, not {shown(wrong[0])}")
    return urls


def check_address(url: str, *, listening: bool = False) -> None:
    """Check a broker's address. Any thread.

    Args:
        url: the address.
        listening: True if a broker is to listen on it; its port, or its path, may then be `*`.

    Raises:
        AddressError: it is neither tcp://HOST:PORT nor ipc://PATH.
    """
    if not isinstance(url, str):
        raise AddressError(f"a broker's address is text, not {shown(url)}: use tcp://HOST:PORT or ipc://PATH")
    if url.startswith(IPC) and len(url) > len(IPC):
        if url == ANY_IPC and not listening:
            raise AddressError(f"{url} is only for listening: connect to the path that the broker reports")
        check_ipc_path(url.removeprefix(IPC))
        return
    parts = re.fullmatch(r"tcp://(\S+):([^:]*)", url)
    if parts is not None and _is_ipv6(parts[1]):
        raise AddressError(f"{shown(url)} has an IPv6 address without its brackets: use tcp://[{parts[1]}]:{parts[2]}")
    if parts is None:
        raise AddressError(
            f"{shown(url)} is not an address: use tcp://HOST:PORT or ipc://PATH, for instance {DEFAULT_URL}"
        )
    host, port = parts[1], parts[2]
    if host == "*" and not listening:
        raise AddressError(
            f"{shown(url)} is only for listening: connect to the name or address of the broker's machine"
        )
    for name in host.split(";"):  # the address that is connected from may stand before the other
        check_host(name.removeprefix("[").removesuffix("]"), url)
    if not (listening and port == "*") and not (re.fullmatch("[0-9]{1,5}", port) and 1 <= int(port) <= MAX_PORT):
        free = ", or * for any free one" if listening else ""
        raise AddressError(f"{shown(url)} has the port {shown(port)}: ports are 1 to {MAX_PORT}{free}")


def check_ipc_path(path: str) -> None:
    """Check the path of a socket, or its name after an `@`. Any thread.

    Raises:
        AddressError: no socket can have it.
    """
    try:
        size = len(os.fsencode(path))
    except UnicodeEncodeError as error:
        raise AddressError(f"{shown(IPC + path)} has characters that a path can't have") from error
    if path == "@" or "\0" in path:
        raise AddressError(
            f"{shown(IPC + path)} is not an address: use ipc://PATH, or ipc://@NAME for a name without a file"
        )
    if size > MAX_IPC_PATH:
        raise AddressError(
            f"{shown(IPC + path)} has {size} bytes after ipc://: a socket's path has {MAX_IPC_PATH} at most"
        )


def absolute(url: str) -> str:
    """Return an address that is the same wherever the program goes: its path in full, unless that is too long.

    Raises:
        AddressError: it is relative to a current folder that was removed.
    """
    path = url.removeprefix(IPC)
    if not url.startswith(IPC) or url == ANY_IPC or path.startswith(("/", "@")):
        return url
    try:
        full = paths.full(path)
    except OSError as error:
        raise AddressError(f"{shown(url)} can't be used: {error.strerror}, or name the path in full") from error
    return IPC + full if len(os.fsencode(full)) <= MAX_IPC_PATH else url


def host_and_port(place: str) -> tuple[str, int]:
    """Return the host and the port of `HOST:PORT`, 0 for the ports `*` and `0`: any free one. Any thread.

    Raises:
        AddressError: `place` has another form.
    """
    if not isinstance(place, str):
        raise AddressError(f"a place is text, not {shown(place)}: use HOST:PORT, as in 127.0.0.1:9556")
    parts = re.fullmatch(r"(?:\[(\S+)\]|([^\s:\[\]/]+)):([^:]*)", place)
    if parts is None:
        raise AddressError(f"{shown(place)} is not HOST:PORT, as in 127.0.0.1:9556 or [::1]:9556")
    port = "0" if parts[3] == "*" else parts[3]
    if not re.fullmatch("[0-9]{1,5}", port) or int(port) > MAX_PORT:
        raise AddressError(
            f"{shown(place)} has the port {shown(port)}: ports are 1 to {MAX_PORT}, or * for any free one"
        )
    host = parts[1] or parts[2]
    check_host(host, place)
    return host, int(port)


def check_host(host: str, where: str) -> None:
    """Check that a host's name, or address without brackets, can be one; `where` is what it stands in. Any thread.

    Raises:
        AddressError: no name can be so, and to look it up fails in ways of its own.
    """
    byte = re.search("[\ud800-\udfff]", host)
    if byte:  # a byte that is no UTF-8, as Python keeps it
        raise AddressError(f"{shown(where)} names a host that can't be: {shown(byte[0])} is no character")
    labels = host.removesuffix(".").split(".")
    can_be = all(1 <= len(label) <= MAX_LABEL for label in labels)
    if can_be and not host.isascii():
        try:
            host.encode("idna")
        except UnicodeError:
            can_be = False
    if not can_be:
        raise AddressError(
            f"{shown(where)} names a host that can't be: between its dots a host's name has 1 to {MAX_LABEL} characters"
        )


def _is_ipv6(host: str) -> bool:
    try:
        IPv6Address(host)
    except ValueError:
        return False
    return True


def is_this_machines(url: str) -> bool:
    """Return True if only this machine can reach an address of TCP, as far as that can be read in it. Any thread."""
    host = url.removeprefix("tcp://").rpartition(":")[0].removeprefix("[").removesuffix("]")
    if host.lower() == "localhost":
        return True
    try:
        address = ip_address(host)
    except ValueError:
        return False
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


def is_ip(host: str) -> bool:
    """Return True if a host is an IP address, without brackets, and not a name. Any thread."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


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
