"""`zchat broker`: run a broker."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from functools import partial
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any, TypeVar

import click

from zchat.address import DEFAULT_URL, IPC
from zchat.broker import Broker, Settings
from zchat.broker.edge import descriptors
from zchat.broker.edge.systemd import Systemd
from zchat.broker.limits import MAX_SESSIONS
from zchat.broker.loop import Found
from zchat.broker.settings import options
from zchat.cli import ending, logs
from zchat.cli.failures import hinting_at
from zchat.cli.greeting import greet, say
from zchat.cli.logs import log_format, log_level
from zchat.cli.options import (
    F,
    check_between,
    check_open_rooms,
    check_place,
    check_urls,
    default_store,
    made_folder,
    path_of,
)
from zchat.cli.sources import Listed, NotEmpty
from zchat.cli.text.phrases import counted
from zchat.cli.text.safe import safe
from zchat.errors import AddressError, BadAudit, BadKey, BadRules, StoreError, ZchatError
from zchat.files import limit, raise_limit
from zchat.logs import broker_log
from zchat.transport.keys import USERS

if TYPE_CHECKING:
    from zchat.broker.metrics import Metrics

T = TypeVar("T")

START_HINTS: dict[type[ZchatError], str] = {
    AddressError: "--bind URL",
    StoreError: "--store URL",
    BadKey: "--keys DIR",
    BadRules: "--rules FILE",
    BadAudit: "--audit FILE",
}
"""The options that mend what can be wrong when the broker starts."""

METRICS_HINTS: dict[type[ZchatError], str] = {AddressError: "--metrics HOST:PORT"}
"""The same for its metrics."""

EVERYWHERE = ("tcp://0.0.0.0", "tcp://[::]", "tcp://*")
"""Addresses that stand for all of a machine's: a client has to be given one of these."""

POLL_SECONDS = 0.2
"""Seconds after which the main thread checks whether the broker has ended by itself."""


def _settings(command: F) -> F:
    """Add the options that the broker's settings have."""
    for setting, option in reversed(list(options())):
        kind: dict[str, Any]
        match setting.type:
            case "int":
                kind = {"type": click.IntRange(option.least, option.most)}
            case "float":
                kind = {"type": float, "callback": check_between(option.least, option.most, option.unit)}
            case "bool":
                kind = {"is_flag": True}
            case _:
                kind = {"multiple": True, "type": Listed(), "callback": check_open_rooms}
        shown = f"{option.help} 0: {option.zero}." if option.zero else option.help
        command = click.option(
            option.name,
            setting.name,
            default=setting.default,
            show_default=bool(option.metavar),
            metavar=option.metavar or None,
            help=shown,
            **kind,
        )(command)
    return command


HELP = """Run a broker until Ctrl-C or SIGTERM; it then answers what it has accepted, and ends.

\b
Examples:
  zchat broker
  zchat broker --store memory: --bind tcp://127.0.0.1:*
  zchat broker --bind tcp://0.0.0.0:5555 --keys /etc/zchat/keys
  zchat broker --room Ops --room Builds --fixed-rooms
  zchat broker --store sqlite:/var/lib/zchat/chat.db --retain-days 90
  zchat broker --metrics 127.0.0.1:9556
  zchat broker --keys /etc/zchat/keys --rules /etc/zchat/rules.toml

Without --keys names are claims: anyone who reaches the address can read every room and use any name, including
its direct rooms and read marks. So only this machine can reach it then.
"""
"""What `zchat broker --help` says: no docstring, as `python -OO` leaves those out."""


