"""`zchat client`: chat."""

from __future__ import annotations

import os
import sys

import click

from zchat.cli.chat import by_lines
from zchat.cli.chat.conversation import Options
from zchat.cli.completion import complete_rooms
from zchat.cli.options import check_rooms, connecting
from zchat.cli.streams import has_keys

HELP = """Chat in one or more ROOMs; what you type goes to the first. If none is named, in General, or
on a terminal in the rooms that you were in last.

\b
Examples:
  zchat client
  zchat client --user alice Technology Sports
  zchat client --connect tcp://192.0.2.7:5555
  printf 'hello\\n/messages 5\\n' | zchat client

\b
Lines that begin with / are commands:
  /list               list the rooms, first those with something new
  /join, /j ROOM      go to a room; you stay in the others
  /leave, /part [ROOM]
                      leave the room, or another one
  /next               go to the next room with something new (also Alt-A)
  /members, /who, /names [ROOM]
                      list the members, since when, and who is typing
  /msg, /query USER [TEXT]
                      send TEXT to USER only, or go to that direct room;
                      "USER" in quotes if the name has spaces
  /me TEXT            say what you do: * alice TEXT
  /messages [N]       show the latest messages; again: earlier ones (also
                      PageUp); or the last N
  /unread             show what was new when you came, in order
  /mentions           list the latest mentions and direct messages
  /watch ROOM         show a room's messages wherever you are
  /hide ROOM          count a room's messages while you are elsewhere
  /ignore [USER]      don't show what a user says; again: show it
  /show SEQ [ROOM]    show more of a message that was cut
  /clear              clear the screen
  /help [COMMAND]     show this list
  /quit, /exit        leave the chat (also Ctrl-D and Ctrl-C)
  //TEXT              send a line that begins with /

\b
Who owns the room, and operators, also have:
  /kick USER [REASON] put USER out of the room, who may join again
  /ban [--everywhere] USER [TIME] [REASON]
                      put USER out and keep USER out: for 30s, 10m, 1h, 2d,
                      1w, or for ever; --everywhere: of the broker as a whole
  /unban [--everywhere] USER
                      let USER in again
  /mute USER [TIME] [REASON]
                      let USER read, and say nothing
  /unmute USER        let USER speak again
  /close [REASON]     let owners and operators alone speak, and join
  /open               open the room again
  /bans [--everywhere]
                      list who is banned or muted, until when, by whom, why

On a terminal it is a line editor: Up and Down recall what you typed, Tab completes
commands and names, Alt-Enter starts a new line. The status line shows who is here and
what is new elsewhere. NO_COLOR is honoured. Without a terminal it reads lines and prints
lines, and leaves at the end of its input once everything is stored.
"""
"""What `zchat client --help` says: no docstring, as `python -OO` leaves those out."""


@click.command(help=HELP)
@click.argument("room", nargs=-1, callback=check_rooms, shell_complete=complete_rooms)
@click.option("-q", "--quiet", is_flag=True, help="Don't show who comes, who goes and who is typing.")
@click.option("--no-typing", is_flag=True, help="Don't let the others see that you are typing.")
@click.option("--no-read-marks", is_flag=True, help="Don't mark what is shown as read.")
@click.option("-a", "--all-rooms", is_flag=True, help="Show the messages of all your rooms, wherever you are.")
@click.option("--bell", is_flag=True, help="Ring the terminal's bell when you are mentioned or written to.")
@click.option("--no-history", is_flag=True, help="Don't keep your rooms and the lines that you type for the next time.")
@connecting
def client(
    url: str,
    user: str | None,
    room: tuple[str, ...],
    quiet: bool,
    no_typing: bool,
    no_read_marks: bool,
    all_rooms: bool,
    bell: bool,
    no_history: bool,
) -> None:
    """Carry out `zchat client`."""
    options = Options(quiet, not no_typing, not no_read_marks, all_rooms, not no_history, bell)
    on_terminal = has_keys() and sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
    if on_terminal:
        from zchat.cli.chat.terminal import loop  # takes long to load, and no other command needs it

        loop.run(url, user, room, options)
    else:
        by_lines.run(url, user, room or ("General",), options)
