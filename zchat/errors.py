"""The errors of zchat, as one tree.

ZchatError
├── UsageError            a wrong call: bad arguments, closed client, events taken in two ways, after a fork
│   ├── AddressError      an address that is malformed, in use or not this machine's
│   ├── BadKey            a key, or a file of one, that can't be used
│   ├── BadRules          a file of rules that can't be used
│   └── BadAudit          a file that can't be the audit log
├── ProtocolError         the peer broke the protocol
├── ConnectionLost        no broker, or gone for longer than the deadline
├── DeadlineExceeded      also a TimeoutError: not sent, not answered
│   └── OutcomeUnknown    it may or may not be stored
├── NotLetIn              the door of a broker stayed shut
│   ├── KeyNeeded         it asks for a key, and none was given
│   ├── NoKeysThere       it has none, so that anybody could be it
│   ├── ServerKeyWrong    it is another than the one whose key was given
│   └── KeyRefused        it doesn't let this key in, or no longer
├── StoreError            the broker's store can't be opened
├── Refused               the broker refused a request: code, text, retryable
│   └── one class per code, below
├── HandlerFailed         the application's own handler raised
└── GapError              after, upto, reason: raised once by Room.messages()
"""

from __future__ import annotations


class ZchatError(Exception):
    """The base of every error that zchat raises on purpose."""

    stored: int = 0
    """How many messages of a `send_many` are known to have been stored before it failed."""


class UsageError(ZchatError):
    """A call that is wrong in itself: the same call will never work."""

    closed_client: object = None
    """By what its client knows the error of a call that came once it was closed; None in any other."""


class AddressError(UsageError):
    """An address that can't be used: malformed, in use, or not this machine's."""


class BadKey(UsageError):
    """A key that can't be used: no such file, halves that don't fit, a secret that others can read."""


class BadRules(UsageError):
    """A file of rules that can't be used: it can't be read, or says what rules can't say; the text names the line."""


class BadAudit(UsageError):
    """A file that can't be the audit log: it can't be opened, holds something else, or others can read it."""


class ProtocolError(ZchatError):
    """A peer that sent something the protocol doesn't allow."""


class ConnectionLost(ZchatError):
    """A broker that could not be reached, or that fell silent."""


class DeadlineExceeded(ZchatError, TimeoutError):
    """A wait that ended before the answer came. The message was not sent and never will be, except `OutcomeUnknown`."""


class OutcomeUnknown(DeadlineExceeded):
    """A wait that ended while a message was on its way: it may or may not be stored.

    After any other `DeadlineExceeded` the message can safely be sent again, so catch this one first.
    """


class NotLetIn(ZchatError):
    """A broker that was reached, and whose door stayed shut: the same call will fail again."""


class KeyNeeded(NotLetIn):
    """A broker that lets nobody in without a key."""


class NoKeysThere(NotLetIn):
    """A broker without keys at an address for which one was given: anybody could be that broker."""


class ServerKeyWrong(NotLetIn):
    """A broker that doesn't have the secret half of the key given as its own: another one, or somebody in between."""


class KeyRefused(NotLetIn):
    """A broker that doesn't let this key in, or no longer."""


class StoreError(ZchatError):
    """A store that can't be opened: a wrong place, another program's file, a newer schema."""


class HandlerFailed(ZchatError):
    """An exception in the function given as `on_event`, which is the cause."""


class GapError(ZchatError):
    """Messages between two positions that are not available."""

    def __init__(self, room: str, after: int, upto: int, reason: str) -> None:
        super().__init__(room, after, upto, reason)
        self.room = room
        self.after = after
        """The last seq that the reader had."""
        self.upto = upto
        """The seq after which reading continues."""
        self.reason = reason
        """One of the words in `zchat.messages.GapReason`."""

    def __str__(self) -> str:
        return f"{self.room}: messages after {self.after} up to {self.upto} are not available ({self.reason})"


