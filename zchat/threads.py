"""Real threads and locks, and waiting by them.

gevent and eventlet replace what `threading` and `_thread` offer by what runs in one thread. The receive thread
waits in libzmq, which knows nothing of that: it has to be a real one, and so have the locks that callers wait by.

A stdlib Event, Condition or Queue is Python code, which an exception from a signal leaves half done. What is
here is made of locks and deques, each operation of which is one call into C.
"""

from __future__ import annotations

import _thread
import mmap
import os
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import wraps
from importlib.machinery import BuiltinImporter
from importlib.util import module_from_spec
from sys import is_finalizing
from types import BuiltinFunctionType, ModuleType
from typing import NoReturn, Protocol, TypeVar
from weakref import ref

from zchat.errors import UsageError, ZchatError

T = TypeVar("T")

GONE_SECONDS = 0.5
"""Seconds to wait at most until the system, and `threading`, count ended threads no more: it takes microseconds."""

POLL_SECONDS = 0.0005
"""Seconds between two samples of that."""

BROKEN_OFF_SECONDS = 0.5
"""Seconds that a call which an exception breaks off waits for what it has begun to end: it takes milliseconds."""

CANT_START = "can't start new thread"
"""What Python says if the system has no more threads."""

ENDING = "at interpreter shutdown"
"""What stands in what Python says, from 3.12 on, if it starts no thread any more as the interpreter is ending."""

STACK_BYTES = 8 << 20
"""Bytes of address space that a thread takes for its stack, unless the system is set otherwise."""


class Lock(Protocol):
    """What `_thread.allocate_lock` returns."""

    def acquire(self, blocking: bool = ..., timeout: float = ...) -> bool:
        """Take it; False if that was not possible in time."""

    def release(self) -> None:
        """Let it go; RuntimeError if nobody has it."""

    def locked(self) -> bool:
        """Return whether somebody has it."""


def _is_real() -> bool:
    return isinstance(_thread.start_new_thread, BuiltinFunctionType)


def _as_the_interpreter_has_it() -> ModuleType:
    if _is_real():
        return _thread
    spec = BuiltinImporter.find_spec("_thread")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_real = _as_the_interpreter_has_it()

allocate_lock: Callable[[], Lock] = _real.allocate_lock
get_ident: Callable[[], int] = _real.get_ident
_start_new_thread: Callable[[Callable[[], object], tuple[()]], int] = _real.start_new_thread  # replaced later, maybe

awaited: set[int] = set()
"""The threads of zchat's own that callers wait for (a client's, a broker's, a store's), by their numbers.

They never may wait for a call themselves.
"""


@contextmanager
def awaited_by_callers() -> Iterator[None]:
    """Count the calling thread among `awaited` in the block, which is all that it runs."""
    awaited.add(get_ident())
    try:
        yield
    finally:
        awaited.discard(get_ident())


_own: set[int] = set()


def is_own() -> bool:
    """Return whether the calling thread is one of zchat's own, a client's handler's included."""
    return get_ident() in _own


def _forget_others() -> None:
    """Forget, in a forked child, the threads that it doesn't have: the system gives their numbers to new ones."""
    for numbers in (awaited, _own):
        numbers.intersection_update((get_ident(),))


if sys.platform != "win32":
    os.register_at_fork(after_in_child=_forget_others)


def refuse_to_wait() -> UsageError:
    """Return the error of a call that would wait in such a thread, or after all of them were stopped.

    The interpreter stops them before it ends (`sys.is_finalizing`), and runs finalizers then, in one thread.
    """
    if is_finalizing():
        return UsageError(
            "this would wait, and the program is ending: zchat's threads don't run any more; "
            "do it before, in a with block or a function that is registered with atexit"
        )
    return UsageError(
        "this would wait, and Python has called it in zchat's own thread, by a finalizer or a handler of log records: "
        "do it in a thread of the program's"
    )


def end_child(error: BaseException | None) -> NoReturn:
    """End a child that the program has forked in a thread of zchat's own, as its program would end.

    That is the only thread that the child has, and what zchat does in it is the parent's. `error` is what the
    program's function has raised in the child, None if it has returned.
    """
    code: object = None
    try:
        if isinstance(error, SystemExit):
            code = error.code
            if code is not None and not isinstance(code, int):
                print(code, file=sys.stderr)  # noqa: T201
        elif error is not None:
            code = 1
            traceback.print_exception(error)
    finally:  # standard error may be closed
        for stream in (sys.stdout, sys.stderr):
            with suppress(BaseException):
                stream.flush()
        os._exit(0 if code is None else code & 0xFF if isinstance(code, int) else 1)


