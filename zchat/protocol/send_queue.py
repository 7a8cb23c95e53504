"""What waits to be sent to one room, and its blocks in flight.

Blocks appear by themselves: whatever waits when there is a place for one goes into it. A block
keeps its number and its bytes while its fate is unknown: after a lost connection it is sent again
as it was. It is numbered anew only when the store has said that nothing of it is in the log.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from math import inf
from typing import Protocol

from zchat.errors import (
    Busy,
    Closing,
    Forgotten,
    OutcomeUnknown,
    OutOfOrder,
    ProtocolError,
    Refused,
    StoreFailed,
    ZchatError,
)
from zchat.wire.blocks import join_bodies
from zchat.wire.limits import MAX_BLOCK_BYTES, MAX_BLOCK_MESSAGES, MAX_INT, MAX_NESTED
from zchat.wire.values import NESTING, SHORT_ARRAYS

BLOCKS_IN_FLIGHT = 4
"""Unanswered blocks a room: enough to keep the broker busy while answers travel; more only wait there."""

MAX_DUE = 1 << 62
"""The highest number that a broker may say is due, so that numbers never run out: a client keeps them for its life."""

_ONE = SHORT_ARRAYS[1]

NOT_COUNTED = -1
"""Bytes of bodies that hold others, as long as all bodies of a block are too few for it to matter."""

SWEEP = 64
"""Submissions that wait before those whose callers have gone are removed; then twice what is left."""


class Submission(Protocol):
    """Packed messages that a caller hands over, oldest first.

    Whichever side removes a body from `bodies` owns its outcome. If the core removed it, it has a number, and a caller
    that gives up gets `OutcomeUnknown`. If the caller removed it, it was never sent. `out`, which only the core
    changes, counts the bodies that it has and of which it isn't known yet, or ever, whether they are stored. It counts
    them before it takes them: a caller that empties `bodies` finds each body stored, or counted, or never sent.
    """

    bodies: deque[bytes]
    out: int
    queued: bool  # it stands in its queue
    failed: bool

    def stored(self, count: int, first: int, timestamp: int) -> None:
        """Record that the next `count` messages are stored, from seq `first` on."""

    def fail(self, error: Exception) -> None:
        """Record why the rest will not be stored, or why that can't be known."""


class OutgoingBlock:
    """A numbered block in flight."""

    __slots__ = ("count", "free", "number", "old", "out", "parts", "room_ended")

    def __init__(self, number: int, parts: list[tuple[Submission, list[bytes]]]) -> None:
        self.number = number
        self.parts = parts  # the messages that it is made of, in order, each with its submission
        self.count = len(parts[0][1]) if len(parts) == 1 else sum(len(bodies) for _, bodies in parts)  # of messages
        self.out = False  # its answer is awaited on this connection
        self.old = False  # it was sent over an earlier one and not answered: it may be stored
        self.free = False  # the store has answered that nothing of it is in the log
        self.room_ended: ZchatError | None = None  # why it isn't sent again: the room has ended for the user

    def pack(self) -> bytes:
        """Return its bytes, the same each time."""
        if self.count == 1:  # as people type: no calls
            return _ONE + self.parts[0][1][0]
        parts = self.parts
        return join_bodies(parts[0][1] if len(parts) == 1 else [body for _, part in parts for body in part])

    def stored(self, seq: int, timestamp: int) -> None:
        """Report to its senders that it is stored, from `seq` on."""
        for submission, bodies in self.parts:
            count = len(bodies)
            submission.stored(count, seq, timestamp)
            submission.out -= count
            seq += count

    def fail(self, error: Exception) -> None:
        """Report to its senders that it is not stored."""
        for submission, bodies in self.parts:
            submission.out -= len(bodies)
            submission.fail(error)

    def fail_unsent(self, room: str, why: ZchatError) -> None:
        """Report to its senders that it isn't sent again, and so isn't stored, or may be if it was sent before."""
        if self.old:
            self.fail_unknown(room, why)
        else:
            self.fail(why)

    def fail_unknown(self, room: str, why: ZchatError) -> None:
        """Report to its senders that it may or may not be stored."""
        for submission, bodies in self.parts:
            messages, way = ("message", "was on its way") if len(bodies) == 1 else ("messages", "were on their way")
            error = OutcomeUnknown(f"{len(bodies)} {messages} to {room} {way} and may or may not be stored: {why}")
            error.__cause__ = why
            submission.fail(error)


