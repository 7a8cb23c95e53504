"""The status line says what matters, in as many columns as there are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zchat.cli.chat.status import Status, status_line
from zchat.cli.text.columns import cells

BUSY = Status(True, "General", 12, "bob is typing", (("Sports", 2), ("@carol", 1)))


@pytest.mark.parametrize(
    ("status", "width", "line"),
    [
        (BUSY, 80, "online | General | 12 here | bob is typing | new: Sports 2, @carol 1"),
        (BUSY, 60, "online | General | 12 here | bob is typing | 3 new"),
        (BUSY, 45, "General | 12 here | bob is typing | 3 new"),
        (BUSY, 40, "12 here | bob is typing | 3 new"),
        (BUSY, 26, "12 here | typing | 3 new"),
        (BUSY, 10, "12 here |…"),
        (BUSY._replace(connected=False, here=0, typing=""), 80,
         "offline, reconnecting | General | new: Sports 2, @carol 1"),
        (BUSY._replace(connected=False, here=0, typing=""), 30, "offline | General | 3 new"),
        (Status(True, None, 0, "", ()), 80, "online | no room"),
        (BUSY._replace(room="r" * 30), 60, "rrrrrrrrrrrrrrrrrrr… | 12 here | bob is typing | 3 new"),
        (BUSY._replace(new=tuple((f"room {n}", 1_000) for n in range(4))), 80,
         "online | General | 12 here | bob is typing | 4,000 new in 4 rooms"),
    ],
)  # fmt: skip
def test_what_matters_least_is_shortened_first_then_left_out(status: Status, width: int, line: str) -> None:
    assert status_line(status, width) == line


@given(
    st.builds(
        Status,
        st.booleans(),
        st.none() | st.text(),
        st.integers(0, 1_000_000),
        st.sampled_from(["", "bob is typing", "3 people are typing"]),
        st.lists(st.tuples(st.text(), st.integers(1, 99_999)), max_size=5).map(tuple),
    ),
    st.integers(1, 120),
)
def test_the_line_never_needs_another_row(status: Status, width: int) -> None:
    line = status_line(status, width)
    assert cells(line) <= width
    assert "\n" not in line
