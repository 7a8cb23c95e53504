"""Sessions: greeting, resuming, silence, goodbye, and the bounds that end one."""

from __future__ import annotations

from math import inf

import pytest

from tests.broker.driver import LateStore, Peer, World
from tests.frames import decode_notice
from zchat.broker.core import handlers, moderation
from zchat.broker.guard.gate import Gate
from zchat.broker.limits import EXPIRE_AFTER, EXPIRE_EVERY, MAX_REQUESTS, RETRY_MAX, STALL, STRANGER_BYTES
from zchat.broker.port import Cut
from zchat.wire.blocks import messages_of
from zchat.wire.limits import MAX_FRAME
from zchat.wire.notices import ERROR, OK, PUSH
from zchat.wire.values import pack, unpack

# -- greeting --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("oldest", "newest", "agreed"),
    [(1, 1, 1), (1, 2, 2), (2, 2, 2), (0, 9, 2), (2, 9, 2), (0, 1, 1), (3, 9, None), (0, 0, None), (2, 1, None)],
)
def test_broker_and_client_agree_on_the_newest_version_of_both_or_part(
    world: World, oldest: int, newest: int, agreed: int | None
) -> None:
    peer = Peer(world, "alice", greet=False)
    answer = peer.greet(oldest, newest)
    if agreed:
        assert answer[:3] == [OK, 1, agreed]
    else:
        assert (answer[2], answer[4]) == ("version", False)
        assert answer[6:8] == [1, 2]
        assert not world.sessions
    world.check()


def test_a_stranger_gets_nothing_but_no_session(world: World) -> None:
    stranger = Peer(world, "alice", greet=False)
    for fields in (("join", "General", 1, None, 0, True), ("rooms", None, 5), ("bye",), ("leave", "General", 1)):
        assert stranger.do(*fields)[2] == "no_session"
    stranger.tell("ping")
    assert stranger.other[0][:3] == [ERROR, None, "no_session"]
    world.check()


def test_a_long_frame_of_a_stranger_is_refused_undecoded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    stranger = Peer(world, "alice", greet=False)
    monkeypatch.setattr("zchat.broker.core.core.decode_command", pytest.fail)
    hello = ("hello", 1, 1, 1, "alice", stranger.producer, stranger.token, 0)
    world.receive(stranger.id, pack((*hello, b"x" * STRANGER_BYTES)))
    assert [notice[:3] for notice in stranger.read()] == [[ERROR, None, "no_session"]]
    assert world.core.counters.refused["no_session"] == 1
    monkeypatch.undo()
    stranger.user = "\U00020000" * 64
    assert stranger.greet()[0] == OK, "the longest greeting is shorter"


def test_a_message_of_several_frames_is_refused_with_the_limit_of_one(world: World) -> None:
    stranger = Peer(world, "alice", greet=False)
    world.receive(stranger.id, b"\x90", b"\x90")
    [(_, _, code, text, *_)] = stranger.read()
    assert code == "malformed"
    assert f"one frame of {MAX_FRAME} bytes" in text


def test_a_connection_greets_once(world: World) -> None:
    assert Peer(world, "alice").greet()[2] == "malformed"
    assert len(world.sessions) == 1
    world.check()


@pytest.mark.parametrize("user", ["", " alice", "@alice", "a" * 65, "al\x07ice"])
def test_a_user_with_a_bad_name_is_refused(world: World, user: str) -> None:
    assert Peer(world, user, greet=False).greet()[2] == "bad_name"
    assert not world.sessions


@pytest.mark.parametrize("seen", ["as greeted", "as in blocks"])
def test_who_knows_anothers_producer_cant_go_on_in_his_place(world: World, seen: str) -> None:
    alice, bob = Peer(world, "alice"), Peer(world, "bob")
    alice.join("General")
    bob.join("General")
    assert alice.send("General", "one")[0] == OK
    block = next(notice for notice in map(decode_notice, world.port.frames[bob.id]) if notice[0] == PUSH)[5][0]
    assert block[3] not in (alice.producer, alice.token)
    world.pass_time(EXPIRE_AFTER + 2)
    assert not world.sessions
    mallory = Peer(world, "mallory", greet=False)
    mallory.producer = alice.producer if seen == "as greeted" else block[3]
    assert mallory.greet()[0] == OK
    mallory.join("General")
    assert mallory.send("General", "evil", number=2)[2] == "forgotten"
    assert mallory.send("General", "evil", number=1)[0] == OK
    alice.reconnect()
    alice.join("General")
    assert alice.send("General", "two", number=2)[2:3] == [3]
    bob.reconnect()
    assert [message.body for message in messages_of("General", bob.do("history", "General", 0, None, 9)[7], 0, 9)] == [
        "one",
        "evil",
        "two",
    ]
    world.check()


