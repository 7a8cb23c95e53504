"""Moderation by the library, with a broker: what a moderator's calls do, and what becomes of those who are removed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

import zchat
from tests.client.driver import Connect, take
from tests.faces import Face
from tests.promises.faults.proxy import Proxy
from tests.running import DEADLINE, eventually
from zchat.broker import Broker
from zchat.transport import keys

PEOPLE = {user: keys.make(user) for user in ("alice", "bob", "eve")}
RULES = """\
operators = ["alice"]

[[rooms]]
names = ["quiet *"]
owners = ["bob"]
read = ["bob"]

[[rooms]]
names = ["*"]
owners = ["bob"]
"""


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Broker, Path]]:
    """A broker with alice, who is an operator, bob, who owns all rooms, and eve; and its folder of keys."""
    place = tmp_path_factory.mktemp("moderated")
    folder = place / "keys"
    keys.make_server(folder)
    for user, key in PEOPLE.items():
        keys.write_pair(folder / "users", user, key)
    (place / "rules.toml").write_text(RULES, encoding="utf-8")
    with Broker("tcp://127.0.0.1:*", keys=folder, rules=place / "rules.toml") as broker:
        yield broker, folder


@pytest.fixture
def come(face: Face, keyed: tuple[Broker, Path]) -> Iterator[Connect]:
    """Give a function that connects a user by key, until the end."""
    broker, folder = keyed
    with ExitStack() as stack:

        def connect(user: str, **options: object) -> zchat.Client:
            given = {"key": PEOPLE[user], "server_key": folder / "server.key", "timeout": DEADLINE} | options
            return stack.enter_context(face.client(broker.url, **given))

        yield connect


def removed(client: zchat.Client) -> zchat.Removed:
    """Return how the client's room has ended, once it has."""
    for event in client.events(timeout=DEADLINE):
        if isinstance(event, zchat.Removed):
            return event
    raise AssertionError("it has not ended")


@pytest.mark.parametrize("kicked", [False, True])
def test_a_stay_of_who_may_not_read_begins_anew_after_a_kick_and_not_after_a_lost_connection(
    face: Face, come: Connect, keyed: tuple[Broker, Path], name: str, kicked: bool
) -> None:
    broker, folder = keyed
    name = f"quiet {name}"
    bob = come("bob").join(name)
    bob.send("one")
    with (
        Proxy(int(broker.url.rpartition(":")[2])) as proxy,
        face.client(proxy.url, key=PEOPLE["eve"], server_key=folder / "server.key", timeout=DEADLINE) as eve,
    ):
        room = eve.join(name)
        begun = room.began
        assert begun == room.position
        assert begun.seq == 1
        proxy.shut = True
        proxy.cut()
        eventually(lambda: not room.joined, "the connection is lost")
        if kicked:
            assert bob.kick("eve") == 1
        bob.send_many(["two", "three"])
        proxy.shut = False
        eventually(lambda: room.joined and room.began is not None, "the room is joined again")
        assert room.began == (begun._replace(seq=3) if kicked else begun)


def test_who_is_kicked_reads_what_came_before_and_why_and_may_come_back_where_it_was(come: Connect, name: str) -> None:
    bob, eve = come("bob").join(name), come("eve")
    there = eve.join(name)
    bob.send_many(["one", "two"])
    eventually(lambda: there._inbox.cursor.received_position.seq == 2, "it is there")
    assert bob.kick("EVE", "spam") == 1
    bob.send("three")
    messages = there.messages(timeout=DEADLINE)
    assert [next(messages).body, next(messages).body] == ["one", "two"]
    with pytest.raises(zchat.Kicked, match=f"^bob has put you out of {name}: spam$"):
        next(messages)
    with pytest.raises(zchat.NotAMember) as caught:
        there.send("x")
    assert isinstance(caught.value.__cause__, zchat.Kicked)
    assert take(eve.join(name, after=there.position), 1) == ["three"]
    assert bob.kick("eve") == 1
    assert bob.kick("eve") == 0


def test_each_of_a_users_sessions_is_put_out_and_its_other_rooms_go_on(come: Connect, name: str) -> None:
    bob = come("bob")
    ours, other = bob.join(name), bob.join(f"{name} other")
    both = [come("eve"), come("eve")]
    for eve in both:
        eve.join(name)
        eve.join(other.name)
    assert ours.kick("eve", "bye") == 2
    for eve in both:
        assert removed(eve) == zchat.Removed(name, "bye", "bob", None, "kicked")
        other.send("go on")
        assert any(event.room == other.name for event in eve.events(DEADLINE) if isinstance(event, zchat.Message))
        eve.close()


