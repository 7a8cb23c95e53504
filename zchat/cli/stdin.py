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

    Bytes that are not text become U+FFFD. A line with more characters than any message can have is
    cut after one too many, so that sending it fails.

    Python's own buffer is bypassed, because a thread that waits for input would still hold its lock
    when the interpreter ends.
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
