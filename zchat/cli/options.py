"""The options that several commands share."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import click

from zchat.address import DEFAULT_URL, check_address, host_and_port
from zchat.cli.logs import log_level
from zchat.cli.sources import Listed
from zchat.cli.text.iso import time_meant
from zchat.cli.text.phrases import room_named
from zchat.errors import AddressError, BadName, StoreError
from zchat.names import DIRECT, check_held_name

F = TypeVar("F", bound=Callable[..., Any])


def check_url(context: click.Context, parameter: click.Parameter, url: str) -> str:
    """Check a broker's address, or several (a click callback)."""
    with _bad_parameter():
        for each in addresses(url):
            check_address(each)
    return url


def addresses(urls: str) -> list[str]:
    """Return the addresses in a text that has commas between them; a path of ipc may have commas of its own."""
    return re.split(r"\s*,\s*(?=tcp://|ipc://)", urls)


def check_urls(context: click.Context, parameter: click.Parameter, urls: tuple[str, ...]) -> tuple[str, ...]:
    """Check addresses to listen on, whose port may be `*` (a click callback)."""
    with _bad_parameter():
        for url in urls:
            check_address(url, listening=True)
    return urls


def check_place(context: click.Context, parameter: click.Parameter, place: str | None) -> str | None:
    """Check a `HOST:PORT` (a click callback)."""
    with _bad_parameter():
        if place is not None:
            host_and_port(place)
    return place


def default_store() -> str:
    """Return the store of a broker that is given none: a file in the user's data folder.

    Raises:
        StoreError: the system knows of no home folder for this user.
    """
    from platformdirs import user_data_dir  # takes long to load

    try:
        folder = user_data_dir("zchat", appauthor=False)
    except RuntimeError as error:
        raise StoreError(
            "this user has no home folder to keep messages in: name a place by --store sqlite:PATH, or set HOME"
        ) from error
    return f"sqlite:{Path(folder) / 'zchat.db'}"


def path_of(store: str) -> Path:
    """Return the path in the URL of a store in SQLite."""
    return Path(store.partition(":")[2])


@contextmanager
def made_folder(folder: Path) -> Iterator[None]:
    """Make a folder, and those that it is in, for this user alone; if the block fails, what was made is removed."""
    made: list[Path] = []
    try:
        with suppress(OSError):  # who needs the folder says that there is none
            for each in (*reversed(folder.parents), folder):
                if not each.exists():
                    each.mkdir(0o700)
                    made.append(each)
        yield
    except BaseException:
        for each in reversed(made):
            with suppress(OSError):  # others have put something there
                each.rmdir()
        raise


def check_room(context: click.Context, parameter: click.Parameter, text: str) -> str:
    """Return the room that is named, `@USER` for a direct one, after a check of the name (a click callback)."""
    name = room_named(text)
    with _bad_parameter():
        check_held_name("user" if name.startswith(DIRECT) else "room", name.removeprefix(DIRECT))
    return name


def check_rooms(context: click.Context, parameter: click.Parameter, texts: tuple[str, ...]) -> tuple[str, ...]:
    """Return the rooms that are named, direct ones too, after a check of their names (a click callback)."""
    return tuple(check_room(context, parameter, text) for text in texts)


def check_open_rooms(context: click.Context, parameter: click.Parameter, texts: tuple[str, ...]) -> tuple[str, ...]:
    """Return the rooms that are named, after a check of their names; none is a direct one (a click callback)."""
    names = tuple(map(room_named, texts))
    with _bad_parameter():
        for name in names:
            check_held_name("room", name)
    return names


def check_user(context: click.Context, parameter: click.Parameter, name: str | None) -> str | None:
    """Check a user's name (a click callback)."""
    with _bad_parameter():
        if name is not None:
            check_held_name("user", name)
    return name


def check_time(context: click.Context, parameter: click.Parameter, text: str | None) -> int | None:
    """Return in microseconds since 1970 the time that an age or a time means (a click callback)."""
    try:
        return None if text is None else time_meant(text, datetime.now(UTC))
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


def check_between(least: float, most: float, unit: str) -> Callable[[click.Context, click.Parameter, float], float]:
    """Return a click callback that refuses a number of `unit` outside `least` to `most`, NaN included."""

    def check(context: click.Context, parameter: click.Parameter, value: float) -> float:
        if not least <= value <= most:
            raise click.BadParameter(f"{value:g} is not a number of {unit} from {least:g} to {most:g}")
        return value

    return check


def seconds(name: str, default: float, least: float, most: float, text: str) -> Callable[[F], F]:
    """Return what adds an option of a number of seconds, from `least` to `most`, with `text` as its help."""
    return click.option(
        name,
        type=float,
        default=default,
        callback=check_between(least, most, "seconds"),
        metavar="SECONDS",
        show_default=True,
        help=text,
    )


def connecting(command: F) -> F:
    """Add the options of every command that connects to a broker as a user: those of `addressing`, and `--user`."""
    return addressing(
        click.option(
            "--user",
            envvar="ZCHAT_USER",
            show_envvar=True,
            metavar="NAME",
            callback=check_user,
            help="Your name.  [default: your login name]",
        )(command)
    )


def addressing(command: F, names: tuple[str, ...] = ("--connect",)) -> F:
    """Add the options of every command that connects to a broker: its address, the keys, and `--log-level`.

    `names` are those of the option for the address.
    """
    keys = click.option(
        "--key",
        envvar="ZCHAT_KEY",
        show_envvar=True,
        metavar="FILE",
        expose_value=False,
        callback=_keep("key"),
        help="Your key, NAME.key_secret, for a broker with keys.",
    )
    server_keys = click.option(
        "--server-key",
        envvar="ZCHAT_SERVER_KEY",
        show_envvar=True,
        metavar="FILE",
        multiple=True,
        type=Listed(),
        expose_value=False,
        callback=_keep("server_key"),
        help="That broker's own public key: its server.key, or the 40 characters; several are tried in turn.",
    )
    return click.option(
        *names,
        "url",
        envvar="ZCHAT_URL",
        show_envvar=True,
        metavar="URL",
        default=DEFAULT_URL,
        show_default=True,
        callback=check_url,
        help="The broker's address; of several, with commas between them, the first that answers.",
    )(keys(server_keys(log_level(command))))


def _keep(name: str) -> Any:
    """Return a callback of click that keeps an option's value for `given_keys`: each command connects with the same.

    A `~` is the home folder, as no shell has made it in a file of options, or in a word that is completed.
    """

    def keep(context: click.Context, parameter: click.Parameter, value: str | tuple[str, ...] | None) -> None:
        if value == "" or (isinstance(value, tuple) and "" in value):
            raise click.BadParameter("it is empty: name the key's file")
        if isinstance(value, str):
            context.meta[f"{__name__}.{name}"] = os.path.expanduser(value)
        else:
            context.meta[f"{__name__}.{name}"] = tuple(map(os.path.expanduser, value or ())) or None

    return keep


def given_keys(context: click.Context | None = None) -> dict[str, Any]:
    """Return `key` and `server_key` as a command was given them, by default the running one, for `Client`."""
    context = context or click.get_current_context(silent=True)
    meta = {} if context is None else context.meta
    return {name: meta.get(f"{__name__}.{name}") for name in ("key", "server_key")}


@contextmanager
def _bad_parameter() -> Iterator[None]:
    """Turn a refused address or name into click's error, which names the option."""
    try:
        yield
    except (AddressError, BadName) as error:
        raise click.BadParameter(str(error)) from error
