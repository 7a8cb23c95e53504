"""Rights: what is asked of them, once a command, before anything is carried out."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.broker.driver import Clock, LateStore, Peer, World
from zchat.broker.core import access, moderation
from zchat.broker.core.access import Access
from zchat.broker.figures.prometheus import FigureCollector
from zchat.broker.guard.gate import Gate
from zchat.broker.guard.rules_text import parse
from zchat.broker.port import Peer as Stranger
from zchat.broker.rooms.room import Room
from zchat.errors import Malformed
from zchat.wire.commands import COMMANDS, Right, Target
from zchat.wire.limits import LOG
from zchat.wire.notices import OK

ASKED: dict[str, tuple[tuple[Any, ...], Right, str | None]] = {
    "join": (("New", 9, None, 0, True), Right.JOIN, "New"),
    "send": (("GENERAL", 1, b"\x91\x01"), Right.SEND, "General"),
    "history": (("General", None, None, 1), Right.READ, "General"),
    "mark": (("general", 1), Right.READ, "General"),
    "members": (("General", None, 1), Right.MEMBERS, "General"),
    "stats": ((), Right.STATS, None),
}
"""For each answered command with a right: its fields, the right, and the room that it is asked for."""


class Rules:
    """Note what is asked, and refuse it if it is to."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Right, str | None]] = []
        self.refusing = False

    def check(self, peer: Stranger, right: Right, room: Room | None, name: str) -> None:
        self.asked.append((peer.user, right, None if room is None else room.name))
        if self.refusing:
            raise Malformed("you may not", code="malformed")

    def may(self, user: str, right: Right, room: Room) -> bool:
        if right is not Right.SEND:  # what is sent, not what is asked
            return True
        self.asked.append((user, right, room.name))
        return not self.refusing


@pytest.fixture
def rules(monkeypatch: pytest.MonkeyPatch) -> Rules:
    rules = Rules()
    monkeypatch.setattr(Access, "check", lambda _, *asked: rules.check(*asked))
    monkeypatch.setattr(Access, "check_at_broker", lambda _, peer, right: rules.check(peer, right, None, ""))
    monkeypatch.setattr(Access, "may", lambda _, *asked: rules.may(*asked))
    return rules


def test_every_command_with_a_right_is_tried_here() -> None:
    there = {word for word, spec in COMMANDS.items() if spec.right not in (Right.NOTHING, Right.MODERATE)}
    assert there == {*ASKED, "typing"}


@pytest.mark.parametrize("word", ASKED)
def test_a_right_is_asked_for_once_with_the_user_and_the_room_itself(word: str, world: World, rules: Rules) -> None:
    alice = Peer(world, "Alice")
    alice.join("General")
    rules.asked.clear()
    fields, right, room = ASKED[word]
    assert alice.do(word, *fields)[0] == OK
    assert rules.asked == [("alice", right, room)]


@pytest.mark.parametrize("word", ASKED)
def test_what_is_not_allowed_is_refused_and_changes_nothing(word: str, world: World, rules: Rules) -> None:
    alice = Peer(world, "alice")
    alice.join("General")
    rules.refusing = True
    assert alice.do(word, *ASKED[word][0])[2:4] == ["malformed", "you may not"]
    assert "new" not in world.rooms
    assert world.rooms["general"].last == 0
    world.check()


def test_typing_where_it_is_not_allowed_is_shown_to_nobody(world: World, rules: Rules) -> None:
    alice = Peer(world, "alice")
    alice.join("General")
    rules.refusing = True
    alice.tell("typing", "General", True)
    assert rules.asked[-1] == ("alice", Right.SEND, "General")
    roster = world.rooms["general"].roster
    assert roster is not None
    assert not roster.typing


def test_a_user_who_has_not_joined_a_room_learns_first_what_is_not_allowed(world: World, rules: Rules) -> None:
    alice = Peer(world, "alice")
    alice.tell("typing", "General", True)
    assert rules.asked == []
    assert alice.do("send", "General", 1, b"\x91\x01")[2] == "not_a_member"
    assert rules.asked == [("alice", Right.SEND, "General")]
    rules.refusing = True
    assert alice.do("send", "General", 1, b"\x91\x01")[2] == "malformed"