@click.command(help=HELP)
@click.option(
    "--bind",
    multiple=True,
    type=Listed(),
    default=(DEFAULT_URL,),
    show_default=True,
    metavar="URL",
    callback=check_urls,
    help="Address to listen on; may be repeated. tcp://127.0.0.1:* takes any free port.",
)
@click.option(
    "--store",
    type=NotEmpty("store"),
    metavar="URL",
    help="Where the rooms are kept: sqlite:PATH, memory: or redis://HOST  [default: sqlite, in the user's data folder]",
)
@_settings
@click.option(
    "--metrics",
    metavar="HOST:PORT",
    callback=check_place,
    help="Where Prometheus fetches the broker's figures, over HTTP and without access control; the port * takes any "
    "free one. Requires zchat-zmq[metrics].  [default: nowhere]",
)
@click.option(
    "--keys",
    type=NotEmpty("folder"),
    metavar="DIR",
    help="The folder with the broker's key and its users'; see zchat keygen.",
)
@click.option("--guests", is_flag=True, help="With --keys: let other keys in too, as guests with names of their own.")
@click.option("--logins", is_flag=True, help="Over ipc:// let users in without keys, under their logins.")
@click.option(
    "--rules",
    type=NotEmpty("file"),
    metavar="FILE",
    help="With --keys or --logins: who may do what in which room; see zchat rules.",
)
@click.option("--insecure", is_flag=True, help="Listen without keys at addresses that other machines can reach.")
@click.option(
    "--audit",
    type=NotEmpty("file"),
    metavar="FILE",
    help="The file of the audit log: who comes in, and what is done to whom, a JSON object a line.  [default: none]",
)
@log_level
@log_format
def broker(
    bind: tuple[str, ...],
    store: str | None,
    metrics: str | None,
    keys: str | None,
    guests: bool,
    logins: bool,
    rules: str | None,
    insecure: bool,
    audit: str | None,
    **settings: Any,
) -> None:
    """Carry out `zchat broker`."""
    ending.serve()
    stopping = Event()
    _raise_limit()
    logs.load()
    with ExitStack() as stack:
        stack.enter_context(ending.notifying(stopping.set))
        place = default_store() if store is None else store
        written = False if audit is None else audit
        door = {
            "keys": keys,
            "guests": guests,
            "logins": logins,
            "rules": rules,
            "insecure": insecure,
            "audit": written,
        }
        running = Broker(*bind, store=place, **door, **settings)  # type: ignore[arg-type]
        stack.enter_context(ending.at_hangup(partial(_note_hangup, running, keys, rules, audit)))
        # Metrics first: a broker that starts makes its files, and one that can't serve its figures is not to start.
        serving = nullcontext() if metrics is None else _metrics(running, metrics)
        served = stack.enter_context(_entered(serving, METRICS_HINTS))
        with nullcontext() if store is not None else made_folder(path_of(place).parent):
            stack.enter_context(_entered(running, START_HINTS))
        found = Settings(**settings)
        greet(_greeting(running, place, found, served.url if served else "", keys, logins, rules, audit), broker_log)
        systemd = Systemd(os.environ)
        systemd.ready()
        while not stopping.wait(POLL_SECONDS) and not running.wait(0):
            systemd.turned(running.counters.turns, time.monotonic())
        systemd.stopping()
    with suppress(OSError):
        say(f"stopped; {counted(running.counters.messages, 'message')} stored since the start")


def _note_hangup(running: Broker, keys: str | None, rules: str | None, audit: str | None) -> None:
    running.read_again()
    again = [what for what, place in (("keys", keys), ("rules", rules)) if place is not None]
    read = f"{' and '.join(again)} are to be read again, " if again else ""
    begun = "" if audit is None else "the audit log is begun anew if it was moved, "
    text = f"SIGHUP: {read}{begun}options are read at the start only; the broker continues"
    broker_log.info(text, event="hangup")


def _metrics(running: Broker, place: str) -> Metrics:
    from zchat.broker.metrics import Metrics  # requires what only zchat-zmq[metrics] installs

    return Metrics(running, place)


