"""`zchat backup`: a copy of a broker's database, made while the broker runs."""

from __future__ import annotations

from pathlib import Path

import click

from zchat.broker.store.sqlite.backup import back_up
from zchat.cli.copying import Copying, content_text
from zchat.cli.ending import forgive
from zchat.cli.logs import log_level
from zchat.cli.options import default_store
from zchat.cli.sources import NotEmpty
from zchat.cli.text.safe import safe
from zchat.errors import StoreError, UsageError

HELP = """Copy what a broker has stored into FILE, which must not exist yet.

\b
Examples:
  zchat backup general.zchat
  zchat backup --store sqlite:/var/lib/zchat/chat.db /backup/chat-$(date +%F).zchat

The broker may run, and goes on meanwhile: FILE has everything that was acknowledged when the
copy began. Copying the database by other means while a broker runs loses messages. FILE gets
its name once it is complete, checked and flushed to disk; only you can read it.
"""
"""What `zchat backup --help` says: no docstring, as `python -OO` leaves those out."""


@click.command(help=HELP)
@click.option(
    "--store",
    envvar="ZCHAT_BROKER_STORE",
    type=NotEmpty("store"),
    metavar="URL",
    help="The broker's store, sqlite:PATH.  [default: as for zchat broker]",
)
@click.option("--no-progress", is_flag=True, help="Don't show the progress on a terminal.")
@click.argument("file", type=NotEmpty("file"))
@log_level
def backup(store: str | None, no_progress: bool, file: str) -> None:
    """Carry out `zchat backup`."""
    path = _path(default_store() if store is None else store)
    if store is None and not path.exists():
        raise StoreError(f"there is no file {path}: name the broker's store (--store sqlite:PATH)")
    with Copying(not no_progress) as copying:
        content = back_up(path, Path(file), copying.step)
        forgive()  # whatever signal comes now, as 0 says: the copy is there, whether its line is read or not
    click.echo(safe(f"{file}: {content_text(content)}"))


def _path(store: str) -> Path:
    scheme, _, path = store.partition(":")
    if scheme != "sqlite" or not path:
        kind = f"{scheme}:"  # and no more: what follows may have a password in it
        raise UsageError(f"{kind!a} has nothing to copy: name the broker's store, sqlite:PATH, with --store")
    return Path(path)
