"""What a broker may be set to."""

from __future__ import annotations

import pytest

from zchat.broker.settings import Settings
from zchat.errors import BadName, UsageError

# -- settings --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"high_water_mark": 0}, UsageError),
        ({"high_water_mark": 10_001}, UsageError),
        ({"retain_messages": -1}, UsageError),
        ({"retain_days": -0.5}, UsageError),
        ({"retain_days": float("nan")}, UsageError),
        ({"retain_days": float("inf")}, UsageError),
        ({"max_message": 0}, UsageError),
        ({"max_message": (1 << 20) + 1}, UsageError),
        ({"names": -1}, UsageError),
        ({"names": 1_001}, UsageError),
        ({"rooms": (), "fixed_rooms": True}, UsageError),
        ({"rooms": ("#no",)}, BadName),
    ],
)
def test_settings_out_of_range_are_refused(wrong: dict[str, object], error: type[Exception]) -> None:
    with pytest.raises(error):
        Settings(**wrong)  # type: ignore[arg-type]
