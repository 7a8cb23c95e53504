"""A session outlives its connection: what belongs to a connection begins anew with the next."""

from __future__ import annotations

from tests.broker.rooms.driver import member_of, room_of, session_of
from zchat.broker.limits import RETRY_FIRST
from zchat.broker.port import Peer


def test_a_fresh_connection_owes_nothing_of_the_old_one_and_keeps_the_memberships() -> None:
    session = session_of("alice")
    member = member_of(room_of())
    session.members[member.room] = member
    session.unanswered, session.frames, session.shown, session.backoff, session.gone = 3, 7, 7, 9.0, True
    session.held.append(member)
    session.invitations[member.room] = None
    session.connect(Peer(b"another", "alice"), 1, window=5, now=20.0)
    assert (session.unanswered, session.frames, session.shown, session.backoff) == (0, 0, 0, RETRY_FIRST)
    assert (session.gone, session.held, session.invitations) == (False, [], {})
    assert (session.peer.routing_id, session.connection, session.window, session.heard) == (b"another", 1, 5, 20.0)
    assert session.members == {member.room: member}