class Refused(ZchatError):
    """A request, or a session, that the broker refused."""

    code = "refused"
    """The protocol's word for the reason."""
    retryable = False
    """True if the same request can work later."""

    def __init__(
        self, text: str, *, code: str | None = None, retryable: bool | None = None, detail: int | None = None
    ) -> None:
        super().__init__(text)
        self.text = text
        """What was wrong, and what to do."""
        self.detail = detail
        """A number for programs: the one that is due for `out_of_order`, for `busy` the milliseconds until the request
        will be taken, for `banned` and `muted` the seconds since 1970 until which it is so (0: for ever), else None."""
        if code is not None:
            self.code = code
        if retryable is not None:
            self.retryable = retryable

    def __str__(self) -> str:
        return self.text


class NoSession(Refused):
    """A connection without a session: it has not greeted, or the session has ended."""

    code = "no_session"


class Malformed(Refused):
    """A frame or field that is not as the protocol says."""

    code = "malformed"


class VersionRefused(Refused):
    """A broker and a client without a common protocol version, or a broker too old for what was asked."""

    code = "version"
    versions: tuple[int, int] | None = None
    """The oldest and the newest version that the broker speaks, None if it didn't say, or if it is not about that."""


class BadName(Refused):
    """A room's or user's name that breaks the rules for names."""

    code = "bad_name"


class NoSuchRoom(Refused):
    """A room that doesn't exist."""

    code = "no_such_room"


class NotAMember(Refused):
    """A room that the session has not joined."""

    code = "not_a_member"


class MessageTooLarge(Refused):
    """A message or block that is over the broker's limit."""

    code = "message_too_large"


class BadBlock(Refused):
    """A block whose content is not as it says: its count, its depth, its text."""

    code = "bad_block"


class Busy(Refused):
    """A bound of the broker that is reached for now; the request works later."""

    code = "busy"
    retryable = True

    @property
    def retry_after(self) -> float | None:
        """Return after how many seconds the broker will take the request, None if it didn't say."""
        return None if self.detail is None else self.detail / 1000


class TooManyRequests(Refused):
    """More unanswered requests of a session than the greeting allowed."""

    code = "too_many_requests"


class LimitReached(Refused):
    """A limit on rooms, members of one, sessions, memberships or sanctions that has been reached."""

    code = "limit_reached"


class Superseded(Refused):
    """A connection whose session continues over a later one."""

    code = "superseded"


class StoreFailed(Refused):
    """A store that could not write or read; as far as it knows nothing was stored."""

    code = "store_failed"
    retryable = True


class OutOfOrder(Refused):
    """A block whose number is not the next one of its producer."""

    code = "out_of_order"


class Forgotten(Refused):
    """A producer whose numbering the broker no longer knows."""

    code = "forgotten"


class NotAllowed(Refused):
    """A right that the broker's rules don't give to this user, or a user whom this one may not moderate."""

    code = "not_allowed"


class _Timed:
    """What a refusal has that ends by itself."""

    detail: int | None

    @property
    def until(self) -> float | None:
        """Return when it ends, in seconds since 1970; None: not by itself, or the broker didn't say."""
        return float(self.detail) if self.detail else None


class Banned(Refused, _Timed):
    """A user who is banned from the room, or from the broker as a whole."""

    code = "banned"


class Muted(Refused, _Timed):
    """A user who may send nothing to the room for a time."""

    code = "muted"


class Kicked(Refused):
    """A user who was put out of the room, and may join it again."""

    code = "kicked"


class RoomClosed(Refused):
    """A room that is closed: its owners and operators alone send to it or join it anew."""

    code = "room_closed"


class WrongName(Refused):
    """A name that belongs to another key than the connection's."""

    code = "wrong_name"


class KeyRemoved(Refused):
    """A session whose key is no longer let in."""

    code = "key_removed"


class Closing(Refused):
    """A broker that is shutting down."""

    code = "closing"
    retryable = True


class Expired(Refused):
    """A session that was silent for too long."""

    code = "expired"
    retryable = True


REFUSALS: dict[str, type[Refused]] = {kind.code: kind for kind in Refused.__subclasses__()}


def refusal(code: str, text: str, retryable: bool, detail: int | None = None) -> Refused:
    """Return the error that an error reply stands for: a plain `Refused` if the code is unknown."""
    return REFUSALS.get(code, Refused)(text, code=code, retryable=retryable, detail=detail)