class Bell:
    """Wakes the threads that wait for a change. It hands nothing over: a thread that was woken checks for itself.

    A thread calls `enter`, checks once more that it has to wait, waits for the lock that it was given, and calls
    `leave` unless it got that. What changes something changes it first, then rings.
    """

    __slots__ = ("waiting",)

    def __init__(self) -> None:
        self.waiting: deque[Lock] = deque()
        """The locks of the threads that wait; a thread that was interrupted may leave its own to the next ring."""

    def ring(self) -> None:
        """Wake all threads that wait. Any thread."""
        waiting = self.waiting
        while waiting:
            try:
                lock = waiting[0]
                if lock.locked():
                    lock.release()  # first: what is taken out of the deque without having been woken sleeps on
                waiting.remove(lock)
            except (IndexError, ValueError, RuntimeError):
                pass  # another thread rings, too

    def enter(self) -> Lock:
        """Return a lock that this thread can take once the bell has rung."""
        lock = allocate_lock()
        lock.acquire()
        self.waiting.append(lock)
        return lock

    def leave(self, lock: Lock) -> None:
        """Wait no longer."""
        try:
            self.waiting.remove(lock)
        except ValueError:
            pass  # it has rung

    def wait(self, ready: Callable[[], object], seconds: float | None, *, anywhere: bool = False) -> bool:
        """Wait until `ready` returns something true; False if it doesn't within `seconds`, None for no limit.

        Raises:
            UsageError: this is one of the threads that callers wait for, or they don't run any more; not if it may
                wait `anywhere`.
        """
        until = None if seconds is None else time.monotonic() + seconds
        while not ready():
            if seconds != 0 and not anywhere and (get_ident() in awaited or is_finalizing()):
                raise refuse_to_wait()
            lock = self.enter()
            try:
                if not ready():
                    left = -1 if until is None else min(until - time.monotonic(), threading.TIMEOUT_MAX)
                    if left <= 0 and until is not None:
                        return False
                    lock.acquire(True, left)
            finally:
                self.leave(lock)
        return True


class Flag:
    """Something that becomes true once, for which threads wait."""

    __slots__ = ("_bell", "_set")

    def __init__(self) -> None:
        self._bell = Bell()
        self._set = False

    def set(self) -> None:
        """Make it true. Any thread."""
        self._set = True
        self._bell.ring()

    def is_set(self) -> bool:
        """Return whether it is true."""
        return self._set

    def wait(self, seconds: float | None, *, anywhere: bool = False) -> bool:
        """Wait until it is true; False if it isn't within `seconds`, None for no limit. Any thread.

        Raises:
            UsageError: as `Bell.wait`.
        """
        return self._bell.wait(self.is_set, seconds, anywhere=anywhere)


class RealThread:
    """A real thread of zchat's own, which doesn't keep the program from ending. `start` begins it, once.

    `threading` starts a thread, and waits for its end, by Python code, which an exception from a signal leaves half
    done: then one of the two threads waits for ever. Python runs the handlers of signals in the main thread alone.
    So a thread without a name, which one call into C makes, has `threading` make the one with the name, and
    ends. It runs the function itself if `threading` makes no real threads, or the system has no more of them.
    """

    def __init__(self, run: Callable[[], None], name: str) -> None:
        self.ident: int | None = None
        """Its number, None before it runs."""
        self._function = run
        self._name = name
        self._begun = False
        self._over = Flag()
        self._known: Callable[[], threading.Thread | None] = lambda: None
        """Returns what `threading` knows it by, as long as that is needed."""

    def start(self) -> None:
        """Begin, and return at once. It has begun or never will, wherever an exception breaks this off.

        Raises:
            RuntimeError: the system has no more threads.
        """
        _start_new_thread(self._begin, ())
        self._begun = True

    def join(self, timeout: float | None = None) -> None:
        """Wait for its end, `timeout` seconds at most, None for no limit. Any thread, those too that callers wait for.

        It returns at once if it was never started. Then `threading` knows it no more.
        """
        if self._begun and self._over.wait(timeout, anywhere=True):
            _wait_until(self._is_unknown)

    def is_alive(self) -> bool:
        """Return whether it runs."""
        return self._begun and not self._over.is_set()

    def _begin(self) -> None:
        self._begun = True
        if _is_real():  # still: it may be replaced at any time
            thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._known = ref(thread)
            with suppress(RuntimeError):  # then `threading` knows it no more
                thread.start()
                return
        self._run()

    def _run(self) -> None:
        self.ident = ident = get_ident()
        _own.add(ident)
        try:
            self._function()
        finally:
            _own.discard(ident)
            self._over.set()

    def _is_unknown(self) -> bool:
        thread = self._known()
        return thread is None or thread not in threading.enumerate()


