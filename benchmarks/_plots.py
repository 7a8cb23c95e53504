"""The plots of `docs/benchmarks.md`, from what all scenarios came to."""

from __future__ import annotations

from typing import Any

from _svg import bars, lines, ranges
from _tables import main_figure, name_of

Results = dict[str, Any]


TITLES = {
    "deliveries": "Deliveries a second by number of subscribers, 80 bytes each",
    "sizes": "Deliveries a second by bytes of a message, 1 → 10",
    "latency": "One way at 1,000 messages a second, in µs",
    "half-load": "One way at half of what each can carry, in µs",
    "acknowledged": "Acknowledged a second",
    "replay": "Read again from the beginning, messages a second",
    "ratios": "Ratios to plain pyzmq over time",
}
"""What the plots show, by the names of their files."""


def plots(results: Results, kept: list[dict[str, Any]]) -> dict[str, str]:
    """Return SVGs by name, those for which there are figures; `kept` has the ratios of earlier runs, oldest first."""
    facts = results["machine"]
    note = f"medians, contenders in turn; {facts['cores']} cores, Python {facts['python']}, libzmq {facts['libzmq']}"
    rows = {
        scenario["name"]: [row for row in scenario["tables"][0]["rows"] if "failed" not in row]
        for scenario in results["scenarios"]
        if scenario["tables"]
    }
    found = {
        "deliveries": _over(rows, "fan-out-", TITLES["deliveries"], note),
        "sizes": _over(rows, "size-", TITLES["sizes"], note),
        "latency": _delays(rows.get("latency", []), TITLES["latency"], note),
        "half-load": _delays(rows.get("half-load", []), TITLES["half-load"], note),
        "acknowledged": _bars(rows.get("acknowledged", []), TITLES["acknowledged"], note),
        "replay": _bars(rows.get("replay", []), TITLES["replay"], note),
        "ratios": _kept(kept),
    }
    return {name: svg for name, svg in found.items() if svg}


def _over(rows: dict[str, list[Results]], prefix: str, title: str, note: str) -> str:
    """Return lines over the numbers at which the names of scenarios end."""
    places = sorted(int(name.removeprefix(prefix)) for name in rows if name.startswith(prefix) and rows[name])
    series: dict[str, list[tuple[float, float]]] = {}
    for place in places:
        table = rows[f"{prefix}{place}"]
        for row in table:
            series.setdefault(name_of(row), []).append((place, row[main_figure(table)]))
    return lines(title, note, series, {place: f"{place:,}" for place in places}) if len(places) > 1 else ""


def _bars(table: list[Results], title: str, note: str) -> str:
    return bars(title, note, {name_of(row): row[main_figure(table)] for row in table}, "zchat") if table else ""


def _delays(table: list[Results], title: str, note: str) -> str:
    named = {
        name_of(row): {head.removesuffix(" µs"): row[head] for head in row if head[0] == "p" and head[1].isdigit()}
        for row in table
    }
    return ranges(title, f"p50 the largest dot, p99, p99.9 the smallest; {note}", named, "zchat") if named else ""


def _kept(kept: list[Results]) -> str:
    """Return the ratios to plain pyzmq over all runs; no more than a few of them have a date."""
    series: dict[str, list[tuple[float, float]]] = {}
    for number, run in enumerate(kept):
        for name, ratio in run["ratios"].items():
            series.setdefault(name, []).append((number, ratio))
    every = max(1, len(kept) // 5)
    across: dict[float, str] = {
        number: run["date"][:10] if number % every == 0 else "" for number, run in enumerate(kept)
    }
    if not series:
        return ""
    note = "first figure of each scenario relative to plain pyzmq in the same run; of latency less is better"
    return lines(TITLES["ratios"], note, series, across, logarithmic=False)
