"""Standard input, output and error: the one place where they are read and written.

Another program that shares a pipe or terminal with a command may have set it to non-blocking: node does, and so does
one that crashed. Then reading fails where it should wait, and writing takes a part of what it was given, or nothing,
and Python's own streams lose the rest. What is here waits until the descriptor is ready, however it is set and without
changing that; a signal that asks the command to end also ends the wait.
"""

from __future__ import annotations

import errno
import io
import os
import select
import stat
import sys
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from zchat.cli import ending
from zchat.cli.foreground import (
    FOREGROUND_EVERY,
    SIGTTIN,
    SIGTTOU,
    call_unstopped,
    clear_way,
    in_foreground,
    takes,
    would_stop,
)
from zchat.errors import ZchatError

if hasattr(select, "poll"):
    from fcntl import F_GETFL, fcntl

if TYPE_CHECKING:
    from types import TracebackType

    from _typeshed import ReadableBuffer

GRACE = 0.5
"""Seconds after a signal for which writing still waits: a reader that is just slow gets its line whole."""

READER_SECONDS = 1.0
"""Seconds after which a command that has nothing to write checks whether its output is still read."""

PAUSE = 0.01
"""Seconds to wait when a descriptor takes nothing although it is said to."""

TERMINAL_BYTES = 256
"""Bytes written at once to a terminal that can't be opened once more."""

FILE_BYTES = 1 << 20
"""Bytes written at once to a file."""

NO_WRAP, WRAP = "\x1b[?7l", "\x1b[?7h"
"""What has a terminal not break lines that are too long for it, and break them again (DECAWM)."""

_ENDS = {
    b"\x1b[?1049h": b"\x1b[?1049l",
    b"\x1b[?2004h": b"\x1b[?2004l",
    b"\x1b[?25l": b"\x1b[?25h",
    NO_WRAP.encode(): WRAP.encode(),
}
"""What changes a terminal, and what ends that: the alternate screen, marked pastes, no cursor, unbroken lines."""

_changing: list[Writing] = []
"""What was given something of that."""

_stopping = threading.Lock()
"""Held by the thread that stops the command: another one that did so too would leave no time after that."""


class HungUp(OSError):
    """What reading or writing raises at a terminal that is gone: the command ends as by SIGHUP, ignored or not."""

    def __init__(self, name: str) -> None:
        super().__init__(errno.EIO, os.strerror(errno.EIO), name)


class Writing(io.BufferedIOBase):
    """The bytes of standard output or error. Nothing is buffered, so that what wasn't written is never written later.

    Args:
        descriptor: where to write.
        name: what it is called in errors.
    """

    def __init__(self, descriptor: int, name: str) -> None:
        self.name = name
        self.written = 0
        """How many bytes were written, also of a write that failed."""
        self.given_up = False
        """True once a write was given up: a signal has come and the reader doesn't read, or the terminal is gone."""
        self._descriptor = descriptor
        self._sink = _reopened(descriptor)
        """What is written to: the same as the descriptor, or a terminal opened once more."""
        self._lost: OSError | None = None
        """Why what was written is not there, as a check has found."""
        self._most = _most(descriptor)
        self._of_terminal = self.isatty()
        self._ends: list[bytes] = []
        """What ends what the terminal was given that changes it."""

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._descriptor

    def isatty(self) -> bool:
        """Return True if it is a terminal."""
        return os.isatty(self._descriptor)

    def writable(self) -> bool:
        """Return True."""
        return True

    def write(self, data: ReadableBuffer) -> int:
        """Write all of `data`, and return how many bytes that are.

        Raises:
            BrokenPipeError: nobody reads it any more.
            HungUp: it is a terminal that is gone.
            OSError: not all of it could be written; `written` says how much was.
            Ended: the same, because a signal has come and the reader doesn't read, or the command may not write, in the
                background.
        """
        left = memoryview(data).cast("B")
        count = len(left)
        if self._of_terminal:
            self._note_changes(left.tobytes())
        while left:
            try:
                wait(self._sink, select.POLLOUT, GRACE)
                if self._of_terminal and _had_to_wait(self._sink, SIGTTOU):
                    continue
                part = left[: self._most]
                done = call_unstopped(os.write, self._sink, part) if self._of_terminal else os.write(self._sink, part)
            except BlockingIOError:
                time.sleep(PAUSE)
                continue
            except ConnectionResetError as error:  # of a socket
                raise BrokenPipeError(*error.args) from error
            except OSError as error:
                if error.errno == errno.EIO and _is_gone(self._sink):
                    self.given_up = True
                    raise HungUp(self.name) from error
                error.filename = self.name
                self.given_up = self.given_up or isinstance(error, ending.Ended)
                raise
            self.written += done
            left = left[done:]
        return count

    def _note_changes(self, data: bytes) -> None:
        self._ends += [end for begin, end in _ENDS.items() if end not in self._ends and begin in data]
        if self._ends and self not in _changing:
            _changing.append(self)

    def clear_way(self) -> None:
        """Have a terminal that took nothing take something: there is no room in front, nor while Ctrl-S stops it."""
        if self.given_up:
            clear_way(self._sink)

    def restore(self) -> None:
        """Have a terminal break lines again, and as it was before, as far as the end of that may not have reached it.

        A write that was given up is cut short, or is the one that would have ended it all; and at Ctrl-C the system
        drops what a terminal hasn't taken.
        """
        data = b"".join((b"\x1b[0m", *self._ends)) if self.given_up else b""  # without colours too
        if not data and WRAP.encode() in self._ends:
            data = WRAP.encode()
        if data and in_foreground(self._sink) and takes(self._sink):
            with suppress(OSError):
                call_unstopped(os.write, self._sink, data)

    def check(self) -> None:
        """See that what was written is there, if it is a file: in a network, and with quotas, its close alone says so.

        Another descriptor of it is closed for that.

        Raises:
            OSError: it isn't, or was not at an earlier check: the system reports that once.
        """
        if self._most == FILE_BYTES and self._lost is None:
            with suppress(OSError):  # no descriptor is left
                again = os.dup(self._sink)
                try:
                    os.close(again)
                except OSError as error:
                    error.filename = self.name
                    self._lost = error
        if self._lost is not None:
            raise self._lost