def test_a_room_is_the_first_field_of_a_command_and_whether_it_is_made_the_last_that_it_needs() -> None:
    for spec in COMMANDS.values():
        names = [field.name for field in spec.fields[: spec.shape.needed] if field.name != "request"]
        assert ("room" in names) == (spec.target is not Target.NOTHING)
        assert spec.target is Target.NOTHING or names[0] == "room"
        assert ("create" in names) == (spec.target is Target.MADE)
        assert spec.target is not Target.MADE or names[-1] == "create"


OPEN = '[[rooms]]\nnames = ["secret*"]\nsee = ["alice"]\n'


def ruled(text: str) -> World:
    return World(gate=Gate(logins=True), rules=parse(text))


def alices_secret(world: World) -> Peer:
    alice = Peer(world, "alice")
    alice.join("Secret")
    alice.send("Secret", "hush")
    return alice


@pytest.mark.parametrize(
    "fields",
    [
        ("join", 1, None, 0, False),
        ("join", 1, None, 0, True),
        ("join", 1, [0, 0], 0, True),
        ("leave", 1),
        ("send", 1, b"\x91\x01"),
        ("history", None, None, 1),
        ("mark", 1),
        ("members", None, 1),
    ],
    ids=str,
)
@pytest.mark.parametrize("name", ["Secret", "SECRET"])
def test_a_room_that_may_not_be_seen_is_answered_byte_for_byte_as_one_that_is_not_there(
    fields: tuple[Any, ...], name: str
) -> None:
    word, *rest = fields
    answers = []
    for there in (True, False):
        world = ruled(OPEN)
        if there:
            alices_secret(world)
        bob = Peer(world, "bob")
        answers.append(bob.do(word, name, *rest))
        assert ("secret" in world.rooms) == there
    assert answers[0] == answers[1]
    assert answers[0][2] == "no_such_room"


SPELT = {"k": "kK\u212a", "s": "sS\u017f", "é": ["é", "É", "e\u0301"], "å": ["å", "\u212b", "a\u030a"], "m": "mM\u200b"}
"""Spellings of letters: others that fold to the same, of which some are in no name, and one that doesn't."""


def spellings(name: str) -> st.SearchStrategy[str]:
    return st.tuples(*(st.sampled_from(SPELT.get(letter, letter)) for letter in name)).map("".join)


COMMANDS_OF_ROOMS: tuple[tuple[str, tuple[Any, ...]], ...] = (
    ("join", (1, None, 0, False)),
    ("join", (1, [0, 0], 0, False)),
    ("leave", (1,)),
    ("send", (1, b"\x91\x01")),
    ("history", (None, None, 1)),
    ("mark", (1,)),
    ("members", (None, 1)),
    ("typing", (True,)),
    ("credit", (1, 1)),
    ("join", (1, None, 0, True)),
)
"""All commands about a room but those of moderation, the one that may make it last."""


@given(
    st.one_of(spellings("smékå"), spellings("@alice\nsmékå"), spellings("@smékå\nalice"), spellings("smékå ")),
    st.booleans(),
)
@example("smé\u212aå", True)
@example("@alice\nsmé\u212aå", False)
def test_no_spelling_of_a_name_tells_of_a_room_that_may_not_be_seen(name: str, rules: bool) -> None:
    of_rooms = {word for word, spec in COMMANDS.items() if spec.target is not Target.NOTHING}
    assert {word for word, _ in COMMANDS_OF_ROOMS} == of_rooms - set(moderation.HANDLERS)
    hidden = ["Smékå", "@alice\nsmékå"] if rules else ["@alice\nsmékå"]
    answers = []
    for there in (True, False):
        world = ruled('[[rooms]]\nnames = ["s*"]\nsee = ["alice"]\n' if rules else "")
        alice, bob = Peer(world, "alice"), Peer(world, "bob")
        for room in hidden if there else ():
            alice.join(room)
            alice.send(room, "hush")
        before = len(world.port.frames[bob.id])
        for word, fields in COMMANDS_OF_ROOMS:
            if COMMANDS[word].answered:
                bob.do(word, name, *fields)
            else:
                bob.tell(word, name, *fields)
        answers.append(world.port.frames[bob.id][before:])
    assert answers[0] == answers[1]


