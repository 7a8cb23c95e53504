"""The two cores, back to back: clients and a broker without sockets, threads or clocks."""

from __future__ import annotations

from collections import deque
from math import inf
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zchat.broker.core.core import Core
from zchat.broker.delivery import pusher
from zchat.broker.port import Cut, Sent
from zchat.broker.port import Peer as PeerAtBroker
from zchat.broker.settings import Settings
from zchat.broker.store.contract import RoomLog
from zchat.broker.store.memory import MemoryStore
from zchat.client.reading import batches_of, messages_of
from zchat.client.waiting import Answer, Letter
from zchat.errors import Refused, ZchatError
from zchat.events import Gap
from zchat.messages import Message, Position
from zchat.protocol.core import ClientCore
from zchat.protocol.faces.inbox import Inbox
from zchat.protocol.rooms.membership import Membership
from zchat.threads import Bell
from zchat.wire.replies import Welcome
from zchat.wire.values import pack

NOW = 100.0


class Net:
    """Carry frames between the cores; a pipe to a client holds `room` frames, as a socket's would.

    `clients` are by their routing ids: one that has lost its connection has none.
    """

    def __init__(self, window: int, room: int, names: int = 200) -> None:
        self.names = names
        self.clients: dict[bytes, Client] = {}
        self.room = room
        self.now = NOW
        self.window = window
        self.ids = 100
        self.store = KeptStore()
        self.restart()

    def restart(self) -> None:
        """Kill the broker, and start another on the same log: every connection breaks."""
        for client in list(self.clients.values()):
            client.core.lost("the broker was killed")
        settings = Settings(high_water_mark=self.window, names=self.names)
        self.core = Core(self, self.store, self.store.logs(), settings, self.now, lambda: 1)

    def new_id(self) -> bytes:
        self.ids += 1
        return self.ids.to_bytes(2, "big")

    def send(self, routing_id: bytes, frame: bytes) -> int:
        if routing_id not in self.clients:
            return Sent.GONE
        inbox = self.clients[routing_id].inbox
        if len(inbox) >= self.room:
            return Sent.FULL
        inbox.append(frame)
        return Sent.SENT

    def cut(self, peer: PeerAtBroker, why: Cut) -> None:
        pass

    def broker(self, frames: int) -> None:
        """Let the broker take `frames` of each client's frames, and have a turn."""
        for client in list(self.clients.values()):
            for _ in range(min(frames, len(client.outbox))):
                self.core.receive(client.id, [client.outbox.popleft()], self.now)
        self.core.tick(self.now, True)
        self.core.turn(self.now)

    def settle(self, clients: list[Client]) -> None:
        """Let everything travel, until nothing moves any more."""
        for _ in range(1_000):
            self.now += 0.05
            for client in clients:
                client.core.tick(self.now)
            self.broker(1_000)
            moved = [client.receive(1_000) + client.take(1_000) for client in clients]
            waiting = any(client.outbox or not client.core.connected for client in clients)
            context = self.core.context
            due = min(context.pipes.due, context.pusher.due, context.state_frames.due)
            if not any(moved) and not waiting and not self.core.busy and due == inf:
                return
        raise AssertionError("it never comes to rest")

    def pass_time(self, clients: list[Client], seconds: float) -> None:
        """Let time pass while everybody takes what comes, and then all come to rest."""
        until = self.now + seconds
        while self.now < until:
            self.settle(clients)


class KeptStore(MemoryStore):
    """Outlive the broker, as a file does."""

    def __init__(self) -> None:
        super().__init__(lambda: 1)

    def logs(self) -> list[RoomLog]:
        return self._ledger.logs()


