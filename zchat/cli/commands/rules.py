"""`zchat rules`: what a user may do in a room, by a file of rules."""

from __future__ import annotations

import sys
from typing import Any

import click

from zchat.broker.core.access import judge
from zchat.broker.edge.rules_file import read_rules
from zchat.broker.guard.rules import Rate, Rules
from zchat.cli.options import check_room, check_user
from zchat.cli.sources import NotEmpty
from zchat.cli.text.columns import table, terminal_text, terminal_width, wrapped
from zchat.cli.text.phrases import counted
from zchat.cli.text.safe import named, safe
from zchat.errors import UsageError
from zchat.json_form import json_line
from zchat.names import DIRECT, fold, wire_name
from zchat.wire.commands import Right

IN_ROOM = (Right.SEE, Right.JOIN, Right.READ, Right.SEND, Right.MEMBERS, Right.CREATE, Right.MODERATE)
"""The rights in a room, in the order in which they are shown."""


def _check_room(context: click.Context, parameter: click.Parameter, text: str | None) -> str | None:
    return None if text is None else check_room(context, parameter, text)


HELP = """Show what USER may do in ROOM by the rules in FILE, as the broker decides it; or check FILE alone.

\b
Examples:
  zchat rules /etc/zchat/rules.toml
  zchat rules /etc/zchat/rules.toml carol ops-db
  zchat rules /etc/zchat/rules.toml carol @bob         carol's direct room with bob
  zchat rules rules.toml guest-1a2b3c4d General --json | jq -r .join

For each right it shows yes, or the code with which a broker refuses: not_allowed, or no_such_room where USER is
not to know that there is such a room. The room need not exist: the rules are about names.
"""
"""What `zchat rules --help` says: no docstring, as `python -OO` leaves those out."""


@click.command(help=HELP)
@click.option("--made", is_flag=True, help="As if USER had made ROOM.")
@click.option(
    "--json", "as_json", is_flag=True, help="One JSON object: user, room, line, the rights, rate, most, and so on."
)
@click.argument("file", type=NotEmpty("file"), metavar="FILE")
@click.argument("user", metavar="[USER", required=False, callback=check_user)
@click.argument("room", metavar="ROOM]", required=False, callback=_check_room)
def rules(made: bool, as_json: bool, file: str, user: str | None, room: str | None) -> None:
    """Carry out `zchat rules`."""
    found = read_rules(file)
    if user is None or room is None:
        if user is not None or as_json or made:
            raise UsageError("name a USER and a ROOM, or neither, to have the file checked")
        click.echo(safe(f"{file}: {counted(len(found.tables), 'table')} of rooms"))
        return
    row = row_of(found, user, room, made=made)
    if as_json:
        click.echo(json_line(row))
        return
    width = terminal_width(sys.stdout)
    click.echo(terminal_text(shown(row, width), width))


def row_of(rules: Rules, user: str, room: str, *, made: bool) -> dict[str, Any]:
    """Return all that rules say of a user in a room, by the names that the JSON has."""
    folded, direct = fold(user), room.startswith(DIRECT)
    name = fold(wire_name(user, room))
    rights = rules.rights(folded, name, made)
    decides = None if direct else rules.table(name)
    return {
        "user": user,
        "room": room,
        "line": None if decides is None else decides.line or None,
        **{right.name.lower(): judge(rights, right).value for right in IN_ROOM},
        "stats": judge(rules.at_broker(folded) | Right.SEE, Right.STATS).value,
        "rate": (Rate() if decides is None else decides.rate)._asdict(),
        "most": 0 if decides is None else decides.most,
        "max_message": 0 if decides is None else decides.max_message,
        "limits": rules.limits._asdict(),
    }


def shown(row: dict[str, Any], width: int | None) -> list[str]:
    """Return a row in lines for people, on a terminal of so many columns (None: there is none)."""
    if row["room"].startswith(DIRECT):
        why = "a direct room"
    elif row["line"] is None:
        why = "no table names it"
    else:
        why = f"the table in line {row['line']} decides"
    rights = [(key, row[key]) for key in (*(right.name.lower() for right in IN_ROOM), "stats")]
    bounds = [("messages a second there", row["rate"]["messages"]), ("bytes a second there", row["rate"]["bytes"])]
    bounds += [("members there", row["most"]), ("bytes of a message there", row["max_message"])]
    bounds += [("messages a second of one user", row["limits"]["messages"])]
    bounds += [("bytes a second of one user", row["limits"]["bytes"])]
    lines = wrapped([f"{named(row['user'])} in {named(row['room'])}: {why}"], width)
    lines += table(rights, width)
    return lines + wrapped([f"at most {most:,} {what}" for what, most in bounds if most], width)
