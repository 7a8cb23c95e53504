"""`zchat send`: say something in a room."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from contextlib import nullcontext, suppress

import click

from zchat import Client, Progress
from zchat.cli.connection import connect
from zchat.cli.failures import Interrupted, interruptible
from zchat.cli.options import check_room, connecting
from zchat.cli.progress_line import Meter
from zchat.cli.stdin import stdin_lines
from zchat.errors import ConnectionLost, DeadlineExceeded, OutcomeUnknown, ZchatError

GRACE = 2.0
"""Seconds that an interrupted `send` waits for the answers to what is on its way; a second Ctrl-C ends it."""


@click.command(short_help="Say one thing, or every line of the input.")
@click.argument("room", callback=check_room)
@click.argument("text", nargs=-1)
@click.option("--no-progress", is_flag=True, help="Don't show on a terminal how many messages are stored.")
@connecting
def send(url: str, user: str | None, room: str, text: tuple[str, ...], no_progress: bool) -> None:
    """Send TEXT to ROOM as one message, its words joined by blanks.

    Without TEXT every line of standard input is a message, empty ones too. The command ends
    when all of them are stored. If it fails or is interrupted, it says how many are, so that
    you can go on behind them. A room that doesn't exist is made.
    Bytes that are no text in the terminal's encoding become U+FFFD.

    \b
    Examples:
      zchat send General hello, everyone
      zchat send General -- --not an option
      make 2>&1 | zchat send Builds
      zchat send Archive < chat.log
      tail -n +12346 chat.log | zchat send Archive     go on behind 12,345 lines
      zchat send --user cron General "backup done"
    """
    progress = Progress()
    lines: Iterable[str] = [_clean(" ".join(text))] if text else stdin_lines()
    shown = not (text or no_progress or sys.stdin.isatty()) and sys.stderr.isatty()
    with connect(url, user) as client:
        target = client.join(room)
        with interruptible():
            try:
                with Meter(progress) if shown else nullcontext():
                    target.send_many(lines, progress=progress)
            except (Interrupted, ZchatError, OSError) as error:
                if not isinstance(error, DeadlineExceeded | ConnectionLost):  # those have waited already
                    _settle(client, progress)
                outcome = _fate(progress) if text else _outcome(target.name, progress)
                if isinstance(error, Interrupted):
                    raise error.with_text(f"interrupted: {outcome}") from None
                raise _Cut(error, outcome) from error


class _Cut(ZchatError):
    """Tell why sending ended, and what is stored."""

    def __init__(self, error: Exception, outcome: str) -> None:
        super().__init__(error, outcome)
        self.error = error
        self.outcome = outcome

    def __str__(self) -> str:
        said = str(self.error)
        if isinstance(self.error, OutcomeUnknown):
            said = said.partition(";")[0]  # the outcome says the rest
        return f"{said}; {self.outcome}"


def _settle(client: Client, progress: Progress) -> None:
    """Wait a moment for the answers to what is on its way, then for nothing more."""
    with suppress(KeyboardInterrupt):
        progress.settle(GRACE)
    client.close(0)


def _outcome(room: str, progress: Progress) -> str:
    """Say how many lines are stored, how many may be, and that the others aren't."""
    stored, unanswered = progress.stored, progress.unanswered
    said = "no line stored"
    if stored:
        said = f"{stored:,} {'line' if stored == 1 else 'lines'} stored (up to seq {progress.last:,} in {room})"
    if unanswered:
        said += f", the next {unanswered:,} sent without an answer (zchat tail shows whether they are there)"
    return f"{said}, the rest not" if stored or unanswered else said


def _fate(progress: Progress) -> str:
    if progress.stored:
        return "the message is stored"
    return "the message may or may not be stored" if progress.unanswered else "the message is not stored"


def _clean(argument: str) -> str:
    return argument.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