def start(thread: RealThread) -> None:
    """Start a thread.

    Raises:
        ZchatError: the system has no more of them.
        UsageError: the program is ending, and none can start any more.
    """
    if is_finalizing():
        raise refuse_to_wait()
    try:
        thread.start()
    except RuntimeError as error:
        if not starts_none(error):
            raise  # it came from elsewhere, from a signal's handler for example
        raise no_threads(error) from error


def starts_none(error: RuntimeError) -> bool:
    """Return True if an error is Python's of a thread that isn't started: there are no more, or it is ending."""
    return any(text in str(error) for text in (CANT_START, ENDING))


def join_briefly(thread: RealThread) -> None:
    """Wait for the end of a thread whose start an exception has broken off, for as long as it should take.

    It returns at once in a thread that callers wait for, and once the program's end has stopped all of them.
    """
    if get_ident() not in awaited and not is_finalizing():
        thread.join(BROKEN_OFF_SECONDS)


def silent_at_the_end(finalizer: Callable[[T], None]) -> Callable[[T], None]:
    """Return a finalizer that raises no error at the interpreter's end, when the modules that it uses may be gone."""
    ending = is_finalizing  # so may be this module's names

    @wraps(finalizer)
    def __del__(self: T) -> None:  # noqa: N807
        try:
            finalizer(self)
        except Exception:
            if not ending():
                raise

    return __del__


def check_free(count: int) -> None:
    """See that the system lets this process have `count` more threads at once. Any thread.

    libzmq ends the process if it gets none for a context.

    Raises:
        ZchatError: it doesn't.
        UsageError: as `free`.
    """
    begun, limit = free(count)
    if begun < count:
        raise no_threads(RuntimeError(CANT_START), limit)


def free(count: int) -> tuple[int, str]:
    """Return how many more threads the system lets this process have at once, `count` at most, and how to have more.

    That is known by starting them. When this returns they are gone, and the system counts them no more. Any thread.

    Raises:
        UsageError: the program is ending, and none can start any more.
    """
    before = _numbers()
    gates: list[Lock] = []
    begun, limit = 0, ""
    try:
        while begun < count:
            gates.append(allocate_lock())
            gates[-1].acquire()
            _start_new_thread(gates[-1].acquire, ())  # which is C: Python code would take memory of its own
            begun += 1
    except RuntimeError as error:
        if not starts_none(error):
            raise
        if ENDING in str(error):
            raise no_threads(error) from error
        limit = raise_limit()
    finally:
        new = _numbers() - before
        for gate in gates:
            gate.release()
    _wait_until(lambda: not new & _numbers())
    return begun, limit


def no_threads(error: RuntimeError, limit: str = "") -> ZchatError:
    """Return the error of a program in which no more threads can start; `limit` is what `raise_limit` said.

    It is a UsageError if the interpreter is ending.
    """
    if ENDING in str(error):
        return UsageError(
            f"no more threads can be started, as the interpreter is ending ({error}): make clients and brokers before; "
            "Python 3.12.0 to 3.12.2 alone starts none in functions of atexit, or once the main thread has ended"
        )
    return ZchatError(
        f"no more threads can be started ({error}): close clients that aren't used, or {limit or raise_limit()}"
    )


def raise_limit() -> str:
    """Return which limit a program has reached that can't have another thread, as what is to be done.

    The system says the same of all of them: whether there is memory for the thread's stack has to be tried.
    """
    if not has_memory(STACK_BYTES):
        return "raise the limit on memory (ulimit -v)"
    return "raise the limit on processes (ulimit -u, or that of a container)"


def has_memory(count: int) -> bool:
    """Return True if the system lets this process have `count` more bytes at once. Any thread."""
    try:
        mmap.mmap(-1, count).close()
    except (OSError, ValueError, MemoryError):
        return False
    return True


def _wait_until(gone: Callable[[], bool]) -> None:
    """Wait until an ended thread is gone, GONE_SECONDS at most."""
    until = time.monotonic() + GONE_SECONDS
    nap = allocate_lock()
    nap.acquire()
    while not gone() and time.monotonic() < until:
        nap.acquire(True, POLL_SECONDS)  # as time.sleep, also where gevent has replaced that


def _numbers() -> set[str]:
    """Return the system's numbers of this process's threads; none where it doesn't say."""
    try:
        return set(os.listdir("/proc/self/task"))
    except OSError:
        return set()


def check_real_threads(what: str) -> None:
    """See that `threading` has real threads, which `what` requires.

    Raises:
        UsageError: it hasn't.
    """
    if not _is_real():
        raise UsageError(
            f"{what} requires real threads, and gevent or eventlet has replaced those of this program: start it in "
            "another process (zchat broker), or leave them as they are (monkey.patch_all(thread=False))"
        )