def test_what_may_not_be_seen_is_in_no_list_and_no_figures() -> None:
    world = ruled('stats = ["bob", "alice"]\n' + OPEN)
    alice, bob = alices_secret(world), Peer(world, "bob")
    bob.join("General")
    bob.send("General", "hello")
    late = Peer(world, "alice", window=1)
    for room in ("Secret", "General"):
        late.join(room)
        for _ in range(3):
            (alice if room == "Secret" else bob).send(room, "more")
    world.pass_time(5)
    seen = {}
    for peer in (alice, bob):
        *_, lagging, _, busiest = peer.do("stats")
        seen[peer.user] = {row[0] for row in lagging}, {row[0] for row in busiest}
    assert seen == {"alice": ({"Secret", "General"}, {"Secret", "General"}), "bob": ({"General"}, {"General"})}
    everybody = world.core.figures()
    assert {lag.room for lag in everybody.lagging} == {row.room for row in everybody.busiest} == {"General"}
    assert [row[0] for row in bob.do("rooms", None, 100)[2] if row[0] == "Secret"] == []
    assert alice.do("rooms", "scifi", 1)[2][0][0] == "Secret"


def test_a_room_that_nobody_has_made_is_in_no_figures_for_everybody_if_not_everybody_may_see_it() -> None:
    world = ruled('[[rooms]]\nnames = ["general"]\nsee = ["alice"]')
    alice, late = Peer(world, "alice"), Peer(world, "alice", window=1)
    for peer in (alice, late):
        peer.join("General")
        peer.join("Elsewhere")
    for text in ("one", "two", "three"):
        alice.send("General", text)
        alice.send("Elsewhere", text)
    world.pass_time(5)
    assert {lag.room for lag in world.core.lag.furthest} == {"General", "Elsewhere"}
    everybody = world.core.figures()
    assert {lag.room for lag in everybody.lagging} == {row.room for row in everybody.busiest} == {"Elsewhere"}
    shown = {
        sample.labels["room"]
        for family in FigureCollector(world.core.figures).collect()
        for sample in family.samples
        if "room" in sample.labels
    }
    assert shown == {"Elsewhere"}


def test_who_has_made_a_room_owns_it_until_it_is_gone() -> None:
    world = ruled('[[rooms]]\nnames = ["*"]\nsend = ["nobody"]\ncreate = ["everybody"]')
    bob, carol = Peer(world, "bob"), Peer(world, "carol")
    bob.join("Bobs")
    carol.join("Bobs")
    assert bob.send("Bobs", "mine")[0] == OK
    assert carol.send("Bobs", "mine too")[2] == "not_allowed"
    bob.join("Empty")
    bob.leave("Empty")
    carol.join("Empty")
    assert carol.send("Empty", "mine")[0] == OK
    bob.join("Empty")
    assert bob.send("Empty", "no longer mine")[2] == "not_allowed"
    world.check()


def test_a_room_that_always_exists_has_no_maker() -> None:
    world = ruled('[[rooms]]\nnames = ["*"]\nsend = ["nobody"]\ncreate = ["everybody"]')
    bob = Peer(world, "bob")
    bob.join("General")
    assert bob.send("General", "mine?")[2] == "not_allowed"


WITHHELD = '[[rooms]]\nnames = ["*"]\nread = ["alice"]\ncreate = ["everybody"]'


def said_before() -> tuple[World, Peer, Peer, int]:
    """Return alice, who has sent something, and bob, who may not read that, with the epoch of its log."""
    world = ruled(WITHHELD)
    alice, bob = Peer(world, "alice"), Peer(world, "bob")
    alice.join("General")
    alice.send("General", "before")
    return world, alice, bob, world.rooms["general"].epochs.current


def test_who_may_not_read_is_sent_what_is_said_while_there_over_lost_connections_too() -> None:
    world, alice, bob, epoch = said_before()
    bob.join("General", (0, 0))
    assert [gap[3:6] for gap in bob.gaps["General"]] == [[0, 1, "withheld"]]
    alice.send("General", "while there")
    assert bob.texts() == ["while there"]
    bob.reconnect()
    alice.send("General", "meanwhile")
    bob.join("General", (epoch, 2))
    assert bob.texts() == ["while there", "meanwhile"]
    bob.reconnect()
    bob.join("General", (0, 0))  # as one that forgot what it had
    assert [gap[3:6] for gap in bob.gaps["General"]] == [[0, 1, "withheld"]] * 2
    assert bob.texts() == ["while there", "meanwhile", "while there", "meanwhile"]
    world.check()


