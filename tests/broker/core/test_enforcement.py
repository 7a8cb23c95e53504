"""Sanctions in force: after a restart, as the clock goes on, and when a room has nothing else."""

from __future__ import annotations

from itertools import pairwise

import pytest

from tests.broker.core.moderating import RULES, Place, code
from tests.broker.driver import Clock, Peer, World
from zchat.broker.core import enforcement
from zchat.broker.guard.gate import Gate
from zchat.broker.guard.rules_text import parse
from zchat.broker.limits import SETTLING
from zchat.broker.rooms.wall_clock import SECOND
from zchat.broker.settings import Settings
from zchat.broker.store.contract import Sanction
from zchat.broker.store.memory import MemoryStore
from zchat.wire.notices import OK


class KeptStore(MemoryStore):
    """A store in memory that the next broker opens too."""

    def close(self, seconds: float = 0) -> str:
        return ""


def restarted(world: Place) -> Place:
    """Return a broker that is started on what another has stored."""
    store = world.store
    logs = [log for log in store._ledger.logs() if log.last]  # type: ignore[attr-defined]
    again = Place.__new__(Place)
    World.__init__(again, store=store, logs=logs, gate=Gate(logins=True), rules=parse(RULES))
    again.clock.time = world.clock.time
    return again


def test_a_broker_that_is_started_again_goes_on_with_every_sanction() -> None:
    world = Place(store=KeptStore(Clock()))
    root, anna = world.peer("root"), world.peer("anna", "Ops", "Closed")
    anna.send("Closed", "one")
    root.do("ban", None, "mallory", 0, "")
    anna.do("ban", "Ops", "bob", 3600, "spam")
    anna.do("mute", "Closed", "zoe", 0, "")
    anna.do("close", "Closed", "")
    again = restarted(world)
    assert Peer(again, "Mallory", greet=False).greet()[2] == "banned"
    bob, anna = again.peer("bob"), again.peer("anna")
    assert bob.join("Ops")[2:4] == [
        "banned",
        "you are banned from 'Ops' until 2023-11-14 23:13:20 UTC, by anna: spam",
    ]
    assert code(bob.join("Closed")) == "room_closed"
    assert [row[:4] for row in anna.do("sanctions", "Closed", None, 10)[2]] == [
        [3, "Closed", "zoe", "mute"],
        [4, "Closed", "", "closed"],
    ]
    again.check()


def test_a_room_that_has_nothing_but_sanctions_is_there_again_with_its_maker() -> None:
    world = Place(store=KeptStore(Clock()))
    world.peer("alice", "Mine").do("ban", "Mine", "bob", 0, "")
    again = restarted(world)
    alice, bob = again.peer("alice"), again.peer("bob")
    assert code(bob.join("Mine")) == "banned"
    assert alice.do("unban", "mine", "bob")[2:] == [True], "she has made it, and owns it still"
    assert "mine" not in again.rooms
    assert code(bob.join("Mine")) == OK
    again.check()


def test_without_names_that_are_somebodys_nothing_is_in_force_and_nothing_is_lost() -> None:
    world = Place(store=KeptStore(Clock()))
    world.peer("alice", "Mine").do("ban", "Mine", "bob", 0, "")
    keyless = World(store=world.store, logs=[])
    bob = Peer(keyless, "bob")
    assert code(bob.join("Mine")) == OK
    assert code(bob.send("Mine", "hello")) == OK
    keyless.check()
    assert code(restarted(world).peer("bob").join("Mine")) == "banned"


def test_what_is_over_is_removed_and_the_room_with_it_if_it_has_nothing_else() -> None:
    world = Place()
    anna = world.peer("anna", "Ops", "Kept")
    anna.do("ban", "Ops", "bob", 20, "")
    anna.do("ban", "Kept", "bob", 20, "")
    anna.do("mute", "Kept", "bob", 0, "")
    anna.leave("Ops")
    anna.leave("Kept")
    for _ in range(25):
        world.clock.time += SECOND
        world.pass_time(1)
        anna.tell("ping")
    assert "ops" not in world.rooms
    assert "kept" in world.rooms
    assert [each.kind for each in world.store.sanctions()] == ["mute"]
    world.check()


def test_so_many_are_looked_through_at_once_and_all_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(enforcement, "SANCTIONS_AT_ONCE", 3)
    world = Place()
    anna = world.peer("anna", "Ops")
    for number in range(10):
        anna.do("ban", "Ops", f"user{number}", 1, "")
    counts = [10]
    for _ in range(18):
        world.clock.time += SECOND
        world.pass_time(1)
        anna.tell("ping")
        counts.append(len(world.store.sanctions()))
    assert counts[-1] == 0
    assert [before - after for before, after in pairwise(counts) if before != after] == [3, 3, 3, 1]


def test_of_what_was_lifted_or_replaced_nothing_is_looked_through() -> None:
    world = Place()
    anna = world.peer("anna", "Ops")
    for user, seconds in (("one", 5), ("two", 5), ("two", 0), ("three", 0)):
        anna.do("ban", "Ops", user, seconds, "")
    anna.do("unban", "Ops", "one")
    world.core._enforcement.expire(0)
    assert not world.core._enforcement._round
    assert [each.user for each in world.core._enforcement._kept.values()] == ["two", "three"]
    world.check()


def test_a_ban_that_is_replaced_while_the_old_one_is_being_removed_stays() -> None:
    world = Place()
    anna = world.peer("anna", "Ops")
    anna.do("ban", "Ops", "bob", 1, "")
    world.core._enforcement.expire(world.clock.time + 2 * SECOND)
    anna.ask("ban", "Ops", "bob", 0, "again")
    world.run()
    (old,) = world.store.sanctions()
    assert (old.number, old.until) == (2, 0)
    late = Sanction("Ops", "bob", "ban", 1, "anna", 1, "", number=1)
    world.core._enforcement._round.append(late)
    world.core._enforcement.expire(world.clock.time)
    world.run()
    assert world.store.sanctions() == [old]
    assert code(world.peer("bob").join("Ops")) == "banned"


