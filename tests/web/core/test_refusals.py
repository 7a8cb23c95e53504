"""How errors look to pages."""

from __future__ import annotations

import pytest

from zchat import errors
from zchat.events import Removed
from zchat.web.core.refusals import Turned, fields, is_retryable, malformed, not_let_in, put_out, removal


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


def test_who_was_put_out_on_the_way_in_is_refused_with_the_reason_and_the_time() -> None:
    kicked = Removed("General", "calm down", "root", None, "kicked")
    text = "you are not in General any more: calm down"
    assert fields(put_out(kicked)) == {"code": "kicked", "text": text, "retryable": False}
    banned = Removed("General", "", "root", 9.5, "banned")
    text = "you are not in General any more"
    assert fields(put_out(banned)) == {"code": "banned", "text": text, "retryable": False, "until": 10}
    assert fields(put_out(Removed("General", "", "", None, "new_word")))["code"] == "new_word"


def test_a_room_that_can_not_be_joined_again_is_over_with_the_brokers_reason_unless_it_can_be_later() -> None:
    assert removal("General", errors.RoomClosed("closed")) == Removed("General", "closed", "", None, "room_closed")
    assert removal("General", errors.Banned("out", detail=9)) == Removed("General", "out", "", 9, "banned")
    assert removal("General", errors.DeadlineExceeded("late")) is None
    assert removal("General", errors.Busy("later")) is None
