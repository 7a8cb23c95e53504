"""What the core records of who came in and what became of them: each event, and how many lines there are at most."""

from __future__ import annotations

from typing import Any

from tests.broker.driver import Clock, Peer, World
from zchat.broker.figures.audit_trail import AuditLine, AuditTrail
from zchat.broker.guard.gate import Gate
from zchat.broker.limits import (
    AUDIT_EVERY,
    AUDIT_FOR_OPERATORS,
    AUDIT_KEPT_FREE,
    AUDIT_LINES,
    AUDIT_LINES_A_USER,
    EXPIRE_AFTER,
    MAX_REQUESTS,
)
from zchat.broker.port import Peer as PeerAtBroker
from zchat.wire.values import pack

KEY, OTHER = "a" * 40, "b" * 40
ALICE = PeerAtBroker(b"1", "alice", KEY, "192.0.2.1", 1, "Alice")
START = Clock().time


def events(lines: list[AuditLine]) -> list[tuple[str, dict[str, Any]]]:
    return [(line.event, line.fields) for line in lines]


def recorded(world: World) -> list[tuple[str, dict[str, Any]]]:
    """Return what the core has recorded since the last time."""
    return events(world.core.audit.take(world.now))


def greet(world: World, user: str, peer: PeerAtBroker, token: bytes = b"t" * 16, connection: int = 1) -> None:
    """Have a peer greet as a user, over a connection that was let in with a key."""
    hello = pack(("hello", 1, 1, 1, user, b"p" * 16, token, 0, connection))
    world.core.receive(peer.routing_id, [hello], world.now, peer)
    world.run()


# -- the lines --------------------------------------------------------------------------------------


def test_a_line_says_when_who_from_where_and_what_and_leaves_out_what_is_empty() -> None:
    trail = AuditTrail(lambda: 7)
    trail.add("ban", ALICE, by="Alice", room="", user="bob", until=0, reason="spam")
    trail.add("let_in", PeerAtBroker(b"2", "bob"), user="bob")
    assert trail.used
    assert trail.take(0.0) == [
        AuditLine(7, "ban", KEY, {"address": "192.0.2.1", "by": "Alice", "user": "bob", "reason": "spam"}),
        AuditLine(7, "let_in", "", {"user": "bob"}),
    ]


def test_lines_come_in_order_and_once() -> None:
    trail = AuditTrail(lambda: 0)
    trail.take(0.0)
    for user in "abc":
        trail.add("let_in", ALICE, user=user)
    assert [line.fields["user"] for line in trail.take(0.1)] == ["a", "b", "c"]
    assert trail.take(0.2) == []
    assert trail.used, "its second is not over"
    assert trail.take(AUDIT_EVERY) == []
    assert not trail.used


def test_a_flood_at_the_door_is_a_line_a_second_an_address_and_a_reason_with_the_count() -> None:
    clock = Clock()
    trail = AuditTrail(clock)
    trail.take(0.0)
    for _ in range(300):
        trail.gather("turned_away", "turned_away_unknown_key", address="192.0.2.1", key=KEY)
        clock.time += 1
    trail.gather("turned_away", "turned_away_too_often", address="192.0.2.1", key=KEY)
    trail.gather("turned_away", "turned_away_unknown_key", address="192.0.2.2", key=KEY)
    trail.gather("turned_away", "turned_away_unknown_key", address="192.0.2.2", key=OTHER)
    assert trail.take(0.9) == []
    assert trail.take(1.0) == [
        AuditLine(
            START, "turned_away", KEY, {"address": "192.0.2.1", "reason": "turned_away_unknown_key", "count": 300}
        ),
        AuditLine(
            START + 300, "turned_away", KEY, {"address": "192.0.2.1", "reason": "turned_away_too_often", "count": 1}
        ),
        AuditLine(
            START + 300, "turned_away", "", {"address": "192.0.2.2", "reason": "turned_away_unknown_key", "count": 2}
        ),
    ]
    assert not trail.used


