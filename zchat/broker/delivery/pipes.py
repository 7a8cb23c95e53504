"""The pipes to sessions: answers go out in order, and wait while a pipe is full."""

from __future__ import annotations

import heapq
from itertools import count
from math import inf

from zchat.broker.figures.counters import Counters
from zchat.broker.figures.log_lines import LogLines
from zchat.broker.limits import FAILED_NOTED_EVERY, REPLIES_BYTES, RETRY_MAX, SMALL_ANSWER
from zchat.broker.port import Peer, Port, Sent
from zchat.broker.rooms.session import Session


class Pipes:
    """The pipes to all sessions: answers go out, wait while a pipe is full, and full pipes are tried again.

    `waiting` counts the bytes of the answers that are kept.
    """

    def __init__(self, port: Port, counters: Counters, log_lines: LogLines) -> None:
        self._port = port
        self._log_lines = log_lines
        self._counters = counters
        self._retries: list[tuple[float, int, Session]] = []
        self._tie = count()
        self.waiting = 0
        self.now = 0.0
        """The time, as of the last turn."""
        self.due = inf
        """When the next full pipe is to be tried again, infinity if there is none."""

    def turn(self) -> list[Session]:
        """Try the full pipes again that are due; return the sessions whose pipe has room again."""
        opened: list[Session] = []
        retries = self._retries
        while retries and retries[0][0] <= self.now:
            session = heapq.heappop(retries)[2]
            if self._retry(session):
                opened.append(session)
        self.due = retries[0][0] if retries else inf
        return opened

    def send_or_drop(self, peer: Peer, session: Session | None, frame: bytes) -> None:
        """Send what no session is owed: it is dropped if the pipe is full, or the session's connection has ended."""
        if not (session is not None and session.gone) and self._port.send(peer.routing_id, frame) == Sent.SENT:
            self._answered(len(frame))

    def reply(self, session: Session, frame: bytes, answers: int = 1) -> None:
        """Send a reply: at once, or when the session's pipe has room again, after those that wait for that.

        `answers`: how many requests it answers, one or none; what no request asked for comes as surely, and in order.
        """
        if session.gone:
            return
        if answers and len(frame) > SMALL_ANSWER:
            session.answered += len(frame)
        if session.replies or session.blocked:
            self._keep(session, frame, answers)
            return
        outcome = self._port.send(session.peer.routing_id, frame)
        if outcome == Sent.SENT:
            session.unanswered -= answers
            self._counters.answers += 1  # `_answered`, without a call: once a reply
            self._counters.answer_bytes += len(frame)
        elif outcome == Sent.FULL:
            self._keep(session, frame, answers)
            self.block(session)
        else:
            self.lost(session)

    def _answered(self, size: int) -> None:
        self._counters.answers += 1
        self._counters.answer_bytes += size

    @property
    def overloaded(self) -> bool:
        """True if so many bytes of replies wait that no more large ones are to be made."""
        return self.waiting >= REPLIES_BYTES

    def drop_replies(self, session: Session) -> None:
        """Forget the replies that wait for a session's pipe."""
        self.waiting -= sum(len(frame) for frame, _ in session.replies)
        session.replies.clear()

    def _keep(self, session: Session, frame: bytes, answers: int) -> None:
        session.replies.append((frame, answers))
        self.waiting += len(frame)

    def block(self, session: Session, room: str = "") -> None:
        """Try a session's full pipe again later; `room`: what it had no room for was a notification of that room."""
        self._counters.retried += 1
        self._failed(session, room, "full pipe")
        if not session.blocked:
            session.blocked = True
            heapq.heappush(self._retries, (self.now + session.backoff, next(self._tie), session))
            self.due = self._retries[0][0]
            session.backoff = min(session.backoff * 2, RETRY_MAX)

    def lost(self, session: Session, room: str = "") -> None:
        """Record that a session's peer has vanished; `room`: as in `block`."""
        self._counters.failed += 1
        self._failed(session, room, "peer gone")
        self.vanished(session)

    def vanished(self, session: Session) -> None:
        """Send nothing more to a session's peer: its connection has ended."""
        session.gone = True
        self.drop_replies(session)

    def ended(self, session: Session) -> None:
        """Record that a session has ended: failures not yet logged are logged now."""
        if session.unnoted:
            self._note(session, "", "seen before its session ended")

    def _failed(self, session: Session, room: str, reason: str) -> None:
        session.unnoted += 1
        if self.now - session.noted >= FAILED_NOTED_EVERY:
            session.noted = self.now
            self._note(session, room, reason)

    def _note(self, session: Session, room: str, reason: str) -> None:
        user, count = session.user, session.unnoted
        session.unnoted = 0
        text = f"sending to {user!r}{room and f' in {room!r}'} failed: {reason}"
        if count > 1:
            text += f" ({count} times since last logged)"
        self._log_lines.add("send_failed", text, room=room, user=user, reason=reason, count=count)

    def _retry(self, session: Session) -> bool:
        """Send what waits for a session's pipe; True if nothing waits any more."""
        session.blocked = False
        while session.replies:
            frame, answers = session.replies[0]
            outcome = self._port.send(session.peer.routing_id, frame)
            if outcome == Sent.FULL:
                if not session.ended or session.backoff < RETRY_MAX:
                    self.block(session)
                else:  # a session that said goodbye isn't waited for much longer
                    self.drop_replies(session)
                return False
            if outcome == Sent.GONE:
                self.lost(session)
                return False
            session.replies.pop(0)
            self.waiting -= len(frame)
            session.unanswered -= answers
            self._answered(len(frame))
        return True
