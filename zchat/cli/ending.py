"""How every command ends when a signal asks it to.

The machine's part of a signal's handler writes the signal's number into a pipe (`signal.set_wakeup_fd`), and Python's
part sets a flag, and does nothing else: it is the main thread's, and may wait as long as that waits for a lock or a
terminal. A thread of its own, the ending thread, reads the pipe and calls what the command gave it to be ended by: its
client is closed, its loop woken. So nothing is raised amid a command's work, and waits end by themselves: those of the
library because the client is closed, those for standard streams because they wait for `end_descriptor` too. The pipe is
the only way by which signals are noticed, and nobody else's: an event loop gets its own from here too (`at_signal`).

Whatever the end requires is there before a signal comes, threads too: by then the system may have none left.

The handlers are there for every command and from the start (`first_signals` keeps what comes before they are loaded):
as the first process of a container a command has no others. A signal that was ignored when the command was started,
as by `nohup`, stays ignored. A broker takes SIGHUP as an event, from its start to its end.
"""

from __future__ import annotations

import errno
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from queue import SimpleQueue
from threading import Lock
from types import FrameType
from typing import Any, Generic, TypeVar

from zchat.cli import first_signals
from zchat.cli.first_signals import SIGNALS
from zchat.cli.foreground import FOREGROUND_EVERY, clear_way, in_foreground, takes, unstopped
from zchat.threads import RealThread, start

if sys.platform != "win32":
    import termios

T = TypeVar("T")

LAST_SECONDS = 8.0
"""Seconds after which a command that was asked to end is ended by force: Docker kills after ten."""

CALL_SECONDS = 2.0
"""Seconds to wait at the end for what a signal caused: for a client to be closed, for instance."""

TERMINAL_EVERY = 1.0
"""Seconds between two checks of a terminal, as not every kind of one wakes a thread that waits for its end."""

SCREEN_SEQUENCES = b"\x1b[?1049l\x1b[?2004l\x1b[?25h\x1b[?7h\x1b[0m"
"""What a full screen takes to be left: the alternate screen, marked pastes, the cursor, unbroken lines, colours."""


class Ended(OSError):
    """What a wait raises that was given up because a signal has asked the command to end."""

    def __init__(self) -> None:
        super().__init__(errno.ECANCELED, "ended by a signal")


class _State:
    """What is known of signals in this process."""

    def __init__(self) -> None:
        self.code = 0
        """What the first signal that asked the command to end makes its exit code; 0 before it."""
        self.at = 0.0
        """When that came."""
        self.times = 0
        """How many have come."""
        self.forgiven = False
        """True if the command has done as it was asked to."""
        self.serves = False
        """True if the command is there until it is asked to end."""
        self.calls: list[Callable[[], object]] = []
        """What each is to call."""
        self.surviving_hangup = False
        """True if SIGHUP is not to end the command."""
        self.hangup: Callable[[], object] | None = None
        """What it is to call then, once that is known."""
        self.hangups = 0
        """How many have come before."""
        self.lock = Lock()
        """Held to change these two, and while SIGHUP is taken."""
        self.descriptor = -1
        """What can be read from once one has come."""
        self.full_screen = False
        """True while the command has a full screen."""
        self.into = -1
        """What the machine writes the numbers of signals into."""
        self.terminals: tuple[int, ...] = ()
        """Those that the command ends with."""
        self.others: dict[int, Callable[[], object]] = {}
        """What signals call that end nothing, SIGWINCH for instance."""
        self.terminal: Any = None
        """How the terminal was at the start; None without one."""


_state = _State()


def asked() -> int:
    """Return the exit code of a command that a signal has asked to end, as shells report it; 0 if none has."""
    return _state.code


def exit_code() -> int:
    """Return the same, but 0 for a command that has done all, or that serves until it is asked to end."""
    done = _state.forgiven or (_state.serves and _state.code - 128 in first_signals.ASKING)
    return 0 if done else _state.code


def asked_times() -> int:
    """Return how many such signals have come."""
    return _state.times


def asked_at() -> float:
    """Return when the first has come, by the monotonic clock."""
    return _state.at


