"""Clients whose broker is killed and started again: what a program is promised then."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

import zchat
from tests.client.driver import take
from tests.faces import Face
from tests.mortal import Mortal
from tests.running import DEADLINE, eventually
from zchat.broker import Broker
from zchat.events import MemberJoined, MemberLeft
from zchat.protocol import reconnect
from zchat.protocol.core import ClientCore
from zchat.protocol.faces import steps
from zchat.wire.replies import HistoryPage

FLOWING = 1.0
"""Seconds until messages flow again on a machine that does nothing else."""

Start = Callable[..., Mortal]


@pytest.fixture
def start() -> Iterator[Start]:
    """Give a function that starts a broker in a process of its own."""
    with ExitStack() as stack:
        yield lambda *arguments: stack.enter_context(Mortal(*arguments))


@pytest.fixture
def lasting(start: Start, tmp_path: Path) -> Mortal:
    """Give a broker whose rooms outlive it."""
    return start(f"sqlite:{tmp_path / 'z.db'}")


def test_a_send_waits_until_the_broker_is_back(face: Face, lasting: Mortal) -> None:
    with face.client(lasting.url, user="alice") as client:
        room = client.join("General")
        room.send("before")
        lasting.kill()
        sent: list[zchat.Message] = []
        sender = Thread(target=lambda: sent.append(room.send("meanwhile", timeout=DEADLINE)))
        sender.start()
        lasting.start()
        sender.join(DEADLINE)
        assert [message.seq for message in sent] == [2]
        assert [message.body for message in room.history()] == ["before", "meanwhile"]


def test_messages_flow_soon_after_the_brokers_return(face: Face, lasting: Mortal) -> None:
    with face.client(lasting.url, user="alice") as alice, face.client(lasting.url, user="bob") as bob:
        said, heard = alice.join("General"), bob.join("General")
        for number in range(3):
            lasting.kill()
            lasting.start()
            back = time.monotonic()
            said.send(number, timeout=DEADLINE)
            assert next(heard.messages(timeout=DEADLINE)).body == number
            assert time.monotonic() - back < 10 * FLOWING


def test_a_publisher_under_load_loses_nothing_and_stores_nothing_twice(face: Face, lasting: Mortal) -> None:
    many = 30_000
    with face.client(lasting.url, user="alice") as alice, face.client(lasting.url, user="bob") as bob:
        said, heard = alice.join("General"), bob.join("General")
        halfway = [Event() for _ in range(3)]

        def bodies() -> Iterator[int]:
            for number in range(many):
                yield number
                if number % 10_000 == 5_000:
                    halfway[number // 10_000].set()

        counts: list[int] = []
        sender = Thread(target=lambda: counts.append(said.send_many(bodies(), timeout=DEADLINE)))
        sender.start()
        for moment in halfway:
            assert moment.wait(DEADLINE)
            lasting.kill()
            lasting.start()
        got = take(heard, many)
        sender.join(DEADLINE)
        assert counts == [many]
        assert got == list(range(many)), "live, once and in order"
        assert [message.body for message in alice.history("General", after=0, limit=2 * many)] == list(range(many))
        assert said.position.seq <= many


def test_a_memory_broker_that_is_started_again_is_a_gap_and_then_live(face: Face, start: Start) -> None:
    mortal = start("memory:")
    with face.client(mortal.url, user="alice") as alice, face.client(mortal.url, user="bob") as bob:
        said, heard = alice.join("General"), bob.join("General")
        said.send_many(["one", "two"])
        assert take(heard, 2) == ["one", "two"]
        mortal.kill()
        mortal.start()
        with pytest.raises(zchat.GapError) as gap:
            next(heard.messages(timeout=DEADLINE))
        assert (gap.value.after, gap.value.upto, gap.value.reason) == (2, 0, zchat.GapReason.RESET)
        with pytest.raises(zchat.GapError):
            next(said.messages(timeout=DEADLINE))
        assert said.send("three", timeout=DEADLINE).seq == 1
        assert next(heard.messages(timeout=DEADLINE)).body == "three"
        assert heard.position == zchat.Position(heard.position.epoch, 1)


def test_events_tell_of_the_loss_and_the_return_in_their_place(face: Face, lasting: Mortal) -> None:
    with face.client(lasting.url, user="bob") as bob:
        heard = bob.join("General")
        events = bob.events(timeout=DEADLINE)
        with face.client(lasting.url, user="alice") as alice:
            room = alice.join("General")
            room.send("before")
            eventually(lambda: heard._inbox.cursor.received == 1, "bob has it")
            lasting.kill()
            lasting.start()
            room.send("after", timeout=DEADLINE)
        log = (event for event in events if not isinstance(event, MemberJoined | MemberLeft))
        seen = [next(log) for _ in range(4)]
    assert [type(event) for event in seen] == [
        zchat.Message,
        zchat.Disconnected,
        zchat.Reconnected,
        zchat.Message,
    ]
    assert isinstance(seen[1], zchat.Disconnected)
    assert seen[1].reason


def test_a_handler_is_notified_of_the_loss_and_the_return(face: Face, lasting: Mortal) -> None:
    seen: list[zchat.Event] = []
    with face.client(lasting.url, user="bob", on_event=seen.append):
        lasting.kill()
        lasting.start()
        eventually(lambda: len(seen) == 2, "both are received")
    assert [type(event) for event in seen] == [zchat.Disconnected, zchat.Reconnected]


def test_losses_that_nobody_takes_do_not_pile_up(face: Face) -> None:
    with Broker("tcp://127.0.0.1:*") as broker, face.client(broker.url, user="bob") as bob:
        for _ in range(500):
            bob._link.events.link(zchat.Disconnected("again"))
            bob._link.events.link(zchat.Reconnected())
        kinds = [type(event) for event in bob.events(timeout=0)]
    assert kinds == [zchat.Disconnected, zchat.Reconnected] * (len(kinds) // 2)
    assert len(kinds) == 100


def test_a_message_without_a_broker_is_not_sent_when_its_deadline_comes(face: Face, lasting: Mortal) -> None:
    seen: list[zchat.Event] = []
    with face.client(lasting.url, user="alice", on_event=seen.append) as client:
        room = client.join("General")
        lasting.kill()
        eventually(lambda: seen, "the loss is noticed")
        with pytest.raises(zchat.DeadlineExceeded) as failed:
            room.send("never", timeout=0.2)
        assert type(failed.value) is zchat.DeadlineExceeded
        with pytest.raises(zchat.DeadlineExceeded):
            client.rooms(timeout=0.2)
        lasting.start()
        assert room.send("later", timeout=DEADLINE).seq == 1


def test_a_message_on_its_way_is_sent_again_though_its_caller_has_gone(face: Face, lasting: Mortal) -> None:
    with face.client(lasting.url, user="alice") as client:
        room = client.join("General")
        lasting.freeze()

        def is_on_its_way() -> bool:
            with pytest.raises(zchat.DeadlineExceeded) as given_up:
                room.send("first", timeout=0.2)
            return isinstance(given_up.value, zchat.OutcomeUnknown)

        eventually(is_on_its_way, "it is sent before its caller gives up")
        lasting.kill()
        lasting.start()
        assert room.send("second", timeout=DEADLINE).seq == 2
        assert [message.body for message in room.history()] == ["first", "second"]


def test_a_broker_that_stands_still_for_a_while_costs_nothing(face: Face, lasting: Mortal) -> None:
    with face.client(lasting.url, user="alice") as alice, face.client(lasting.url, user="bob") as bob:
        said, heard = alice.join("General"), bob.join("General")
        lasting.freeze()
        sent: list[zchat.Message] = []
        sender = Thread(target=lambda: sent.append(said.send("meanwhile", timeout=DEADLINE)))
        sender.start()
        assert any(isinstance(event, zchat.Disconnected) for event in alice.events(timeout=DEADLINE)), "it is silent"
        lasting.thaw()
        sender.join(DEADLINE)
        assert [message.seq for message in sent] == [1]
        assert next(heard.messages(timeout=DEADLINE)).body == "meanwhile"
        said.send("goes on", timeout=DEADLINE)
        assert next(heard.messages(timeout=DEADLINE)).body == "goes on"


def test_a_broker_that_stops_in_good_order_is_waited_for(face: Face, lasting: Mortal) -> None:
    with face.client(lasting.url, user="alice") as client:
        room = client.join("General")
        lasting.stop()
        lasting.start()
        assert room.send("still here", timeout=DEADLINE).seq == 1


def noticed(client: zchat.Client) -> None:
    """Wait until a client has lost its connection."""
    assert any(isinstance(event, zchat.Disconnected) for event in client.events(timeout=DEADLINE))


def test_another_broker_of_the_list_is_tried_when_the_first_is_gone(face: Face, start: Start) -> None:
    first, second = start("memory:"), start("memory:")
    with face.client([first.url, second.url], user="alice") as client:
        room = client.join("General")
        room.send("to the first")
        assert client.url == first.url
        first.kill()
        noticed(client)  # what is on its way as a broker dies may be stored there: nobody could say
        room.send("to the second", timeout=DEADLINE)
        assert client.url == second.url
        second.kill()
        noticed(client)
        first.start()
        room.send("to the first again", timeout=DEADLINE)
        assert client.url == first.url


def test_a_room_that_is_gone_ends_with_the_reason_and_can_be_joined_anew(face: Face, start: Start) -> None:
    mortal = start("memory:", "General", "Crypto")
    with face.client(mortal.url, user="alice") as client:
        general, crypto = client.join("General"), client.join("Crypto")
        mortal.kill()
        mortal.start("General")
        with pytest.raises(zchat.NoSuchRoom):
            list(crypto.messages(timeout=DEADLINE))
        with pytest.raises(zchat.NotAMember) as caught:
            crypto.send("x")
        assert isinstance(caught.value.__cause__, zchat.NoSuchRoom)
        assert general.send("goes on", timeout=DEADLINE).seq == 1
        with pytest.raises(zchat.NoSuchRoom):
            client.join("Crypto")
        mortal.kill()
        mortal.start()
        assert client.join("Crypto", timeout=DEADLINE).send("anew", timeout=DEADLINE).seq == 1


def test_a_handler_receives_the_end_of_a_room_with_the_reason_and_goes_on_for_the_others(
    face: Face, start: Start
) -> None:
    mortal = start("memory:", "General", "Crypto")
    seen: list[zchat.Event] = []
    bob = face.client(mortal.url, user="bob", on_event=seen.append)
    for room in ("Crypto", "General"):
        bob.join(room)
    mortal.kill()
    mortal.start("General")
    eventually(lambda: zchat.Reconnected() in seen, "it is connected again")
    with face.client(mortal.url, user="alice") as alice:
        alice.join("General").send("hello")
    eventually(lambda: any(isinstance(event, zchat.Message) for event in seen), "the other room goes on")
    [removed] = [event for event in seen if isinstance(event, zchat.Removed)]
    assert (removed.room, removed.by, removed.until, removed.code) == ("Crypto", "", None, "no_such_room")
    assert "Crypto" in removed.reason
    bob.close()


def test_a_reader_that_holds_unread_messages_goes_on_after_them(face: Face, lasting: Mortal) -> None:
    with face.client(lasting.url, user="alice") as alice, face.client(lasting.url, user="bob") as bob:
        said, heard = alice.join("General"), bob.join("General")
        for number in range(30):
            said.send(number)
        assert next(heard.messages(timeout=DEADLINE)).body == 0
        lasting.kill()
        lasting.start()
        for number in range(30, 60):
            said.send(number, timeout=DEADLINE)
        assert [message.body for message in islice(heard.messages(timeout=DEADLINE), 59)] == list(range(1, 60))
        eventually(lambda: heard.position.seq == 60, "the position follows")


def test_close_waits_for_the_broker_until_its_deadline(face: Face, lasting: Mortal) -> None:
    client = face.client(lasting.url, user="alice")
    room = client.join("General")
    lasting.kill()
    failed: list[Any] = []

    def send() -> None:
        try:
            room.send("x", timeout=None)
        except zchat.ZchatError as error:
            failed.append(error)

    sender = Thread(target=send)
    sender.start()
    eventually(lambda: client._link.core._pending, "it waits")
    began = time.monotonic()
    client.close(timeout=0.5)
    assert 0.4 < time.monotonic() - began < DEADLINE / 4
    sender.join(DEADLINE)
    assert isinstance(failed[0], zchat.ConnectionLost | zchat.OutcomeUnknown)


def test_close_while_the_connection_is_lost_says_goodbye_to_a_broker_that_is_back(
    face: Face, lasting: Mortal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconnect, "RETRY_FIRST", DEADLINE)  # by itself it comes back too late
    monkeypatch.setattr(reconnect, "RETRY_MAX", DEADLINE)
    with face.client(lasting.url, user="alice") as alice:
        alice.join("General")
        lasting.freeze()
        assert isinstance(next(alice.events(timeout=DEADLINE)), zchat.Disconnected)
        lasting.thaw()
        with face.client(lasting.url, user="bob") as bob:
            assert [each.user for each in bob.members("General")] == ["alice"]
            alice.close()
            assert bob.members("General") == []


def test_close_does_not_wait_for_messages_whose_senders_have_given_up(face: Face, lasting: Mortal) -> None:
    client = face.client(lasting.url, user="alice")
    room = client.join("General")
    lasting.kill()
    assert isinstance(next(client.events(timeout=DEADLINE)), zchat.Disconnected)
    with pytest.raises(zchat.DeadlineExceeded, match="could not be sent"):
        room.send("never", timeout=0.1)
    began = time.monotonic()
    client.close(timeout=DEADLINE)
    assert time.monotonic() - began < DEADLINE / 2


def test_a_loss_is_reported_after_all_that_came_before_and_before_the_return(face: Face, start: Start) -> None:
    mortal = start()
    seen: list[Any] = []
    go_on = Event()

    def handler(event: zchat.Event) -> None:
        if isinstance(event, MemberJoined | MemberLeft):
            return  # alice, who comes and goes: told or conflated
        seen.append(event.body if isinstance(event, zchat.Message) else type(event))
        assert go_on.wait(DEADLINE)

    with face.client(mortal.url, user="bob", on_event=handler) as bob:
        heard = bob.join("General")

        def is_back() -> bool:
            return bob._link.core.connections > 1 and bob._link.core.connected

        with face.client(mortal.url, user="alice") as alice:
            room = alice.join("General")
            for number in range(3):
                room.send(number)
            eventually(lambda: heard._inbox.cursor.received == 3 and seen == [0], "one is in hand, two wait")
        mortal.kill()
        eventually(lambda: not bob._link.core.connected, "the loss is noticed")
        mortal.start()
        eventually(is_back, "it is connected again")
        go_on.set()
        eventually(lambda: len(seen) == 6, "all is received")
    assert seen == [0, 1, 2, zchat.Disconnected, zchat.Reconnected, zchat.Gap]


def test_a_room_in_which_nothing_was_said_is_there_again_after_a_restart(face: Face, lasting: Mortal) -> None:
    with face.client(lasting.url, user="alice") as alice:
        with face.client(lasting.url, user="bob") as bob:
            bob.join("Quiet")
            quiet = alice.join("Quiet", create=False)
        lasting.kill()
        lasting.start()
        assert quiet.send("still here", timeout=DEADLINE).seq == 1


def test_a_history_is_of_one_log_though_the_broker_is_another_one_between_two_pages(
    face: Face, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    mortal = start()
    with face.client(mortal.url, user="reader") as client:
        with zchat.Client(mortal.url, user="writer") as writer:
            writer.join("General").send_many(["old"] * 3000)
        paged = steps._with_connection

        def replaced(core: ClientCore, page: HistoryPage) -> tuple[int, HistoryPage]:
            monkeypatch.undo()
            answer = paged(core, page)
            mortal.kill()
            mortal.start()
            begun_anew = threading.Thread(target=write)  # here the core is driven, and nothing may wait for a client
            begun_anew.start()
            begun_anew.join()
            return answer

        def write() -> None:
            with zchat.Client(mortal.url, user="writer") as writer:
                writer.join("General").send_many(["new"] * 2500)

        monkeypatch.setattr(steps, "_with_connection", replaced)
        found = client.history("General", after=0, limit=5000, timeout=DEADLINE)
    assert {message.body for message in found} == {"new"}
    assert [message.seq for message in found] == list(range(1, 2501))


def test_a_room_is_joined_while_the_broker_of_the_present_connection_says_so(face: Face, lasting: Mortal) -> None:
    with face.client(lasting.url, user="alice") as client:
        found = [client.join("General")]
        assert [room.joined for room in found] == [True]
        lasting.kill()
        eventually(lambda: not found[0].joined, "there is no connection")
        lasting.start()
        eventually(lambda: found[0].joined, "it is joined again")
        found[0].leave()
        found.append(client.join("General"))
        assert [room.joined for room in found] == [False, True]
