"""How errors look to pages."""

from __future__ import annotations

import pytest

from zchat import errors
from zchat.web.core.refusals import Turned, fields, is_retryable, malformed, not_let_in


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (errors.NotAllowed("no"), {"code": "not_allowed", "text": "no", "retryable": False}),
        (errors.Busy("later", detail=250), {"code": "busy", "text": "later", "retryable": True, "after": 250}),
        (errors.Busy("later"), {"code": "busy", "text": "later", "retryable": True}),
        (errors.Muted("no", detail=9), {"code": "muted", "text": "no", "retryable": False, "until": 9}),
        (errors.Banned("no", detail=0), {"code": "banned", "text": "no", "retryable": False}),
        (errors.ConnectionLost("gone"), {"code": "connection_lost", "text": "gone", "retryable": True}),
        (errors.DeadlineExceeded("late"), {"code": "deadline_exceeded", "text": "late", "retryable": True}),
        (errors.OutcomeUnknown("open"), {"code": "outcome_unknown", "text": "open", "retryable": True}),
        (errors.UsageError("wrong"), {"code": "usage_error", "text": "wrong", "retryable": False}),
        (Turned("too_fast", "x", after=9), {"code": "too_fast", "text": "x", "retryable": True, "after": 9}),
        (malformed("x"), {"code": "malformed", "text": "x", "retryable": False}),
        (not_let_in("x"), {"code": "not_let_in", "text": "x", "retryable": False}),
    ],
)
def test_an_error_has_the_wires_code_or_its_own_name(error: Turned | errors.ZchatError, expected: object) -> None:
    assert fields(error) == expected
    assert is_retryable(error) is fields(error)["retryable"]
