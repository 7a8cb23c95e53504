"""What the tests have of pytest, and what they change of it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest


def test_a_failure_whose_traceback_has_no_line_is_shown_as_any_other() -> None:
    with pytest.raises(ValueError, match="x") as caught:
        raise ValueError("x")
    entry = caught.traceback[0]
    known = entry.lineno
    entry._rawentry = SimpleNamespace(tb_lineno=None, tb_frame=entry._rawentry.tb_frame)  # type: ignore[misc,assignment]
    assert 0 < entry.lineno < known
