"""The thread of a store that reads pages."""

from __future__ import annotations

import time
from collections.abc import Iterator
from threading import Event

import pytest

from tests.running import DEADLINE, eventually
from zchat.broker.store.pages import READY_PAGES, PageThread


class Reading(PageThread[int, str]):
    """Read a number as its text; 13 is nobody's any more, and below 0 it fails."""

    def __init__(self) -> None:
        self.read: list[int] = []
        self.closed = False
        self.woken = Event()
        super().__init__(self.woken.set)

    def _read(self, read: int) -> str | None:
        if read < 0:
            raise MemoryError("no place")
        self.read.append(read)
        return None if read == 13 else str(read)

    def _close(self) -> None:
        self.closed = True


@pytest.fixture
def reading() -> Iterator[Reading]:
    reading = Reading()
    yield reading
    reading.stop()
    assert reading.join(DEADLINE)
    assert reading.closed


def test_no_more_pages_are_read_ahead_than_their_bound_and_all_come_in_order(reading: Reading) -> None:
    count = 3 * READY_PAGES
    for number in range(1, count + 1):
        reading.put(number)
    eventually(lambda: len(reading.read) > READY_PAGES, "as many are read as may be, and one that nobody waits for")
    assert len(reading.read) == READY_PAGES + 1
    pages: list[str] = []
    deadline = time.monotonic() + DEADLINE
    while len(pages) < count - 1 and time.monotonic() < deadline:
        assert len(reading.read) <= len(pages) + READY_PAGES + 1
        reading.woken.wait(0.01)
        reading.woken.clear()
        while (page := reading.take()) is not None:
            pages.append(page)
    assert pages == [str(number) for number in range(1, count + 1) if number != 13]
    assert reading.take() is None


def test_what_fails_ends_the_thread_and_is_kept(reading: Reading) -> None:
    reading.put(-1)
    assert reading.woken.wait(DEADLINE)
    eventually(lambda: reading.closed, "it has ended")
    assert isinstance(reading.failure, MemoryError)
