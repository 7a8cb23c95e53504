"""Breaking a call off: at a chosen opcode of zchat's code, by a tracer, or by a timer's signal, whenever it comes.

At which opcodes: where the interpreter itself looks for signals, and at all others but those between the end of a
`with` block and the call that ends it, and the return to its beginning, where no signal is ever looked for. One that
comes as that call begins, before its first step, is seen by no context manager that is written in Python.
"""

from __future__ import annotations

import dis
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import takewhile
from pathlib import Path
from types import CodeType, FrameType, TracebackType
from typing import Any

import zchat

PACKAGE = f"{Path(zchat.__file__).parent}/"


class Foreign(BaseException):
    """What a library may raise that nobody here knows."""


KINDS: tuple[type[BaseException], ...] = (KeyboardInterrupt, RuntimeError, SystemExit, Foreign)
"""What a signal's handler raises in turn."""


class Tracer:
    """What counts the opcodes of the client's code in this thread, and may act at one of them."""

    def __init__(self) -> None:
        self.count = 0
        """How many ran."""
        self.where = ""
        """Where it has acted, "" before."""

    def __call__(self, frame: FrameType, event: str, argument: Any) -> Any:
        if not frame.f_code.co_filename.startswith(PACKAGE):
            return None
        frame.f_trace_opcodes = True
        frame.f_trace_lines = False
        return self._step

    def _step(self, frame: FrameType, event: str, argument: Any) -> Any:
        if event == "opcode":
            self.opcode(frame)
        return self._step

    def opcode(self, frame: FrameType) -> None:
        """Count an opcode that is about to run, and act if it is the one."""
        raise NotImplementedError

    def note(self, frame: FrameType) -> None:
        """Record where it acts."""
        code = frame.f_code
        self.where = f"{code.co_filename.removeprefix(PACKAGE)}:{frame.f_lineno} {code.co_qualname}"


class Opcodes(Tracer):
    """A tracer that raises `kind` at the `at`-th opcode."""

    def __init__(self, at: int, kind: type[BaseException]) -> None:
        super().__init__()
        self.at = at
        self.kind = kind

    def opcode(self, frame: FrameType) -> None:
        """See `Tracer`."""
        self.count += 1
        if self.count >= self.at and not self.where and not _bounds_a_block(frame.f_code, frame.f_lasti):
            self.note(frame)
            raise self.kind("interrupted")


_BEGINNING = frozenset(("RESUME", "NOP", "RETURN_GENERATOR", "POP_TOP"))
"""Opcodes with which a function or coroutine begins, before its first step."""

_bounds: dict[CodeType, set[int]] = {}


def _bounds_a_block(code: CodeType, at: int) -> bool:
    """Return whether this opcode only prepares the call that ends a `with` block, or returns from that which begins it.

    The former are three constants and a call.
    """
    found = _bounds.get(code)
    if found is None:
        found = _bounds[code] = set()
        steps = [step for step in dis.get_instructions(code) if step.opname not in ("PRECALL", "NOP", "CACHE")]
        for index in range(len(steps) - 3):
            four = steps[index : index + 4]
            if (
                all(step.opname == "LOAD_CONST" and step.argval is None for step in four[:3])
                and four[3].opname == "CALL"
            ):
                found |= set(range(four[0].offset, four[3].offset + 1))
        if code.co_name == "__enter__":
            found |= {step.offset for step in steps if step.opname.startswith("RETURN_")}
        if code.co_name in ("__exit__", "__aexit__"):
            beginning = takewhile(lambda step: step.opname in _BEGINNING, dis.get_instructions(code))
            found |= {step.offset for step in beginning}
    return at in found


@contextmanager
def interrupted_at(at: int, kind: type[BaseException]) -> Iterator[Opcodes]:
    """Have this thread interrupted once in the block, at an opcode."""
    tracer = Opcodes(at, kind)
    before = sys.gettrace()
    sys.settrace(tracer)
    try:
        yield tracer
    finally:
        sys.settrace(before)


# -- interrupting by a signal ----------------------------------------------------------------------------


AGAIN_SECONDS = 0.1
"""Seconds until the signal comes again: one just before Python waits in C is noticed only once it has waited."""


class Timer:
    """A timer whose signal interrupts calls while the `with` block runs. The main thread's."""

    def __init__(self) -> None:
        self._kind: type[BaseException] | None = None  # what the handler raises, None for nothing

    def __enter__(self) -> Timer:
        self._before = signal.signal(signal.SIGALRM, self._raise)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, self._before)

    def interrupts(self, call: Callable[[], object], seconds: float, kind: type[BaseException]) -> bool:
        """Make a call, and return whether it was interrupted, after so many seconds at the earliest, by a `kind`."""
        try:
            try:
                self._kind = kind
                signal.setitimer(signal.ITIMER_REAL, seconds, AGAIN_SECONDS)
                call()
            finally:
                self._kind = None
        except KINDS as error:
            if type(error) is not kind or "interrupted" not in str(error):  # Python's codecs put words before it
                raise
            return True
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        return False

    def _raise(self, number: int, frame: FrameType | None) -> None:
        kind, self._kind = self._kind, None
        if kind is not None:
            raise kind("interrupted")
