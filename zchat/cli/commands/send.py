"""`zchat send`: send messages to a room."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import nullcontext, suppress
from functools import partial

import click

from zchat import Client, Progress, Room
from zchat.cli.completion import complete_rooms
from zchat.cli.connection import GOODBYE_SECONDS, connect
from zchat.cli.ending import Ended, Work, asked, asked_times, forgive
from zchat.cli.failures import HUNG_UP, Interrupted
from zchat.cli.options import check_room, connecting
from zchat.cli.progress_line import ProgressLine
from zchat.cli.stdin import CutLine, stdin_lines
from zchat.cli.streams import HungUp
from zchat.cli.text.phrases import counted, error_text
from zchat.cli.text.safe import named
from zchat.errors import ConnectionLost, DeadlineExceeded, OutcomeUnknown, ZchatError

GRACE = 2.0
"""Seconds that an interrupted `send` waits for outstanding answers; a second Ctrl-C ends the wait."""

MARK_SECONDS = 0.5
"""Seconds for an answer about the read mark, once all is stored: without one the messages count as unread."""

STEP = 0.05
"""Seconds between two checks for that."""


HELP = """Send TEXT to ROOM as one message, its words joined by spaces.

Without TEXT, every line of standard input is a message, including empty ones. The command
ends when all of them are stored. If it fails or is interrupted, it reports how many are,
so that you can continue after them. A room that doesn't exist is created.
Bytes that are not text in the terminal's encoding become U+FFFD.

\b
Examples:
  zchat send General hello, everyone
  zchat send General -- --not an option
  make 2>&1 | zchat send Builds
  zchat send Archive < chat.log
  tail -n +12346 chat.log | zchat send Archive     continue after 12,345 lines
  zchat send --user cron General "backup done"
"""
"""What `zchat send --help` says: no docstring, as `python -OO` leaves those out."""


@click.command(help=HELP)
@click.argument("room", callback=check_room, shell_complete=complete_rooms)
@click.argument("text", nargs=-1)
@click.option("--no-progress", is_flag=True, help="Don't show the progress on a terminal.")
@connecting
def send(url: str, user: str | None, room: str, text: tuple[str, ...], no_progress: bool) -> None:
    """Carry out `zchat send`."""
    progress = Progress()
    shown = not (text or no_progress or sys.stdin.isatty()) and sys.stderr.isatty()

    def outcome() -> str:
        return _outcome(progress) if text else _outcome_of_lines(room, progress)

    try:
        with connect(url, user, closing=None) as client:
            target = Work(partial(client.join, room)).result()
            room = target.name
            if text:
                sending = Work(partial(target.send_many, [_clean(" ".join(text))], progress=progress))
            else:
                sending = Work(partial(_send_lines, target, client.max_message, progress))
            try:
                with ProgressLine(progress) if shown else nullcontext():
                    sending.result()
            except (ZchatError, OSError) as error:
                if not isinstance(error, DeadlineExceeded | ConnectionLost):  # these have waited already
                    _settle(client, progress, sending)
                if asked() or isinstance(error, HungUp):
                    raise Interrupted(HUNG_UP, f"interrupted: {outcome()}") from None
                raise _CutShort(error, outcome()) from error
            forgive()  # whatever signal comes now: all is stored, as 0 says
            _mark_read(client, room, progress)
    except Ended:  # while it connected
        raise Interrupted(text=f"interrupted: {outcome()}") from None


def _send_lines(room: Room, most: int, progress: Progress) -> int:
    """Send the lines of standard input, and return how many are stored: all.

    Raises:
        MessageTooLarge: one is longer than the `most` bytes of a message, and was not kept whole; those before it are
            stored.
        As `Room.send_many` and `stdin_lines`.
    """
    cut: CutLine | None = None

    def lines() -> Iterator[str]:
        nonlocal cut
        for line in stdin_lines():
            if isinstance(line, CutLine):
                cut = line
                return
            yield line

    count = room.send_many(lines(), progress=progress)
    if cut is not None:
        raise cut.too_large(most)
    return count


def _mark_read(client: Client, room: str, progress: Progress) -> None:
    """Mark what was sent as read if the user has read everything before it: it is no news to its sender."""
    before = progress.last - progress.stored  # if others spoke in between, more than the user can have read
    with suppress(ZchatError):  # all is stored, which is what was asked for
        if progress.stored and client.mark_read(room, 0, timeout=MARK_SECONDS) >= before:
            client.mark_read(room, progress.last, timeout=MARK_SECONDS)


class _CutShort(ZchatError):
    """Sending ended early: the reason, and what is stored."""

    def __init__(self, error: Exception, outcome: str) -> None:
        super().__init__(error, outcome)
        self.error = error
        self.outcome = outcome

    def __str__(self) -> str:
        reason = error_text(self.error)
        if isinstance(self.error, OutcomeUnknown):
            reason = reason.partition(";")[0]  # the outcome says the rest
        return f"{reason}; {self.outcome}"


def _settle(client: Client, progress: Progress, sending: Work[int]) -> None:
    """Wait a moment for outstanding answers, then for nothing more."""
    end = time.monotonic() + GRACE
    while time.monotonic() < end and asked_times() < 2:
        sending.thread.join(STEP)
        if not sending.thread.is_alive() and progress.settle(STEP):
            break
    client.close(GOODBYE_SECONDS)
    sending.thread.join(GRACE)


def _outcome_of_lines(room: str, progress: Progress) -> str:
    """Say how many lines are stored, how many may be, and that the others are not."""
    stored, unanswered = progress.stored, progress.unanswered
    parts = ["no line stored"]
    if stored:
        parts = [f"{counted(stored, 'line')} stored (up to seq {progress.last:,} in {named(room)})"]
    if unanswered:
        parts.append(f"the next {unanswered:,} sent but not acknowledged (zchat tail shows whether they are stored)")
    if stored or unanswered:
        parts.append("the rest not stored")
    return ", ".join(parts)


def _outcome(progress: Progress) -> str:
    if progress.stored:
        return "the message is stored"
    return "the message may or may not be stored" if progress.unanswered else "the message is not stored"


def _clean(argument: str) -> str:
    return argument.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
