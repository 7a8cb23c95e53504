"""Requests and their answers: whom to answer, what is owed, and what goes out in the order of the blocks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple, TypeAlias

from zchat import errors
from zchat.broker.delivery.pipes import Pipes
from zchat.broker.figures.counters import Counters
from zchat.broker.port import Peer
from zchat.broker.rooms.session import Session
from zchat.wire.notices import encode_error, encode_ok
from zchat.wire.replies import Reply


class Request(NamedTuple):
    """Whom to answer: the peer that a command came from, its session then, and the command's number.

    `session` is None for a stranger, `number` for what isn't answered.
    """

    peer: Peer
    session: Session | None
    number: int | None


request_of: Callable[[tuple[Peer, Session | None, int | None]], Request] = partial(tuple.__new__, Request)
"""As `Request._make`, without a call of Python's."""

Rest: TypeAlias = Iterator[None]
"""What is left to do of a command that takes long: each `next` does a part; it may raise a `Refused`."""


class Replies:
    """The answers to requests; a request whose connection is no longer its session's gets none."""

    def __init__(self, pipes: Pipes, counters: Counters) -> None:
        self.owed = 0
        """Requests that wait for the store."""
        self._pipes = pipes
        self._counters = counters
        self.later: list[tuple[Request, Reply | errors.Refused]] = []
        """What the store said of blocks, which `turn` answers once members have been served: errors too, so that all
        such answers go out in the order of the blocks."""

    @property
    def settled(self) -> bool:
        """True if nothing waits for the store, or for the end of a turn."""
        return not (self.owed or self.later)

    def waits(self, request: Request) -> bool:
        """Return whether a request can still be answered: its connection is its session's."""
        session = request.session
        return session is not None and not session.ended and session.peer is request.peer

    def answer(self, request: Request, reply: Reply) -> None:
        """Answer a request at once."""
        self.answer_frame(request, encode_ok(request.number, reply))

    def answer_frame(self, request: Request, frame: bytes) -> None:
        """Answer a request at once, with a frame that is made already."""
        session = request.session
        if session is not None and not session.ended and session.peer is request.peer:
            self._pipes.reply(session, frame)

    def refuse(self, request: Request, error: errors.Refused) -> None:
        """Answer with an error at once; one that no request asked for is dropped if the pipe is full."""
        self._counters.refused[error.code] += 1
        frame = encode_error(request.number, error)
        if request.session is None or request.number is None:
            self._pipes.send_or_drop(request.peer, request.session, frame)
        else:
            self.answer_frame(request, frame)

    def turn(self) -> None:
        """Give the answers that were put off."""
        later, self.later = self.later, []
        for request, result in later:
            if isinstance(result, errors.Refused):
                self.refuse(request, result)
                continue
            session = request.session  # `answer`, without its calls: once a block
            if session is not None and not session.ended and session.peer is request.peer:
                self._pipes.reply(session, encode_ok(request.number, result))

    def refuse_if_overloaded(self) -> None:
        """Raise `Busy` for what has a large answer while too many bytes of answers wait."""
        if self._pipes.overloaded:
            raise errors.Busy("too many answers wait to be sent; try again later")
