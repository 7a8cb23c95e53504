"""What keeps the parts apart: who imports whom, and what stands where."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = sorted((ROOT / "zchat").rglob("*.py"))
SOURCES = [*PACKAGE, *sorted((ROOT / "tests").rglob("*.py")), *sorted((ROOT / "benchmarks").rglob("*.py"))]

WITHOUT_IO = [
    "zchat/address.py",
    "zchat/errors.py",
    "zchat/events.py",
    "zchat/protocol/arguments.py",
    "zchat/protocol/cursor.py",
    "zchat/protocol/face.py",
    "zchat/protocol/invitations.py",
    "zchat/protocol/outcomes.py",
    "zchat/protocol/steps.py",
    "zchat/protocol/send_queue.py",
    "zchat/protocol/membership.py",
    "zchat/protocol/memberships.py",
    "zchat/messages.py",
    "zchat/names.py",
    "zchat/protocol/port.py",
    "zchat/protocol/core.py",
    "zchat/protocol/heartbeat.py",
    "zchat/protocol/requests.py",
    "zchat/protocol/reconnect.py",
    "zchat/protocol/roster.py",
    "zchat/protocol/send_queues.py",
    "zchat/protocol/room_state.py",
    "zchat/wire/limits.py",
    "zchat/wire/values.py",
    "zchat/wire/hostile.py",
    "zchat/wire/commands.py",
    "zchat/wire/notices.py",
    "zchat/wire/blocks.py",
    "zchat/broker/core/handlers.py",
    "zchat/broker/core/core.py",
    "zchat/broker/figures/counters.py",
    "zchat/broker/rooms/directory.py",
    "zchat/broker/limits.py",
    "zchat/broker/figures/log_lines.py",
    "zchat/broker/delivery/pipes.py",
    "zchat/broker/presence/presence.py",
    "zchat/broker/delivery/pusher.py",
    "zchat/broker/port.py",
    "zchat/broker/rooms/member.py",
    "zchat/broker/rooms/retention.py",
    "zchat/broker/rooms/room.py",
    "zchat/broker/presence/roster.py",
    "zchat/broker/rooms/session.py",
    "zchat/broker/settings.py",
    "zchat/broker/store/contract.py",
    "zchat/broker/store/blocks.py",
    "zchat/broker/store/epochs.py",
    "zchat/broker/core/access.py",
    "zchat/broker/core/context.py",
    "zchat/broker/core/replies.py",
    "zchat/broker/core/sessions.py",
    "zchat/broker/core/store_reports.py",
    "zchat/broker/rooms/session_table.py",
    "zchat/broker/presence/state_frames.py",
]
OUTSIDE_WORLD = {"asyncio", "os", "pathlib", "random", "secrets", "select", "selectors", "socket", "sqlite3"}
OUTSIDE_WORLD |= {"subprocess", "tempfile", "threading", "time", "zmq"}

MACHINE_PATHS = re.compile(r"(?<![\w.])/(?:work|root|home|Users|mnt)/\w")


def imports(path: Path) -> Iterator[str]:
    """Yield the dotted names that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def reached(path: Path) -> set[Path]:
    """Return a file and those of the package that it imports, and they in turn; packages above them don't count."""
    found = {path}
    waiting = [path]
    while waiting:
        for name in imports(waiting.pop()):
            place = ROOT.joinpath(*name.split("."))
            for file in (place.with_suffix(".py"), place.parent.with_suffix(".py")):
                if within(name, "zchat") and file.is_file() and file not in found:
                    found.add(file)
                    waiting.append(file)
    return found


def within(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", PACKAGE, ids=relative)
def test_imports_run_one_way_from_cli_to_broker_to_the_rest(path: Path) -> None:
    place = relative(path)
    if place.startswith("zchat/cli/") or place == "zchat/__main__.py":
        forbidden: list[str] = []
    elif place.startswith("zchat/broker/"):
        forbidden = ["zchat.cli"]
    else:
        forbidden = ["zchat.cli", "zchat.broker"]
    assert not [name for name in imports(path) if any(within(name, package) for package in forbidden)]


def test_importing_zchat_brings_neither_the_broker_nor_the_command() -> None:
    program = "import sys, zchat; print(*sys.modules)"
    run = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=30, check=True
    )
    loaded = run.stdout.split()
    assert "zchat.client" in loaded
    assert not [name for name in loaded if within(name, "zchat.broker") or within(name, "zchat.cli")]


@pytest.mark.parametrize("place", WITHOUT_IO)
def test_cores_know_no_socket_thread_clock_file_or_chance(place: str) -> None:
    for path in reached(ROOT / place):
        assert not {name.split(".")[0] for name in imports(path)} & OUTSIDE_WORLD, relative(path)


def test_nothing_imports_the_links_at_the_top() -> None:
    wrong = [
        (relative(path), name) for path in SOURCES for name in imports(path) if name.split(".")[0] in {"broker", "cli"}
    ]
    assert wrong == []


@pytest.mark.parametrize("name", ["broker", "cli"])
def test_the_links_at_the_top_lead_into_the_package_wherever_it_is(name: str) -> None:
    link = ROOT / name
    assert link.is_symlink()
    assert os.readlink(link) == f"zchat/{name}"
    assert link.resolve() == (ROOT / "zchat" / name).resolve()


def test_no_file_tells_of_the_machine_it_was_written_on(tracked: list[str]) -> None:
    read = [place for place in tracked if (ROOT / place).is_file() and not place.startswith("tests/data/")]
    assert {".ci/run", "Makefile", "docs/design.md"} <= set(read)
    wrong = [
        f"{place}:{number}"
        for place in read
        for number, line in enumerate((ROOT / place).read_text(encoding="utf-8").splitlines(), 1)
        if MACHINE_PATHS.search(line)
    ]
    assert wrong == []
