"""Standard input as lines."""

from __future__ import annotations

import codecs
import sys
from collections.abc import Iterator

from zchat.cli.streams import read_stdin
from zchat.wire.limits import MAX_BLOCK_BYTES

READ = 1 << 16
"""Bytes read from standard input at once: what a pipe holds."""


def stdin_lines() -> Iterator[str]:
    r"""Yield the lines of standard input, which end at `\n` and nowhere else.

    Bytes that are not text become U+FFFD. A line with more characters than any message can have is
    cut after one too many, so that sending it fails.

    Raises:
        OSError: it can't be read.
        Ended: a signal has come.
    """
    decoder = codecs.getincrementaldecoder(sys.stdin.encoding)(errors="replace")
    rest = ""
    while data := read_stdin(READ):
        *lines, rest = (rest + decoder.decode(data)).split("\n")
        yield from lines
        rest = rest[: MAX_BLOCK_BYTES + 1]
    rest += decoder.decode(b"", final=True)
    if rest:
        yield rest
