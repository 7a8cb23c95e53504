"""`make bench`: each of its scenarios runs, what fails is named, and its tables and plots say what was measured."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from ast import literal_eval
from collections.abc import Callable
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from tests.running import DEADLINE, ROOT

PLACES = ("benchmarks/results.json", "benchmarks/ratios.jsonl", "docs/benchmarks.md")


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    """Give what imports a module of the benchmarks."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return import_module


def names() -> list[str]:
    """Return the scenarios; of those that differ by numbers alone, which `--quick` makes much the same, the first."""
    code = "from _scenarios import SCENARIOS; print(*((each.name, each.line) for each in SCENARIOS), sep='\\n')"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT / "benchmarks",
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=True,
    )
    lines: dict[str, str] = {}
    for name, line in map(literal_eval, done.stdout.splitlines()):
        lines.setdefault(re.sub(r"\d+", "N", line), name)
    return list(lines.values())


WITH_PEERS = ("fan-out-1",)
WITH_REDIS = ("acknowledged", "two-brokers")


@pytest.mark.parametrize("name", names())
def test_every_scenario_runs_and_its_figures_are_in_the_table(
    tmp_path: Path, needs: Callable[[str], str], name: str
) -> None:
    """All peers take part in one, in the others those that need no server: the rest is left out, and named."""
    programs = tmp_path / "programs"
    programs.mkdir()
    for program in ("git", "redis-server") if name in WITH_REDIS else ("git",):
        (programs / program).symlink_to(needs(program))
    environment = os.environ if name in WITH_PEERS else os.environ | {"PATH": str(programs)}
    line = [sys.executable, str(ROOT / "benchmarks" / "all.py"), "--quick", "--only", name, "--into", str(tmp_path)]
    done = subprocess.run(line, env=environment, capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 0, done.stderr
    results, ratios, page = ((tmp_path / place).read_text(encoding="utf-8") for place in PLACES)
    [scenario] = json.loads(results)["scenarios"]
    assert (scenario["name"], scenario["failed"]) == (name, "")
    assert scenario["tables"], "it has figures"
    for table in scenario["tables"]:
        for subject, *figures in (row.values() for row in table["rows"]):
            assert f"| {subject} |" in page
            assert figures
            assert all(isinstance(figure, float) for figure in figures)
    assert set(json.loads(ratios)["ratios"]) <= {name}


FINE = """import json
print(json.dumps({"benchmark": "fine", "rows": [{"contender": "zchat", "answers": 42.0}]}))
"""
BAD = """import sys
sys.exit("failed: nats-py: it lost a message")
"""
ENDLESS = """import time
time.sleep(1000)
"""


def test_what_fails_is_named_as_failed_and_the_others_go_on(
    bench: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    everything, scenario = bench("all"), bench("_scenarios").Scenario
    chosen = []
    for name, code in {"bad": BAD, "fine": FINE, "endless": ENDLESS, "late": FINE}.items():
        (tmp_path / f"{name}.py").write_text(code)
        chosen.append(scenario(name, name.title(), str(tmp_path / f"{name}.py"), ""))
    monkeypatch.setattr(everything, "SCENARIOS", chosen)
    monkeypatch.setattr(sys, "argv", ["all.py", "--into", str(tmp_path), "--minutes", "0.1"])
    with pytest.raises(SystemExit) as ended:
        everything.main()
    assert str(ended.value) == "failed: bad, endless, late"
    page = (tmp_path / "docs/benchmarks.md").read_text(encoding="utf-8")
    assert "| Bad |  | failed |" in page
    assert "**Failed**: nats-py: it lost a message" in page
    assert "| Fine | answers | 42.00 |" in page
    assert "**Failed**: not done within " in page
    assert "**Failed**: no time was left" in page


def test_a_contender_that_fails_is_named_and_the_others_have_their_figures(bench: Callable[[str], Any]) -> None:
    running = bench("_run")
    tries = {"disturbed": 0}

    def fails() -> dict[str, float]:
        raise running.Failed("it lost a message")

    def disturbed() -> dict[str, float]:
        tries["disturbed"] += 1
        if tries["disturbed"] == 1:
            raise running.Disturbed("too slow")
        return {"rate": 4.0}

    rows = running.in_turn({"bad": fails, "slow": disturbed, "good": lambda: {"rate": 2.0}}, 3)
    assert rows[0] == {"contender": "bad", "failed": "it lost a message"}
    assert [(row["contender"], row["rate"], row["ratio"]) for row in rows[1:]] == [
        ("slow", 4.0, 2.0),
        ("good", 2.0, 1.0),
    ]
    with pytest.raises(running.Failed, match="bad: it lost a message"):
        running.report("a race", rows, as_json=True)


def row(contender: str, head: str, figure: float, **others: float) -> dict[str, Any]:
    return {"contender": contender, head: figure, **others, "server µs": 1.5, "clients µs": 2.5, "ratio": 1.0}


def measured() -> dict[str, Any]:
    """Return results as `all.py` keeps them."""
    tables: dict[str, list[dict[str, Any]]] = {}
    for subscribers in (1, 10, 100):
        rates = {"zchat, memory": 2e6, "nats-py": 3e5, "MQTT <mosquitto & paho>": 1e4, "yardstick": 4e5}
        tables[f"fan-out-{subscribers}"] = [row(name, "deliveries/s", rate) for name, rate in rates.items()]
    delays = {"zchat, memory": 275.0, "nats-py": 115.0, "yardstick": 125.0}
    tables["latency"] = [
        row(name, "p50 µs", delay, **{"p99 µs": 2 * delay, "p99.9 µs": 9 * delay}) for name, delay in delays.items()
    ]
    tables["replay"] = [row("zchat, batches()", "messages/s", 2e6), row("JetStream", "messages/s", 26_000.0)]
    scenarios = [
        {
            "name": name,
            "title": f"Title of {name}",
            "command": "benchmarks/script.py",
            "lower": name == "latency",
            "ours": "zchat",
            "seconds": 9.0,
            "tables": [{"benchmark": "of 80 bytes", "rows": rows}],
            "failed": "",
        }
        for name, rows in tables.items()
    ]
    facts = {
        "cores": 2,
        "system": "Linux",
        "load": 0.1,
        "python": "3.11",
        "pyzmq": "27",
        "libzmq": "4",
        "commit": "c0ffee",
    }
    return {
        "date": "2026-11-27T16:45:00+00:00",
        "machine": facts,
        "left out": {"Centrifugo": "centrifugo"},
        "scenarios": scenarios,
        "seconds": 1140,
    }


def test_the_overview_compares_with_the_best_peer_and_with_plain_pyzmq(bench: Callable[[str], Any]) -> None:
    page = bench("_tables").tables(measured(), {"deliveries": "Deliveries a second"})
    assert "| Title of fan-out-10 | deliveries/s | 2,000,000 | 300,000, nats-py | 400,000 | 6.67 | 5.00 |" in page
    assert "| Title of latency | p50 µs | 275 | 115, nats-py | 125 | 2.39 | 2.20 |" in page
    assert "Left out, for want of what is in brackets: Centrifugo (centrifugo)." in page
    assert "![Deliveries a second](pictures/deliveries.svg)" in page
    assert bench("_tables").ratios(measured()) == {"fan-out-1": 5, "fan-out-10": 5, "fan-out-100": 5, "latency": 2.2}


def test_every_plot_is_svg_that_names_what_it_shows_within_its_width(bench: Callable[[str], Any]) -> None:
    kept = [{"date": f"2026-11-{day:02}", "ratios": {"fan-out-1": day / 3, "latency": 2.0}} for day in range(1, 28)]
    drawn = bench("_plots").plots(measured(), kept)
    assert set(drawn) == {"deliveries", "latency", "replay", "ratios"}
    for svg in drawn.values():
        page = ElementTree.fromstring(svg)
        assert page.get("width") == "700"
        for each in page.iter():
            for side in ("x", "cx", "x1", "x2"):
                assert 0 <= float(each.get(side, 0)) <= 700
            for side in ("y", "cy", "y1", "y2"):
                assert 0 <= float(each.get(side, 0)) <= float(page.get("height", 0))
    words = "".join(ElementTree.fromstring(drawn["deliveries"]).itertext())
    assert all(name in words for name in ("zchat, memory", "nats-py", "MQTT <mosquitto & paho>", "yardstick"))


def test_numbers_are_short_and_labels_lie_apart(bench: Callable[[str], Any]) -> None:
    svg = bench("_svg")
    shortened = {
        0.05: "0.05",
        9.87: "9.87",
        999.0: "999",
        1000: "1k",
        26_400: "26.4k",
        999_900: "1M",
        2_310_000: "2.31M",
    }
    assert {number: svg.short(number) for number in shortened} == shortened
    places = svg._apart([100, 101, 102, 300, 301], 310)
    assert places == sorted(places)
    assert min(after - before for before, after in pairwise(places)) >= 15
    assert max(places) <= 310


def test_what_is_around_the_table_stays_and_the_figures_can_be_drawn_again(
    bench: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    everything, tables = bench("all"), bench("_tables")
    for folder in ("benchmarks", "docs"):
        (tmp_path / folder).mkdir()
    (tmp_path / "benchmarks/results.json").write_text(json.dumps(measured()))
    (tmp_path / "benchmarks/ratios.jsonl").write_text("")
    page = tmp_path / "docs/benchmarks.md"
    page.write_text(f"# Before\n{tables.BEGIN}\nold\n{tables.END}\nAfter\n")
    monkeypatch.setattr(sys, "argv", ["all.py", "--redraw", "--into", str(tmp_path)])
    for _ in range(2):
        everything.main()
        text = page.read_text(encoding="utf-8")
        assert text.startswith(f"# Before\n{tables.BEGIN}\n\nMeasured on 2026-11-27 at commit c0ffee, in 19 minutes")
        assert text.endswith(f"{tables.END}\nAfter\n")
        assert "old" not in text
    assert (tmp_path / "docs/pictures/latency.svg").exists()


def test_the_page_of_the_documents_has_the_figures_that_are_kept(bench: Callable[[str], Any]) -> None:
    tables, plots = bench("_tables"), bench("_plots")
    results, kept, page = ((ROOT / place).read_text(encoding="utf-8") for place in PLACES)
    drawn = plots.plots(json.loads(results), [json.loads(line) for line in kept.splitlines()])
    assert tables.tables(json.loads(results), {name: plots.TITLES[name] for name in drawn}) in page
    for name, svg in drawn.items():
        assert (ROOT / f"docs/pictures/{name}.svg").read_text(encoding="utf-8") == svg
