"""The conversations of the vectors, played with the client's core: what a broker says and a client must say."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from tests.protocol.driver import FakeCall, FakePort, FakeSubmission
from tests.vectors.conversations import NAMES, Conversation
from zchat import errors
from zchat.client.reading import messages_of
from zchat.messages import Position
from zchat.protocol.core import ClientCore
from zchat.protocol.faces.inbox import Chunk, GapChunk, Inbox
from zchat.threads import Bell
from zchat.wire.limits import JOIN_FLAGS

SOON = 2.0
"""Seconds within which the client must have said what it has to say."""


class Played:
    """The client's core under an application that does what a conversation says."""

    def __init__(self) -> None:
        self.port = FakePort()
        self.core = ClientCore(self.port, "alice", b"p" * 16, b"t" * 16, 0, Random(1))
        self.now = 50.0
        self.inboxes: dict[str, Inbox[Bell]] = {}
        self.joins: list[FakeCall] = []
        self.memberships: dict[str, FakeCall] = {}
        self.leaves: list[FakeCall] = []
        self.questions: list[FakeCall] = []
        self.submissions: list[FakeSubmission] = []
        self._said = 0
        self.core.start(self.now)

    def join(self, room: str, position: list[int] | None, flags: int | None) -> None:
        inbox = self.inboxes[room] = Inbox(Bell(), lambda inbox: None, self.core.credit)
        self.memberships[room] = call = FakeCall()
        self.joins.append(call)
        start = None if position is None else Position(*position)
        self.core.join(room, start, True, call, inbox, JOIN_FLAGS if flags is None else flags)

    def leave(self, room: str) -> None:
        self.leaves.append(FakeCall())
        self.core.leave(self.memberships[room].result, self.leaves[-1])

    def send(self, room: str, bodies: list[Any]) -> None:
        self.submissions.append(FakeSubmission(*bodies))
        self.core.offer(self.memberships[room].result.name, self.submissions[-1])

    def ask(self, word: str, fields: list[Any]) -> None:
        self.questions.append(FakeCall())
        self.core.ask(word, tuple(fields), self.questions[-1])

    def close(self) -> None:
        self.core.close(self.now + SOON)

    def take(self, room: str, count: int) -> list[list[Any]]:
        inbox = self.inboxes[room]
        taken: list[list[Any]] = []
        while len(taken) < count and isinstance(chunk := inbox.take(), Chunk):
            message = next(chunk.messages)
            taken.append([message.seq, message.user, message.body])
            inbox.finish(chunk)
        return taken

    def take_gap(self, room: str) -> dict[str, Any]:
        inbox = self.inboxes[room]
        chunk = inbox.take()
        assert isinstance(chunk, GapChunk)
        gap = next(chunk.messages)
        inbox.finish(chunk)
        return {"room": gap.room, "after": gap.after, "upto": gap.upto, "reason": gap.reason}

    def position(self, room: str) -> list[int]:
        return list(self.inboxes[room].position)

    def outcome(self) -> list[int] | tuple[str, bool]:
        submission = self.submissions.pop(0)
        if submission.seqs:
            return submission.seqs
        [error] = submission.errors
        cause = error.__cause__ if isinstance(error, errors.OutcomeUnknown) else error
        assert isinstance(cause, errors.Refused)
        return cause.code, isinstance(error, errors.OutcomeUnknown)

    def answer(self) -> list[Any]:
        call = self.questions.pop(0)
        assert call.error is None
        return list(call.result)

    def left(self) -> bool:
        call = self.leaves[-1]
        return call.done and call.error is None

    def over(self, room: str) -> str:
        with pytest.raises(errors.Refused) as caught:
            next(messages_of(self.inboxes[room], 0))
        return caught.value.code

    def unjoined(self) -> str:
        error = self.joins[-1].error
        assert isinstance(error, errors.Refused)
        return error.code

    def said(self) -> list[Any] | None:
        until = self.now + SOON
        while True:
            new = self.port.sent[self._said :]
            if new:
                self._said += 1
                if new[0][0] != "ping":
                    return new[0]
            elif self.now >= until:
                return None
            else:
                self.now = max(self.now + 0.001, min(self.core.tick(self.now), until))
                self.core.tick(self.now)

    def say(self, frame: bytes) -> None:
        self.core.receive(frame, self.now)

    def lose(self) -> None:
        self.core.lost("the connection broke")

    def ended(self) -> str:
        [error] = self.port.ends
        if isinstance(error, errors.ProtocolError):
            return "protocol"
        assert isinstance(error, errors.Refused)
        return error.code


@pytest.mark.parametrize("name", NAMES)
def test_a_client_says_what_the_conversation_has(name: str) -> None:
    Conversation(name).play(Played())
