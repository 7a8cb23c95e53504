"""zchat's loggers. What logging raises ends no thread of zchat's own.

Handlers, filters, formatters and the factory of records are the program's, and may raise anything: without any of
them, a closed standard error does. Whatever has to be done is done before it is logged.
"""

from __future__ import annotations

import logging
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from zchat.threads import end_child, is_own

FIELDS = "fields"
"""The attribute of a log record that holds what its line is about, for programs that read the log."""


@contextmanager
def ending_children() -> Iterator[None]:
    """End a child that a handler of log records forks in the block, if this is a thread of zchat's own."""
    pid = os.getpid()
    handled = sys.exception()
    try:
        yield
    except BaseException as error:
        if os.getpid() != pid and is_own():
            end_child(_cause_in_child(error, handled))
        raise
    if os.getpid() != pid and is_own():
        end_child(None)


def _cause_in_child(error: BaseException, handled: BaseException | None) -> BaseException | None:
    """Return what a handler has raised in a child, None if it has returned there; `handled` was raised before.

    A child has new locks in place of `logging`'s, and to release those, as `logging` does then, is an error.
    """
    cause: BaseException | None = error
    while type(cause) is RuntimeError and "un-acquired lock" in str(cause):
        cause = cause.__context__
    return None if cause is handled else cause


class Logger:
    """One of `logging`'s loggers, as all of zchat uses it. Any thread.

    What it raises in a thread of zchat's own is dropped with the line: a traceback on standard error reports the
    first, as `logging` does with what it catches itself, and a line of its own counts them once lines are taken again.
    In any other thread the caller gets it: there an exception of a signal may be what comes.
    """

    def __init__(self, name: str) -> None:
        self.dropped = 0
        """How many lines are missing in the log, those that the command's handler dropped included."""
        self._unreported = 0  # how many were dropped here since the log has last said so
        self._logger = logging.getLogger(name)

    def debug(self, text: str, /, *values: object, exc_info: bool = False) -> None:
        """Log a line for developers, with the exception that is being handled if `exc_info` is true."""
        self._log(logging.DEBUG, text, values, exc_info=exc_info)

    def info(self, text: str, /, *values: object, **fields: object) -> None:
        """Log what happened, with the fields of its event."""
        self._log(logging.INFO, text, values, fields)

    def warning(self, text: str, /, *values: object, **fields: object) -> None:
        """Log what should be attended to, with the fields of its event."""
        self._log(logging.WARNING, text, values, fields)

    def error(self, text: str, /, *values: object, **fields: object) -> None:
        """Log what calls for action, with the fields of its event."""
        self._log(logging.ERROR, text, values, fields)

    def exception(self, text: str, /, *values: object, **fields: object) -> None:
        """Do the same with the exception that is being handled."""
        self._log(logging.ERROR, text, values, fields, exc_info=True)

    def critical(self, text: str, /, *values: object, **fields: object) -> None:
        """Log what calls for action at once, with the fields of its event."""
        self._log(logging.CRITICAL, text, values, fields)

    def _log(
        self,
        level: int,
        text: str,
        values: tuple[object, ...],
        fields: dict[str, object] | None = None,
        *,
        exc_info: bool = False,
    ) -> None:
        lost = 1
        try:
            if not self._logger.isEnabledFor(level):
                return
            extra = {FIELDS: fields} if fields else None
            with ending_children():
                self._logger.log(level, text, *values, exc_info=exc_info or None, extra=extra, stacklevel=3)
            lost, missing = 0, self._unreported
            if missing:
                text = "%d lines of the log were dropped because a handler of the log raised an error"
                extra = {FIELDS: {"event": "log_dropped", "count": missing}}
                with ending_children():
                    self._logger.warning(text, missing, extra=extra, stacklevel=3)
                self._unreported -= missing
        except BaseException as error:
            if not is_own():
                raise
            self._drop(error, lost)

    def _drop(self, error: BaseException, lost: int) -> None:
        first = not self._unreported
        self.dropped += lost
        self._unreported += lost
        if first and logging.raiseExceptions:
            with suppress(BaseException):  # standard error may be what is closed
                traceback.print_exception(error)


broker_log = Logger("zchat.broker")
client_log = Logger("zchat.client")
cli_log = Logger("zchat.cli")
web_log = Logger("zchat.web")
