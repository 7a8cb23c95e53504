"""`zchat broker`: run a broker."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import sys
from contextlib import nullcontext
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import click
from platformdirs import user_data_dir

from zchat.address import DEFAULT_URL
from zchat.broker import DEFAULT_ROOMS, Broker
from zchat.broker.limits import HIGH_WATER_MARK, MAX_HIGH_WATER_MARK, MAX_MESSAGE, MAX_NAMES, MAX_SESSIONS, NAMES
from zchat.cli.logs import log_format, log_level
from zchat.cli.options import check_between, check_names, check_place, check_urls
from zchat.cli.text.phrases import counted
from zchat.cli.text.safe import harmless
from zchat.errors import StoreError
from zchat.wire.limits import MAX_BLOCK_BYTES

if TYPE_CHECKING:
    from zchat.broker.figures.metrics import Metrics

LOOK = 0.2
"""Seconds after which the main thread looks for a signal: well within the 2 s that stopping may take."""

OWN_FILES = 40
"""Open files that a broker needs for itself: libzmq's, the store's, the standard ones; about 20 were counted."""

MAX_KEPT = 1_000_000_000
"""Messages a room that can be asked for: more than a store on one machine holds."""

MAX_DAYS = 36_500.0
"""Days that can be asked for: a hundred years; what isn't a number falls out too."""


@click.command(short_help="Run a broker.")
@click.option(
    "--bind",
    multiple=True,
    default=(DEFAULT_URL,),
    show_default=True,
    metavar="URL",
    callback=check_urls,
    help="Where to listen; may be repeated. tcp://127.0.0.1:* takes any free port.",
)
@click.option("--store", metavar="URL", help="sqlite:PATH or memory:  [default: sqlite, in the user's data folder]")
@click.option(
    "--high-water-mark",
    type=click.IntRange(1, MAX_HIGH_WATER_MARK),
    default=HIGH_WATER_MARK,
    show_default=True,
    help="Notifications that a member may hold unread before the broker waits for it.",
)
@click.option(
    "--room",
    "rooms",
    multiple=True,
    metavar="NAME",
    callback=check_names("room"),
    help=f"A room to begin with; may be repeated.  [default: {', '.join(DEFAULT_ROOMS)}]",
)
@click.option("--fixed-rooms", is_flag=True, help="Joining another name doesn't make a room.")
@click.option(
    "--retain-messages",
    type=click.IntRange(0, MAX_KEPT),
    default=0,
    metavar="N",
    show_default=True,
    help="Messages kept in a room, 0 for all.",
)
@click.option(
    "--retain-days",
    type=float,
    callback=check_between(0, MAX_DAYS, "days"),
    default=0.0,
    metavar="D",
    show_default=True,
    help="Days that messages are kept, 0 for ever.",
)
@click.option(
    "--max-message",
    type=click.IntRange(1, MAX_BLOCK_BYTES),
    default=MAX_MESSAGE,
    metavar="BYTES",
    show_default=True,
    help="The largest message taken.",
)
@click.option(
    "--names",
    type=click.IntRange(0, MAX_NAMES),
    default=NAMES,
    metavar="N",
    show_default=True,
    help="Members up to which a room tells who they are; beyond it, how many. 0: always how many.",
)
@click.option(
    "--metrics",
    metavar="HOST:PORT",
    callback=check_place,
    help="Where Prometheus finds figures, over HTTP and open to whoever reaches it; the port * is any free one."
    "  [default: nowhere; wants zchat[metrics]]",
)
@log_level
@log_format
def broker(
    bind: tuple[str, ...],
    store: str | None,
    high_water_mark: int,
    rooms: tuple[str, ...],
    fixed_rooms: bool,
    retain_messages: int,
    retain_days: float,
    max_message: int,
    names: int,
    metrics: str | None,
) -> None:
    """Run a broker until Ctrl-C (or SIGTERM): what it accepted is answered, then it ends.

    \b
    Examples:
      zchat broker
      zchat broker --store memory: --bind tcp://127.0.0.1:*
      zchat broker --bind tcp://0.0.0.0:5555 --room Ops --room Builds --fixed-rooms
      zchat broker --store sqlite:/var/lib/zchat/chat.db --retain-days 90
      zchat broker --metrics 127.0.0.1:9556

    Names are claims, as there are no keys: whoever reaches the address can read every room and take any name,
    and with the name its direct rooms and read marks.
    """
    signals: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        signals.append(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, note)
    store = _default_store() if store is None else store
    running = Broker(
        *bind,
        store=store,
        high_water_mark=high_water_mark,
        rooms=rooms or DEFAULT_ROOMS,
        fixed_rooms=fixed_rooms,
        retain_messages=retain_messages,
        retain_days=retain_days,
        max_message=max_message,
        names=names,
    )
    watched = nullcontext() if metrics is None else _metrics(running, metrics)
    with running, watched as served:
        click.echo(_greeting(running, store, retain_messages, retain_days, served.url if served else ""))
        while not signals and not running.wait(LOOK):
            pass


def _metrics(running: Broker, place: str) -> Metrics:
    from zchat.broker.figures.metrics import Metrics  # wants what is installed with zchat[metrics] alone

    return Metrics(running, place)


def _default_store() -> str:
    folder = Path(user_data_dir("zchat", appauthor=False))
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(
            f"{folder} can't be made for the store ({error.strerror}); name another place with --store sqlite:PATH"
        ) from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise StoreError(f"{folder} can't be written; name another place for the store with --store sqlite:PATH")
    return f"sqlite:{folder / 'zchat.db'}"


def _greeting(running: Broker, store: str, retain_messages: int, retain_days: float, metrics: str) -> str:
    url = running.url
    connect = "" if url == DEFAULT_URL else f" --connect {url}"
    kept = [f"the last {counted(retain_messages, 'message')} of a room"] if retain_messages else []
    kept += [f"{retain_days:g} days"] if retain_days else []
    lines = [f"zchat broker at {address}" for address in running.urls]
    lines.append(f"store: {store} (kept: {' and '.join(kept) or 'everything'})")
    if metrics:
        lines.append(f"metrics: {metrics} (open to whoever reaches it, names of rooms and users among them)")
    lines.append(f"chat with: {_program()} client{connect}")
    lines.append("names are claims: there are no keys, whoever reaches the address can take any name,")
    lines.append("  and has that name's direct rooms and read marks")
    lines.append(_room_for_clients())
    return "\n".join(map(harmless, filter(None, lines)))


def _program() -> str:
    """Return how this program is called: by its name if the shell finds that."""
    if shutil.which("zchat"):
        return "zchat"
    path = sys.argv[0]
    if Path(path).name == "__main__.py":
        return f"{shlex.quote(sys.executable)} -m zchat"
    return shlex.quote(path)


def _room_for_clients() -> str:
    try:
        import resource
    except ImportError:  # not on this system
        return ""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit == resource.RLIM_INFINITY:
        return f"clients: {MAX_SESSIONS} at once (open files have no limit)"
    return f"clients: about {max(0, min(limit - OWN_FILES, MAX_SESSIONS))} at once (open files, ulimit -n: {limit})"
