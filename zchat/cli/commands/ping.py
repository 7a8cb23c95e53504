"""`zchat ping`: whether a broker responds, and if not, what is there instead."""

from __future__ import annotations

import os
import sys
import time
from contextlib import suppress
from functools import partial

import click

from zchat.address import IPC
from zchat.cli import ending
from zchat.cli.connection import TIMEOUT, connect
from zchat.cli.failures import FAILED, report
from zchat.cli.options import addresses, addressing, given_keys, seconds
from zchat.cli.text.phrases import error_text
from zchat.cli.text.safe import safe
from zchat.errors import Banned, Busy, ConnectionLost, KeyRefused
from zchat.transport.greeting import connected

USER = "zchat ping"
"""The user that asks, but for brokers that know the name: none is needed, and nobody's rooms are touched."""

MIN_TIMEOUT = 0.01
"""The fewest seconds that can be waited: less is no answer, even on the same machine."""

MAX_TIMEOUT = 3600.0
"""The most seconds that can be waited: an hour."""

ALIVE = 3
"""The exit code if there is a broker that has no room for another client, or doesn't let this key or user in."""

PROBE_SECONDS = 2.0
"""Seconds that finding out what is at an address waits at most for a connection, and again for what comes over it: a
broker that has too few open files cuts newcomers once a second."""

SIGNATURE = b"\xff"
"""What ZeroMQ begins with; a broker's own thread may hang all the same."""

CLOSED = (
    "something there takes connections and closes them: a broker that has no room for another client, "
    "or a forwarder (ssh, docker, a proxy) whose broker is gone"
)


HELP = """Check whether a broker responds: exit with 0 if it has answered in time, with 1 if not.

\b
Examples:
  zchat ping
  zchat ping --timeout 10 --connect tcp://192.0.2.7:5555
  zchat ping -q || test $? = 3 || systemctl restart zchat

It is meant for health checks. The broker has answered once its loop has taken the request, so
one that hangs fails. One whose disk is full still answers: restarting it would not help. One
that has no room for another client (too few open files, or 10,000 sessions), or doesn't let
this key or user in, is alive: 3.
"""
"""What `zchat ping --help` says: no docstring, as `python -OO` leaves those out."""


@click.command(help=HELP)
@seconds("--timeout", TIMEOUT, MIN_TIMEOUT, MAX_TIMEOUT, "Seconds that the broker may take to answer.")
@click.option("-q", "--quiet", is_flag=True, help="Print nothing if it answers.")
@addressing
def ping(url: str, timeout: float, quiet: bool) -> None:
    """Carry out `zchat ping`."""
    began = time.monotonic()
    try:
        with connect(url, _user(url), timeout=timeout) as client:
            took = time.monotonic() - began
            answered = client.url
    except (Busy, KeyRefused, Banned) as error:
        report(error_text(error))
        raise click.exceptions.Exit(ALIVE) from error
    except ConnectionLost as error:
        urls = addresses(url)
        found = [ending.Work(partial(_found, each)).result() for each in urls]
        report(f"no broker answered at {url} within {timeout:g} s: {'; '.join(found)} (--connect URL)")
        raise click.exceptions.Exit(ALIVE if CLOSED in found else FAILED) from error
    if not quiet:
        click.echo(f"{safe(answered)} answered in {took * 1000:.0f} ms")


def _user(url: str) -> str | None:
    """Return the name to ask with: None for that of the key, and that of the login where it may count."""
    if given_keys()["key"]:
        return None
    if sys.platform != "win32" and any(each.startswith(IPC) for each in addresses(url)):
        import pwd

        with suppress(KeyError):  # a user id without a name
            return pwd.getpwuid(os.geteuid()).pw_name
    return USER


def _found(url: str) -> str:
    """Return what is at an address where no broker answered, as a sentence."""
    first = b""
    try:
        with connected(url, PROBE_SECONDS) as peer:
            try:
                first = peer.recv(16)
                while first.startswith(SIGNATURE) and peer.recv(4096):
                    pass
                if first.startswith(SIGNATURE):
                    return CLOSED
            except TimeoutError:
                if first:
                    return "ZeroMQ is there, but no broker answers: one that hangs or is very busy, or another service"
                return "something there takes connections and says nothing: a broker that hangs, or another service"
    except (ConnectionResetError, BrokenPipeError):
        return CLOSED
    except TimeoutError:
        return "nothing answers there: the machine is off, a firewall drops connections, or too many wait for it"
    except ConnectionRefusedError:
        return "nobody listens there"
    except FileNotFoundError:
        return "there is no such socket"
    except OSError as error:
        return error.strerror or str(error)
    if not first:
        return CLOSED
    return f"another service is there, which says {first!r}"
