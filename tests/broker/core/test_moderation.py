"""Moderation, command by command: what the user meets from then on."""

from __future__ import annotations

from typing import Any

import pytest

from tests.broker.core.moderating import HOUR, RULES, Place, code
from tests.broker.driver import Clock, LateStore, Peer
from zchat.broker.limits import AUDIT_LINES
from zchat.broker.rooms.wall_clock import SECOND
from zchat.wire.limits import LOG
from zchat.wire.notices import ERROR, OK

# -- kick ------------------------------------------------------------------------------------------


def test_who_is_kicked_is_out_in_all_of_its_sessions_and_may_come_back() -> None:
    world = Place()
    anna, one, two = world.peer("anna", "Ops"), world.peer("bob", "Ops", "Other"), world.peer("Bob", "Ops")
    away = world.peer("bob", "Other")
    assert anna.do("kick", "OPS", "BOB", "spam")[2:] == [2]
    for peer in (one, two):
        assert peer.removed() == [["Ops", peer.joins["Ops"], "kicked", "spam", "anna", 0]]
        assert peer.ended() is None
    assert away.removed() == []
    assert set(anna.pictures["Ops"].people or ()) == {"anna"}
    assert code(one.send("Ops", "still?")) == "not_a_member"
    assert code(one.send("Other", "here")) == OK
    anna.send("Ops", "among us")
    assert one.texts("Ops") == []
    assert code(one.join("Ops", create=False)) == OK
    world.check()


def test_a_session_of_version_1_is_ended_so_that_it_comes_back_for_its_other_rooms() -> None:
    world = Place()
    anna, bob = world.peer("anna", "Ops"), world.peer("bob", "Ops", "Other", version=1)
    assert anna.do("kick", "Ops", "bob", "spam")[2:] == [1]
    assert [notice for notice in bob.other if notice[0] == "end"] == [
        ["end", "kicked", "anna has put you out of 'Ops': spam", True]
    ]
    bob.reconnect()
    assert code(bob.join("Other")) == OK
    world.check()


def test_who_is_not_there_is_not_kicked() -> None:
    world = Place()
    anna = world.peer("anna", "Ops")
    world.peer("bob", "Other")
    for user in ("bob", "nobody", "guest-1a2b3c4d"):
        assert anna.do("kick", "Ops", user, "")[2:] == [0]


def test_what_comes_for_a_membership_that_has_ended_changes_nothing() -> None:
    world = Place()
    anna, bob = world.peer("anna", "Ops"), world.peer("bob", "Ops")
    anna.send("Ops", "one")
    anna.do("kick", "Ops", "bob", "")
    bob.tell("credit", "Ops", bob.joins["Ops"], 1)
    bob.tell("typing", "Ops", True)
    assert [notice for notice in bob.other if notice[0] == ERROR] == []
    roster = world.rooms["ops"].roster
    assert roster is not None
    assert not roster.typing
    world.check()


def test_a_lost_connection_keeps_nobody_in_the_room_that_it_was_put_out_of() -> None:
    world = Place()
    anna, bob = world.peer("anna", "Ops"), world.peer("bob", "Ops")
    bob.reconnect()  # and has not joined again yet
    assert anna.do("kick", "Ops", "bob", "")[2:] == [1]
    assert set(anna.pictures["Ops"].people or ()) == {"anna"}
    assert bob.removed() == [], "it has no membership over this connection"
    world.check()


def test_the_word_of_it_waits_for_a_full_pipe_and_comes_before_what_is_answered_then() -> None:
    world = Place()
    anna, bob = world.peer("anna", "Ops"), world.peer("bob", "Ops", "Other")
    world.port.full.add(bob.id)
    anna.do("kick", "Ops", "bob", "")
    for _ in range(16):
        bob.ask("stats")
    world.port.full.clear()
    world.pass_time(5)
    assert [notice[2] for notice in bob.removed()] == ["kicked"]
    assert bob.ended() is None, "it is no answer, so that sixteen may be open beside it"
    assert len([reply for reply in bob.replies.values() if reply[0] == ERROR]) == 16
    world.check()


# -- ban -------------------------------------------------------------------------------------------


def banned_from(peer: Peer, room: str) -> dict[str, str]:
    answers = {
        "join": peer.do("join", room, 90, None, 0, True),
        "send": peer.do("send", room, 1, b"\x91\x01"),
        "history": peer.do("history", room, None, None, 1),
        "mark": peer.do("mark", room, 1),
        "members": peer.do("members", room, None, 10),
    }
    return {word: code(answer) for word, answer in answers.items()}