class Client:
    """A client's core with the reading of one room, and its two directions of the wire."""

    def __init__(self, net: Net, number: int) -> None:
        self.net = net
        self.id = net.new_id()
        self.number = number
        self.inbox: deque[bytes] = deque()
        self.outbox: deque[bytes] = deque()
        self.letters: list[tuple[str, Letter]] = []
        self.got: list[Message] = []
        self.error: ZchatError | None = None
        self.invitations: list[tuple[str, str, Position]] = []
        net.clients[self.id] = self
        self.core = ClientCore(self, f"user{number}", bytes([number]) * 16, bytes([number]) * 16, 0, Random(number))
        self.core.start(NOW)
        self.reading = Inbox(Bell(), lambda reading: None, self.core.credit)
        self.joined = Answer()
        self.core.join("General", None, True, self.joined, self.reading)

    def send(self, frame: bytes) -> None:
        self.outbox.append(frame)

    def opened(self, welcome: Welcome) -> None:
        pass

    def lost(self, error: ZchatError, was_open: bool) -> None:
        del self.net.clients[self.id]
        self.inbox.clear()
        self.outbox.clear()

    def invited(self, room: str, user: str, position: Position) -> None:
        self.invitations.append((room, user, position))

    def mark_refused(self, room: str, error: Refused) -> None: ...

    def connect(self) -> None:
        self.id = self.net.new_id()
        self.net.clients[self.id] = self

    def ended(self, error: ZchatError | None) -> None:
        self.error = error

    def say(self, text: str) -> None:
        letter = Letter(pack(text), 0)
        self.letters.append((text, letter))
        self.core.offer("General", letter)

    def receive(self, frames: int) -> int:
        count = min(frames, len(self.inbox))
        for _ in range(count):
            self.core.receive(self.inbox.popleft(), self.net.now)
        return count

    def take(self, count: int) -> int:
        """Take messages one by one, as an application that breaks out of its loop does; the third client now and then
        a batch."""
        taken = 0
        if self.reading.room and self.number == 3 and count % 3 == 0:
            batch = next(batches_of(self.reading, 0), None)
            if batch is not None:
                self.got.extend(batch)
                taken = len(batch)
        elif self.reading.room:
            for message in messages_of(self.reading, 0):
                self.got.append(message)
                taken += 1
                if taken >= count:
                    break
        return taken

    @property
    def membership(self) -> Membership:
        membership = self.reading._membership
        assert membership is not None
        return membership

    def owned(self) -> dict[int, str]:
        found = {}
        for text, letter in self.letters:
            letter.wait("General")
            found[letter.seq] = text
        return found


_acts = st.one_of(
    *[st.tuples(st.just("say"), st.integers(0, 2), st.integers(1, 12))] * 3,
    *[st.tuples(st.just("broker"), st.integers(0, 0), st.integers(0, 5))] * 3,
    *[st.tuples(st.just("receive"), st.integers(0, 2), st.integers(1, 6))] * 2,
    *[st.tuples(st.just("take"), st.integers(0, 2), st.integers(1, 15))] * 2,
)
_faults = st.one_of(
    st.tuples(st.just("cut"), st.integers(0, 2), st.just(0)),
    st.tuples(st.just("restart"), st.just(0), st.just(0)),
    st.tuples(st.just("wait"), st.just(0), st.integers(1, 12)),
)