def test_who_leaves_or_comes_with_another_session_begins_anew() -> None:
    world, alice, bob, epoch = said_before()
    bob.join("General")
    bob.leave("General")
    alice.send("General", "not there")
    bob.join("General", (epoch, 1))
    other = Peer(world, "bob")
    other.join("General", (epoch, 1))
    assert bob.texts() == other.texts() == []
    assert bob.gaps["General"][-1][3:6] == other.gaps["General"][-1][3:6] == [1, 2, "withheld"]
    world.check()


def test_what_is_known_of_the_rooms_that_a_session_was_in_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "MAX_MEMBERSHIPS", 5)
    world = ruled(WITHHELD)
    bob = Peer(world, "bob")
    (session,) = world.sessions.values()
    for number in range(30):
        bob.join(f"r{number}")
        if number % 3 == 2:
            bob.reconnect()
            assert len(session.floors) <= 10
    bob.join("last")
    assert session.floors["last"] == 0


def test_a_position_that_is_to_be_located_is_judged_by_the_rules_of_the_moment_when_it_is() -> None:
    clock = Clock()
    store = LateStore(clock)
    world = World(store=store, gate=Gate(logins=True), rules=parse(""))
    bob = Peer(world, "bob")
    store.behind = store.holding = True
    request = bob.ask("join", "General", 1, [7, 7], 0, True)
    world.core.revise(parse('[[rooms]]\nnames = ["*"]\njoin = ["nobody"]'))
    world.run()
    store.holding = False
    world.run()
    assert bob.replies[request][2] == "not_allowed"
    assert not world.rooms["general"].members
    world.check()


def test_a_room_has_as_many_members_as_the_rules_allow_and_who_comes_back_has_a_place() -> None:
    world = ruled('operators = ["zoe"]\n[[rooms]]\nnames = ["general"]\nmost = 2\ncreate = ["everybody"]')
    alice, bob, carol, zoe = (Peer(world, user) for user in ("alice", "bob", "carol", "zoe"))
    assert [peer.join("General")[0] for peer in (alice, bob)] == [OK, OK]
    assert carol.join("General")[2] == "limit_reached"
    assert carol.join("Elsewhere")[0] == OK
    assert zoe.join("General")[0] == OK, "a moderator gets in"
    bob.reconnect()
    assert carol.join("General")[2] == "limit_reached"
    assert bob.join("General")[0] == OK
    assert bob.join("General")[0] == OK, "again"
    alice.leave("General")
    zoe.leave("General")
    assert carol.join("General")[0] == OK
    world.check()


def test_of_those_that_come_back_and_those_that_came_meanwhile_a_room_has_no_more_than_the_rules_allow() -> None:
    world = ruled('[[rooms]]\nnames = ["general"]\nmost = 3\ncreate = ["everybody"]')
    alice, bob, carol, dave = (Peer(world, user) for user in ("alice", "bob", "carol", "dave"))
    assert [peer.join("General", flags=flags)[0] for peer, flags in ((alice, None), (bob, None), (carol, LOG))] == [
        OK
    ] * 3
    for peer in (alice, bob):
        peer.reconnect()
    assert dave.join("General")[2] == "limit_reached"
    assert [peer.join("General")[0] for peer in (alice, bob)] == [OK, OK]
    carol.leave("General")
    assert dave.join("General")[0] == OK
    assert carol.join("General", flags=LOG)[2] == "limit_reached"
    alice.reconnect()
    for _ in range(14):  # until it has lost its place
        world.pass_time(0.5)
        for peer in (alice, bob, carol, dave):
            peer.tell("ping")
    assert carol.join("General", flags=LOG)[0] == OK
    assert alice.join("General")[2] == "limit_reached"
    world.check()


def test_a_room_may_have_smaller_messages_than_the_broker() -> None:
    world = ruled('[[rooms]]\nnames = ["general"]\nmax_message = 10\n[[rooms]]\nnames=["*"]\nmax_message = "1 MiB"')
    bob = Peer(world, "bob")
    for room in ("General", "Movies", "@alice\nbob"):
        bob.join(room)
    assert bob.send("General", "x" * 9)[0] == OK
    assert bob.send("General", "x" * 10)[2] == "message_too_large"
    assert bob.send("Movies", "x" * 10)[0] == bob.send("@alice\nbob", "x" * 10)[0] == OK
    world.check()