def test_there_are_at_most_a_thousand_lines_a_second_and_then_one_with_the_count_of_the_others() -> None:
    trail = AuditTrail(lambda: 0)
    trail.take(0.0)
    for number in range(3 * AUDIT_LINES):
        trail.add("kick", ALICE._replace(user=f"user{number}"), user="bob")
    first = trail.take(0.5)
    assert len(first) == AUDIT_LINES
    assert trail.take(0.9) == []
    assert trail.take(1.0) == [AuditLine(0, "left_out", "", {"count": 2 * AUDIT_LINES})]
    trail.add("kick", ALICE, user="bob")
    assert len(trail.take(1.1)) == 1, "there is room again"
    assert trail.left_out == 2 * AUDIT_LINES


def test_newcomers_leave_room_for_moderation() -> None:
    trail = AuditTrail(lambda: 0)
    for number in range(2 * AUDIT_LINES):
        trail.gather("turned_away", "turned_away_unknown_key", address=str(number))
        trail.add("let_in", ALICE._replace(user=f"user{number}"), user="bob")
    for _ in range(AUDIT_KEPT_FREE):
        trail.add("ban", ALICE, user="bob")
    lines = trail.take(0.0)
    assert sum(line.event == "ban" for line in lines) == AUDIT_KEPT_FREE
    assert lines[-1].fields == {"count": 4 * AUDIT_LINES - (AUDIT_LINES - AUDIT_KEPT_FREE)}
    assert len(lines) == AUDIT_LINES + 1


def test_one_user_can_t_push_out_what_others_do() -> None:
    trail = AuditTrail(lambda: 0)
    for _ in range(AUDIT_LINES_A_USER + 5):
        trail.add("kick", ALICE, user="bob")
    trail.add("kick", ALICE._replace(user="bob"), user="carol")
    *kicks, other, left_out = trail.take(0.0)
    assert len(kicks) == AUDIT_LINES_A_USER
    assert other.fields["user"] == "carol"
    assert left_out.fields == {"by": "alice", "count": 5}, "it says whose"


def test_all_who_moderate_together_leave_room_for_operators() -> None:
    trail = AuditTrail(lambda: 0)
    for number in range(2 * AUDIT_LINES):
        trail.add("ban", ALICE._replace(user=f"user{number}"), user="bob")
    for number in range(AUDIT_FOR_OPERATORS + 1):
        trail.add("unban", ALICE._replace(user=f"root{number}"), operator=True, user="bob")
    lines = trail.take(0.0)
    assert sum(line.event == "unban" for line in lines) == AUDIT_FOR_OPERATORS
    assert lines[-1].fields == {"count": AUDIT_LINES + 1}


def test_a_flood_that_is_gathered_and_left_out_is_counted_by_what_happened() -> None:
    trail = AuditTrail(lambda: 0)
    for number in range(AUDIT_LINES):
        trail.gather("cut", "cut_before_greeting", address=str(number))
    trail.gather("cut", "cut_before_greeting", address="another", count=7)
    trail.gather("cut", "cut_before_greeting", address="0", count=7)
    assert trail.left_out == AUDIT_KEPT_FREE + 7
    assert trail.take(0.0)[0].fields["count"] == 8, "its line goes on counting"


def test_all_that_is_left_is_taken_at_the_end() -> None:
    trail = AuditTrail(lambda: 0)
    trail.take(0.0)
    trail.gather("cut", "cut_before_greeting", address="192.0.2.1")
    trail.add("let_in", ALICE, user="Alice")
    assert [line.event for line in trail.take_all()] == ["let_in", "cut"]


# -- what the core records ---------------------------------------------------------------------------


