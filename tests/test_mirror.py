"""Every module of the package has a test file of its name, in the folder of the same path."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TESTS = ROOT / "tests"
PACKAGE = ROOT / "zchat"

TESTED_BY = {
    # without a line that could fail
    "version.py": "test_wheel.py",
    "broker/core/context.py": "broker/core/test_handlers.py",
    "broker/limits.py": "promises/test_guarantees.py",
    "broker/store/news.py": "broker/store/redis/test_several_users.py",
    "broker/port.py": "broker/delivery/test_pipes.py",
    "protocol/port.py": "protocol/test_core.py",
    "web/core/counters.py": "web/test_metrics.py",
    "web/core/limits.py": "promises/test_guarantees.py",
    "web/core/port.py": "web/core/test_session.py",
    "wire/limits.py": "promises/test_guarantees.py",
    # a package's names
    "__init__.py": "test_api.py",
    "__main__.py": "cli/test_main.py",
    "broker/__init__.py": "test_api.py",
    "broker/metrics.py": "broker/figures/test_metrics.py",
    "broker/store/copying/sides.py": "broker/store/copying/test_copy.py",
    "broker/store/__init__.py": "broker/store/test_contract.py",
    "aio/__init__.py": "aio/test_client.py",
    "client/__init__.py": "client/test_client.py",
    "web/__init__.py": "cli/commands/test_web.py",
    # a thread, seen from outside alone: by what brokers on one server hear of each other
    "broker/store/redis/feed.py": "broker/store/redis/test_several.py",
    # seen from outside alone, by threads that join and send
    "protocol/faces/joined_rooms.py": "client/test_joined_rooms.py",
    "protocol/faces/progress.py": "client/test_progress.py",
    # seen from outside alone: on a terminal, or in what the cursor and the table of memberships do
    "cli/commands/client.py": "cli/chat/test_by_lines.py",
    "cli/top/screen.py": "cli/commands/test_top.py",
    "protocol/rooms/membership.py": "protocol/rooms/test_memberships.py",
}
"""The modules that have none, and the file that tests them."""


def modules() -> list[str]:
    """Return the modules by their paths, without the `__init__.py` that only say what a folder is."""
    found = []
    for path in PACKAGE.rglob("*.py"):
        alone = path.name == "__init__.py" and len(ast.parse(path.read_text(encoding="utf-8")).body) == 1
        if not alone:
            found.append(path.relative_to(PACKAGE).as_posix())
    return sorted(found)


def mirrored(module: str) -> Path:
    path = Path(module)
    return TESTS / path.parent / f"test_{path.name}"


@pytest.mark.parametrize("module", [module for module in modules() if module not in TESTED_BY])
def test_a_module_has_a_test_file_of_its_name(module: str) -> None:
    assert mirrored(module).is_file(), f"{mirrored(module).relative_to(ROOT)} is missing"


@pytest.mark.parametrize("module", TESTED_BY)
def test_a_module_without_one_is_there_and_so_is_the_file_that_tests_it(module: str) -> None:
    assert (PACKAGE / module).is_file()
    assert (TESTS / TESTED_BY[module]).is_file()
    assert not mirrored(module).is_file(), "it has one, and need not stand here"