class SendQueue:
    """The queue of one room's unsent messages, and its blocks in flight."""

    __slots__ = (
        "_put_off",
        "_sweep_at",
        "again",
        "back",
        "flight",
        "name",
        "number",
        "ready",
        "resend",
        "resume_at",
        "shown",
        "shut",
        "stalled",
        "submissions",
        "wait",
    )

    def __init__(self, name: str, shown: str) -> None:
        self.name = name  # as the broker writes it
        self.shown = shown  # what the application calls the room
        self.number = 1  # of the next block
        self.ready = False  # it waits for its turn: `SendQueues` has it
        self.shut = False  # its room is yet to be joined again
        self.stalled = False  # the broker has put off blocks that may be stored, or goes down: `resume` ends it
        self.wait = 0.0  # seconds that the broker asked for then, 0 if it asked for none
        self.resume_at = inf  # when it ends
        self.back: int | None = None  # the number to go back to once no answer is awaited
        self.submissions: deque[Submission] = deque()  # what isn't numbered yet
        self.again: deque[tuple[Submission, list[bytes]]] = deque()  # before that: what is to be numbered anew
        self.resend: deque[OutgoingBlock] = deque()  # before that: what is to be sent again as it was
        self.flight: deque[OutgoingBlock] = deque()  # in the order of their numbers
        self._put_off = False  # once no answer is awaited, blocks are sent again as they were
        self._sweep_at = SWEEP

    @property
    def pending(self) -> bool:
        """Return whether a caller waits for what is in the queue, or it may be stored."""
        return bool(
            self.flight
            or any(not submission.failed for submission, _ in self.again)
            or any(submission.bodies and not submission.failed for submission in self.submissions)
        )

    def add(self, submission: Submission) -> None:
        """Take a submission in, after the others."""
        if len(self.submissions) >= self._sweep_at:
            for _ in range(len(self.submissions)):
                other = self.submissions.popleft()
                other.queued = False  # say so, then check once more, as in `_take`
                if other.bodies and not other.failed:
                    other.queued = True
                    self.submissions.append(other)
            self._sweep_at = max(SWEEP, 2 * len(self.submissions))
        self.submissions.append(submission)

    def next(self) -> OutgoingBlock | None:
        """Return the next block to send: one that is to be sent again, or a new one; None if there is none for now."""
        if self.shut or self.stalled or self._put_off or self.back is not None:
            return None
        if self.resend:
            block = self.resend.popleft()
        elif len(self.flight) >= BLOCKS_IN_FLIGHT:
            return None
        else:
            parts = self._take()
            if not parts:
                return None
            block = OutgoingBlock(self.number, parts)
            self.number += 1
            self.flight.append(block)
        block.out = True
        return block

    def _take(self) -> list[tuple[Submission, list[bytes]]]:
        """Take messages for one block, from as many submissions as fit: 1,000 and 1 MiB at most.

        Bodies that hold others are 64 KiB of it at most, or one: that many bytes are no more than
        a block may have arrays, maps, keys and ext values.
        """
        parts: list[tuple[Submission, list[bytes]]] = []
        count = size = 0
        nested = NOT_COUNTED
        while self.again:
            submission, bodies = self.again[0]
            if submission.failed:
                submission.out -= len(bodies)
                self.again.popleft()
                continue
            size += sum(map(len, bodies))
            count += len(bodies)
            if size > MAX_NESTED:
                nested = _nested(nested, parts, bodies)
            if parts and (count > MAX_BLOCK_MESSAGES or size > MAX_BLOCK_BYTES or nested > MAX_NESTED):
                return parts
            parts.append((submission, bodies))
            self.again.popleft()
        while self.submissions and count < MAX_BLOCK_MESSAGES:
            submission = self.submissions.popleft()
            if submission.failed:
                continue
            wanted = MAX_BLOCK_MESSAGES - count
            submission.out += wanted
            left = submission.bodies
            try:
                taken = [left.popleft()] if len(left) == 1 else _pop(left, wanted)
            except IndexError:  # another thread has withdrawn it
                taken = []
            count += len(taken)
            size += sum(map(len, taken))
            if size > MAX_NESTED:
                nested = _nested(nested, parts, taken)
            while (size > MAX_BLOCK_BYTES or nested > MAX_NESTED) and (len(taken) > 1 or (taken and parts)):
                body = taken.pop()  # seldom: 1 MiB, or 64 KiB of arrays and maps, in fewer than 1,000 messages
                size -= len(body)
                nested -= _nested_bytes((body,))
                submission.bodies.appendleft(body)
                count = MAX_BLOCK_MESSAGES
            submission.out -= wanted - len(taken)
            if taken:
                parts.append((submission, taken))
            submission.queued = False  # say so, then check once more: the caller appends, then checks it
            if submission.bodies:
                submission.queued = True
                self.submissions.append(submission)  # after the others: none waits for a long one to end
                if not taken:
                    break
        return parts

    # -- answers ---------------------------------------------------------------------------------

    def last_seq(self, block: OutgoingBlock, seq: int) -> int:
        """Return the seq of the last message of a block that the broker says is stored from `seq` on.

        Raises:
            ProtocolError: the answer to an earlier block is still awaited, or there is no such seq.
        """
        if self.flight[0] is not block and any(other.out for other in self.flight if other.number < block.number):
            raise ProtocolError(f"{self.name}: block {block.number} was stored before an earlier one")
        last = seq + block.count - 1
        if not seq or last > MAX_INT:
            raise ProtocolError(f"{self.name}: block {block.number} was stored at {seq}")
        return last

    def stored(self, block: OutgoingBlock, seq: int, timestamp: int) -> None:
        """Record that a block is stored, from `seq` on."""
        self.flight.remove(block)
        block.stored(seq, timestamp)
        if self.back is not None or self._put_off:
            self._settle()

    def refused(self, block: OutgoingBlock, error: Refused) -> None:
        """Take the refusal of a block, and find out what it says of the block's outcome.

        Raises:
            ProtocolError: the number that is said to be due is above MAX_DUE.
        """
        if isinstance(error, OutOfOrder) and (error.detail or 0) > MAX_DUE:
            raise ProtocolError(f"{self.name}: the broker says that block {error.detail} is due")
        block.out = False
        if isinstance(error, OutOfOrder):
            due = self.back if error.detail is None else error.detail
            if due is not None and due < block.number:
                self._release(block, due)
            else:
                self.flight.remove(block)
                if block.old or (due is not None and due > block.number):
                    block.fail_unknown(self.shown, error)
                else:
                    block.fail(error)
                self.number = max(self.number, due or 0)
        elif isinstance(error, Forgotten) and block.number > 1:
            if block.old:
                self.flight.remove(block)
                block.fail_unknown(self.shown, error)
                self.back = 1
            else:
                self._release(block, 1)
        elif isinstance(error, Closing) or (block.old and error.retryable) or _is_too_fast(error):
            self._put_off = True
            if isinstance(error, Busy):
                self.wait = max(self.wait, error.retry_after or 0.0)
        elif not block.old:
            self.flight.remove(block)
            block.fail(error)
            if not isinstance(error, StoreFailed):  # a disk that failed may hold it all the same: its number isn't safe
                self._go_back(block.number)  # a refused block uses up no number
        else:  # its number may be used up: what comes after it finds out
            self.flight.remove(block)
            block.fail_unknown(self.shown, error)
        self._settle()

    def _release(self, block: OutgoingBlock, due: int) -> None:
        block.free = True
        self._go_back(due)

    def _go_back(self, due: int) -> None:
        self.back = due if self.back is None else min(self.back, due)

    def _settle(self) -> None:
        """Once no answer is awaited: send what was put off as it was, or number what is free anew."""
        if (self.back is None and not self._put_off) or any(block.out for block in self.flight):
            return
        self._drop_ended()
        if self.flight and not self.flight[0].free:
            self.stalled = True
        else:  # what comes after a block that isn't in the log isn't there either
            self.again.extendleft(reversed([part for block in self.flight for part in block.parts]))
            self.flight.clear()
            self.resend.clear()
            self.number = self.back or self.number
            self.wait = 0.0
        self.back = None
        self._put_off = False

    def resume(self) -> None:
        """Send again what was put off."""
        stalled = self.stalled
        self._flow()
        if stalled:
            self._send_again()

    def lost(self) -> None:
        """Record that the connection is lost: what is in flight may be stored, and is to be sent again."""
        self.back = None
        self._flow()
        for block in self.flight:
            block.old = block.old or block.out
        self._send_again()
        self._drop_ended()

    def _flow(self) -> None:
        """Put nothing off any longer."""
        self.stalled = self._put_off = False
        self.resume_at = inf
        self.wait = 0.0

    def _send_again(self) -> None:
        for block in self.flight:
            block.out = block.free = False
        self.resend = deque(self.flight)

    def fail(self, error: ZchatError) -> None:
        """Fail everything: what became of blocks in flight is unknown, the rest is not sent."""
        self.lost()
        self.end(error)

    def end(self, error: ZchatError) -> None:
        """Fail what waits, as the room has ended for the user. What is awaited is answered yet, and not sent again."""
        for block in self.flight:
            block.room_ended = error
        self._drop_ended()
        for submission, bodies in self.again:
            submission.out -= len(bodies)
            submission.fail(error)
        for submission in self.submissions:
            submission.fail(error)
        self.again.clear()
        self.submissions.clear()
        if not self.flight:
            self.back = None
            self._flow()

    def _drop_ended(self) -> None:
        """Fail the blocks whose room has ended and whose answers aren't awaited."""
        for block in [each for each in self.flight if each.room_ended is not None and not each.out]:
            assert block.room_ended is not None
            self.flight.remove(block)
            block.fail_unsent(self.shown, block.room_ended)
        self.resend = deque(each for each in self.resend if each.room_ended is None)


def _is_too_fast(error: Refused) -> bool:
    """Return whether a refusal says when the same block will be taken."""
    return isinstance(error, Busy) and error.retry_after is not None


def _nested(before: int, parts: list[tuple[Submission, list[bytes]]], bodies: list[bytes]) -> int:
    """Return the bytes of all bodies that hold others; `before` is that of `parts`, or NOT_COUNTED."""
    if before == NOT_COUNTED:
        before = sum(_nested_bytes(earlier) for _, earlier in parts)
    return before + _nested_bytes(bodies)


def _nested_bytes(bodies: Iterable[bytes]) -> int:
    return sum(len(body) for body in bodies if body[0] in NESTING)


def _pop(bodies: deque[bytes], most: int) -> list[bytes]:
    """Take the oldest bodies; none if another thread withdraws them in between."""
    try:
        return [bodies.popleft() for _ in range(min(len(bodies), most))]
    except IndexError:
        return []
