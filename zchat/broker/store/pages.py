"""The thread of a store that reads pages of logs, beside the one that writes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from threading import Semaphore
from typing import Generic, TypeVar

from zchat.threads import RealThread, awaited_by_callers, start

READY_PAGES = 32
"""Pages read ahead of `take`: enough to keep the thread busy, 32 MiB of the largest at most."""

R = TypeVar("R")
P = TypeVar("P")


class PageThread(Generic[R, P]):
    """The thread that reads pages, in the order in which they are requested.

    `wake` is called, from that thread, when there is one for `take`. `failure` is what ended the thread before its
    time. How a page is read, and what is closed at the end, is each store's own; the thread begins as this is made.
    """

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self.failure: BaseException | None = None
        self._pages: deque[P] = deque()
        self._places = Semaphore(READY_PAGES)
        self._reads: SimpleQueue[R | None] = SimpleQueue()
        self._stopped = False
        self._thread = RealThread(self._run, "zchat store reads")
        start(self._thread)

    def put(self, read: R) -> None:
        """Ask for one more page; the caller bounds them. The loop thread."""
        self._reads.put(read)

    def take(self) -> P | None:
        """Return the next page, None if none is ready. The loop thread."""
        if not self._pages:
            return None
        page = self._pages.popleft()
        self._places.release()
        return page

    def stop(self) -> None:
        """End after the page that is being read; returns at once. The loop thread."""
        self._stopped = True
        self._reads.put(None)
        self._places.release()

    def join(self, timeout: float) -> bool:
        """Wait `timeout` seconds at most for the end; return whether it has come."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    @awaited_by_callers()
    def _run(self) -> None:
        try:
            while (read := self._reads.get()) and not self._stopped:
                self._places.acquire()
                page = self._read(read)
                if page is None:
                    self._places.release()
                else:
                    self._pages.append(page)
                    self._wake()
        except BaseException as error:  # the loop, which waits for pages, has to learn that none will come
            self.failure = error
            self._wake()
        finally:
            self._close()

    def _read(self, read: R) -> P | None:
        """Return the page that is asked for; None if nobody waits for it now."""
        raise NotImplementedError

    def _close(self) -> None:
        """Close what pages are read from."""
        raise NotImplementedError
