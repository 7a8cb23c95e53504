"""Who a connection may be by its key, and what becomes of those who have come through a gateway."""

from __future__ import annotations

from typing import Any

import pytest

from tests.broker.core.moderating import HOUR, code
from tests.broker.driver import Peer, World
from zchat.broker.figures.audit_trail import AuditLine
from zchat.broker.guard.gate import Gate
from zchat.broker.guard.rules_text import parse
from zchat.broker.limits import AUDIT_EVERY
from zchat.broker.port import Peer as PeerAtBroker
from zchat.names import fold
from zchat.wire.notices import OK

WEB, OTHER, ALICE, ROOT = "w" * 40, "o" * 40, "a" * 40, "r" * 40
USERS = {WEB: "web", OTHER: "Portal", ALICE: "Alice", ROOT: "root"}
GATEWAYS = frozenset({WEB, OTHER})
RULES = 'operators = ["root"]\n[[rooms]]\nnames = ["*"]\nowners = ["anna"]\n'


class Door(World):
    """A broker with keys and rules, to which each connection comes with a key."""

    def __init__(self, rules: str = RULES, gateways: frozenset[str] = GATEWAYS) -> None:
        self.keys: dict[bytes, str] = {}
        super().__init__(gate=Gate(USERS, gateways, guests=True), rules=parse(rules))

    def receive(self, routing_id: bytes, *frames: bytes) -> None:
        key = self.keys.get(routing_id, WEB)
        number, name = int.from_bytes(routing_id, "big"), USERS.get(key, "guest-12345678")
        peer = PeerAtBroker(routing_id, fold(name), key, "192.0.2.1", number, name)
        self.core.receive(routing_id, list(frames), self.now, peer)
        self.core.shares.rest(self.now)

    def come(self, user: str, *rooms: str, key: str = WEB) -> Peer:
        """Return a peer with a session."""
        peer, answer = self.greet(user, key)
        assert answer[0] == OK, answer
        for room in rooms:
            assert peer.join(room)[0] == OK
        return peer

    def greet(self, user: str, key: str = WEB) -> tuple[Peer, list[Any]]:
        """Return a peer that has greeted, and what was answered."""
        peer = Peer(self, user, greet=False, version=2)
        self.keys[peer.id] = key
        return peer, peer.greet()

    def revise(self, users: dict[str, str], gateways: frozenset[str]) -> None:
        self.core.context.gate.revise(users, gateways)
        self.core.keys_changed()
        self.run()

    def recorded(self) -> list[AuditLine]:
        self.now += AUDIT_EVERY
        return self.core.audit.take(self.now)


def test_through_a_gateway_users_come_who_have_a_key_and_who_have_none() -> None:
    world = Door()
    eve, alice = world.come("Eve", "General"), world.come("ALICE", "General")
    assert alice.send("General", "hello")[0] == OK
    world.run()
    [message] = eve.got["General"]
    assert (message.user, message.body) == ("Alice", "hello"), "as the files spell it"
    assert {each.user for each in world.sessions.values()} == {"Eve", "Alice"}


def test_a_gateway_greets_under_its_own_name_too() -> None:
    assert Door().come("WEB").replies[1][3] == "web"


@pytest.mark.parametrize(
    ("user", "text"),
    [
        ("root", "root is an operator here, and no operator comes in through a gateway: use a client with a key of"),
        ("ROOT", "ROOT is an operator here"),
        ("guest-00000000", "the name of a guest or a gateway"),
        ("portal", "the name of a guest or a gateway"),
    ],
)
def test_nobody_is_an_operator_a_guest_or_another_gateway_through_one(user: str, text: str) -> None:
    world = Door()
    _, answer = world.greet(user)
    assert answer[2] == "wrong_name"
    assert text in answer[3]
    [line] = world.recorded()
    assert (line.event, line.fields["by"], line.fields["user"]) == ("wrong_name", "web", user)


@pytest.mark.parametrize("key", [ALICE, "x" * 40])
def test_other_keys_let_in_nobody_else(key: str) -> None:
    _, answer = Door().greet("eve", key)
    assert answer[2] == "wrong_name"
    assert "gateway = true" in answer[3] or "a guest's" in answer[3]


def test_a_key_that_was_taken_out_or_marked_no_more_ends_the_sessions_through_it_alone() -> None:
    for users, gateways, left in (
        ({**USERS, WEB: "web"}, frozenset({OTHER}), {"web", "Alice", "eve"}),
        ({ALICE: "Alice", OTHER: "Portal"}, frozenset({OTHER}), {"Alice", "eve"}),
        ({**USERS, WEB: "web2"}, GATEWAYS, {"Alice", "eve"}),
    ):
        world = Door()
        there = [world.come("web"), world.come("dora"), world.come("alice", key=ALICE), world.come("eve", key=OTHER)]
        world.revise(users, gateways)
        assert {each.user for each in world.sessions.values()} == left
        assert [peer.ended() for peer in there if peer.ended()] == ["key_removed"] * (4 - len(left))
        answer = world.greet("dora")[1]
        assert (answer[2] if answer[0] != OK else OK) in ("wrong_name", "key_removed")


