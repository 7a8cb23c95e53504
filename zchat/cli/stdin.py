"""Standard input as lines."""

from __future__ import annotations

import codecs
import sys
from collections.abc import Iterator

from zchat.cli.streams import read_stdin
from zchat.errors import MessageTooLarge
from zchat.wire.limits import MAX_BLOCK_BYTES

HEADER_BYTES = 5
"""Bytes before a long text in MessagePack."""

READ = 1 << 16
"""Bytes read from standard input at once: what a pipe holds."""


class CutLine(str):
    """A line that is longer than any message, without its end."""

    __slots__ = ("size",)
    size: int
    """How many bytes all of it would have as a message."""

    def too_large(self, limit: int) -> MessageTooLarge:
        """Return the error of sending it to a broker whose messages have `limit` bytes at most."""
        return MessageTooLarge(f"a message has {limit} bytes at most, this has {self.size}; send it in parts")


def stdin_lines() -> Iterator[str]:
    r"""Yield the lines of standard input, which end at `\n` and nowhere else.

    Bytes that are not text become U+FFFD. A line with more characters than any message can have is
    a `CutLine`, of which no more is kept.

    Raises:
        OSError: it can't be read.
        Ended: a signal has come.
    """
    decoder = codecs.getincrementaldecoder(sys.stdin.encoding)(errors="replace")
    rest, dropped = "", 0
    while data := read_stdin(READ):
        *lines, rest = (rest + decoder.decode(data)).split("\n")
        for line in lines:
            yield _line(line, dropped)
            dropped = 0
        dropped += len(rest[MAX_BLOCK_BYTES + 1 :].encode())
        rest = rest[: MAX_BLOCK_BYTES + 1]
    rest += decoder.decode(b"", final=True)
    if rest:
        yield _line(rest, dropped)


def _line(line: str, dropped: int) -> str:
    if not dropped:
        return line
    cut = CutLine(line[: MAX_BLOCK_BYTES + 1])
    cut.size = HEADER_BYTES + len(line.encode()) + dropped
    return cut