def test_a_ban_keeps_out_until_it_is_over_or_ended(come: Connect, name: str) -> None:
    bob, eve = come("bob").join(name), come("eve")
    eve.join(name)
    began = time.time()
    until = bob.ban("eve", 3_600, "spam")
    assert until is not None
    assert began + 3_599 < until < time.time() + 3_601
    event = removed(eve)
    assert (event.room, event.reason, event.by, event.code, event.until) == (name, "spam", "bob", "banned", until)
    for refused in (lambda: eve.join(name), lambda: eve.history(name), lambda: eve.members(name)):
        with pytest.raises(zchat.Banned, match="spam") as caught:
            refused()
        assert caught.value.until == pytest.approx(until, abs=1)
    assert bob.sanctions() == [zchat.Sanction(name, "eve", "ban", until, "bob", bob.sanctions()[0].at, "spam")]
    assert bob.unban("eve") is True
    assert bob.unban("eve") is False
    eve.join(name).send("back")
    assert bob.sanctions() == []
    assert bob.ban("nobody yet") is None, "for ever"


def test_a_mute_and_a_closed_room_refuse_what_is_sent_at_once_and_the_room_goes_on(come: Connect, name: str) -> None:
    bob, eve = come("bob").join(name), come("eve")
    there = eve.join(name)
    assert bob.mute("eve", 60, "loud") is not None
    with pytest.raises(zchat.Muted, match="loud") as muted:
        there.send("x", timeout=None)
    assert muted.value.until is not None
    there.typing()
    assert bob.unmute("eve") is True
    there.send("quiet")
    assert bob.close_room("later") is True
    assert bob.close_room("later still") is False
    with pytest.raises(zchat.RoomClosed, match="later still"):
        there.send("x", timeout=None)
    bob.send("to those who are here")
    assert take(there, 1) == ["to those who are here"]
    there.leave()
    with pytest.raises(zchat.RoomClosed):
        eve.join(name)
    assert bob.open_room() is True
    assert bob.open_room() is False
    eve.join(name)


def test_nobody_is_moderated_by_their_equals_and_an_operator_moderates_all(come: Connect, name: str) -> None:
    alice, bob, eve = come("alice").join(name), come("bob").join(name), come("eve").join(name)
    with pytest.raises(zchat.NotAllowed):
        eve.kick("bob")
    with pytest.raises(zchat.NotAllowed, match="operator"):
        bob.ban("alice")
    with pytest.raises(zchat.NotAllowed):
        come("bob").ban("eve")
    assert alice.kick("bob") == 1


def test_who_is_banned_from_the_broker_is_out_of_it_and_not_let_in(come: Connect) -> None:
    alice, eve = come("alice"), come("eve")
    until = alice.ban("eve", 3_600, "spam")
    try:
        with pytest.raises(zchat.Banned, match="spam") as ended:
            eve.wait(DEADLINE)
        with pytest.raises(zchat.ConnectionLost, match="you are banned from this broker") as late:
            eve.rooms()
        assert isinstance(late.value.__cause__, zchat.Banned)
        with pytest.raises(zchat.Banned, match="spam") as caught:
            come("eve")
        assert caught.value.until == ended.value.until == pytest.approx(until, abs=1)
        [ban] = alice.sanctions()
        assert (ban.room, ban.user, ban.kind, ban.by) == (None, "eve", "ban", "alice")
    finally:
        assert alice.unban("eve") is True
    come("eve").rooms()


def test_of_messages_on_their_way_each_has_its_outcome_and_none_is_stored_after_the_ban(
    face: Face, come: Connect, name: str
) -> None:
    bob, eve = come("bob").join(name), come("eve")
    there = eve.join(name)
    progress = face.progress()

    def without_end() -> Iterator[str]:
        for number in range(1_000_000):
            if number == 2_000:
                assert bob.ban("eve") is None
            yield str(number)

    with pytest.raises((zchat.Banned, zchat.NotAMember)) as caught:
        there.send_many(without_end(), progress=progress)
    assert progress.settle(DEADLINE)
    stored = bob.history(limit=10_000)
    assert [message.body for message in stored] == [str(number) for number in range(len(stored))]
    assert progress.stored == len(stored) >= caught.value.stored
    with suppress(zchat.Refused):
        there.send("later")
    assert len(bob.history(limit=10_000)) == len(stored)


def test_a_restart_of_the_broker_puts_nobody_out_of_a_closed_room(face: Face, tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    keys.make_server(folder)
    for user, key in PEOPLE.items():
        keys.write_pair(folder / "users", user, key)
    (tmp_path / "rules.toml").write_text(RULES, encoding="utf-8")
    options = {"keys": folder, "rules": tmp_path / "rules.toml", "store": f"sqlite:{tmp_path / 'z.db'}"}
    with ExitStack() as stack:

        def come(user: str) -> zchat.Client:
            server_key = folder / "server.key"
            return stack.enter_context(face.client(url, key=PEOPLE[user], server_key=server_key, timeout=DEADLINE))

        with Broker("tcp://127.0.0.1:*", **options) as broker:  # type: ignore[arg-type]
            url = broker.url
            ops, reads = come("bob").join("Ops"), come("eve").join("Ops")
            ops.send("one")
            heard = reads.messages(timeout=DEADLINE)
            assert next(heard).body == "one"
            ops.close_room("back at eight")
        with Broker(url, **options):  # type: ignore[arg-type]
            ops.send("two")
            assert next(heard).body == "two"
            with pytest.raises(zchat.RoomClosed):
                reads.send("but")
            with pytest.raises(zchat.RoomClosed):
                come("eve").join("Ops")
            ops.open_room()
            reads.send("three")
