"""`zchat keys`: list the keys that a broker lets in."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from zchat.cli.failures import FAILED, report
from zchat.cli.sources import NotEmpty
from zchat.cli.text.columns import table, terminal_width
from zchat.cli.text.safe import named, safe
from zchat.transport.key_folder import KeyFolder
from zchat.transport.keys import SERVER, USERS, fingerprint

HELP = """List the keys in a broker's folder DIR: user, fingerprint, file, and whether it is a gateway's, which lets in
any user but operators. What is wrong goes to standard error.

\b
Examples:
  zchat keys /etc/zchat/keys
"""
"""What `zchat keys --help` says: no docstring, as `python -OO` leaves those out."""


@click.command(help=HELP)
@click.argument("folder", type=NotEmpty("folder"), metavar="DIR")
@click.pass_context
def keys(context: click.Context, folder: str) -> None:
    """Carry out `zchat keys`."""
    found = KeyFolder(folder)
    users = found.read()
    rows = [("(the broker)", found.server.fingerprint, f"{SERVER}.key", "")]
    entries = sorted(users.names.items(), key=lambda entry: (entry[1].casefold(), users.files[entry[0]]))
    rows += [
        (
            named(name),
            fingerprint(key),
            safe(str(Path(USERS) / users.files[key])),
            "gateway" if key in users.gateways else "",
        )
        for key, name in entries
    ]
    click.echo("\n".join(table([("USER", "FINGERPRINT", "FILE", "KIND"), *rows], terminal_width(sys.stdout))))
    secrets = [
        f"{Path(USERS) / name} has a secret half, which only its owner may have: leave it where it was made, and if it "
        "was sent, have a new key made"
        for name in found.secrets()
    ]
    for text in (*users.notes, *users.troubles, *secrets):
        report(text)
    context.exit(FAILED if users.troubles or secrets else 0)
