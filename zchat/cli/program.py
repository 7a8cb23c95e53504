"""The `zchat` command: its options, its help, and its subcommands."""

from __future__ import annotations

import click

from zchat.cli.commands.broker import broker
from zchat.cli.commands.client import client
from zchat.cli.commands.members import members
from zchat.cli.commands.rooms import rooms
from zchat.cli.commands.send import send
from zchat.cli.commands.stats import stats
from zchat.cli.commands.tail import tail
from zchat.cli.commands.top import top
from zchat.cli.failures import WRONG_USAGE, Program
from zchat.cli.logs import log_level
from zchat.version import __version__


@click.group(
    cls=Program,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, message="zchat %(version)s")
@log_level
@click.pass_context
def program(context: click.Context) -> None:
    """Rooms for programs and people to talk in.

    \b
    Examples:
      zchat broker                        start a broker on this machine
      zchat client                        chat, from another terminal
      zchat send General hello            send one message
      make 2>&1 | zchat send Builds       send every line
      zchat tail -f General               follow a room
      zchat rooms                         list the rooms
      zchat members General               list the members of a room
      zchat top                           see a live view of the broker

    \b
    The variables ZCHAT_URL and ZCHAT_USER set --connect and --user.
    Completion in bash: eval "$(_ZCHAT_COMPLETE=bash_source zchat)"
    (zsh_source and fish_source for those shells)

    \b
    Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted; 143, 129, 131 ended by
    SIGTERM, SIGHUP, SIGQUIT.
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help(), err=True)
        context.exit(WRONG_USAGE)


for _command in (broker, client, send, tail, rooms, members, stats, top):
    program.add_command(_command)