def end_descriptor() -> int:
    """Return a descriptor that can be read from once a signal has come, for waits; -1 if there is none."""
    return _state.descriptor


def comes_within(seconds: float) -> bool:
    """Wait until a signal asks the command to end; return False if none has within so many seconds. Any thread."""
    poll = select.poll()  # which takes descriptors of any number
    poll.register(_state.descriptor, select.POLLIN)
    return bool(poll.poll(seconds * 1000))


def install(*, surviving_hangup: bool = False) -> None:
    """Have signals end the command from now on, those too that came before. The main thread's, once.

    `surviving_hangup`: SIGHUP ends nothing, and calls what `at_hangup` is given.

    Raises:
        ZchatError: the system has no threads for it.
    """
    _state.surviving_hangup = surviving_hangup
    numbers, _state.into = os.pipe()
    _state.descriptor, asked_for = os.pipe()
    forced: SimpleQueue[None] = SimpleQueue()
    if sys.platform != "win32":
        os.set_blocking(_state.into, False)

    def note(number: int, frame: FrameType | None) -> None:
        _ask(number)

    def run() -> None:
        while True:
            for number in _next(numbers):
                if number not in SIGNALS:
                    if call := _state.others.get(number):
                        call()
                    continue
                if _is_survived(number):
                    _hang_up()
                    continue
                _ask(number)
                if not _state.times:
                    os.write(asked_for, b"!")
                    forced.put(None)
                _state.times += 1
                for call in _state.calls[::-1]:
                    call()

    if sys.platform != "win32":
        with suppress(termios.error):
            _state.terminal = termios.tcgetattr(0)

    def last() -> None:
        forced.get()
        _force()

    with _blocked():  # each is kept by the handler before, or noted by the new one and written, never both
        signal.set_wakeup_fd(_state.into, warn_on_full_buffer=False)
        for number in SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, note)
        for number in first_signals.kept():
            _ask(number)
            os.write(_state.into, bytes([number]))
        for thread in (RealThread(last, "zchat-last"), RealThread(run, "zchat-ending")):
            start(thread)  # in which they stay blocked


@contextmanager
def _blocked() -> Iterator[None]:
    """Let no signal come to this thread while the block runs.

    After it each comes: the parent may have started the command while it was blocking them.
    """
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    yield
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)


@contextmanager
def notifying(call: Callable[[], object]) -> Iterator[None]:
    """Have each signal call `call`, which must not wait, while the block runs; one that has come already does.

    It may be called twice for one signal. The ending thread calls it, or this one.
    """
    _state.calls.append(call)
    try:
        if asked():
            call()
        yield
    finally:
        _state.calls.remove(call)


@contextmanager
def calling(call: Callable[[], object]) -> Iterator[None]:
    """Do the same with a call that may wait, in a thread of its own. The end of the block waits for it.

    Raises:
        ZchatError: the system has no thread for it.
    """
    wanted: SimpleQueue[bool] = SimpleQueue()

    def run() -> None:
        while wanted.get():
            call()

    thread = RealThread(run, "zchat-end")
    start(thread)
    try:
        with notifying(partial(wanted.put, True)):
            yield
    finally:
        wanted.put(False)
        thread.join(CALL_SECONDS)


def at_signal(number: int, call: Callable[[], object] | None) -> bool:
    """Have a signal that ends nothing call `call`, which must not wait, or nothing for None. The main thread's.

    The ending thread calls it. Return True if the signal called something before.
    """
    before = _state.others.pop(number, None)
    if call is not None:
        _state.others[number] = call
        signal.signal(number, lambda number, frame: None)
        if hasattr(signal, "siginterrupt"):
            signal.siginterrupt(number, False)  # no call of another library need know of it
    elif before is not None:
        signal.signal(number, signal.SIG_DFL)
    return before is not None


@contextmanager
def at_hangup(call: Callable[[], object]) -> Iterator[None]:
    """Have each SIGHUP that the command survives call `call` while the block runs, those too that came before."""
    with _state.lock:
        _state.hangup = call
        for _ in range(_state.hangups):
            call()
        _state.hangups = 0
    try:
        yield
    finally:
        with _state.lock:
            _state.hangup = None


