"""The status line says what matters, in as many columns as there are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zchat.cli.chat.rooms import Unread
from zchat.cli.chat.status import Status, status_line
from zchat.cli.text.columns import cells

NEW = (Unread("Sports", 2, 1, 2), Unread("@carol", 1, 1, 1, mention=1))
BUSY = Status(True, "General", 12, "bob is typing", NEW)
OFFLINE = BUSY._replace(connected=False, here=0, typing="")


@pytest.mark.parametrize(
    ("status", "width", "line"),
    [
        (BUSY, 80, "online | General | 12 here | bob is typing | new: Sports 2, @carol »1"),
        (BUSY, 61, "General | 12 here | bob is typing | new: Sports 2, @carol »1"),
        (BUSY, 52, "12 here | bob is typing | new: Sports 2, @carol »1"),
        (BUSY, 43, "12 here | typing | new: Sports 2, @carol »1"),
        (BUSY, 40, "12 here | typing | new: Sports 2, +1"),
        (BUSY, 26, "12 here | typing | 3 new"),
        (BUSY, 10, "12 here |…"),
        (BUSY._replace(typing="", new=NEW[:1]), 40, "General | 12 here | new: Sports 2"),
        (BUSY._replace(here=2, typing="", new=NEW[:1]), 40, "General | 2 here | new: Sports 2"),
        (OFFLINE, 80, "offline, reconnecting | General | new: Sports 2, @carol »1"),
        (OFFLINE, 30, "offline | new: Sports 2, +1"),
        (Status(True, None, 0, "", ()), 80, "online | no room"),
        (Status(True, "x | 9 here", 1, "", (Unread("Sports 2, a", 1, 1, 1),)), 80,
         "online | “x | 9 here” | 1 here | new: “Sports 2, a” 1"),
        (BUSY._replace(room="r" * 30), 70, "12 here | bob is typing | new: Sports 2, @carol »1"),
        (BUSY._replace(new=tuple(Unread(f"room {n}", 1_000, 1, 1_000) for n in range(4))), 80,
         "online | General | 12 here | bob is typing | 4,000 new in 4 rooms"),
        (BUSY._replace(typing="", new=tuple(Unread(f"room {n}", 1_000, 1, 1_000) for n in range(4))), 32,
         "12 here | 4,000 new in 4 rooms"),
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
        st.lists(
            st.builds(Unread, st.text(), st.integers(1, 99_999), st.just(1), st.just(9), st.integers(0, 1)), max_size=5
        ).map(tuple),
    ),
    st.integers(1, 120),
)
def test_the_line_never_needs_another_row(status: Status, width: int) -> None:
    line = status_line(status, width)
    assert cells(line) <= width
    assert "\n" not in line