def test_who_is_banned_is_out_and_does_nothing_there_until_it_is_over() -> None:
    world = Place()
    anna, bob = world.peer("anna", "Ops"), world.peer("bob", "Ops", "Other")
    answer = anna.do("ban", "Ops", "Bob", HOUR, "spam")
    until = world.clock.time + HOUR * SECOND
    assert answer[2:] == [until]
    assert bob.removed() == [["Ops", bob.joins["Ops"], "banned", "spam", "anna", until]]
    assert set(banned_from(bob, "OPS").values()) == {"banned"}
    refusal = bob.join("Ops")
    assert refusal[3] == "you are banned from 'Ops' until 2023-11-14 23:13:20 UTC, by anna: spam"
    assert refusal[4:6] == [False, until // SECOND]
    assert "Ops" in [row[0] for row in bob.do("rooms", None, 10)[2]]
    assert code(bob.send("Other", "here")) == OK
    world.check()


def test_a_ban_ends_at_the_time_that_was_said_and_not_before() -> None:
    world = Place()
    anna, bob = world.peer("anna", "Ops"), world.peer("bob")
    anna.do("ban", "Ops", "bob", 2, "")
    begun = world.now
    for moment, expected in ((1.999999, "banned"), (2.0, OK)):
        world.now = begun + moment
        world.clock.time = 1_700_000_000_000_000 + int(moment * SECOND)
        assert code(bob.do("history", "Ops", None, None, 1)) == expected, moment


def test_a_ban_for_ever_has_no_end_and_says_so() -> None:
    world = Place()
    anna, bob = world.peer("anna", "Ops"), world.peer("bob")
    assert anna.do("ban", "Ops", "bob", 0, "")[2:] == [0]
    refusal = bob.join("Ops")
    assert (refusal[3], refusal[5]) == ("you are banned from 'Ops' for ever, by anna", 0)


def test_an_unban_lets_in_again_and_says_whether_there_was_a_ban() -> None:
    world = Place()
    anna, bob = world.peer("anna", "Ops"), world.peer("bob")
    anna.do("ban", "Ops", "bob", 0, "")
    assert anna.do("unban", "ops", "BOB")[2:] == [True]
    assert code(bob.join("Ops")) == OK
    assert anna.do("unban", "Ops", "bob")[2:] == [False]
    anna.do("ban", "Ops", "bob", 1, "")
    world.clock.time += 2 * SECOND
    world.now += 2
    assert anna.do("unban", "Ops", "bob")[2:] == [False], "it is over"
    world.check()


def test_a_second_ban_replaces_the_first() -> None:
    world = Place()
    anna, bob = world.peer("anna", "Ops"), world.peer("bob")
    anna.do("ban", "Ops", "bob", 0, "one")
    until = anna.do("ban", "Ops", "bob", HOUR, "two")[2]
    assert bob.join("Ops")[5] == until // SECOND
    assert [row[7] for row in anna.do("sanctions", "Ops", None, 10)[2]] == ["two"]


def test_a_user_who_was_never_seen_can_be_banned_and_a_ban_outlives_the_users_and_the_room() -> None:
    world = Place()
    anna = world.peer("anna", "Ops")
    anna.do("ban", "Ops", "mallory", 0, "")
    anna.leave("Ops")
    assert "ops" in world.rooms, "its sanctions are kept with it"
    assert code(world.peer("mallory").join("Ops")) == "banned"
    anna.do("unban", "Ops", "mallory")
    assert "ops" not in world.rooms, "nothing is left of it"
    world.check()


def test_what_was_accepted_before_a_ban_is_stored_and_answered_and_nothing_after_it() -> None:
    store = LateStore(Clock())
    world = Place(store=store)
    anna, bob = world.peer("anna", "Ops"), world.peer("bob", "Ops")
    store.holding = True
    before = bob.ask("send", "Ops", 1, b"\x91\xa3one")
    ban = anna.ask("ban", "Ops", "bob", 0, "")
    amid = bob.ask("send", "Ops", 2, b"\x91\xa3two")
    world.turn()
    assert bob.replies.get(before) is None
    store.holding = False
    world.run()
    assert [code(bob.replies[each]) for each in (before, amid)] == [OK, OK], "accepted before the ban was in force"
    assert code(anna.replies[ban]) == OK
    assert code(bob.do("send", "Ops", 3, b"\x91\xa5three")) == "banned"
    assert anna.texts("Ops") == ["one", "two"]
    world.check()


@pytest.mark.parametrize(
    ("word", "fields", "expected"),
    [("ban", ("bob", 0, ""), "banned"), ("mute", ("bob", 0, ""), "muted"), ("close", ("",), "room_closed")],
)
def test_a_block_that_takes_long_to_check_meets_what_is_in_force_in_the_end(
    word: str, fields: tuple[Any, ...], expected: str
) -> None:
    world = Place()
    anna, bob = world.peer("anna", "Ops"), world.peer("bob", "Ops")
    world.resumes = False
    asked = bob.ask("send", "Ops", 1, b"\x91\xdd\x00\x00\xff\x00" + b"\x90" * 0xFF00)
    assert code(anna.do(word, "Ops", *fields)) == OK
    assert bob.replies.get(asked) is None
    while world.core.resume(world.now, idle=True) is not None:
        pass
    bob.read()
    assert code(bob.replies[asked]) == expected
    assert world.rooms["ops"].last == 0


@pytest.mark.parametrize("lifted", [False, True])
def test_a_join_that_waits_for_the_store_meets_what_is_in_force_then(lifted: bool) -> None:
    store = LateStore(Clock())
    world = Place(store=store)
    anna, bob = world.peer("anna", "Ops"), world.peer("bob")
    anna.send("Ops", "one")
    store.behind = True
    waiting = bob.ask("join", "Ops", 1, (0, 5), 0, True)
    store.behind = False
    assert bob.replies.get(waiting) is None
    ban = anna.ask("ban", "Ops", "bob", 0, "")
    if lifted:
        anna.ask("unban", "Ops", "bob")
    bob.joins["Ops"] = 1
    bob.covered["Ops"] = 5
    bob.notified["Ops"] = 0
    world.run()
    assert code(anna.replies[ban]) == OK
    assert code(bob.replies[waiting]) == (OK if lifted else "banned")
    assert bob.removed() == []
    world.check()


def test_requests_that_wait_until_others_are_read_meet_the_ban() -> None:
    world = Place()
    anna, bob = world.peer("anna", "Ops"), world.peer("bob", "Ops")
    session = world.sessions[bob.id]
    session.answered = 1 << 30  # much was answered, and nothing of it read for certain
    waiting = bob.ask("history", "Ops", None, None, 1)
    assert bob.replies.get(waiting) is None
    anna.do("ban", "Ops", "bob", 0, "")
    session.proven = session.answered
    world.core._ask_again(session)
    bob.read()
    assert code(bob.replies[waiting]) == "banned"


# -- the broker as a whole -------------------------------------------------------------------------


def test_who_is_banned_from_the_broker_is_out_of_it_and_is_refused_at_the_next_greeting() -> None:
    world = Place()
    root, sessions = world.peer("root"), [world.peer("bob", "Ops"), world.peer("BOB", version=1)]
    until = root.do("ban", None, "Bob", HOUR, "a flood")[2]
    text = "you are banned from this broker until 2023-11-14 23:13:20 UTC, by root: a flood"
    for peer, detail in zip(sessions, ([until // SECOND], []), strict=True):
        assert [notice for notice in peer.other if notice[0] == "end"] == [["end", "banned", text, False, *detail]]
    late = Peer(world, "bob", greet=False, version=2)
    refusal = late.greet()
    assert (refusal[2], refusal[5]) == ("banned", until // SECOND)
    assert world.port.cuts[-1][0] == late.id, "it is cut once it has read why"
    assert root.do("unban", None, "BOB")[2:] == [True]
    assert late.greet()[0] == OK
    world.check()


def test_an_operator_lists_what_is_imposed_on_the_broker_as_a_whole() -> None:
    world = Place()
    root = world.peer("root", "Ops")
    root.do("ban", "Ops", "bob", 0, "")
    root.do("ban", None, "carol", 0, "why")
    assert root.do("sanctions", None, None, 10)[2:] == [
        [[2, None, "carol", "ban", 0, "root", world.clock.time, "why"]],
        False,
    ]


# -- mute ------------------------------------------------------------------------------------------


def test_who_is_muted_stays_and_reads_and_says_nothing() -> None:
    world = Place()
    anna, bob = world.peer("anna", "Ops"), world.peer("bob", "Ops")
    until = anna.do("mute", "Ops", "bob", HOUR, "cool down")[2]
    refusal = bob.send("Ops", "but")
    assert refusal[2:6] == [
        "muted",
        "you are muted in 'Ops' until 2023-11-14 23:13:20 UTC, by anna: cool down",
        False,
        until // SECOND,
    ]
    bob.tell("typing", "Ops", True)
    roster = world.rooms["ops"].roster
    assert roster is not None
    assert not roster.typing
    anna.send("Ops", "one")
    assert bob.texts("Ops") == ["one"]
    assert code(bob.do("mark", "Ops", 1)) == OK
    assert anna.do("unmute", "Ops", "bob")[2:] == [True]
    assert code(bob.send("Ops", "thanks", number=1)) == OK
    world.check()


# -- close -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("rules", [RULES, None])
@pytest.mark.parametrize("flags", [None, LOG])
def test_in_a_closed_room_a_member_has_its_place_while_its_session_lasts(flags: int | None, rules: str | None) -> None:
    world = Place(rules)
    anna, bob, carol = world.peer("anna", "Ops"), world.peer("bob"), world.peer("carol")
    for peer in (bob, carol):
        peer.join("Ops", flags=flags)
    anna.do("close", "Ops", "")
    bob.reconnect()
    assert code(bob.join("Ops", flags=flags)) == OK
    bob.reconnect()
    for _ in range(14):
        world.pass_time(0.5)
        for peer in (anna, bob, carol):
            peer.tell("ping")
    assert code(bob.join("Ops", flags=flags)) == OK
    bob.leave("Ops")
    anna.do("kick", "Ops", "carol", "")
    other = world.peer("bob")
    assert {code(peer.join("Ops", flags=flags)) for peer in (bob, carol, other)} == {"room_closed"}
    world.check()


@pytest.mark.parametrize("flags", [None, LOG])
def test_into_a_closed_room_who_has_read_it_comes_back_however_long_that_was_away(flags: int | None) -> None:
    world = Place(RULES)
    anna, bob, carol = world.peer("anna", "Ops"), world.peer("bob"), world.peer("carol")
    bob.join("Ops", flags=flags)
    anna.send("Ops", "one")
    epoch = world.rooms["ops"].epochs.current
    anna.do("close", "Ops", "")
    again = world.peer("bob")
    assert code(again.join("Ops", (epoch, 0), flags=flags)) == OK
    assert again.texts("Ops") == ["one"]
    assert code(again.send("Ops", "but")) == "room_closed"
    for position in ((0, 0), (epoch + 1, 0), None):
        assert code(carol.join("Ops", position, flags=flags)) == "room_closed"
    world.check()


def test_in_a_closed_room_who_is_there_stays_and_owners_and_operators_alone_speak_or_come() -> None:
    world = Place()
    anna, bob, carol = world.peer("anna", "Ops"), world.peer("bob", "Ops"), world.peer("carol")
    assert anna.do("close", "Ops", "we are done")[2:] == [True]
    assert anna.do("close", "Ops", "really")[2:] == [False]
    assert bob.send("Ops", "but")[2:4] == ["room_closed", "'Ops' is closed, by anna: really"]
    assert code(carol.join("Ops")) == "room_closed"
    assert code(carol.do("history", "Ops", None, None, 1)) == OK
    assert code(anna.send("Ops", "one")) == OK
    assert code(world.peer("root").join("Ops")) == OK
    assert bob.texts("Ops") == ["one"]
    bob.reconnect()
    assert code(bob.join("Ops")) == OK, "it was there before its connection was lost"
    bob.leave("Ops")
    assert code(bob.join("Ops")) == "room_closed"
    assert bob.do("open", "Ops")[2] == "not_allowed"
    assert [anna.do("open", "Ops")[2] for _ in range(2)] == [True, False]
    assert code(bob.join("Ops")) == OK
    world.check()


# -- the list --------------------------------------------------------------------------------------


def test_the_list_has_what_is_in_force_in_the_order_in_which_it_was_imposed(monkeypatch: pytest.MonkeyPatch) -> None:
    world = Place()
    anna = world.peer("anna", "Ops", "Other")
    at = world.clock.time
    anna.do("ban", "Ops", "zoe", 0, "a")
    anna.do("mute", "Other", "zoe", 0, "elsewhere")
    anna.do("mute", "Ops", "Bob", HOUR, "b")
    anna.do("close", "Ops", "c")
    anna.do("ban", "Ops", "carol", 1, "soon over")
    rows = [
        [1, "Ops", "zoe", "ban", 0, "anna", at, "a"],
        [3, "Ops", "Bob", "mute", at + HOUR * SECOND, "anna", at, "b"],
        [4, "Ops", "", "closed", 0, "anna", at, "c"],
    ]
    assert anna.do("sanctions", "Ops", None, 10)[2:] == [
        [*rows, [5, "Ops", "carol", "ban", at + SECOND, "anna", at, "soon over"]],
        False,
    ]
    world.clock.time += SECOND
    world.now += 1
    assert anna.do("sanctions", "ops", None, 10)[2:] == [rows, False]
    assert anna.do("sanctions", "Ops", None, 2)[2:] == [rows[:2], True]
    assert anna.do("sanctions", "Ops", 3, 2)[2:] == [rows[2:], False]
    monkeypatch.setattr("zchat.broker.core.moderation.SANCTIONS_PAGE", 1)
    assert anna.do("sanctions", "Ops", None, 10)[2:] == [rows[:1], True]
    assert anna.do("sanctions", "Ops", None, 0)[2:] == [rows[:1], True]


def test_a_page_that_the_store_is_reading_is_not_sent_to_who_is_banned_by_then() -> None:
    store = LateStore(Clock())
    world = Place(store=store)
    anna, bob = world.peer("anna", "Ops"), world.peer("bob", "Ops")
    anna.send("Ops", "for members")
    history = bob.ask("history", "Ops", None, None, 10)
    anna.ask("ban", "Ops", "bob", 0, "")
    world.run()
    assert bob.replies[history][2] == "banned"
    world.check()


# -- the record ------------------------------------------------------------------------------------


def test_what_was_done_and_what_was_refused_is_recorded() -> None:
    world = Place()
    anna, bob = world.peer("anna", "Ops"), world.peer("bob", "Ops")
    world.core.audit.take(world.now)
    until = anna.do("ban", "Ops", "zoe", HOUR, "spam")[2]
    bob.do("kick", "Ops", "anna", "no")
    anna.do("unban", "Ops", "zoe")
    anna.do("unban", "Ops", "zoe")  # changes nothing, as the next
    anna.do("kick", "Ops", "nobody", "")
    lines = [(line.event, line.fields) for line in world.core.audit.take(world.now)]
    assert lines == [
        ("ban", {"by": "anna", "room": "Ops", "user": "zoe", "until": until, "reason": "spam"}),
        (
            "refused",
            {
                "by": "bob",
                "command": "kick",
                "room": "Ops",
                "user": "anna",
                "reason": "not_allowed",
                "text": "you may not moderate 'Ops': ask 'anna', who may",
            },
        ),
        ("unban", {"by": "anna", "room": "Ops", "user": "zoe"}),
    ]


def test_of_who_may_not_moderate_no_more_of_a_name_is_recorded_than_names_have() -> None:
    world = Place()
    world.peer("anna", "Ops")
    bob = world.peer("bob", "Ops")
    world.core.audit.take_all()
    bob.do("ban", "Ops", "x" * 3000, 0, "")
    [line] = world.core.audit.take_all()
    assert line.fields["user"] == "x" * 64


def test_an_owner_that_is_banned_and_moderates_all_the_same_is_recorded() -> None:
    world = Place()
    root, anna = world.peer("root"), world.peer("anna", "Ops")
    root.do("ban", "Ops", "anna", 0, "")
    world.core.audit.take_all()
    assert code(anna.do("kick", "Ops", "bob", "")) == "banned"
    [line] = world.core.audit.take_all()
    assert (line.event, line.fields["by"], line.fields["reason"]) == ("refused", "anna", "banned")


def test_what_all_makers_of_rooms_do_there_keeps_nothing_of_an_operators_off_the_record() -> None:
    world = Place()
    root, anna = world.peer("root"), world.peer("anna", "Ops")
    world.core.audit.take_all()
    world.core.audit.used = AUDIT_LINES
    anna.do("ban", "Ops", "bob", 0, "")
    root.do("ban", None, "anna", 0, "")
    lines = [(line.event, line.fields.get("by")) for line in world.core.audit.take_all()]
    assert lines == [("ban", "root"), ("left_out", None)]


def test_the_greetings_of_who_is_banned_are_recorded_as_turned_away() -> None:
    world = Place()
    world.peer("root").do("ban", None, "bob", HOUR, "a flood")
    world.core.audit.take_all()
    late = Peer(world, "bob", greet=False, version=2)
    for _ in range(3):
        late.greet()
    lines = [(line.event, line.fields) for line in world.core.audit.take_all()]
    assert lines == [("turned_away", {"user": "bob", "reason": "banned", "count": 3})]