def test_a_greeting_that_is_taken_is_recorded_with_key_and_address() -> None:
    world = World(gate=Gate({KEY: "Alice"}))
    greet(world, "ALICE", ALICE)
    [line] = world.core.audit.take(world.now)
    assert line == AuditLine(world.clock.time, "let_in", KEY, {"address": "192.0.2.1", "user": "Alice"})


def test_a_session_that_goes_on_elsewhere_is_recorded_with_where() -> None:
    world = World(gate=Gate({KEY: "Alice"}))
    greet(world, "Alice", ALICE)
    greet(world, "Alice", ALICE._replace(routing_id=b"2", connection=2, address="198.51.100.7"), connection=2)
    assert recorded(world)[1:] == [("let_in", {"address": "198.51.100.7", "user": "Alice"})]


def test_another_s_name_is_recorded_with_the_one_that_the_key_has() -> None:
    world = World(gate=Gate({KEY: "Alice", OTHER: "bob"}))
    greet(world, "carol", ALICE)
    assert recorded(world) == [("wrong_name", {"address": "192.0.2.1", "by": "Alice", "user": "carol"})]
    greet(world, "bob", PeerAtBroker(b"2", "bob", OTHER, "192.0.2.2", 2, "bob"))
    greet(world, "Alice", ALICE._replace(routing_id=b"3", connection=3))
    assert recorded(world)[1:] == [("wrong_name", {"address": "192.0.2.1", "by": "Alice", "user": "bob"})], "its token"


def test_a_key_that_was_removed_before_its_greeting_is_turned_away() -> None:
    world = World(gate=Gate({}))
    greet(world, "Alice", ALICE)
    world.now += AUDIT_EVERY
    fields = {"address": "192.0.2.1", "user": "Alice", "reason": "key_removed", "count": 1}
    assert recorded(world) == [("turned_away", fields)]


def test_the_end_of_a_session_is_recorded_with_why(world: World) -> None:
    for user, why in (("alice", "bye"), ("bob", "too_many_requests"), ("carol", "expired")):
        peer = Peer(world, user)
        recorded(world)
        if why == "bye":
            peer.do("bye")
        elif why == "expired":
            world.pass_time(EXPIRE_AFTER + 2)
        else:
            world.port.full.add(peer.id)
            for _ in range(MAX_REQUESTS + 1):
                peer.ask("rooms", None, 5)
            world.run()
        [(event, fields)] = recorded(world)
        assert (event, fields["user"], fields["reason"]) == ("session_ended", user, why)
        assert ("text" in fields) == (why != "bye")


def test_the_end_of_a_session_whose_key_is_removed_is_recorded() -> None:
    users = {KEY: "Alice"}
    world = World(gate=Gate(users))
    greet(world, "Alice", ALICE)
    recorded(world)
    world.core.context.gate.revise({})
    world.core.keys_changed()
    [(event, fields)] = recorded(world)
    assert (event, fields["reason"]) == ("session_ended", "key_removed")


def test_that_the_broker_goes_down_is_no_line_a_session(world: World) -> None:
    Peer(world, "alice")
    recorded(world)
    world.core.stop()
    world.core.dismiss()
    assert recorded(world) == []


def test_nothing_is_recorded_of_messages(world: World) -> None:
    alice, bob = Peer(world, "alice"), Peer(world, "bob")
    recorded(world)
    alice.join("General")
    bob.join("General")
    for number in range(50):
        alice.send("General", f"secret {number}")
    bob.do("history", "General", None, 10, 100)
    assert recorded(world) == []


def test_neither_tokens_nor_routing_ids_are_recorded() -> None:
    world = World(gate=Gate({KEY: "Alice"}))
    greet(world, "carol", ALICE._replace(routing_id=b"routing!"), token=b"secret tokens!!!")
    greet(world, "Alice", ALICE._replace(routing_id=b"routing!"), token=b"secret tokens!!!")
    text = repr(world.core.audit.take_all())
    assert "wrong_name" in text
    assert "let_in" in text
    assert "secret" not in text
    assert "routing" not in text
