"""Descriptors that are this process's alone, and not those of children forked from it.

A child's copy of a locked file, or of a socket at which connections come in, would keep the file or the address from
whoever wants it next, as long as the child lives. Children between `fork` and `exec` run nothing of this; they have
such a copy for a moment.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress

_kept: set[int] = set()


def keep_from_children(descriptor: int) -> None:
    """Have a descriptor lead nowhere in children that are forked from now on, until `forget`. Any thread."""
    _kept.add(descriptor)


def forget(descriptor: int) -> None:
    """Do so no longer, before it is closed: its number may be another file's at once. Any thread."""
    _kept.discard(descriptor)


def _let_go() -> None:
    """Let go of the copies, in a child. Each number stays taken: what has it, if it is ever ended, closes it."""
    kept = list(_kept)
    _kept.clear()
    if kept:
        with suppress(OSError):  # not even one descriptor is left
            nothing = os.open(os.devnull, os.O_RDWR)
            for each in kept:
                os.dup2(nothing, each, inheritable=False)
            os.close(nothing)


if sys.platform != "win32":
    os.register_at_fork(after_in_child=_let_go)
