"""`zchat tail`: read rooms."""

from __future__ import annotations

from typing import NamedTuple

import click
from click.core import ParameterSource

from zchat import Client, Room
from zchat.cli.completion import complete_rooms
from zchat.cli.connection import connect
from zchat.cli.failures import hinting_at_rooms, report
from zchat.cli.options import check_rooms, check_time, connecting
from zchat.cli.sources import NotEmpty
from zchat.cli.tail.output import Output, ResumableOutput
from zchat.cli.tail.reading import Stretch, catch_up, follow, last_seq, seq_before, write_history
from zchat.cli.tail.resume import ResumeFile
from zchat.cli.text.phrases import error_text
from zchat.cli.text.safe import named
from zchat.errors import NotAllowed, Refused
from zchat.names import DIRECT, fold
from zchat.wire.limits import MAX_INT

COUNT = 10
"""Messages shown unless something else is asked for."""


class Begin(NamedTuple):
    """Where to begin: one of these is given at most."""

    count: int | None  # type: ignore[assignment]  # a tuple has a method of that name
    after: int | None
    since: int | None
    unread: bool


HELP = """Show the latest messages of one or more ROOMs, which must exist.

\b
Examples:
  zchat tail General                      the last 10 messages
  zchat tail -n 0 -f Builds | grep FAIL   new messages, filtered
  zchat tail --since 1h --all             the last hour of all rooms
  zchat tail --after 0 --json General     everything, for a program
  zchat tail --unread General             what you have not read yet
  zchat tail -f --resume seen General     continue where the last run ended

The messages of several rooms come in the order of their times, each with its room.
In JSON, timestamp is in microseconds since 1970 (UTC) and time the same as text; a body that
is not text is written as JSON; what JSON lacks becomes {"$bytes": base64}, {"$float": "NaN"},
{"$timestamp": nanoseconds}, {"$ext": [type, base64]} or {"$map": [[key, value], ...]}.
Messages that are no longer kept and a lost connection are reported on standard error;
-f continues once the broker is back.
"""
"""What `zchat tail --help` says: no docstring, as `python -OO` leaves those out."""


@click.command(help=HELP)
@click.argument("rooms", metavar="[ROOM]...", nargs=-1, callback=check_rooms, shell_complete=complete_rooms)
@click.option("-a", "--all", "all_rooms", is_flag=True, help="Show all rooms but direct ones.")
@click.option(
    "-n",
    "count",
    type=click.IntRange(min=0),
    metavar="N",
    help=f"Begin with the last N messages of each room.  [default: {COUNT}]",
)
@click.option("--after", type=click.IntRange(0, MAX_INT), metavar="SEQ", help="Begin after message SEQ (0: the start).")
@click.option(
    "--since",
    metavar="TIME",
    callback=check_time,
    help="Begin with the messages of the last 90s, 30m, 1h, 2d or 1w, or since 2026-01-31 or 2026-01-31T18:30.",
)
@click.option("--unread", is_flag=True, help="Begin with your unread messages, and mark as read what is shown.")
@click.option(
    "--resume", metavar="FILE", type=NotEmpty("file"), help="Continue where the last run ended, as FILE records."
)
@click.option("-f", "--follow", "following", is_flag=True, help="Continue with new messages, until Ctrl-C.")
@click.option(
    "--json", "as_json", is_flag=True, help="One JSON object per line: room, seq, timestamp, time, user, body."
)
@connecting
@click.pass_context
def tail(
    context: click.Context,
    url: str,
    user: str | None,
    rooms: tuple[str, ...],
    all_rooms: bool,
    count: int | None,
    after: int | None,
    since: int | None,
    unread: bool,
    resume: str | None,
    following: bool,
    as_json: bool,
) -> None:
    """Carry out `zchat tail`."""
    begin = _begin(context, Begin(count, after, since, unread))
    if rooms and context.get_parameter_source("all_rooms") is not ParameterSource.COMMANDLINE:
        all_rooms = False
    if bool(rooms) == all_rooms:
        raise click.UsageError("name a ROOM or more, or use --all" if not rooms else "use only one of ROOM and --all")
    one = len(rooms) == 1
    if begin.after is not None and not one:
        raise click.UsageError("--after is for one room, whose messages it counts; use --since")
    if resume is not None and begin.unread:
        raise click.UsageError("use only one of --resume and --unread")
    if resume is not None and not one:
        raise click.UsageError("--resume is for one room")
    if resume is None:
        _show(url, user, rooms, begin, following, as_json)
    else:
        _resume(url, user, rooms[0], begin, resume, following, as_json)


