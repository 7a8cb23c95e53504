from __future__ import annotations

import os
import shutil
from collections.abc import Callable

import pytest
from hypothesis import settings

# A busy machine makes an example slow, never wrong.
settings.register_profile("zchat", deadline=None)
settings.load_profile("zchat")


@pytest.fixture
def needs() -> Callable[[str], str]:
    """Give a function that returns where a program is, and skips the test if it is missing (fails it in CI)."""

    def find(program: str) -> str:
        path = shutil.which(program)
        if path is None:
            reason = f"{program} is not installed"
            if os.environ.get("CI") == "true":
                pytest.fail(f"{reason}, and in CI nothing may be skipped for that")
            pytest.skip(reason)
        return path

    return find
