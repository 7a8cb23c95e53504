"""What a broker tells of itself, as a value that programs keep."""

from __future__ import annotations

import pickle
from base64 import b64decode

import pytest

from zchat import BusyRoom, Histogram, Stats, messages

STATS = Stats(
    {"messages": 3},
    {"busy": 1},
    [("General", "bob", 7)],
    {"turn": Histogram([100], [2, 1], 300)},
    [BusyRoom("General", 2, 3, 6)],
)
BY_ZCHAT_0_1_0 = b64decode(
    "gASVoQAAAAAAAACMDnpjaGF0Lm1lc3NhZ2VzlIwFU3RhdHOUk5QofZSMCG1lc3NhZ2VzlEsDc32UjARidXN5lEsBc12UjAdHZW5lcmFslIwD"
    "Ym9ilEsHh5RhfZSMBHR1cm6UaACMCUhpc3RvZ3JhbZSTlF2US2RhXZQoSwJLAWVNLAGHlIGUc12UaACMCEJ1c3lSb29tlJOUKGgISwJLA0sG"
    "dJSBlGF0lIGULg=="
)
"""The pickle of `STATS` as zchat 0.1.0 wrote it, when the classes were those of `zchat.messages`."""


def test_a_pickle_of_an_earlier_version_can_be_read() -> None:
    assert b"zchat.messages" in BY_ZCHAT_0_1_0
    assert pickle.loads(BY_ZCHAT_0_1_0) == STATS
    assert pickle.loads(pickle.dumps(STATS)) == STATS


@pytest.mark.parametrize("kind", [Stats, Histogram, BusyRoom])
def test_they_are_found_among_the_messages_as_before(kind: type) -> None:
    assert getattr(messages, kind.__name__) is kind