def test_sessions_have_a_bound_and_who_comes_later_may_try_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zchat.broker.limits.MAX_SESSIONS", 2)
    Peer(world, "alice")
    bob = Peer(world, "bob")
    assert Peer(world, "carol", greet=False).greet()[2:5:2] == ["busy", True]
    bob.do("bye")
    Peer(world, "carol")


def test_one_users_sessions_have_a_bound_and_others_greet_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zchat.broker.limits.USER_SESSIONS", 2)
    world = World(gate=Gate({}))
    first = Peer(world, "alice")
    Peer(world, "ALICE")
    refused = Peer(world, "alice", greet=False).greet()
    assert refused[2:5] == ["limit_reached", "alice has 2 sessions, the most that one user may have", False]
    Peer(world, "bob")
    first.greet()  # a session that comes back is no further one
    first.do("bye")
    Peer(world, "alice")


def test_without_keys_a_name_has_any_number_of_sessions(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zchat.broker.limits.USER_SESSIONS", 1)
    for _ in range(3):
        Peer(world, "alice")


# -- requests --------------------------------------------------------------------------------------


def test_one_unanswered_request_too_many_ends_the_session_with_a_reason() -> None:
    store = LateStore(lambda: 1)
    world = World(store=store)
    peer = Peer(world, "alice")
    peer.join("General")
    store.holding = True
    for number in range(1, MAX_REQUESTS + 1):
        peer.ask("send", "General", number, b"\x91\xa1x")
    assert peer.ended() is None
    peer.ask("rooms", None, 10)
    assert peer.ended() == "too_many_requests"
    assert not world.sessions
    assert not world.rooms["general"].members
    store.holding = False
    world.run()
    assert world.core.settled
    assert world.rooms["general"].last == MAX_REQUESTS, "what was accepted is stored"
    world.check()


def test_malformed_frames_are_refused_and_counted_and_the_session_goes_on(world: World) -> None:
    peer = Peer(world, "alice")
    for frames in ([b"\xc1"], [b""], [], [b"a", b"b"], [b"x" * (3 << 20)], [pack(["nonsense", 1])], [pack(7)]):
        world.receive(peer.id, *frames)
    world.run()
    assert [notice[:3] for notice in peer.other] == [[ERROR, None, "malformed"]] * 7
    assert peer.do("rooms", None, 1)[0] == OK
    world.check()


def test_a_ping_is_answered_with_when_to_ping_again(world: World) -> None:
    peer = Peer(world, "alice")
    peer.tell("ping")
    kind, after = peer.other[-1]
    assert kind == "pong"
    assert 0 < after <= 2000


# -- resuming --------------------------------------------------------------------------------------


def test_a_greeting_with_the_same_token_fences_the_old_connection(world: World) -> None:
    alice, bob = Peer(world, "alice"), Peer(world, "bob")
    alice.join("General")
    bob.join("General")
    old = alice.reconnect()
    assert len(world.sessions) == 2
    assert not any(member.session.user == "alice" for member in world.rooms["general"].members)
    before = len(world.port.frames[old])
    for frame in (pack(("send", 9, "General", 1, b"\x91\xa4late")), pack(("bye", 10)), b"garbage"):
        world.receive(old, frame)
    assert (old, Cut.ENDED) in world.port.cuts, "nothing of it is read any more"
    assert {decode_notice(frame)[0] for frame in world.port.frames[old][before:]} == {ERROR}, "if it were"
    assert world.rooms["general"].last == 0
    assert alice.do("rooms", None, 1)[0] == OK, "the late goodbye ended nothing"
    world.check()


def test_the_old_connection_is_notified_that_it_is_superseded(world: World) -> None:
    alice = Peer(world, "alice")
    old = Peer(world, "alice", greet=False)
    old.id, old.frames_read = alice.id, 1
    alice.reconnect()
    world.run()
    assert old.ended() == "superseded"


def test_a_resumed_session_is_answered_over_its_new_connection_only() -> None:
    store = LateStore(lambda: 1)
    world = World(store=store)
    alice = Peer(world, "alice")
    alice.join("General")
    store.holding = True
    alice.ask("send", "General", 1, b"\x91\xa1x")
    old = alice.id
    frames = len(world.port.frames[old])
    alice.reconnect()
    store.holding = False
    alice.join("General")
    assert len(world.port.frames[old]) == frames + 1, "the end, and no reply"
    again = alice.do("send", "General", 1, b"\x91\xa1x")
    assert (again[0], again[2]) == (OK, 1), "sent again, stored once"
    assert world.core.counters.duplicates == 1
    assert world.rooms["general"].last == 1
    world.check()


def test_a_session_resumes_on_a_connection_though_the_old_one_was_full(world: World) -> None:
    alice, bob = Peer(world, "alice"), Peer(world, "bob")
    for each in (alice, bob):
        each.join("General")
    world.port.full.add(alice.id)
    for _ in range(5):
        alice.ask("rooms", None, 1)
    bob.send("General", "hello")
    alice.id, alice.frames_read = world.new_id(), 0
    request = alice.ask("hello", 1, 1, "alice", alice.producer, alice.token, 0, 2)
    world.pass_time(RETRY_MAX, RETRY_MAX)
    assert alice.replies[request][0] == OK
    alice.join("General", (0, 0))
    assert alice.texts() == ["hello"]
    world.check()


def test_a_greeting_that_a_later_one_overtook_harms_nothing(world: World) -> None:
    alice = Peer(world, "alice")
    alice.reconnect()
    late = world.new_id()
    greeting = ("hello", 1, 1, 1, "alice", alice.producer, alice.token, 0)
    for connection in (1, 2):
        world.receive(late, pack((*greeting, connection)))
    assert [unpack(frame)[:3] for frame in world.port.frames[late]] == [["error", 1, "superseded"]] * 2
    alice.join("General")
    assert alice.do("send", "General", 1, b"\x91\xa1x")[0] == OK
    world.check()


def test_a_resumed_session_may_bring_another_producer_and_name(world: World) -> None:
    alice = Peer(world, "alice")
    alice.join("General")
    alice.user, alice.producer = "alicia", b"q" * 16
    alice.reconnect()
    alice.join("General")
    assert list(alice.pictures["General"].people or ()) == ["alicia"]
    world.check()


# -- silence ---------------------------------------------------------------------------------------


def test_a_silent_session_ends_and_is_notified(world: World) -> None:
    alice, bob = Peer(world, "alice"), Peer(world, "bob")
    alice.join("General")
    while world.now < 100 + EXPIRE_AFTER + 2:
        world.pass_time(1)
        bob.tell("ping")
    assert alice.ended() == "expired"
    assert bob.ended() is None
    assert world.core.counters.expired == 1
    assert alice.do("rooms", None, 1)[2] == "no_session"
    world.check()


def test_silent_sessions_end_a_few_a_turn_and_the_others_in_the_next_ones(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zchat.broker.core.sessions.TURN_ENDS", 6)
    peers = [Peer(world, f"user {number}") for number in range(10)]
    for peer in peers:
        peer.join("General")
        peer.join(f"Of {peer.user}")
    for peer in peers:
        peer.sees = False
    world.now += STALL / 2
    world.run()
    for _ in range(int(EXPIRE_AFTER)):
        world.now += 1
        world.run()
    left = [len(world.sessions)]
    while world.sessions:
        assert world.core.due() <= world.now
        world.run()
        left.append(len(world.sessions))
    assert left == [8, 6, 4, 2, 0], "each has two memberships, so that two fill a turn"
    assert [peer.ended() for peer in peers] == ["expired"] * 10
    assert world.core.counters.expired == 10
    world.check()


def test_a_room_of_many_is_forgotten_without_comparing_it_with_the_others(world: World) -> None:
    compared = 0

    class Counted(str):
        __slots__ = ()
        __hash__ = str.__hash__

        def __eq__(self, other: object) -> bool:
            nonlocal compared
            compared += 1
            return str.__eq__(self, other)

    alice = Peer(world, "alice")
    alice.join("Zebras")
    world.core.context.directory.order[:-1] = map(Counted, world.core.context.directory.order[:-1])
    alice.do("leave", "Zebras", alice.joins["Zebras"])
    assert compared == 0
    assert world.core.context.directory.order == sorted(world.rooms)


def test_silence_is_judged_only_when_everything_that_arrived_is_read(world: World) -> None:
    alice = Peer(world, "alice")
    for _ in range(40):
        world.now += 0.5
        world.run(drained=False)
    assert alice.ended() is None
    alice.tell("ping")  # it was there all along
    world.pass_time(EXPIRE_AFTER - 1)
    assert alice.ended() is None


def test_a_stall_of_the_broker_is_nobodys_silence(world: World) -> None:
    alice, bob = Peer(world, "alice"), Peer(world, "bob")
    world.now += 60
    bob.tell("ping")  # one frame is read before the first tick after the stall
    world.run()
    assert alice.ended() is None
    world.pass_time(STALL - 0.5)
    assert alice.ended() is None
    alice.tell("ping")
    world.pass_time(STALL + 1)
    assert (alice.ended(), bob.ended()) == (None, None)
    world.pass_time(EXPIRE_AFTER)
    assert (alice.ended(), bob.ended()) == ("expired", "expired")


def test_due_says_when_to_look_again(world: World) -> None:
    assert world.now < world.core.due() <= world.now + EXPIRE_EVERY


# -- goodbye ---------------------------------------------------------------------------------------


def test_bye_ends_the_session_at_once_and_forgets_its_producer(world: World) -> None:
    alice = Peer(world, "alice")
    alice.join("General")
    alice.send("General", "hi")
    assert alice.do("bye")[0] == OK
    assert not world.sessions
    assert not world.core.context.sessions.table.by_token
    assert alice.do("rooms", None, 1)[2] == "no_session"
    again = Peer(world, "alice", greet=False)
    again.producer, again.token = alice.producer, alice.token
    again.greet()
    again.join("General")
    assert again.send("General", "second", number=2)[2] == "forgotten"
    assert again.send("General", "first", number=1)[0] == OK
    world.check()


def test_the_answer_to_bye_reaches_a_client_whose_pipe_is_full(world: World) -> None:
    alice = Peer(world, "alice")
    world.port.full.add(alice.id)
    first, bye = alice.ask("rooms", None, 1), alice.ask("bye")
    world.run()
    world.port.full.clear()
    world.pass_time(RETRY_MAX, RETRY_MAX)
    assert (alice.replies[first][0], alice.replies[bye][0]) == (OK, OK)
    world.check()


def test_a_client_that_says_goodbye_and_reads_no_more_is_not_tried_for_ever(world: World) -> None:
    alice = Peer(world, "alice")
    world.port.full.add(alice.id)
    alice.ask("bye")
    world.pass_time(1, RETRY_MAX)
    assert world.core.context.pusher.due == inf
    assert 3 < world.port.tries.count(alice.id) < 12


# -- going down ------------------------------------------------------------------------------------


def test_a_broker_that_goes_down_answers_what_it_accepted_and_takes_no_more() -> None:
    store = LateStore(lambda: 1)
    world = World(store=store)
    alice = Peer(world, "alice")
    alice.join("General")
    store.holding = True
    accepted = alice.ask("send", "General", 1, b"\x91\xa1x")
    world.core.stop()
    assert world.core.context.replies.owed == 1
    assert alice.do("send", "General", 2, b"\x91\xa1x")[2:5:2] == ["closing", True]
    assert Peer(world, "bob", greet=False).greet()[2] == "closing"
    store.holding = False
    world.run()
    assert alice.replies[accepted][0] == OK
    assert world.core.settled
    world.core.dismiss()
    assert alice.ended() == "closing"
    assert not world.sessions
    world.check()


def test_every_command_has_a_handler() -> None:
    from zchat.wire.commands import COMMANDS

    assert handlers.HANDLERS.keys() | moderation.HANDLERS.keys() == COMMANDS.keys()


def test_pings_are_given_a_moment_to_gather_only_after_a_silence(world: World) -> None:
    peer = Peer(world, "alice")
    peer.tell("ping")
    assert not world.core.gathering(), "it has just greeted"
    world.now += 1.5
    peer.tell("ping")
    assert world.core.gathering()
    assert not world.core.gathering(), "once a ping"
    peer.join("General")
    peer.tell("ping")
    assert not world.core.gathering()
