"""`zchat stats`: what the broker counts."""

from __future__ import annotations

import click

from zchat.cli.connection import connect
from zchat.cli.options import connecting
from zchat.cli.show import harmless, json_line, table


@click.command(short_help="Show what the broker counts.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object: counts, refused, lagging.")
@connecting
def stats(url: str, user: str | None, as_json: bool) -> None:
    """Show what the broker has counted since its start, how much it holds, and who is furthest behind.

    \b
    Examples:
      zchat stats
      zchat stats --json | jq .counts.deferred
    """
    with connect(url, user) as client:
        found = client.stats()
    if as_json:
        lagging = [{"room": room, "user": who, "messages": messages} for room, who, messages in found.lagging]
        click.echo(json_line({"counts": found.counts, "refused": found.refused, "lagging": lagging}))
        return
    rows = [(name.replace("_", " "), f"{number:,}") for name, number in found.counts.items()]
    rows += [(f"refused: {harmless(code)}", f"{number:,}") for code, number in sorted(found.refused.items())]
    rows += [(f"behind in {harmless(room)}: {harmless(who)}", f"{messages:,}") for room, who, messages in found.lagging]
    width = max(len(number) for _, number in rows)
    click.echo("\n".join(table((name, number.rjust(width)) for name, number in rows)))
