"""`zchat restore`: a database for a broker, made from a backup."""

from __future__ import annotations

import time
from pathlib import Path

import click

from zchat.broker.store.sqlite.backup import restore as put_back
from zchat.broker.store.sqlite.files import resolved_file
from zchat.cli.copying import Copying, content_text
from zchat.cli.ending import forgive
from zchat.cli.logs import log_level
from zchat.cli.sources import NotEmpty
from zchat.cli.text.safe import safe

HELP = """Make PATH, the database of a broker that doesn't run, from the backup FILE.

\b
Examples:
  zchat restore general.zchat new.db
  zchat broker --store sqlite:new.db
  zchat restore --aside general.zchat old.db

PATH must not exist, unless --aside moves it out of the way, with its -wal and -shm, once the new
one is complete: if anything fails before, it stays. Only a regular file is moved: of a link what
it leads to, within that folder. Clients that have read more than the backup holds are notified of
a gap, and continue with new messages. Run by root, PATH is given to the owner of its folder.
"""
"""What `zchat restore --help` says: no docstring, as `python -OO` leaves those out."""


@click.command(help=HELP)
@click.option(
    "--aside",
    is_flag=True,
    help="Move an old PATH aside, to PATH.before-TIME, once all is copied.",
)
@click.option("--no-progress", is_flag=True, help="Don't show the progress on a terminal.")
@click.argument("file", type=NotEmpty("file"))
@click.argument("path", type=NotEmpty("file"))
@log_level
def restore(aside: bool, no_progress: bool, file: str, path: str) -> None:
    """Carry out `zchat restore`."""
    with Copying(not no_progress) as copying:
        place = resolved_file(Path(path))  # where a link leads: another disk perhaps, to which nothing can be moved
        old = place.with_name(f"{place.name}.before-{time.strftime('%Y%m%d-%H%M%S')}") if aside else None
        content = put_back(Path(file), place, copying.step, old)
        forgive()  # whatever signal comes now, as 0 says: the database is there, whether its line is read or not
    click.echo(safe(f"{path}: {content_text(content)}"))
    if old is not None and old.exists():
        click.echo(safe(f"{old}: what was there before"))
