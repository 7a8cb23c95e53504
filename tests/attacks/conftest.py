from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.attacks.place import Place, keyed_place, open_place


@pytest.fixture(params=["without keys", "with keys"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """Give a broker without keys, and one with."""
    with open_place() if request.param == "without keys" else keyed_place(tmp_path / "server") as place:
        yield place


@pytest.fixture
def keyed(tmp_path: Path) -> Iterator[Place]:
    """Give a broker with keys."""
    with keyed_place(tmp_path / "server") as place:
        yield place