def prepare() -> None:
    """Make standard output and error wait, escape what their encoding lacks, and fail if they are closed.

    Raises:
        ZchatError: the encoding of one of the three is none for text that comes in parts.
    """
    if sys.stdin is None:
        sys.stdin = open(os.devnull)  # noqa: SIM115
    unfit = "" if _fits(sys.stdin.encoding) else f"standard input has the encoding {sys.stdin.encoding}"
    for name, shown in (("stdout", "standard output"), ("stderr", "standard error")):
        stream = getattr(sys, name)
        encoding = "utf-8" if stream is None else stream.encoding
        if not _fits(encoding):
            unfit, encoding = f"{shown} has the encoding {encoding}", "utf-8"
        if stream is None:  # closed by the parent: no other file takes its number, and writing to it fails
            descriptor = os.open(os.devnull, os.O_RDONLY)
            stream = io.TextIOWrapper(Writing(descriptor, shown), encoding="utf-8", write_through=True)
        elif isinstance(stream, io.TextIOWrapper) and hasattr(select, "poll"):
            stream = io.TextIOWrapper(
                Writing(stream.fileno(), shown),
                encoding=encoding,
                line_buffering=stream.line_buffering,
                write_through=stream.write_through,
            )
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
        setattr(sys, name, stream)
    if unfit:
        raise ZchatError(f"{unfit}, which changes ASCII: unset PYTHONIOENCODING, or set it to utf-8")


def _fits(encoding: str) -> bool:
    """Return True if an encoding has all of ASCII as it is, without a state, and can escape what it lacks.

    One with a state writes and reads escape sequences, which begin with a character of ASCII: that isn't as it is.
    """
    each = [bytes([number]) for number in range(128)]
    try:
        "\ud800".encode(encoding, "backslashreplace")
        return all(_is_as_it_is(encoding, data) for data in (*each, b"".join(each)))
    except (UnicodeError, LookupError):
        return False


def _is_as_it_is(encoding: str, data: bytes) -> bool:
    text = data.decode("ascii")
    return text.encode(encoding) == data and data.decode(encoding) == text


def read_stdin(count: int) -> bytes:
    """Return what standard input has, `count` bytes at most, once it has something; nothing at its end.

    Python's own buffer is bypassed: a thread that waits for input would still hold its lock when the interpreter ends.

    Raises:
        HungUp: it is a terminal that is gone.
        OSError: it can't be read.
        Ended: a signal has come.
    """
    descriptor = sys.stdin.fileno()
    while True:
        try:
            wait(descriptor, select.POLLIN, 0.0)
            if _had_to_wait(descriptor, SIGTTIN):
                continue
            data = call_unstopped(os.read, descriptor, count)
        except BlockingIOError:
            time.sleep(PAUSE)
        except OSError as error:
            if error.errno == errno.EIO and would_stop(descriptor, SIGTTIN):  # in the background since it was asked
                continue
            if error.errno == errno.EIO and _is_gone(descriptor):
                raise HungUp("standard input") from error
            error.filename = "standard input"
            raise
        else:
            if not data and _is_gone(descriptor):  # no end that somebody has typed
                raise HungUp("standard input")
            return data


def has_keys() -> bool:
    """Return True if standard input is a terminal, and open for reading: keys come from it."""
    return sys.stdin.isatty() and (not hasattr(select, "poll") or _is_open_for(sys.stdin.fileno(), select.POLLIN))


def written() -> int:
    """Return how many bytes were written to standard output."""
    sink = sys.stdout.buffer
    return sink.written if isinstance(sink, Writing) else 0


def check_written() -> None:
    """See that what was written to standard output is there, as far as the system knows.

    Raises:
        OSError: it isn't, as of a file in a network whose disk is full.
    """
    sink = getattr(sys.stdout, "buffer", None)
    if isinstance(sink, Writing):
        sink.check()