@contextmanager
def hanging_up_with(*descriptors: int) -> Iterator[None]:
    """End the command as SIGHUP does once one of these descriptors is a terminal that is gone, while the block runs.

    That is noticed within `TERMINAL_EVERY` seconds, though SIGHUP is ignored, or comes with another terminal alone.
    """
    _state.terminals = tuple(each for each in descriptors if os.isatty(each))
    if _state.terminals and _state.into >= 0:
        os.write(_state.into, b"\0")  # no signal's number: from now on the ending thread waits for the terminals too
    try:
        yield
    finally:
        _state.terminals = ()


def hang_up() -> None:
    """Record that the terminal is gone, as if SIGHUP had come. Any thread."""
    _ask(signal.SIGHUP)


def forgive() -> None:
    """Record that the command has done all that it is to do, and ends with 0 whatever signal comes."""
    _state.forgiven = True


def serve() -> None:
    """Record that the command serves until it is asked to end, and ends with 0 then: while it starts, too."""
    _state.serves = True


@contextmanager
def full_screen() -> Iterator[None]:
    """Give the command the whole screen while the block runs. The main thread's.

    The block begins once the command is in the foreground. The screen is left even if the command is ended by force.

    Raises:
        Ended: a signal has come before.
    """
    with unstopped(), hanging_up_with(0, 1):
        while not in_foreground(0):
            if comes_within(FOREGROUND_EVERY):
                raise Ended
        _state.full_screen = True
        try:
            yield
        finally:
            _state.full_screen = False


class Work(Generic[T]):
    """A call in a thread of its own, which the caller need not wait for once a signal has come.

    Raises:
        ZchatError: the system has no thread for it.
    """

    thread: RealThread

    def __init__(self, function: Callable[[], T]) -> None:
        self._outcome: SimpleQueue[tuple[T | None, BaseException | None]] = SimpleQueue()

        def run() -> None:
            try:
                self._outcome.put((function(), None))
            except BaseException as error:
                self._outcome.put((None, error))

        self.thread = RealThread(run, "zchat-work")
        start(self.thread)

    def result(self) -> T:
        """Return what the call returns, or raise what it raises.

        Raises:
            Ended: a signal has come; the call goes on.
        """
        with notifying(lambda: self._outcome.put((None, Ended()))):
            found, error = self._outcome.get()
        if error is not None:
            raise error
        result: Any = found
        return result  # type: ignore[no-any-return]


def _next(numbers: int) -> bytes:
    """Return the numbers of signals, which are read here, once some have come, or once SIGHUP should have."""
    while _state.terminals and hasattr(select, "poll"):
        poll = select.poll()
        poll.register(numbers, select.POLLIN)
        for terminal in _state.terminals:
            poll.register(terminal, 0)
        ready = [descriptor for descriptor, _ in poll.poll(TERMINAL_EVERY * 1000)]
        if numbers in ready:
            break
        if ready:
            _state.terminals = ()
            if not asked():
                return bytes([signal.SIGHUP])
    return os.read(numbers, 64)


def _ask(number: int) -> None:
    """Record that a signal has asked the command to end, unless one has before."""
    if not _state.code and not _is_survived(number):
        _state.code, _state.at = 128 + number, time.monotonic()


def _is_survived(number: int) -> bool:
    return _state.surviving_hangup and number == getattr(signal, "SIGHUP", 0)


def _hang_up() -> None:
    """Call what SIGHUP is to call, now or once that is known."""
    with _state.lock:
        if _state.hangup is None:
            _state.hangups += 1
        else:
            _state.hangup()


def _force() -> None:
    """End the process when its time is over, and leave the terminal as it was."""
    time.sleep(LAST_SECONDS)
    if _state.full_screen:
        with suppress(OSError):
            if takes(1) or clear_way(1):
                os.write(1, SCREEN_SEQUENCES)
        if _state.terminal is not None and in_foreground(0) and sys.platform != "win32":
            with suppress(termios.error):
                termios.tcsetattr(0, termios.TCSANOW, _state.terminal)
    os._exit(exit_code())
