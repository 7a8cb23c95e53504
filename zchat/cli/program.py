"""The `zchat` command: its options, its help, and its subcommands."""

from __future__ import annotations

from contextlib import suppress
from importlib import import_module

import click
from click.shell_completion import CompletionItem

from zchat.cli.failures import WRONG_USAGE, Program
from zchat.cli.logs import log_level
from zchat.cli.sources import add_program_sources, add_sources
from zchat.version import __version__

COMMANDS = {
    "broker": "Run a broker.",
    "client": "Chat, on a terminal or by lines.",
    "send": "Send one message, or every line of the input.",
    "tail": "Show the latest messages of a room, and follow it.",
    "rooms": "List the rooms.",
    "members": "List the members of a room.",
    "stats": "Show the broker's figures.",
    "top": "Show a live view of the broker.",
    "web": "Let browsers take part.",
    "ping": "Check whether a broker responds.",
    "backup": "Copy the messages of a broker into a file.",
    "restore": "Make a broker's database from such a file.",
    "copy": "Copy what a broker has stored into another store.",
    "keygen": "Make a key, or a broker's folder of keys.",
    "keys": "List the keys that a broker lets in.",
    "rules": "Show what a user may do by a broker's rules.",
}
"""The commands and what each does: each is in the module of its name in `zchat.cli.commands`."""


class Commands(Program):
    """The program, whose commands are loaded when they are used: all together take longer than any of them runs."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the commands."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command of a name; None if there is none."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(import_module(f"zchat.cli.commands.{cmd_name}"), cmd_name)
        add_sources(command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that arguments name; the error of one that there isn't names one spelt almost so."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            from difflib import get_close_matches

            near = get_close_matches(args[0], COMMANDS, 1)
            if not near:
                raise
            raise click.UsageError(f"there is no command {args[0]!a}; did you mean {near[0]}?", ctx) from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of the commands."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Return the commands and options that begin with what was typed."""
        found = [CompletionItem(name, help=what) for name, what in COMMANDS.items() if name.startswith(incomplete)]
        return found + click.Command.shell_complete(self, ctx, incomplete)


HELP = """Rooms for programs and people to talk in.

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
  zchat web --open                    chat in a browser on this machine
  zchat ping                          check whether the broker responds

\b
The variables ZCHAT_URL and ZCHAT_USER set --connect and --user. Every other option has a
variable too: ZCHAT_TAIL_JSON=1 is zchat tail --json. --config takes options from a file.
Completion in bash: eval "$(_ZCHAT_COMPLETE=bash_source zchat)"
(zsh_source in zsh; in fish: _ZCHAT_COMPLETE=fish_source zchat | source)

\b
Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted; 143, 129, 131 ended by
SIGTERM, SIGHUP, SIGQUIT; 128 + N by another signal N.
"""
"""What `zchat --help` says: no docstring, as `python -OO` leaves those out."""


@click.group(
    help=HELP,
    cls=Commands,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, message="zchat %(version)s")
@log_level
@click.pass_context
def program(context: click.Context) -> None:
    """Carry out `zchat`."""
    if context.invoked_subcommand is None:
        with suppress(OSError):
            click.echo(context.get_help(), err=True)
        context.exit(WRONG_USAGE)


add_program_sources(program)
