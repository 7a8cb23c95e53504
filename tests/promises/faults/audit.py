"""The audit: what every message says of itself, and what is wrong with a stream of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from zlib import crc32

from zchat import Client, Message

NAME = 2
"""Characters of a text that name its publisher."""

HEAD = NAME + 10
"""Characters of a text that name its publisher and its number, 1, 2, 3 … for each publisher."""

PAGE = 1_000
"""Messages of the log asked for at a time."""


def text_of(publisher: int, number: int, size: int) -> str:
    """Return the text of one message, `size` characters long."""
    return f"{publisher:0{NAME}d}{number:0{HEAD - NAME}d}".ljust(size, ".")


@dataclass
class Count:
    """Follow numbers that should come as 1, 2, 3 …, and tell what didn't come, came twice, or came late."""

    last: int = 0
    missing: set[int] = field(default_factory=set)
    twice: int = 0
    late: int = 0

    def take(self, number: int) -> None:
        """Take the next number."""
        if number > self.last:
            self.missing.update(range(self.last + 1, number))
            self.last = number
        elif number in self.missing:
            self.missing.remove(number)
            self.late += 1
        else:
            self.twice += 1


@dataclass
class Verdict:
    """Say how many messages a stream lacks, has twice, has out of order, or has otherwise than was acknowledged."""

    messages: int = 0
    lost: int = 0
    twice: int = 0
    late: int = 0
    changed: int = 0

    @property
    def clean(self) -> bool:
        """Tell whether nothing is wrong."""
        return not (self.lost or self.twice or self.late or self.changed)


class Stream:
    """Follow a room's messages as one reader gets them, from the room's first on."""

    def __init__(self) -> None:
        self.count = 0
        self.digest = 0
        self.seqs = Count()
        self.publishers: dict[str, Count] = {}

    def take(self, message: Message) -> None:
        """Take the next message; this runs once a message, so the usual case is short."""
        _, seq, _, _, text = message
        self.count += 1
        self.digest = crc32(text.encode(), self.digest)
        if seq == self.seqs.last + 1:
            self.seqs.last = seq
        else:
            self.seqs.take(seq)
        publisher = self.publishers.get(text[:NAME])
        if publisher is None:
            publisher = self.publishers[text[:NAME]] = Count()
        number = int(text[NAME:HEAD])
        if number == publisher.last + 1:
            publisher.last = number
        else:
            publisher.take(number)

    def verdict(self, acknowledged: dict[int, int]) -> Verdict:
        """Judge it at the end; `acknowledged` says how many messages of each publisher should be there.

        A message that was never acknowledged and is there all the same counts as changed.
        """
        verdict = Verdict(self.count, len(self.seqs.missing), self.seqs.twice, self.seqs.late)
        for publisher, due in acknowledged.items():
            count = self.publishers.get(f"{publisher:0{NAME}d}", Count())
            verdict.lost += len(count.missing) + max(0, due - count.last)
            verdict.changed += max(0, count.last - due)
            verdict.twice += count.twice
            verdict.late += count.late
        verdict.changed += len(self.publishers.keys() - {f"{each:0{NAME}d}" for each in acknowledged})
        return verdict


def audit_log(
    client: Client, room: str, acknowledged: dict[int, int], receipts: dict[int, tuple[str, int]]
) -> tuple[Stream, Verdict]:
    """Read a room's whole log and judge it.

    `receipts`: of messages whose answers were kept, the text and the time by seq.
    """
    stream = Stream()
    open_receipts = dict(receipts)
    changed = 0
    while page := client.history(room, after=stream.seqs.last, limit=PAGE):
        for message in page:
            stream.take(message)
            receipt = open_receipts.pop(message.seq, None)
            if receipt is not None and receipt != (message.body, message.timestamp):
                changed += 1
    verdict = stream.verdict(acknowledged)
    verdict.changed += changed
    verdict.lost += len(open_receipts)
    return stream, verdict
