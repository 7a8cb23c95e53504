"""`zchat keygen`: make a pair of keys, or a broker's folder of keys."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from zchat.cli.ending import Ended, asked, forgive
from zchat.cli.failures import hinting_at
from zchat.cli.sources import NotEmpty
from zchat.cli.text.safe import safe
from zchat.errors import BadKey, UsageError
from zchat.transport import keys

HELP = """Make a pair of keys for the user NAME, NAME@DEVICE for one of several; or a broker's folder.

NAME.key_secret is its owner's alone: never send it. NAME.key is for the broker's administrator. No file is
overwritten. With --gateway it is the key of a gateway, `zchat web`, which greets the broker as each of its users.

\b
Examples:
  zchat keygen alice
  zchat keygen alice@phone --out ~/keys
  zchat keygen --gateway web
  zchat keygen --server /etc/zchat/keys
"""
"""What `zchat keygen --help` says: no docstring, as `python -OO` leaves those out."""


@click.command(help=HELP)
@click.argument("name", required=False)
@click.option(
    "--out",
    type=NotEmpty("folder"),
    metavar="DIR",
    default=".",
    show_default=True,
    help="The folder to write the key's files into.",
)
@click.option("--gateway", is_flag=True, help="Make a gateway's pair: it lets in any user but operators.")
@click.option(
    "--server",
    type=NotEmpty("folder"),
    metavar="DIR",
    help="Make a broker's folder, with its key and a place for its users'.",
)
def keygen(name: str | None, out: str, server: str | None, gateway: bool) -> None:
    """Carry out `zchat keygen`."""
    if (name is None) == (server is None):
        raise UsageError("give a NAME, for a user's key, or --server DIR, for a broker's folder: one of the two")
    if gateway and server is not None:
        raise UsageError("--gateway is for the key of a NAME: a broker's folder has none")
    if asked():
        raise Ended
    if server is not None:
        _make_folder(Path(server))
    elif name is not None:
        _make_pair(name, Path(out), gateway=gateway)


def _make_pair(name: str, folder: Path, *, gateway: bool) -> None:
    if "/" in name:
        raise UsageError(f"{name!r} is a path; give the name here, and its folder with --out")
    if name.startswith(keys.HIDDEN):
        raise UsageError(f"the file of {name!r} would be hidden, and no broker reads that; choose another first sign")
    key = keys.make(name.partition("@")[0], gateway=gateway)
    with hinting_at({BadKey: "--out DIR"}):
        public, secret = keys.write_pair(folder, name, key)
    forgive()  # whatever signal comes now, as 0 says: the files are there, whether these lines are read or not
    what = ", a gateway's, with which one can be any user but operators" if gateway else ""
    click.echo(safe(f"{secret}: {key.user}'s key{what}; keep it to yourself"))
    click.echo(safe(f"{public}: its public half, for the broker's administrator"))
    click.echo(f"fingerprint: {key.fingerprint}")


def _make_folder(folder: Path) -> None:
    key = keys.make_server(folder)
    forgive()  # as above
    click.echo(safe(f"{folder / keys.SERVER}{keys.SECRET}: the broker's key; keep it to yourself"))
    click.echo(safe(f"{folder / keys.SERVER}{keys.PUBLIC}: its public half, for each user"))
    click.echo(safe(f"{folder / keys.USERS}: put the public half of each user's key here"))
    click.echo(f"fingerprint: {key.fingerprint}")
    click.echo(safe(f"run it with: zchat broker --keys {shlex.quote(str(folder))}"))
