"""Run all scenarios, zchat in turn with its peers, and write down what came of it: `make bench`.

Writes, below the folder that `--into` names (default: the repository):

- `benchmarks/results.json`: every figure, and what it was measured on,
- `benchmarks/ratios.jsonl`: a line is added, with zchat's ratios to plain pyzmq,
- `docs/benchmarks.md`: the tables, between its two markers,
- `docs/pictures/*.svg`: the plots.

A scenario that fails is named in the tables, the others go on, and the exit code is 1. `--quick` runs each in seconds,
which measures nothing; with it or with `--only` the folder is `build/benchmarks`. `--redraw` makes tables and plots of
the last figures again.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shlex
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import zmq

from _peers import left_out
from _plots import TITLES, plots
from _scenarios import SCENARIOS, Scenario
from _tables import BEGIN, END, ratios, tables

HERE = Path(__file__).parent
ROOT = HERE.parent

MINUTES = 20.0
"""How long all of it may take: what has not begun by then is left out, and counts as failed."""

ENDING = 20.0
"""Seconds that a script has to end its processes once it was told to."""


def main() -> None:
    names = [scenario.name for scenario in SCENARIOS]
    parser = argparse.ArgumentParser(description="Run all scenarios and write tables and plots.")
    parser.add_argument("--quick", action="store_true", help="run each in seconds, which measures nothing")
    parser.add_argument("--redraw", action="store_true", help="run none: make tables and plots from the last figures")
    parser.add_argument("--only", nargs="+", choices=names, default=names, metavar="NAME", help=f"of {' '.join(names)}")
    parser.add_argument("--minutes", type=float, default=MINUTES, help=f"for all of it (default {MINUTES:.0f})")
    parser.add_argument("--into", type=Path, help="the folder to write into (default: see above)")
    arguments = parser.parse_args()
    partly = arguments.quick or arguments.only != names
    folder: Path = arguments.into or (ROOT / "build" / "benchmarks" if partly else ROOT)
    figures = folder / "benchmarks" / "results.json"
    if arguments.redraw:
        results = json.loads(figures.read_text(encoding="utf-8"))
    else:
        results = measured([each for each in SCENARIOS if each.name in arguments.only], arguments)
        figures.parent.mkdir(parents=True, exist_ok=True)
        figures.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        line = {"date": results["date"], "commit": results["machine"]["commit"], "ratios": ratios(results)}
        with open(figures.with_name("ratios.jsonl"), "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
    draw(results, folder)
    if failed := [each["name"] for each in results["scenarios"] if each["failed"]]:
        sys.exit(f"failed: {', '.join(failed)}")


def measured(scenarios: list[Scenario], arguments: argparse.Namespace) -> dict[str, Any]:
    """Run scenarios; return their figures, and what they were measured on."""
    began = time.monotonic()
    results: dict[str, Any] = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "left out": left_out(),
        "scenarios": [],
    }
    for number, scenario in enumerate(scenarios, 1):
        print(f"{number} of {len(scenarios)}: {scenario.name} …", file=sys.stderr, flush=True)
        left = arguments.minutes * 60 - (time.monotonic() - began)
        results["scenarios"].append(run(scenario, arguments.quick, left))
        done = results["scenarios"][-1]
        print(f"  {done['failed'] and 'failed: '}{done['failed'] or 'done'}, {done['seconds']:.0f} s", file=sys.stderr)
    results["seconds"] = round(time.monotonic() - began)
    return results


def run(scenario: Scenario, quick: bool, seconds: float) -> dict[str, Any]:
    """Run one scenario within so many seconds; return what its script printed, and why it failed ("": it didn't)."""
    line = f"{scenario.line} {scenario.quick}" if quick else scenario.line
    began = time.monotonic()
    printed, failed = b"", ""
    if seconds <= 0:
        failed = "no time was left"
    else:
        name, *options = shlex.split(line)
        command = [sys.executable, str(HERE / name), *options, "--json"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as script:
            try:
                printed, told = script.communicate(timeout=seconds)
                failed = why(told.decode()) or f"exit code {script.returncode}" if script.returncode else ""
            except BaseException as error:
                script.send_signal(signal.SIGTERM)  # it ends its workers and their servers
                try:
                    printed, _ = script.communicate(timeout=ENDING)
                except subprocess.TimeoutExpired:
                    script.kill()
                if not isinstance(error, subprocess.TimeoutExpired):
                    raise
                failed = f"not done within {seconds:.0f} s"
    return {
        "name": scenario.name,
        "title": scenario.title,
        "command": f"benchmarks/{line}",
        "lower": scenario.lower,
        "ours": scenario.ours,
        "seconds": time.monotonic() - began,
        "tables": [json.loads(each) for each in printed.decode().splitlines()],
        "failed": failed,
    }


def why(told: str) -> str:
    """Return why a script has failed, from what it said on stderr."""
    _, found, reason = told.partition("failed: ")
    return reason.strip() if found else told.strip().rpartition("\n")[2]


def machine() -> dict[str, Any]:
    """Return what the figures were measured on."""
    described = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return {
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
        "pyzmq": zmq.__version__,
        "libzmq": zmq.zmq_version(),
        "commit": described.stdout.strip() or "unknown",
    }


def draw(results: dict[str, Any], folder: Path) -> None:
    """Write the tables and the plots."""
    kept = (folder / "benchmarks" / "ratios.jsonl").read_text(encoding="utf-8").splitlines()
    pictures = folder / "docs" / "pictures"
    pictures.mkdir(parents=True, exist_ok=True)
    drawn = plots(results, [json.loads(line) for line in kept])
    for name, svg in drawn.items():
        (pictures / f"{name}.svg").write_text(svg, encoding="utf-8")
    page = folder / "docs" / "benchmarks.md"
    text = page.read_text(encoding="utf-8") if page.exists() else f"{BEGIN}\n{END}\n"
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    page.write_text(
        f"{before}{BEGIN}\n{tables(results, {name: TITLES[name] for name in drawn})}{END}{after}", encoding="utf-8"
    )


if __name__ == "__main__":
    main()