@pytest.mark.parametrize("hours", [-24 * 365, 24 * 365])
def test_a_clock_that_is_wrong_for_a_moment_ends_no_ban_early_and_extends_none(hours: int) -> None:
    world = Place()
    anna, bob = world.peer("anna", "Ops"), world.peer("bob")

    def pass_seconds(seconds: int) -> None:
        for _ in range(seconds):
            world.clock.time += SECOND
            world.pass_time(1, step=1)
            for peer in (anna, bob):
                peer.tell("ping")

    pass_seconds(20)
    anna.do("ban", "Ops", "bob", 60, "")
    pass_seconds(10)
    world.clock.time += hours * 3600 * SECOND
    pass_seconds(10)
    assert code(bob.join("Ops")) == "banned"
    assert anna.do("mute", "Ops", "zoe", 60, "")[2] < 2_000_000_000 * SECOND
    until = anna.do("mute", "Ops", "carol", 60, "")[2]
    assert abs(until - 1_700_000_100 * SECOND) < 2 * SECOND, "it is dated by the time that is believed"
    world.clock.time -= hours * 3600 * SECOND
    pass_seconds(39)
    assert code(bob.join("Ops")) == "banned"
    pass_seconds(2)
    assert code(bob.join("Ops")) == OK
    world.check()


def test_a_clock_that_stays_set_is_believed_in_the_end() -> None:
    world = Place()
    clock = world.core._wall_clock
    for _ in range(int(2 * SETTLING) + 20):
        world.now += 1
        world.clock.time += SECOND
        if world.now == 150:
            world.clock.time += 3600 * SECOND
        clock.sample(world.now)
    assert clock.time(world.now) == world.clock.time


def test_a_ban_from_the_broker_that_other_rules_put_in_force_again_ends_the_sessions_of_its_user() -> None:
    world = Place()
    root = world.peer("root")
    root.do("ban", None, "eve", 0, "spam")
    world.core.revise(parse(RULES.replace('["root"]', '["root", "eve"]')))
    eves = [world.peer("eve", "Ops"), world.peer("Eve")]
    assert [eve.ended() for eve in eves] == [None, None], "nobody bans an operator"
    world.core.revise(parse(RULES))
    assert code(eves[0].send("Ops", "still here")) == "no_session"
    world.run()
    assert [eve.ended() for eve in eves] == ["banned", "banned"]
    assert root.ended() is None
    world.check()


def test_after_a_failure_of_the_store_what_it_has_is_in_force_and_nothing_else() -> None:
    world = Place()
    anna, bob = world.peer("anna", "Ops"), world.peer("bob", "Ops")
    for word, user in (("ban", "eve"), ("ban", "carol"), ("mute", "dave")):
        anna.do(word, "Ops", user, 0, "")
    eve, carol, dave = world.store.sanctions()
    others = [eve._replace(user="bob", number=4), carol._replace(reason="again", number=5)]
    elsewhere = eve._replace(room="Gone", maker="zoe", number=6)
    world.core._reports.recovered([dave, *others, elsewhere])
    world.run()
    assert bob.removed() == [["Ops", bob.joins["Ops"], "banned", "", "anna", 0]]
    assert code(bob.join("Ops")) == "banned"
    assert code(world.peer("eve").join("Ops")) == OK
    assert [(row[0], row[2], row[7]) for row in anna.do("sanctions", "Ops", None, 9)[2]] == [
        (3, "dave", ""),
        (4, "bob", ""),
        (5, "carol", "again"),
    ]
    assert world.rooms["gone"].maker == "zoe"
    world.core._reports.recovered([])
    assert code(bob.join("Ops")) == OK
    assert "gone" not in world.rooms
    world.check()


def test_where_names_are_claims_neither_a_failure_of_the_store_nor_another_broker_brings_a_sanction_in_force() -> None:
    world = World()
    bob = Peer(world, "bob")
    ban = Sanction("General", "bob", "ban", 0, "anna", 1, "", number=1)
    world.core._reports.recovered([ban])
    world.core._reports.imposed(ban)  # by another broker
    assert code(bob.join("General")) == OK
    world.core._reports.lifted(ban)


@pytest.mark.parametrize("means", ["mute", "close", "rules"])
def test_who_may_send_no_more_is_shown_as_typing_no_more_and_others_go_on(means: str) -> None:
    world = Place()
    anna, bob, eve = (world.peer(user, "Ops") for user in ("anna", "bob", "eve"))
    for peer in (anna, eve):
        peer.tell("typing", "Ops", True)
    world.pass_time(0.5)
    assert typing(bob) == {"anna", "eve"}
    if means == "rules":
        world.core.revise(parse(f'{RULES}\nsend = ["bob"]'))
    else:
        anna.do(means, "Ops", *(["eve", 0] if means == "mute" else []), "")
    world.pass_time(0.5)
    assert typing(bob) == {"anna"}
    world.check()


def typing(peer: Peer) -> set[str]:
    return {user for user, (_, types, _) in (peer.pictures["Ops"].people or {}).items() if types}


def test_fixed_rooms_have_their_sanctions_too() -> None:
    world = World(Settings(rooms=("Ops",), fixed_rooms=True), gate=Gate(logins=True), rules=parse(RULES))
    root = Peer(world, "root", version=2)
    assert code(root.do("ban", "Ops", "bob", 0, "")) == OK
    assert code(root.do("unban", "Ops", "bob")) == OK
    assert "ops" in world.rooms
    world.check()
