"""What can go wrong, as one tree.

ZchatError
├── UsageError            called wrongly: bad arguments, closed client, mixed consumers, after a fork
│   └── AddressError      an address that is malformed, in use or not this machine's
├── ProtocolError         the peer broke the protocol
├── ConnectionLost        no broker, or gone for longer than the deadline
├── DeadlineExceeded      also a TimeoutError: not sent, not answered
│   └── OutcomeUnknown    it may or may not be stored
├── StoreError            the broker's store can't be opened
├── Refused               the broker said no: code, text, retryable
│   └── one class a code, below
├── HandlerFailed         the application's own handler raised
└── GapError              after, upto, reason: raised once by Room.messages()
"""

from __future__ import annotations


class ZchatError(Exception):
    """Stand for everything that zchat raises on purpose.

    `stored` is how many messages of a `send_many` are known to be stored before it failed.
    """

    stored: int = 0


class UsageError(ZchatError):
    """Tell that a call was wrong in itself; the same call will never work."""


class AddressError(UsageError):
    """Tell that an address can't be used: malformed, in use, or not this machine's."""


class ProtocolError(ZchatError):
    """Tell that the peer sent what the protocol doesn't allow."""


class ConnectionLost(ZchatError):
    """Tell that there is no broker, or that it has gone silent."""


class DeadlineExceeded(ZchatError, TimeoutError):
    """Tell that a wait ended before its answer came; no message was sent, nor ever will be (`OutcomeUnknown` aside)."""


class OutcomeUnknown(DeadlineExceeded):
    """Tell that a message was on its way when the wait ended: it may or may not be stored.

    Of the `DeadlineExceeded` that can be sent again without a second thought this is the exception:
    catch it first.
    """


class StoreError(ZchatError):
    """Tell that a store can't be opened: its place, another program's file, a newer schema."""


class HandlerFailed(ZchatError):
    """Tell that the function given as `on_event` raised; its error is the cause."""


class GapError(ZchatError):
    """Tell that messages between two positions can't be had.

    `after` is the last seq that the reader had, the next message comes behind `upto`,
    and `reason` is one of the words in `zchat.messages.GapReason`.
    """

    def __init__(self, room: str, after: int, upto: int, reason: str) -> None:
        super().__init__(room, after, upto, reason)
        self.room = room
        self.after = after
        self.upto = upto
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.room}: nothing between {self.after} and {self.upto} can be had ({self.reason})"


class Refused(ZchatError):
    """Tell that the broker said no.

    `code` is the word that the protocol has for it, `text` says what was wrong and what to
    do, `retryable` whether the same request can work later, `detail` a number that programs go
    by: for `out_of_order` the one that is due, else None.
    """

    code = "refused"
    retryable = False

    def __init__(
        self, text: str, *, code: str | None = None, retryable: bool | None = None, detail: int | None = None
    ) -> None:
        super().__init__(text)
        self.text = text
        self.detail = detail
        if code is not None:
            self.code = code
        if retryable is not None:
            self.retryable = retryable

    def __str__(self) -> str:
        return self.text


class NoSession(Refused):
    """Tell that the connection has not greeted, or that its session has ended."""

    code = "no_session"


class Malformed(Refused):
    """Tell that a frame or a field is not what the protocol says."""

    code = "malformed"


class VersionRefused(Refused):
    """Tell that broker and client have no protocol version in common."""

    code = "version"


class BadName(Refused):
    """Tell that a room or user name breaks the rules for names."""

    code = "bad_name"


class NoSuchRoom(Refused):
    """Tell that there is no room of that name."""

    code = "no_such_room"


class NotAMember(Refused):
    """Tell that the session has not joined the room."""

    code = "not_a_member"


class MessageTooLarge(Refused):
    """Tell that a message or a block is over the broker's limit."""

    code = "message_too_large"


class BadBlock(Refused):
    """Tell that a block is not what it says: its count, its depth, its text."""

    code = "bad_block"


class Busy(Refused):
    """Tell that a bound of the broker is reached; it works again later."""

    code = "busy"
    retryable = True


class TooManyRequests(Refused):
    """Tell that a session had more requests unanswered than the greeting allowed."""

    code = "too_many_requests"


class LimitReached(Refused):
    """Tell that the broker has as many rooms, sessions or memberships as it may."""

    code = "limit_reached"


class Superseded(Refused):
    """Tell that the session goes on over another connection."""

    code = "superseded"


class StoreFailed(Refused):
    """Tell that the store could not write or read; for all that it knows nothing was stored."""

    code = "store_failed"
    retryable = True


class OutOfOrder(Refused):
    """Tell that a block's number is not the next one of its producer."""

    code = "out_of_order"


class Forgotten(Refused):
    """Tell that the broker no longer knows the producer that goes on numbering."""

    code = "forgotten"


class Closing(Refused):
    """Tell that the broker is going down."""

    code = "closing"
    retryable = True


class Expired(Refused):
    """Tell that the session was silent for too long."""

    code = "expired"
    retryable = True


REFUSALS: dict[str, type[Refused]] = {kind.code: kind for kind in Refused.__subclasses__()}


def refusal(code: str, text: str, retryable: bool, detail: int | None = None) -> Refused:
    """Make the error that an error reply stands for; an unknown code makes a plain `Refused`."""
    return REFUSALS.get(code, Refused)(text, code=code, retryable=retryable, detail=detail)
