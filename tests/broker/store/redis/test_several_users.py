"""Several brokers on one Redis: who is where, and what users do that no log has."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests.promises.faults.processes import Served
from tests.redis_server import RedisServer
from tests.running import DEADLINE, eventually
from zchat import Client, DeadlineExceeded, Kicked, LimitReached, MemberJoined, MemberLeft, Room, Superseded, Typing
from zchat.broker import Broker
from zchat.protocol.greeting import Greeting
from zchat.transport import keys


def names(room: Room) -> list[str]:
    """Return who is in a room, by folded name, as the broker lists it."""
    return [member.user.lower() for member in room.members()]


def shown(room: Room, *expected: str) -> None:
    """Wait until these are in a room, as the broker lists it."""
    eventually(lambda: names(room) == list(expected), lambda: f"not {expected}, but {names(room)}")


def changes(client: Client) -> list[tuple[str, str]]:
    """Return who has come to a client's rooms and left them since it was last asked."""
    kinds = {MemberJoined: "+", MemberLeft: "-"}
    events = client.events(timeout=0.1)
    return [(kinds[type(each)], each.user.lower()) for each in events if isinstance(each, MemberJoined | MemberLeft)]


def test_users_at_one_broker_are_shown_at_the_others_once_and_leave_with_their_last_session(
    brokers: tuple[Broker, Broker],
) -> None:
    first, second = brokers

    def listed(client: Client) -> list[int]:
        return [row.members for row in client.rooms() if row.name == "Ours"]

    with Client(first.url, user="alice") as alice, Client(second.url, user="bob") as bob:
        here, there = alice.join("Ours"), bob.join("Ours")
        for room in (here, there):
            shown(room, "alice", "bob")
        assert listed(alice) == [2]
        changes(bob)
        with Client(second.url, user="Alice") as again:
            shown(again.join("Ours"), "alice", "bob")
            here.leave()
            eventually(lambda: len(alice.members("Ours")) == 2, "she is there by her other session")
            assert names(there) == ["alice", "bob"]
            assert changes(bob) == [], "she is here still"
        shown(there, "bob")
        assert changes(bob) == [("-", "alice")]
        assert listed(alice) == [1], "it has no log, and one user"
        there.leave()
        eventually(lambda: listed(alice) == [], "nobody is there any more")


def test_a_member_alone_at_its_broker_and_one_in_a_direct_room_see_the_others(brokers: tuple[Broker, Broker]) -> None:
    first, second = brokers
    with (
        Client(first.url, user="alice") as alice,
        Client(second.url, user="bob") as bob,
        Client(second.url, user="carol") as carol,
    ):
        rooms = [alice.direct("bob"), bob.direct("alice")]
        for room in rooms:
            shown(room, "alice", "bob")
        assert carol.rooms() == alice.rooms()[1:] == bob.rooms()[1:], "it is theirs alone"
        rooms[0].leave()
        shown(rooms[1], "bob")


def test_a_broker_that_begins_later_shows_who_is_there_and_one_that_ends_takes_its_users_with_it(
    redis_server: RedisServer,
) -> None:
    redis_server.call("FLUSHALL")
    with Broker("tcp://127.0.0.1:*", store=redis_server.url) as first, Client(first.url, user="alice") as alice:
        here = alice.join("General")
        here.send("a")
        with Broker("tcp://127.0.0.1:*", store=redis_server.url) as second, Client(second.url, user="bob") as bob:
            shown(bob.join("General"), "alice", "bob")
            shown(here, "alice", "bob")
        shown(here, "alice")
    assert redis_server.call("KEYS", "*:here:*") == []


