"""Sessions are found by connection, by token and by user; one that lost its connection by its token alone."""

from __future__ import annotations

from tests.broker.rooms.driver import session_of
from zchat.broker.rooms.session_table import SessionTable


def test_a_user_has_the_sessions_that_are_connected() -> None:
    table = SessionTable()
    one, two, other = session_of("Bob", b"1", b"t1"), session_of("bob", b"2", b"t2"), session_of("alice", b"3", b"t3")
    for session in (one, two, other):
        table.add(session)
    assert table.of("bob") == [one, two]
    assert table.of("carol") == []
    table.remove(one)
    assert table.of("bob") == [two]
    table.remove(two)
    assert set(table.by_user) == {"alice"}
    assert (set(table.by_routing_id), set(table.by_token)) == ({b"3"}, {b"t3"})


def test_a_session_without_its_connection_is_found_by_its_token_until_it_ends() -> None:
    table = SessionTable()
    session = session_of("bob", b"1", b"token")
    table.add(session)
    table.disconnect(session)
    assert (table.by_routing_id, table.of("bob"), table.by_token) == ({}, [], {b"token": session})
    table.add(session)
    assert table.of("bob") == [session]
    table.remove(session)
    assert (table.by_routing_id, table.by_user, table.by_token) == ({}, {}, {})