def _begin(context: click.Context, begin: Begin) -> Begin:
    """Return where to begin: what is on the command line stands before what a variable or a file says."""
    given = [name for name, value in begin._asdict().items() if value is not None and value is not False]
    if len(given) > 1:
        typed = [name for name in given if context.get_parameter_source(name) is ParameterSource.COMMANDLINE]
        if len(typed) != 1:
            raise click.UsageError("use only one of -n, --after, --since and --unread")
        begin = Begin(None, None, None, False)._replace(**{typed[0]: getattr(begin, typed[0])})
    return begin


def _show(url: str, user: str | None, names: tuple[str, ...], begin: Begin, following: bool, as_json: bool) -> None:
    with connect(url, user) as client:
        every = () if names else [info.name for info in client.rooms() if not info.name.startswith(DIRECT)]
        joined: dict[str, Room] = {}
        stretches = []
        unmarked: set[str] = set()  # that the user may not mark, or may no longer
        for name in {fold(name): name for name in names or every}.values():
            try:
                with hinting_at_rooms(name):
                    room = client.join(name, create=False) if following else None
                    newest = _newest(client, name, following)
            except Refused as error:
                if names:
                    raise
                report(f"{named(name)} is left out: {error_text(error)}")
                continue
            end = newest or 0
            if room is not None:  # what comes after its position arrives by itself
                end = room.position.seq
                joined[fold(room.name)] = room
            if newest is None:
                start = end
                unmarked.add(fold(name))
            else:
                start = _read_upto(client, name, end) if begin.unread else _start(client, name, end, begin)
            stretches.append(Stretch(name, start, end))

        def mark_read(name: str, seq: int) -> None:
            key = fold(name)
            if key in unmarked:
                return
            if key not in joined:
                client.mark_read(name, seq)
                return
            try:
                joined[key].mark_read(seq)
            except Refused:  # which the client has logged
                unmarked.add(key)

        own = client.user if len(stretches) > 1 else None
        output = Output(as_json, mark_read if begin.unread else None, own=own)
        try:
            write_history(client, stretches, output, gap_matters=begin.after is not None or begin.unread)
            if following:
                follow(client, output)
        finally:
            output.flush()  # what has come is written, whatever ends it


def _resume(url: str, user: str | None, room: str, begin: Begin, path: str, following: bool, as_json: bool) -> None:
    """Go on after the position that a file keeps; if it keeps none yet, begin like `_show`."""
    with connect(url, user) as client, ResumeFile(path, room, client.user) as resume:
        kept = resume.position
        with hinting_at_rooms(room):
            joined = client.join(room, after=kept, create=False)
            newest = _newest(client, room, following)
        end = joined.position.seq
        start = end if kept is not None or newest is None else _start(client, room, end, begin)
        output = ResumableOutput(as_json, resume, joined, start)
        try:
            if kept is None:
                write_history(client, [Stretch(room, output.last, end)], output, gap_matters=begin.after is not None)
            output.follow()
            if following:
                follow(client, output)
            elif kept is not None:
                catch_up(client, joined, newest or 0, output)
        finally:
            output.close()


def _newest(client: Client, room: str, following: bool) -> int | None:
    """Return the last seq of a room's log; None, and say so, if the user may only follow what comes."""
    try:
        return last_seq(client, room)
    except NotAllowed as error:
        if not following:
            raise
        report(str(error))
        return None


def _start(client: Client, room: str, end: int, begin: Begin) -> int:
    """Return the seq after which to begin in a log that ends at `end`."""
    if begin.after is not None:
        return min(begin.after, end)
    if begin.since is not None:
        return seq_before(client, room, end, begin.since)
    return max(0, end - (COUNT if begin.count is None else begin.count))


def _read_upto(client: Client, name: str, end: int) -> int:
    """Return the seq after which everything in a room that ends at `end` is unread.

    What is unread and no longer kept is, too. A room that the user has never read begins with its latest messages, a
    direct one, all of which is meant for the user, at its start.
    """
    first = 1
    for info in client.rooms():
        if fold(info.name) == fold(name):
            first = info.first
            if info.unread is not None:
                begin = info.last - info.unread
                return begin if begin >= first else client.mark_read(name, 0)
    return 0 if name.startswith(DIRECT) else max(first - 1, end - COUNT)
