"""What the audit of cut connections finds (`make web-cuts` has the runs themselves)."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from tests.web.cuts import audit

LOG = [(1, "alice", "alice 0"), (2, "bob", "bob 0"), (3, "alice", "alice 1")]


def found(log: list[Any] = LOG, outcomes: list[Any] | None = None, *received: list[Any]) -> Counter[str]:
    counts: Counter[str] = Counter()
    read = [{"trouble": [], "received": [list(each) for each in one]} for one in received or (log, log)]
    audit(["alice", "bob"], outcomes or [[1, 3], [2]], log, read, counts)
    return counts


def test_what_is_right_is_counted() -> None:
    assert found() == {"acknowledged": 3, "unknown": 0, "received": 6}
    assert found(outcomes=[[1, "outcome_unknown"], [2]])["unknown"] == 1


@pytest.mark.parametrize(
    ("log", "outcomes", "received", "text"),
    [
        (LOG[:2], [[1, 3], [2]], (), "list index"),
        ([*LOG, (4, "bob", "bob 0")], [[1, 3], [2]], (), "stored twice"),
        (LOG, [[3, 1], [2]], (), "is not at"),
        (LOG, [[1, "store_failed"], [2]], (), "store_failed"),
        (LOG, [[1, 3], [2]], (LOG, LOG[1:]), "did not receive"),
        (LOG, [[1, 3], [2]], (LOG, [*LOG, LOG[2]]), "did not receive"),
    ],
)
def test_what_is_lost_doubled_or_out_of_order_is_found(
    log: list[Any], outcomes: list[Any], received: tuple[Any, ...], text: str
) -> None:
    with pytest.raises((AssertionError, IndexError), match=text):
        found(log, outcomes, *received)