@contextmanager
def _entered(context: AbstractContextManager[T], hints: dict[type[ZchatError], str]) -> Iterator[T]:
    """Enter a context for as long as the block lasts; an error of entering it names the option in `hints`.

    Raises:
        Ended: it can't be entered, and a signal has asked for the end meanwhile.
    """
    with ExitStack() as stack:
        try:
            with hinting_at(hints):
                entered = stack.enter_context(context)
        except ZchatError as error:
            if ending.asked():
                raise ending.Ended from error
            raise
        yield entered


def _names(keys: str | None, logins: bool, users: int) -> list[str]:
    """Return in words what a name is worth; `users` have keys."""
    lines = []
    if keys is not None:
        folder = Path(keys)
        count = counted(users, "user")
        if not users:
            count += f" yet: put each one's NAME.key into {folder / USERS}"
        lines.append(f"keys: {keys} ({count}); its own is {folder / 'server.key'}")
    if logins:
        lines.append("over ipc names are the logins of this machine's users")
    return lines or [
        "names are claims: there are no keys, so anyone who reaches the address can use any name,",
        "  including its direct rooms and read marks",
    ]


def _greeting(
    running: Broker,
    store: str,
    settings: Settings,
    metrics: str,
    keys: str | None,
    logins: bool,
    rules: str | None,
    audit: str | None,
) -> str:
    lines = [f"zchat broker at {address}" for address in running.urls]
    lines.append(f"store: {running.found.place} (kept: {_kept(store, settings)})")
    if store != "memory:":
        lines.append(f"  {_found(running.found)}")
    if metrics:
        lines.append(f"metrics: {metrics} (no access control; they contain names of rooms and users)")
    lines.append(f"chat with: {_program()} client{_connect(running.url)}{_who(running.url, keys, logins)}")
    lines += [*_names(keys, logins, running.found.users), "" if rules is None else f"rules: {rules}"]
    lines.append("" if audit is None else f"audit log: {audit}")
    lines.append(_room_for_clients(running))
    return "\n".join(map(safe, filter(None, lines)))


def _who(url: str, keys: str | None, logins: bool) -> str:
    """Return the options by which a client says who it is."""
    if logins and url.startswith(IPC):
        return ""
    return " --user NAME" if keys is None else " --key NAME.key_secret --server-key server.key"


def _found(found: Found) -> str:
    if found.new:
        return "a new store: there was none"
    return f"it holds {counted(found.messages, 'message')} in {counted(found.rooms, 'room')}"


def _connect(url: str) -> str:
    """Return the option by which a client reaches an address; "" if it needs none."""
    if url == DEFAULT_URL:
        return ""
    place, _, port = url.rpartition(":")
    return f" --connect tcp://HOST:{port}" if place in EVERYWHERE else f" --connect {shlex.quote(url)}"


def _kept(store: str, settings: Settings) -> str:
    """Return in words what a store keeps; retention removes whole blocks, so that more than asked for may be left."""
    count, days = settings.retain_messages, settings.retain_days
    kept = [f"at least the last {counted(count, 'message')} of a room"] if count else []
    kept += [f"{days:g} day{'' if days == 1 else 's'}"] if days else []
    words = ", and none for more than ".join(kept)
    if store == "memory:":
        return "; ".join(filter(None, [words, "nothing once the broker ends"]))
    return words or "everything"


def _program() -> str:
    """Return how to call this program: by its name if the shell finds it."""
    if shutil.which("zchat"):
        return "zchat"
    path = sys.argv[0]
    if Path(path).name == "__main__.py":
        return f"{shlex.quote(sys.executable)} -m zchat"
    return shlex.quote(path)


def _room_for_clients(running: Broker) -> str:
    most = limit()
    if most is None:
        return f"clients: {MAX_SESSIONS} at once (open files have no limit)"
    return f"clients: about {descriptors.clients(running.urls)} at once (open files, ulimit -n: {most})"


def _raise_limit() -> None:
    """Let the process have as many open files as its user may, a client being one."""
    raised = raise_limit()
    if raised is not None:
        before, after = raised
        text = "the limit of open files is raised from %d to %d"
        broker_log.info(text, before, after, event="files", before=before, after=after)