@pytest.mark.parametrize("window", [1, 2, 10])
@given(
    st.one_of(
        st.lists(_acts, min_size=5, max_size=80),
        st.lists(st.one_of(_acts, _acts, _faults), min_size=5, max_size=80),
    ),
    st.sampled_from([1, 3, 1_000]),
    st.booleans(),
)
@settings(max_examples=100)
def test_every_member_gets_the_log_without_its_own_messages(
    window: int, acts: list[tuple[str, int, int]], room: int, crowded: bool
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        if crowded:  # every byte in flight is too many
            patch.setattr(pusher, "IN_FLIGHT_BYTES", 1)
        net = Net(window, room)
        clients = [Client(net, number) for number in range(1, 4)]
        net.settle(clients)
        said = 0
        for kind, index, count in acts:
            client = clients[index]
            if kind == "say":
                for _ in range(count):
                    said += 1
                    client.say(f"{client.number}: {said}")
            elif kind == "broker":
                net.broker(count)
            elif kind == "receive":
                client.receive(count)
            elif kind == "cut":
                client.core.lost("cut")
            elif kind == "restart":
                net.restart()
            elif kind == "wait":
                net.now += count * 0.05
                for each in clients:
                    each.core.tick(net.now)
            else:
                client.take(count)
        net.settle(clients)
    owned = [client.owned() for client in clients]
    log = {seq: text for owner in owned for seq, text in owner.items()}
    assert sorted(log) == list(range(1, said + 1)), "every message has a place of its own"
    for client, own in zip(clients, owned, strict=True):
        assert client.error is None
        assert [text for _, text in sorted(own.items())] == [text for text, _ in client.letters], (
            "in its sender's order"
        )
        assert {m.seq: m.body for m in client.got} == {seq: text for seq, text in log.items() if seq not in own}
        assert [m.seq for m in client.got] == sorted({m.seq for m in client.got}), "in the log's order, once"
        assert client.reading.position.seq == said
    sessions = net.core.context.sessions.table.by_routing_id.values()
    assert net.core.context.pusher.in_flight == sum(sum(m.out) for s in sessions for m in s.members.values())


@pytest.mark.parametrize("window", [1, 2, 10])
def test_a_full_house_goes_on_although_a_member_takes_nothing(window: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pusher, "IN_FLIGHT_BYTES", 5)
    net = Net(window, 1_000)
    speaker, reader, stuck = (Client(net, number) for number in (1, 2, 3))
    net.settle([speaker, reader, stuck])
    stuck.take = lambda count: 0  # type: ignore[method-assign]
    for number in range(40):
        speaker.say(str(number))
        net.settle([speaker, reader, stuck])
    assert [message.body for message in reader.got] == list(map(str, range(40)))
    chunk: Any = stuck.reading.take()
    assert not isinstance(chunk, Gap)
    assert [message.seq for message in chunk.messages] == [1]


_state_acts = st.one_of(
    _acts,
    st.tuples(st.just("type"), st.integers(0, 2), st.integers(0, 1)),
    st.tuples(st.just("mark"), st.integers(0, 2), st.integers(1, 9)),
    _faults,
)


@given(st.lists(_state_acts, min_size=5, max_size=60), st.sampled_from([1, 3, 1_000]), st.sampled_from([0, 2, 200]))
@settings(max_examples=100)
def test_in_the_end_every_picture_is_the_brokers(acts: list[tuple[str, int, int]], room: int, names: int) -> None:
    net = Net(10, room, names)
    clients = [Client(net, number) for number in range(1, 4)]
    net.settle(clients)
    marks = [0, 0, 0]
    said = 0
    for kind, index, count in acts:
        client = clients[index]
        if kind == "say":
            for _ in range(count):
                said += 1
                client.say(str(said))
        elif kind == "type":
            client.core.typing(client.membership, bool(count), net.now)
        elif kind == "mark":
            client.core.mark_read(client.membership, count)
            marks[index] = max(marks[index], count)
        elif kind == "broker":
            net.broker(count)
        elif kind == "receive":
            client.receive(count)
        elif kind == "cut":
            client.core.lost("cut")
        elif kind == "restart":
            net.restart()
        elif kind == "wait":
            net.now += count * 0.05
            for each in clients:
                each.core.tick(net.now)
        list(client.reading.roster.take())
    net.pass_time(clients, 10)
    roster = net.core.context.directory.rooms["general"].roster
    assert roster is not None
    here = {user: (each.name, each.typing, each.read_mark) for user, each in roster.people.items()}
    assert len(here) == 3
    for client in clients:
        picture = client.reading.roster
        list(picture.take())
        assert client.error is None
        assert picture.members == 3
        assert not client.core._pending, "every mark was answered"
        if names == 200:
            assert {user: (each.user, each.typing, each.read_mark) for user, each in picture._people.items()} == here
        else:
            assert picture._crowd is not None
            assert (picture._crowd.members, picture._crowd.typing, picture._crowd.caught_up) == (
                3,
                roster.typing,
                len(roster.at_end),
            )
    for number, wanted in enumerate(marks, 1):
        assert here[f"user{number}"][2] <= min(wanted, said), "nobody is said to have read more than he has"
