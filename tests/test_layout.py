"""What keeps the parts apart: who imports whom, and what stands where."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = sorted((ROOT / "zchat").rglob("*.py"))
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
SOURCES = [
    *PACKAGE,
    *(path for name in ("tests", "benchmarks") for path in sorted((ROOT / name).rglob("*.py"))),
    *EXAMPLES,
]

MAY_IMPORT: dict[str, str] = {
    "": "",
    "wire": "",
    "protocol": "wire protocol/rooms",
    "protocol/faces": "wire protocol/rooms",
    "protocol/rooms": "wire",
    "transport": "wire protocol protocol/faces",
    "client": "wire protocol protocol/faces protocol/rooms transport",
    "aio": "wire protocol protocol/faces protocol/rooms transport",
    "broker": "wire transport broker/core broker/delivery broker/edge broker/figures broker/guard broker/presence "
    "broker/rooms broker/store",
    "broker/guard": "wire broker/store broker/figures",
    "broker/edge": "wire transport broker/store broker/rooms broker/figures broker/guard broker/core broker/delivery "
    "broker/presence",
    "broker/store": "wire broker/store/sqlite broker/store/redis broker/store/redis/connections",
    "broker/store/sqlite": "wire broker/store",
    "broker/store/redis": "wire broker/store broker/store/redis/connections",
    "broker/store/redis/connections": "",
    "broker/store/copying": "wire broker/store broker/store/sqlite broker/store/redis broker/store/redis/connections",
    "broker/rooms": "wire broker/store",
    "broker/figures": "wire broker/store broker/rooms",
    "broker/delivery": "wire broker/store broker/rooms broker/figures",
    "broker/presence": "wire broker/store broker/rooms broker/figures broker/delivery",
    "broker/core": "wire broker/store broker/rooms broker/figures broker/delivery broker/guard broker/presence",
    "cli": "wire client transport broker broker/store/sqlite cli/commands cli/text",
    "web": "wire client aio transport web/core",
    "web/core": "wire",
    "cli/screen": "transport cli/text",
    "cli/text": "",
    "cli/tail": "wire client transport cli/text",
    "cli/top": "client transport cli/screen cli/text",
    "cli/chat": "wire client transport cli/text",
    "cli/chat/terminal": "client transport cli/chat cli/screen cli/text",
    "cli/commands": "wire client transport broker broker/core broker/edge broker/figures broker/guard "
    "broker/store/copying broker/store/sqlite cli/chat cli/chat/terminal cli/screen cli/tail cli/text cli/top web",
}
"""What the modules of a folder may import beside each other and beside those that stand free: which other folders.

A module that stands beside folders, as `broker/limits.py` does, is free for those that may import all that it does.
"""

WITHOUT_IO = ["wire", "protocol", "protocol/faces", "protocol/rooms"]
WITHOUT_IO += ["broker/core", "broker/delivery", "broker/figures", "broker/guard", "broker/presence", "broker/rooms"]
WITHOUT_IO += ["web/core"]
"""The folders whose modules know no socket, thread, clock, file or chance, whatever they import."""

AT_THE_EDGE = {"zchat.broker.figures.metrics"}
"""Modules in them that are not of the core: this one serves HTTP."""

CIRCLE = {"zchat.broker.rooms.member", "zchat.broker.rooms.room", "zchat.broker.rooms.session"}
"""The modules that know each other: a member is a session's in a room."""

MOST_LINES = 500
"""A longer file holds two things."""

MOST_MODULES = 17
"""A folder of more is no longer taken in at a glance."""

OUTSIDE_WORLD = {"asyncio", "os", "pathlib", "random", "secrets", "select", "selectors", "socket", "sqlite3"}
OUTSIDE_WORLD |= {"subprocess", "tempfile", "threading", "time", "zmq"}

WHO_REPORTS = {
    "logging": {"zchat.logs", "zchat.broker.edge.audit", "zchat.cli.logs", "zchat.cli.completion"},
    "traceback": {"zchat.logs", "zchat.threads", "zchat.cli.streams"},
    "warnings": {"zchat.transport.connection"},
}
"""The modules that report something by themselves, by the module that they import for it: the loggers that all others
use, the audit log, the command's own, a finalizer, the child that was forked in a thread of zchat's own, and
the faults of a command that nothing has caught."""

MACHINE_PATHS = re.compile(r"(?<![\w.])/(?:work|root|home|Users|mnt)/\w")


@cache
def imports(path: Path) -> frozenset[str]:
    """Return the dotted names that a file imports, wherever in it, for typing alone too."""
    return frozenset(_imports(path))


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {module_of(path): path for path in PACKAGE}


