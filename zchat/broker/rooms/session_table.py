"""The sessions of a broker by connection, token and user."""

from __future__ import annotations

from zchat.broker.rooms.session import Session


class SessionTable:
    """The sessions that there are; one that was fenced off its connection is there by its token alone."""

    __slots__ = ("by_routing_id", "by_token", "by_user")

    def __init__(self) -> None:
        self.by_routing_id: dict[bytes, Session] = {}
        self.by_token: dict[bytes, Session] = {}
        self.by_user: dict[str, dict[Session, None]] = {}
        """By folded names; a user without a session has no entry."""

    def of(self, user: str) -> list[Session]:
        """Return the sessions of a user, by folded name."""
        return list(self.by_user.get(user, ()))

    def add(self, session: Session) -> None:
        """Take in a session, or one that goes on over another connection."""
        self.by_routing_id[session.peer.routing_id] = session
        self.by_token[session.token] = session
        self.by_user.setdefault(session.peer.user, {})[session] = None

    def disconnect(self, session: Session) -> None:
        """Take out a session but for its token."""
        peer = session.peer
        del self.by_routing_id[peer.routing_id]
        del self.by_user[peer.user][session]
        if not self.by_user[peer.user]:
            del self.by_user[peer.user]

    def remove(self, session: Session) -> None:
        """Take out a session."""
        self.disconnect(session)
        del self.by_token[session.token]