def restore_terminals() -> None:
    """Have terminals be as before, once a signal has asked the command to end: the log's too."""
    for sink in _changing:
        sink.clear_way()  # of all before anything is written, which that would drop
    for sink in _changing:
        sink.restore()


def print_faults() -> None:
    """Print errors that nothing has caught, in any thread, as far as standard error takes them.

    What that doesn't take Python's own prints past it, and waits for a terminal that takes nothing, for ever: no other
    thread runs meanwhile, not even the one that is to end the command by force.
    """

    def told(kind: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> None:
        import traceback  # takes long to load

        with suppress(Exception):
            traceback.print_exception(kind, error, trace)
        if ending.asked():
            with suppress(Exception):
                restore_terminals()

    def told_of_thread(fault: threading.ExceptHookArgs) -> None:
        if fault.exc_type is not SystemExit:
            told(fault.exc_type, fault.exc_value, fault.exc_traceback)

    sys.excepthook = told
    threading.excepthook = told_of_thread


def check_reader() -> None:
    """Check that standard output, unless it is a file, is still read: the command may write nothing for long.

    Raises:
        BrokenPipeError: it is a pipe or a socket, and nobody reads it any more.
        HungUp: it is a terminal that is gone.
    """
    descriptor = sys.stdout.fileno()
    if _is_gone(descriptor):
        raise HungUp("standard output")
    if not sys.stdout.isatty() and _has_failed(descriptor):
        raise BrokenPipeError


def given_up() -> bool:
    """Return True if standard output takes nothing, and a signal has come: nothing more can be written."""
    sink = sys.stdout.buffer
    return isinstance(sink, Writing) and sink.given_up


def wait(descriptor: int, event: int, grace: float) -> None:
    """Wait until a descriptor is ready for an event of `select.poll`, or has failed.

    Raises:
        Ended: a signal has asked the command to end, more than `grace` seconds ago.
    """
    if not hasattr(select, "poll"):
        return
    if ending.asked() and not grace:
        raise ending.Ended
    if not _is_open_for(descriptor, event):
        return
    poll = select.poll()
    poll.register(descriptor, event)
    end = ending.end_descriptor()
    if not ending.asked():
        if end >= 0:
            poll.register(end, select.POLLIN)
        if any(ready == descriptor for ready, _ in poll.poll()):
            return
        poll.unregister(end)
    if not poll.poll(max(0.0, ending.asked_at() + grace - time.monotonic()) * 1000):
        raise ending.Ended


def _had_to_wait(terminal: int, number: int) -> bool:
    """Wait until the system would not stop the command for reading a terminal, or writing; return True if that took it.

    Meanwhile the command is stopped, as by the system, but not within a call that is made again when it goes on: before
    it stops once more there is time for a signal to be noticed.

    Raises:
        Ended: a signal has asked the command to end.
    """
    waited = False
    while ending.end_descriptor() >= 0 and would_stop(terminal, number):
        waited = True
        with _stopping:
            began = time.monotonic()
            if ending.comes_within(FOREGROUND_EVERY):
                raise ending.Ended
            if time.monotonic() - began < 2 * FOREGROUND_EVERY and would_stop(terminal, number):
                os.kill(0, number)  # unless it was stopped meanwhile, and has just gone on
                ending.comes_within(FOREGROUND_EVERY)  # it may be stopped in here, as another thread takes the signal
    return waited


def _is_gone(descriptor: int) -> bool:
    """Return True if it is a terminal that is gone; the system calls it one no longer."""
    try:
        return stat.S_ISCHR(os.fstat(descriptor).st_mode) and _has_failed(descriptor)
    except OSError:
        return False


def _has_failed(descriptor: int) -> bool:
    """Return True if nobody is at the other end of a descriptor."""
    if not hasattr(select, "poll"):
        return False
    poll = select.poll()
    poll.register(descriptor, 0)
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))


def _is_open_for(descriptor: int, event: int) -> bool:
    """Return False if reading, or writing, fails at once: a pipe's other end, for example, is never ready for it."""
    mode = fcntl(descriptor, F_GETFL) & os.O_ACCMODE
    return mode != (os.O_WRONLY if event == select.POLLIN else os.O_RDONLY)


def _reopened(descriptor: int) -> int:
    """Return a terminal opened once more, in non-blocking mode of its own; any other descriptor as it is.

    A terminal that is ready takes a part of what it is given, and in blocking mode waits within the system for
    the rest, where no signal ends the wait.
    """
    with suppress(OSError, AttributeError):
        again = os.open(os.ttyname(descriptor), os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
        if os.path.samestat(os.fstat(again), os.fstat(descriptor)):
            return again
        os.close(again)
    return descriptor


def _most(descriptor: int) -> int:
    """Return how many bytes can be written at once to a descriptor that is ready, without waiting."""
    with suppress(OSError):
        if os.isatty(descriptor):
            return TERMINAL_BYTES
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            return FILE_BYTES
    return getattr(select, "PIPE_BUF", 512)