@cache
def modules_imported(module: str) -> frozenset[str]:
    """Return the modules of the package that a module imports."""
    found: set[str] = set()
    for name in imports(MODULES[module]):
        while name and name not in MODULES:
            name = name.rpartition(".")[0]
        found.add(name)
    return frozenset(found - {"", module})


def folder_of(module: str) -> str:
    return MODULES[module].parent.relative_to(ROOT / "zchat").as_posix().removeprefix(".")


def within(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def may_import(module: str, other: str) -> bool:
    home, place = folder_of(module), folder_of(other)
    if other == "zchat":  # the public names, for those who use them as programs do
        return home.startswith("cli")
    if home == place or place in MAY_IMPORT[home].split():
        return True
    above = f"{home}/".startswith(f"{place}/" if place else "")
    return above and all(may_import(module, each) for each in modules_imported(other) if each != module)


@pytest.mark.parametrize("module", sorted(set(MODULES) - {"zchat", "zchat.__main__"}))
def test_a_folder_imports_what_its_rule_allows(module: str) -> None:
    assert sorted(other for other in modules_imported(module) if not may_import(module, other)) == []


def test_every_folder_has_a_rule() -> None:
    assert {folder_of(module) for module in MODULES} == set(MAY_IMPORT)


def circles() -> list[set[str]]:
    """Return the sets of modules that reach each other by their imports."""
    reached = {module: reach(module) for module in MODULES}
    found = []
    for module in MODULES:
        circle = {other for other in reached[module] if module in reached[other]}
        if circle and circle not in found:
            found.append(circle)
    return found


def reach(module: str) -> set[str]:
    """Return the modules that a module imports, and they in turn."""
    found: set[str] = set()
    waiting = [module]
    while waiting:
        for other in modules_imported(waiting.pop()) - found:
            found.add(other)
            waiting.append(other)
    return found


def test_no_modules_import_each_other_but_room_member_and_session() -> None:
    assert [circle for circle in circles() if not circle <= CIRCLE] == []


@pytest.mark.parametrize("module", [module for module in MODULES if folder_of(module) in WITHOUT_IO])
def test_cores_know_no_socket_thread_clock_file_or_chance(module: str) -> None:
    if module in AT_THE_EDGE:
        return
    for each in {module, *reach(module)}:
        assert not {name.split(".")[0] for name in imports(MODULES[each])} & OUTSIDE_WORLD, each


def test_zeromq_is_used_by_the_transport_the_brokers_loop_and_its_door_alone() -> None:
    users = {module for module in MODULES if any(within(name, "zmq") for name in imports(MODULES[module]))}
    assert {module for module in users if folder_of(module) != "transport"} == {
        "zchat.broker.edge.door",
        "zchat.broker.edge.entrance",
        "zchat.broker.edge.zap",
        "zchat.broker.loop",
    }


@pytest.mark.parametrize("name", WHO_REPORTS)
def test_what_is_logged_goes_by_the_loggers_that_let_nothing_out_into_zchats_threads(name: str) -> None:
    assert {module for module in MODULES if name in imports(MODULES[module])} == WHO_REPORTS[name]


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_no_file_is_longer_than_one_thing_needs(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MOST_LINES


def test_no_folder_has_more_modules_than_one_takes_in_at_a_glance() -> None:
    folders = Counter(folder_of(module) for module, path in MODULES.items() if path.name != "__init__.py")
    assert [folder for folder, count in folders.items() if count > MOST_MODULES] == []


@pytest.mark.real
def test_importing_zchat_brings_neither_the_broker_nor_the_command() -> None:
    program = "import sys; from zchat import Message; print(*sys.modules)"
    run = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=30, check=True
    )
    loaded = run.stdout.split()
    assert "zchat.messages" in loaded
    assert not [name for name in loaded if within(name, "zchat.broker") or within(name, "zchat.cli")]


def test_nothing_imports_the_links_at_the_top() -> None:
    wrong = [
        (relative(path), name) for path in SOURCES for name in imports(path) if name.split(".")[0] in {"broker", "cli"}
    ]
    assert wrong == []


@pytest.mark.real  # asks git
@pytest.mark.parametrize("name", ["broker", "cli"])
def test_the_links_at_the_top_lead_into_the_package_wherever_it_is(name: str, tracked: list[str]) -> None:
    assert name in tracked  # a source archive has no links, and skips this
    link = ROOT / name
    assert link.is_symlink()
    assert os.readlink(link) == f"zchat/{name}"
    assert link.resolve() == (ROOT / "zchat" / name).resolve()


@pytest.mark.real
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
