"""Standard input as lines."""

from __future__ import annotations

import codecs
import os
import sys
from collections.abc import Iterator

from zchat.wire.limits import MAX_BLOCK_BYTES

READ = 1 << 16
"""Bytes read from standard input at once: what a pipe holds."""


def stdin_lines() -> Iterator[str]:
    r"""Yield the lines of standard input, which end at `\n` and nowhere else.

    Bytes that are no text become U+FFFD. Of a line with more characters than any message can
    have, one too many is given and the rest left out, so that whoever sends it is told.

    It reads past Python's own buffer, whose lock a thread that waits for input would still
    hold when the interpreter ends.
    """
    decoder = codecs.getincrementaldecoder(sys.stdin.encoding)(errors="replace")
    descriptor = sys.stdin.fileno()
    rest = ""
    while data := _read(descriptor):
        *lines, rest = (rest + decoder.decode(data)).split("\n")
        yield from lines
        rest = rest[: MAX_BLOCK_BYTES + 1]
    rest += decoder.decode(b"", final=True)
    if rest:
        yield rest


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, READ)
    except OSError as error:
        error.filename = "standard input"
        raise
