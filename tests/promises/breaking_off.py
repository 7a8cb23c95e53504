"""Breaking a call off at a chosen opcode of zchat's code, as an exception from a signal does.

At which opcodes: where the interpreter itself looks for signals, and at all others but those between the end of a
`with` block and the call that ends it, where no signal is ever looked for.
"""

from __future__ import annotations

import dis
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, FrameType
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
        if self.count >= self.at and not self.where and not _leaves_a_block(frame.f_code, frame.f_lasti):
            self.note(frame)
            raise self.kind("interrupted")


_leaving: dict[CodeType, set[int]] = {}


def _leaves_a_block(code: CodeType, at: int) -> bool:
    """Return whether this opcode only prepares the call that ends a `with` block: three constants and a call."""
    found = _leaving.get(code)
    if found is None:
        found = _leaving[code] = set()
        steps = [step for step in dis.get_instructions(code) if step.opname not in ("PRECALL", "NOP", "CACHE")]
        for index in range(len(steps) - 3):
            four = steps[index : index + 4]
            if (
                all(step.opname == "LOAD_CONST" and step.argval is None for step in four[:3])
                and four[3].opname == "CALL"
            ):
                found |= set(range(four[0].offset, four[3].offset + 1))
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
