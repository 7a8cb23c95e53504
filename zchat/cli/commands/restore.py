"""`zchat restore`: a database for a broker, made from a backup."""

from __future__ import annotations

from pathlib import Path

import click

from zchat.broker.store.sqlite.backup import restore as put_back
from zchat.cli.copying import Copying, content_text
from zchat.cli.logs import log_level
from zchat.cli.text.safe import safe


@click.command()
@click.option("--no-progress", is_flag=True, help="Don't show the progress on a terminal.")
@click.argument("file", type=click.Path())
@click.argument("path", type=click.Path())
@log_level
def restore(no_progress: bool, file: str, path: str) -> None:
    """Make PATH, the database of a broker that doesn't run, from the backup FILE.

    \b
    Examples:
      zchat restore general.zchat new.db
      zchat broker --store sqlite:new.db

    PATH must not exist: move the old database away first, with its -wal and -shm. Clients that
    have read more than the backup holds are notified of a gap, and continue with new messages.
    """
    with Copying(not no_progress) as copying:
        content = put_back(Path(file), Path(path), copying.step)
    click.echo(safe(f"{path}: {content_text(content)}"))
