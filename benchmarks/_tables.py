"""What came of all scenarios as Markdown, and as ratios to plain pyzmq."""

from __future__ import annotations

from typing import Any

BEGIN = "<!-- `make bench` writes what follows -->"
END = "<!-- until here -->"

YARDSTICK = "yardstick"

Row = dict[str, Any]


def main_figure(rows: list[Row]) -> str:
    """Return the name of a table's first figure, "" if every row failed."""
    return next((list(row)[1] for row in rows if "failed" not in row), "")


def name_of(row: Row) -> str:
    """Return what a row is about."""
    return str(next(iter(row.values())))


def parties(scenario: dict[str, Any]) -> tuple[Row | None, Row | None, Row | None]:
    """Return the rows of a scenario's first table that are zchat's, the best peer's and plain pyzmq's, if there are."""
    rows = [row for row in scenario["tables"][0]["rows"] if "failed" not in row] if scenario["tables"] else []
    ours = next((row for row in rows if name_of(row).startswith(scenario["ours"])), None)
    plain = next((row for row in rows if name_of(row) == YARDSTICK), None)
    own = ("zchat", "threads", "asyncio", "uvloop", "one stopped", "all reading", YARDSTICK)
    peers = [row for row in rows if not name_of(row).startswith(own)]
    figure = main_figure(rows)
    best = sorted(peers, key=lambda row: row[figure], reverse=not scenario["lower"])
    return ours, best[0] if best else None, plain


def ratio(scenario: dict[str, Any], row: Row | None, other: Row | None) -> float | None:
    """Return one row's first figure relative to another's, if there are both."""
    if row is None or other is None:
        return None
    figure = main_figure([row])
    return float(row[figure] / other[figure])


def ratios(results: dict[str, Any]) -> dict[str, float]:
    """Return zchat's first figure relative to plain pyzmq's, by scenario."""
    found = {}
    for scenario in results["scenarios"]:
        ours, _, plain = parties(scenario)
        if (value := ratio(scenario, ours, plain)) is not None:
            found[scenario["name"]] = round(value, 3)
    return found


def tables(results: dict[str, Any], pictures: dict[str, str]) -> str:
    """Return all results as Markdown: an overview, pictures with their titles by name, then a table a scenario."""
    facts = results["machine"]
    parts = [
        f"Measured on {results['date'][:10]} at commit {facts['commit']}, in {results['seconds'] / 60:.0f} minutes: "
        f"{facts['cores']} cores, {facts['system']}, load {facts['load']} before it began, Python {facts['python']}, "
        f"pyzmq {facts['pyzmq']}, libzmq {facts['libzmq']}.",
    ]
    if results["left out"]:
        missing = ", ".join(f"{name} ({why})" for name, why in results["left out"].items())
        parts.append(f"Left out, for want of what is in brackets: {missing}.")
    parts.append(_overview(results["scenarios"]))
    parts += [f"![{title}](pictures/{name}.svg)" for name, title in pictures.items()]
    parts += [_scenario(each) for each in results["scenarios"]]
    return "\n" + "\n\n".join(parts) + "\n\n"


def _overview(scenarios: list[dict[str, Any]]) -> str:
    heads = ["", "unit", "zchat", "best peer", "plain pyzmq", "zchat : peer", "zchat : pyzmq"]
    lines = []
    for scenario in scenarios:
        ours, peer, plain = parties(scenario)
        if ours is None:
            lines.append([scenario["title"], "", "failed" if scenario["failed"] else "left out", "", "", "", ""])
            continue
        figure = main_figure([ours])
        lines.append(
            [
                scenario["title"],
                figure,
                _cell(ours[figure]),
                f"{_cell(peer[figure])}, {name_of(peer)}" if peer else "",
                _cell(plain[figure]) if plain else "",
                _cell(ratio(scenario, ours, peer)),
                _cell(ratio(scenario, ours, plain)),
            ]
        )
    return _table(heads, lines)


def _scenario(scenario: dict[str, Any]) -> str:
    parts = [f"### {scenario['title']}", f"    python {scenario['command']}"]
    for table in scenario["tables"]:
        heads = list(dict.fromkeys(head for row in table["rows"] for head in row if head != "failed"))
        lines = [[name_of(row), *(_cell(row.get(head)) for head in heads[1:])] for row in table["rows"]]
        parts += [table["benchmark"][0].upper() + table["benchmark"][1:] + ":", _table(["", *heads[1:]], lines)]
    if scenario["failed"]:
        parts.append(f"**Failed**: {' '.join(scenario['failed'].split())}")
    return "\n\n".join(parts)


def _table(heads: list[str], lines: list[list[str]]) -> str:
    rows = [heads, ["---"] * len(heads), *lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.2f}" if abs(value) < 100 else f"{value:,.0f}"
    return "" if value is None else f"{value:,}" if isinstance(value, int) else str(value)
