"""`zchat copy`: all that a broker has stored, into another store."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from zchat.broker.store.copying.copy import copy as copy_store
from zchat.broker.store.sqlite.backup import Content
from zchat.cli.copying import Copying, content_text
from zchat.cli.ending import forgive
from zchat.cli.logs import log_level
from zchat.cli.sources import NotEmpty
from zchat.cli.text.phrases import counted
from zchat.cli.text.safe import safe

if TYPE_CHECKING:
    from zchat.broker.store.copying.records import Tally

HELP = """Copy all that the store FROM keeps into the store TO, which must not exist yet.

\b
Examples:
  zchat copy sqlite:/var/lib/zchat/zchat.db redis://redis.example
  zchat copy redis://redis.example sqlite:new.db

No broker may have FROM open. Messages keep their numbers and times, and read marks, sanctions and
what is known of senders are copied too: a broker that is started on TO goes on where the one on
FROM has ended, and clients notice no more than a restart. What was written is read back and
compared; until that is done no broker opens TO.

The variables ZCHAT_COPY_FROM and ZCHAT_COPY_TO stand for arguments that are not given: a password
on a command line can be read by every user of the machine.
"""
"""What `zchat copy --help` says: no docstring, as `python -OO` leaves those out."""


@click.command(help=HELP)
@click.option(
    "--again",
    is_flag=True,
    help="Remove what an interrupted copy has left at TO first.",
)
@click.option("--no-progress", is_flag=True, help="Don't show the progress on a terminal.")
@click.argument("source", type=NotEmpty("store"), metavar="FROM", envvar="ZCHAT_COPY_FROM")
@click.argument("target", type=NotEmpty("store"), metavar="TO", envvar="ZCHAT_COPY_TO")
@log_level
def copy(again: bool, no_progress: bool, source: str, target: str) -> None:
    """Carry out `zchat copy`."""
    with Copying(not no_progress) as copying:
        found = copy_store(source, target, copying.step_messages, again=again)
        forgive()  # whatever signal comes now, as 0 says: the copy is there, whether its line is read or not
    click.echo(safe(f"{found.place}: {_text(found)}"))


def _text(found: Tally) -> str:
    others = [counted(found.read_marks, "read mark"), counted(found.sanctions, "sanction")]
    text = content_text(Content(found.rooms, found.messages, found.newest))
    return f"{text}; {', '.join(others)} and {counted(found.producers, 'producer')}"