def test_who_becomes_an_operator_or_a_gateway_is_out_of_the_one_they_came_through() -> None:
    world = Door()
    dora, eve, alice = world.come("dora"), world.come("eve"), world.come("alice", key=ALICE)
    world.core.revise(parse('operators = ["Dora", "alice"]'))
    world.run()
    assert (dora.ended(), eve.ended(), alice.ended()) == ("wrong_name", None, None)
    world.revise({**USERS, "e" * 40: "eve"}, GATEWAYS | {"e" * 40})
    assert (eve.ended(), alice.ended()) == ("wrong_name", None)


def test_a_session_goes_on_by_the_way_it_came_alone() -> None:
    world = Door()
    for first, then in ((WEB, ALICE), (ALICE, WEB), (WEB, OTHER)):
        alice = world.come("Alice", key=first)
        alice.id = world.new_id()
        alice.frames_read = 0
        world.keys[alice.id] = then
        assert alice.greet()[2] == "wrong_name"
    alice = world.come("alice", "General")
    alice.reconnect()
    assert alice.join("General")[0] == OK


# -- all that is a user's is the user's, and nothing the gateway's ---------------------------------------


def test_a_kick_a_ban_and_a_mute_meet_the_user_whichever_way_they_came_and_nobody_else() -> None:
    world = Door()
    anna = world.come("anna", "General")
    eve, same, dora = (
        world.come("eve", "General"),
        world.come("eve", "General", key=OTHER),
        world.come("dora", "General"),
    )
    assert anna.do("kick", "General", "Eve", "not here")[0] == OK
    for peer in (eve, same):
        [removed] = peer.removed()
        assert removed[2:] == ["kicked", "not here", "anna", 0]
    assert dora.removed() == []
    assert anna.do("mute", "General", "dora", HOUR, "quiet")[0] == OK
    assert code(dora.send("General", "hello")) == "muted"
    assert code(anna.send("General", "hello")) == OK
    root = world.come("root", key=ROOT)
    assert root.do("ban", None, "dora", HOUR, "go")[0] == OK
    assert dora.ended() == "banned"
    assert code(world.greet("dora")[1]) == "banned"
    assert code(world.greet("frank")[1]) == OK


def test_nobody_kicks_an_equal_or_acts_for_the_gateway() -> None:
    world = Door(RULES + 'send = ["web", "anna"]')
    anna, eve = world.come("anna", "General"), world.come("eve", "General")
    assert code(anna.do("kick", "General", "root", "")) == "not_allowed"
    assert code(eve.send("General", "as the gateway")) == "not_allowed", "the gateway's rights are its own"


def test_bounds_are_each_users_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zchat.broker.limits.USER_SESSIONS", 2)
    world = Door(RULES.replace("[[", "[limits]\nmessages = 1\n[[", 1))
    eve, dora = world.come("eve", "General"), world.come("dora", "General")
    world.come("eve")
    assert code(world.greet("eve")[1]) == "limit_reached"
    world.come("frank")
    assert eve.send("General", *range(20))[0] == OK
    assert code(eve.send("General", "more")) == "busy"
    assert dora.send("General", "mine")[0] == OK
    accounts = {each.user: each.account for each in world.sessions.values()}
    assert accounts["eve"] is not accounts["dora"]
    assert accounts["eve"] is world.core.shares.account("eve")


def test_the_audit_log_names_the_gateway() -> None:
    world = Door()
    anna, _ = world.come("anna", "General"), world.come("alice", "General", key=ALICE)
    web = world.come("web")
    anna.do("kick", "General", "alice", "")
    anna.do("bye")
    web.do("bye")
    root = world.come("root", key=ROOT)
    root.do("ban", None, "anna", 0, "")
    world.greet("anna")
    lines = [
        (line.event, line.fields.get("by", line.fields.get("user")), line.fields.get("via"))
        for line in world.recorded()
    ]
    assert lines == [
        ("let_in", "anna", "web"), ("let_in", "Alice", None), ("let_in", "web", None), ("kick", "anna", "web"),
        ("session_ended", "anna", "web"), ("session_ended", "web", None), ("let_in", "root", None),
        ("ban", "root", None), ("turned_away", "anna", "web"),
    ]  # fmt: skip
