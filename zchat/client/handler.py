"""The thread that calls the application's handler with every event."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from sys import is_finalizing

from zchat.checks import shown
from zchat.client.link import ClientLink
from zchat.client.reading import events_of
from zchat.deadline import Deadline
from zchat.errors import HandlerFailed, ZchatError
from zchat.events import Event
from zchat.logs import client_log
from zchat.threads import RealThread, awaited, end_child, get_ident, start


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
        try:
            self._handle_all()
        except BaseException as error:  # a fault of zchat
            self._remember(HandlerFailed(f"the handler's thread failed: {error!r}"), error)
            client_log.exception("the handler's thread failed")

    def _handle_all(self) -> None:
        events = events_of(self._link.events, None)
        while not self._silent:  # before an event is taken: the position doesn't move over one not handled
            try:
                event = next(events)
            except StopIteration:
                return
            except ZchatError as error:
                over = self._link.events.over
                if not over:
                    self._remember(HandlerFailed(f"what has come in a room can't be read: {error}"), error)
                client_log.info("no more events: %s", error)
                if over:
                    return
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
                    end_child(error)
                if self._link.was_too_late(error):  # no fault of the handler's: it is given what has come until then
                    client_log.info("the handler called its client too late, over %r: %s", event, error)
                else:
                    self._remember(HandlerFailed(f"the event handler raised {_described(error)}"), error)
                    client_log.exception("the handler raised over %r", event)
            if os.getpid() != self._pid:
                end_child(None)

    def _is_silent(self) -> bool:
        return self._silent

    def _remember(self, failed: HandlerFailed, cause: BaseException) -> None:
        if not self._has_failed:
            self._has_failed = True
            failed.__cause__ = cause
            self._failed.append(failed)


def _described(error: BaseException) -> str:
    """Return what a handler raised as text; the program's exceptions may raise others when they are shown."""
    try:
        return repr(error)
    except BaseException:
        return f"{type(error).__name__}, which can't be shown"


def _check_handled(returned: object) -> None:
    """Raise TypeError if a handler returned what it should have done: a coroutine or a generator."""
    if isinstance(returned, Coroutine | Generator):
        returned.close()  # or Python warns that it was never awaited
    if isinstance(returned, Coroutine | Generator | AsyncGenerator):
        raise TypeError(f"it returned {shown(returned)}, which nobody runs: an event is handled once the call returns")
