"""Taking events in threads: in the application's own, or in one that calls its handler."""

from __future__ import annotations

import logging
import os
import sys
import traceback
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Iterator
from contextlib import suppress
from sys import is_finalizing
from typing import NoReturn

from zchat.checks import shown
from zchat.client.event_queue import EventQueue
from zchat.client.inbox import End
from zchat.client.link import ClientLink
from zchat.client.waiting import Deadline
from zchat.errors import HandlerFailed, UsageError, ZchatError
from zchat.events import Event
from zchat.threads import RealThread, awaited, get_ident, start

log = logging.getLogger("zchat.client")


def events_of(
    queue: EventQueue, timeout: float | None, check: Callable[[], None] = lambda: None, holder: object = None
) -> Iterator[Event]:
    """Yield events until there was none for `timeout` seconds, None for no limit, or the connection ends.

    `check` is called before it waits, and raises if nothing can come. `holder` is kept alive meanwhile.

    Raises:
        Refused, ProtocolError, ConnectionLost: why the connection, or a room, has ended.
    """
    deadline = Deadline(timeout)
    while True:
        place = queue.first(deadline, check)
        if place is None:
            return
        if isinstance(place, End):
            if queue.verdict(place):
                return
            continue
        events = queue.visit(place)
        if events is None:
            continue
        try:
            yield from events
        finally:
            queue.leave(place)
        deadline = Deadline(timeout)


class Handler:
    """The thread that gives every event to the application's handler, one by one; what it raises is kept.

    Raises:
        ZchatError: the system has no more threads.
    """

    def __init__(self, link: ClientLink, on_event: Callable[[Event], object]) -> None:
        self._link = link
        self._on_event = on_event
        self._pid = os.getpid()
        self._silent = False
        self._failed: deque[HandlerFailed] = deque()  # the first failure, until it is reported
        self._has_failed = False
        self.thread = RealThread(self._run, "zchat-events")
        start(self.thread)

    def silence(self, deadline: Deadline, grace: float) -> None:
        """Wait for the handler until the deadline, then give it nothing more, and `grace` seconds to return.

        In the handler's own thread, and where nothing may wait, it is given nothing more at once.
        """
        caller = get_ident()
        if caller == self.thread.ident or caller in awaited or is_finalizing():
            self._silent = True
        else:
            self.thread.join(deadline.left)
            self._silent = True
            self.thread.join(grace)

    def check(self) -> None:
        """Raise the handler's first failure, HandlerFailed, once, and never in the handler's own thread."""
        if self._failed and self.thread.ident != get_ident():
            try:
                failed = self._failed.popleft()
            except IndexError:
                return  # another thread was faster
            raise failed

    def _run(self) -> None:
        events = events_of(self._link.events, None)
        while not self._silent:  # before an event is taken: the position doesn't move over one not handled
            try:
                event = next(events)
            except StopIteration:
                return
            except ZchatError as error:
                log.info("no more events: %s", error)
                if self._link.events.over:
                    return
                self._remember(HandlerFailed(f"a room has ended: {error}"), error)
                events = events_of(self._link.events, None)
                continue
            if self._is_silent():
                return
            try:
                returned = self._on_event(event)
                if returned is not None:
                    _check_handled(returned)
            except BaseException as error:  # SystemExit or CancelledError would end this thread without a word
                if os.getpid() != self._pid:
                    _end_child(error)
                if self._link.closed and isinstance(error, UsageError):
                    log.info("no more events: %s", error)  # it uses the client, which is closed
                    return
                log.exception("the handler raised over %r", event)
                self._remember(HandlerFailed(f"the event handler raised {error!r}"), error)
            if os.getpid() != self._pid:
                _end_child(None)

    def _is_silent(self) -> bool:
        return self._silent

    def _remember(self, failed: HandlerFailed, cause: BaseException) -> None:
        if not self._has_failed:
            self._has_failed = True
            failed.__cause__ = cause
            self._failed.append(failed)


def _check_handled(returned: object) -> None:
    """Raise TypeError if a handler returned what it should have done: a coroutine or a generator."""
    if isinstance(returned, Coroutine | Generator):
        returned.close()  # or Python warns that it was never awaited
    if isinstance(returned, Coroutine | Generator | AsyncGenerator):
        raise TypeError(f"it returned {shown(returned)}, which nobody runs: an event is handled once the call returns")


def _end_child(error: BaseException | None) -> NoReturn:
    """End a child that the handler has forked, as its program would end: this is the only thread that it has.

    Nothing comes in it, and the handler isn't called any more.
    """
    code: object = 0
    if isinstance(error, SystemExit):
        code = error.code
        if code is not None and not isinstance(code, int):
            print(code, file=sys.stderr)  # noqa: T201
            code = 1
    elif error is not None:
        traceback.print_exception(error)
        code = 1
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):
            stream.flush()
    os._exit(code if isinstance(code, int) else 0)
