from __future__ import annotations

import pytest

from tests.protocol.driver import Wire


@pytest.fixture
def wire() -> Wire:
    return Wire()