@pytest.fixture
def soon_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have brokers taken for ended soon, and nobody expire before."""
    monkeypatch.setattr("zchat.broker.store.redis.attachment.ENDED_MS", 1500)
    monkeypatch.setattr("zchat.broker.store.redis.attachment.HOLD_MS", 1000)
    monkeypatch.setattr("zchat.broker.store.redis.committer.HOLD_EVERY", 0.1)


def test_the_users_of_a_broker_that_was_killed_leave_after_its_lease_and_once_and_those_that_went_on_stay(
    redis_server: RedisServer, soon_ended: None, tmp_path: Path
) -> None:
    redis_server.call("FLUSHALL")
    killed = Served(tmp_path, store=redis_server.url)
    killed.start()
    with (
        Broker("tcp://127.0.0.1:*", store=redis_server.url) as left,
        Client(left.url, user="alice") as alice,
        Client(killed.url, user="bob") as bob,
        Client([killed.url, left.url], user="carol") as carol,
    ):
        here = alice.join("General")
        bob.join("General")
        carol.join("General")
        shown(here, "alice", "bob", "carol")
        changes(alice)
        killed.kill()
        began = time.monotonic()
        shown(here, "alice", "carol")
        assert time.monotonic() - began > 0.5, "not before the lease is over"
        assert changes(alice) == [("-", "bob")]


def test_a_broker_that_stood_still_is_shown_again_with_its_users_once_it_goes_on(
    redis_server: RedisServer, soon_ended: None, tmp_path: Path
) -> None:
    redis_server.call("FLUSHALL")
    stopped = Served(tmp_path, store=redis_server.url)
    stopped.start()
    with (
        Broker("tcp://127.0.0.1:*", store=redis_server.url) as left,
        Client(left.url, user="alice") as alice,
        Client(stopped.url, user="bob") as bob,
    ):
        here, there = alice.join("General"), bob.join("General")
        shown(here, "alice", "bob")
        os.kill(stopped.pid, signal.SIGSTOP)
        try:
            shown(here, "alice")
        finally:
            os.kill(stopped.pid, signal.SIGCONT)
        for room in (here, there):
            shown(room, "alice", "bob")
    stopped.kill()


@pytest.mark.parametrize("harm", ["restart", "emptied", "cut"])
def test_who_is_where_is_told_again_to_a_server_that_was_restarted_or_emptied(
    own_server: RedisServer, probing: None, harm: str
) -> None:
    with (
        Broker("tcp://127.0.0.1:*", store=own_server.url) as first,
        Broker("tcp://127.0.0.1:*", store=own_server.url) as second,
        Client(first.url, user="alice") as alice,
        Client(second.url, user="bob") as bob,
    ):
        here, there = alice.join("General"), bob.join("General")
        for room in (here, there):
            shown(room, "alice", "bob")
        changes(alice)
        if harm == "restart":
            own_server.kill()
            own_server.start()
        elif harm == "emptied":
            own_server.call("FLUSHALL")
        else:
            own_server.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        with Client(second.url, user="carol") as carol:
            carol.join("General")
            for room in (here, there):
                shown(room, "alice", "bob", "carol")
        for room in (here, there):
            shown(room, "alice", "bob")
        if harm != "emptied":
            assert ("-", "bob") not in changes(alice)


def typed(client: Client) -> list[bool]:
    """Return whether alice was shown as typing, or not any more, since a client was last asked."""
    events = client.events(timeout=0.2)
    return [each.active for each in events if isinstance(each, Typing) and each.user == "alice"]


def test_typing_is_shown_at_the_other_brokers_and_ends_by_word_by_a_message_and_by_itself(
    brokers: tuple[Broker, Broker], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zchat.broker.presence.presence.TYPING_EVERY", 0.0)
    monkeypatch.setattr("zchat.protocol.rooms.room_state.TYPING_EVERY", 0.0)
    first, second = brokers
    with Client(first.url, user="alice") as alice, Client(second.url, user="bob") as bob:
        here, there = (client.join("General") for client in (alice, bob))
        shown(there, "alice", "bob")
        for end in (lambda: here.typing(False), lambda: here.send("a")):
            here.typing()
            eventually(lambda: typed(bob) == [True], "she types")
            end()
            eventually(lambda: typed(bob) == [False], "she has ended")
        monkeypatch.setattr("zchat.broker.presence.presence.TYPING_FOR", 0.5)
        here.typing()
        eventually(lambda: typed(bob) == [True], "she types")
        eventually(lambda: typed(bob) == [False], "it has ended by itself")


@contextmanager
def ruled(
    redis_server: RedisServer, folder: Path, text: str
) -> Iterator[tuple[Broker, Broker, Callable[[Broker, str], Client]]]:
    """Run two brokers with keys for alice and bob, and rules; and give what connects a user to one of them."""
    keys.make_server(folder / "keys")
    pairs = {user: keys.make(user) for user in ("alice", "bob")}
    for user, key in pairs.items():
        keys.write_pair(folder / "keys" / "users", user, key)
    rules = folder / "rules.toml"
    rules.write_text(text, encoding="utf-8")

    def come(broker: Broker, user: str) -> Client:
        return Client(broker.url, key=pairs[user], server_key=folder / "keys" / "server.key")

    with (
        Broker("tcp://127.0.0.1:*", store=redis_server.url, keys=folder / "keys", rules=rules) as first,
        Broker("tcp://127.0.0.1:*", store=redis_server.url, keys=folder / "keys", rules=rules) as second,
    ):
        yield first, second, come


def test_who_is_kicked_at_one_broker_is_put_out_at_all(redis_server: RedisServer, tmp_path: Path) -> None:
    redis_server.call("FLUSHALL")
    with (
        ruled(redis_server, tmp_path, 'operators = ["alice"]\n') as (first, second, come),
        come(first, "alice") as alice,
        come(second, "bob") as bob,
        come(first, "bob") as beside,
    ):
        here, there = alice.join("General"), bob.join("General")
        shown(here, "alice", "bob")
        beside.join("General")
        assert here.kick("bob", "spam") == 2
        with pytest.raises(Kicked, match=r"^alice has put you out of General: spam$"):
            next(there.messages(timeout=DEADLINE))
        shown(here, "alice")
        shown(bob.join("General"), "alice", "bob")


def test_a_session_that_goes_on_at_another_broker_ends_where_it_was_and_its_user_stays(
    brokers: tuple[Broker, Broker], monkeypatch: pytest.MonkeyPatch
) -> None:
    fields, numbers = Greeting.fields, count(1)

    def of_one_client(self: Greeting, connection: int) -> tuple[Any, ...]:
        oldest, newest, user, producer, token, window, connection = fields(self, connection)
        if user == "alice":
            producer, token, connection = bytes(16), bytes(16), next(numbers)
        return oldest, newest, user, producer, token, window, connection

    monkeypatch.setattr(Greeting, "fields", of_one_client)
    monkeypatch.setattr("zchat.broker.presence.presence.REJOIN_SECONDS", 1.0)
    first, second = brokers
    with Client(first.url, user="bob") as bob, Client(first.url, user="alice") as left:
        here = bob.join("General")
        left.join("General")
        shown(here, "alice", "bob")
        changes(bob)
        with Client(second.url, user="alice") as again:
            again.join("General")
            with pytest.raises(Superseded):
                list(left.events(timeout=DEADLINE))
            time.sleep(3.0)
            assert (names(here), changes(bob)) == (["alice", "bob"], [])
        shown(here, "bob")
        assert changes(bob) == [("-", "alice")]


def test_figures_of_all_brokers_are_the_same_at_each_and_count_a_user_at_several_once(
    brokers: tuple[Broker, Broker],
) -> None:
    first, second = brokers
    with (
        Client(first.url, user="alice") as alice,
        Client(second.url, user="Alice") as again,
        Client(second.url, user="bob") as bob,
    ):
        for client in (alice, again, bob):
            client.join("General")
        alice.join("General").send_many(["a", "b"])
        again.join("General").send("c")

        def settled() -> bool:
            found = [client.overall_stats() for client in (alice, bob)]
            return all(
                [each.counts[name] for name in ("users", "sessions", "memberships", "messages")] == [2, 3, 3, 3]
                and [broker.counts["messages"] for broker in each.brokers] == messages
                and all(broker.age < 5 for broker in each.brokers)
                for each, messages in zip(found, ([2, 1], [1, 2]), strict=True)
            )

        eventually(settled, lambda: f"not {alice.overall_stats()} and {bob.overall_stats()}")
        assert alice.overall_stats().counts["rooms"] == alice.stats().counts["rooms"], "they are the same at each"
        ids = [[broker.id for broker in client.overall_stats().brokers] for client in (alice, bob)]
        assert ids[0] == ids[1][::-1], "the one that is asked comes first"
        second.stop()
        eventually(lambda: len(alice.overall_stats().brokers) == 1, "it has ended")
        found = alice.overall_stats().counts
        assert (found["sessions"], found["messages"]) == (1, 2), "what it had is in no figures"


def test_the_figures_of_a_broker_that_was_killed_are_in_none_after_a_while(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("zchat.broker.figures.overall.COUNTED_FOR", 2.0)
    redis_server.call("FLUSHALL")
    killed = Served(tmp_path, store=redis_server.url)
    killed.start()
    with Broker("tcp://127.0.0.1:*", store=redis_server.url) as left, Client(left.url, user="alice") as alice:
        eventually(lambda: len(alice.overall_stats().brokers) == 2, "both are there")
        killed.kill()
        began = time.monotonic()
        eventually(lambda: len(alice.overall_stats().brokers) == 1, "one is left")
        assert time.monotonic() - began > 0.5, "not before it has been silent for a while"


def test_who_has_sent_too_fast_at_one_broker_waits_at_the_other_too(redis_server: RedisServer, tmp_path: Path) -> None:
    redis_server.call("FLUSHALL")
    with (
        ruled(redis_server, tmp_path, "[limits]\nmessages = 10\n") as (first, second, come),
        come(first, "alice") as alice,
        come(second, "alice") as again,
        come(second, "bob") as bob,
    ):
        there = again.join("General")
        alice.join("General").send_many(["x"] * 500)
        time.sleep(3.0)  # so that it was told
        with pytest.raises(DeadlineExceeded):
            there.send("hello", timeout=1.0)
        assert second.figures.counts["slowed_messages"] == 1
        assert first.figures.counts["slowed_messages"] == 0
        bob.join("General").send("hello")


def test_rooms_that_a_user_has_made_count_at_each_broker(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("zchat.broker.rooms.directory.USER_ROOMS", 2)
    redis_server.call("FLUSHALL")
    with (
        ruled(redis_server, tmp_path, "") as (first, second, come),
        come(first, "alice") as alice,
        come(second, "alice") as again,
        come(second, "bob") as bob,
    ):
        alice.join("Sailing").send("a")
        alice.join("Fishing")
        eventually(lambda: len(again.rooms()) == len(alice.rooms()), "both are known at the other broker")
        with pytest.raises(LimitReached):
            again.join("Diving")
        bob.join("Diving")
