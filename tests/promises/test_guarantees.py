"""The page of guarantees: its tests are there, its values are the code's; and the bounds that no other test holds."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import re
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from threading import Event
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import zmq

import zchat
from tests.running import DEADLINE, ROOT
from zchat.broker import Broker, limits, loop
from zchat.broker.edge.zap import Zap
from zchat.broker.settings import Settings
from zchat.broker.store import contract, memory, open_store
from zchat.broker.store.sqlite import schema
from zchat.broker.store.sqlite.store import SqliteStore
from zchat.client.reading import messages_of
from zchat.protocol.faces import arguments, face, inbox
from zchat.protocol.rooms import cursor
from zchat.threads import Bell
from zchat.transport import context as transport_context
from zchat.transport import dealer, receive_thread
from zchat.wire import limits as wire_limits
from zchat.wire import notices

PAGE = (ROOT / "docs" / "guarantees.md").read_text(encoding="utf-8")
REFERENCE = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
KEPT = re.compile(r"`([\w/]+\.py): ([\w, ]+)`")
BOUND = re.compile(r"^\| `([\w.]+)\.(\w+)` \| ([^|]+) \|", re.MULTILINE)
MODULES: dict[str, ModuleType] = {
    place.name.removeprefix("zchat."): importlib.import_module(place.name)
    for place in pkgutil.walk_packages(zchat.__path__, "zchat.")
    if not place.name.startswith(("zchat.cli.", "zchat.__")) and place.name != "zchat.cli"
} | {
    name: importlib.import_module(f"zchat.{name}")
    for name in ("cli.connection", "cli.ending", "cli.limits", "cli.logs", "cli.streams")
}
"""The package's modules by their dotted names, as the page has them; of the command those that bound anything."""

UNITS = {"KiB": 1024.0, "MiB": 1048576.0, "s": 1.0, "ms": 0.001, "day": 86_400e6, "": 1.0}


def lines() -> Iterator[str]:
    """Yield the rows of the page's tables, without their heads."""
    for before, line in pairwise(PAGE.splitlines()):
        if line.startswith("| ") and before.startswith("|") and not line.startswith("| ---"):
            yield line


def test_every_line_names_its_test() -> None:
    assert len(list(lines())) > 60
    assert not [row for row in lines() if not REFERENCE.search(row)]


def test_every_test_that_is_named_is_there() -> None:
    there: dict[str, set[str]] = {}
    for place in {place for place, _ in REFERENCE.findall(PAGE)}:
        tree = ast.parse((ROOT / place).read_text(encoding="utf-8"))
        there[place] = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    assert not [f"{place}::{name}" for place, name in REFERENCE.findall(PAGE) if name not in there[place]]


def test_every_promise_names_the_code_that_keeps_it() -> None:
    rows = PAGE.split("| promise | kept in | held by |")[1].split("\n\n")[0].splitlines()[2:]
    assert len(rows) > 20
    for row in rows:
        kept = KEPT.findall(row.split(" | ")[1])
        assert kept, row
        for file, there in kept:
            tree = ast.parse((ROOT / "zchat" / file).read_text(encoding="utf-8"))
            defined = {
                node.name
                for node in ast.walk(tree)
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
            }
            defined |= {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
            assert set(there.split(", ")) <= defined, (file, there)


@pytest.mark.parametrize(("module", "name", "text"), BOUND.findall(PAGE))
def test_a_bound_has_the_value_that_the_page_tells(module: str, name: str, text: str) -> None:
    number, _, unit = text.partition(" ")
    told = float(number.replace(",", "")) * UNITS[unit]
    if name.endswith("_MS"):
        told *= 1000
    assert getattr(MODULES[module], name) == told


NO_BOUNDS = {
    "broker.guard.rules.ALL",
    "broker.store.sqlite.store.THREADS",
    "threads.GONE_SECONDS",
    "threads.POLL_SECONDS",
    "threads.STACK_BYTES",
    "address.MAX_IPC_PATH",
    "address.MAX_PORT",
    "broker.loop.MAX_WAIT",
    "transport.alarm.SLEPT",
    "wire.limits.OVERALL",
    "wire.values.PACKED_BYTES",
    "transport.dealer.FRAMING",
    "checks.MAX_SHOWN",
    "broker.edge.descriptors.KEPT_FREE_FOR_IPC",
    "broker.guard.doorkeeper.CHECK_EVERY",
    "broker.guard.doorkeeper.MADE_ROOM",
    "broker.guard.doorkeeper.KNOCKS_AT_ONCE",
    "broker.limits.FRAMING",
    "transport.greeting.GREETING_BYTES",
    "transport.keys.KEY_CHARACTERS",
    "transport.link.AGAIN_SECONDS",
    "broker.limits.RECEIVED_SECONDS_A_BYTE",
    "broker.limits.SAMPLE_AGAIN",
    "broker.limits.SAMPLE_EVERY",
    "broker.edge.door.SETTLE_SECONDS",
    "broker.edge.ipc_socket.LOCK_EVERY",
    "broker.figures.metrics.POLL_SECONDS",
    "broker.store.contract.CLOSE_SECONDS",
    "broker.store.contract.NEVER",
    "broker.rooms.wall_clock.SECOND",
    "broker.store.blocks.BLOCK_COST",
    "broker.store.blocks.COMPACT",
    "broker.store.sqlite.committer.COMMIT_OVERHEAD",
    "broker.store.ledger.EXPIRED_AT_ONCE",
    "broker.store.ledger.JUMP",
    "broker.store.ledger.MAX_EPOCH",
    "broker.store.memory.STALE_PLACES",
    "broker.store.sqlite.schema.APPLICATION_ID",
    "broker.store.sqlite.schema.CACHE_KIB",
    "broker.store.sqlite.schema.PAGE_BYTES",
    "broker.store.sqlite.schema.SENDER_BYTES",
    "cli.streams.FILE_BYTES",
    "cli.streams.PAUSE",
    "broker.edge.descriptors.OWN_FILES",
    "broker.store.sqlite.fresh_file.LEFT_SECONDS",
    "broker.store.copying.records.FINGERPRINT_BYTES",
    "broker.store.copying.sqlite_target.CACHE_KIB",
    "broker.edge.systemd.NOTICES",
    "cli.streams.TERMINAL_BYTES",
    "protocol.faces.outcomes.SETTLING",
    "files.NOT_WAITING",
    "protocol.faces.moderation.SANCTIONS_PAGE",
    "protocol.faces.steps.MEMBERS_PAGE",
    "broker.store.redis.attachment.HOLD_EVERY",
    "broker.store.redis.feed.LISTEN_AGAIN",
    "broker.store.redis.forms.HEAD_BYTES",
    "broker.store.redis.partitions.PARTITIONS",
    "broker.store.redis.reader.CATCH_UP_AGAIN",
    "broker.store.redis.reader.CATCH_UP_BYTES",
    "broker.store.redis.reader.FIRST_BYTES",
    "broker.store.redis.store.BROKER_BYTES",
    "broker.store.redis.store.OPEN_AGAIN",
    "broker.store.redis.store.THREADS",
    "broker.store.redis.connections.server.TOLD",
    "broker.store.redis.connections.url.PORT",
    "broker.store.redis.connections.url.SENTINEL_PORT",
    "protocol.faces.steps.ROOMS_PAGE",
    "transport.dealer.NEVER_MS",
    "transport.link.LAST_TIMES",
    "transport.loop_receiver.MIN_WAIT",
    "loops.SWEEP",
    "loops.TIMER_LOST_AFTER",
    "transport.link.POLLIN",
    "protocol.send_queue.NOT_COUNTED",
    "protocol.core.IDLE",
    "protocol.faces.face.WAITING_COST",
    "broker.limits.PAGE_SECONDS_A_BYTE",
    "broker.limits.SENT_SECONDS_A_BYTE",
    "web.brokers.CONNECT_SECONDS",
    "web.core.frames.SAFE",
    "web.core.limits.ASK_SECONDS",
    "web.core.limits.HISTORY_TRIES",
    "web.core.limits.VERSION",
    "web.descriptors.OWN_FILES",
    "web.descriptors.RECOVERED_AFTER",
    "web.descriptors.SESSION_FILES",
    "web.listening.BACKLOG",
    "web.server.STALL_SECONDS",
    "web.server.TURN_SECONDS",
    "web.serving.LAST_SECONDS",
    "wire.hostile.HEADER",
    "wire.hostile.TIMESTAMP",
    "wire.limits.DIGEST",
    "wire.limits.FRAME_OVERHEAD",
    "wire.limits.ID_BYTES",
    "wire.limits.JOIN_FLAGS",
    "wire.limits.LOG",
    "wire.limits.MAX_FRAME",
    "wire.limits.MAX_INT",
    "wire.limits.OLDEST_VERSION",
    "wire.limits.OWN",
    "wire.limits.PRESENT",
    "wire.limits.VERSION",
}
"""Numbers that bound nothing a user can meet: paces, marks, flags, sizes made of others."""


def test_every_bound_is_on_the_page() -> None:
    told = {f"{module}.{name}" for module, name, _ in BOUND.findall(PAGE)}
    there = set()
    for module, code in MODULES.items():
        for node in ast.parse(inspect.getsource(code)).body:
            target = node.targets[0] if isinstance(node, ast.Assign) else None
            name = target.id if isinstance(target, ast.Name) else ""
            if name.isupper() and name[0] != "_" and isinstance(getattr(code, name), (int, float)):
                there.add(f"{module}.{name}")
    assert told - there <= {"broker.store.sqlite.store.CLOSE_SECONDS"}
    assert there - told == NO_BOUNDS


# -- bounds that no other test holds -------------------------------------------------------------------


def test_the_brokers_socket_has_its_bounds() -> None:
    with zmq.Context[zmq.Socket[bytes]]() as context:
        router = loop._router(context, Settings())
        try:
            assert router.getsockopt(zmq.SNDHWM) == 54 == 2 * (limits.HIGH_WATER_MARK + limits.MAX_REQUESTS + 1)
            assert router.getsockopt(zmq.RCVHWM) == 0
            assert router.getsockopt(zmq.MAXMSGSIZE) == wire_limits.MAX_BLOCK_BYTES + wire_limits.FRAME_OVERHEAD
            assert router.getsockopt(zmq.HANDSHAKE_IVL) == loop.HANDSHAKE_MS
            assert router.getsockopt(zmq.HEARTBEAT_IVL) == loop.TRANSPORT_HEARTBEAT_MS
            assert router.getsockopt(zmq.HEARTBEAT_TIMEOUT) == loop.TRANSPORT_HEARTBEAT_MS
            assert router.getsockopt(zmq.LINGER) == limits.LINGER_SECONDS * 1000
        finally:
            router.close(0)


def test_the_routers_own_names_begin_somewhere_else_each_time() -> None:
    names = []
    for _ in range(2):
        with zmq.Context[zmq.Socket[bytes]]() as context:
            router = loop._router(context, Settings())
            zap = Zap(context)
            peer = context.socket(zmq.DEALER)
            try:
                port = router.bind_to_random_port("tcp://127.0.0.1")
                peer.connect(f"tcp://127.0.0.1:{port}")
                peer.send(b"")
                assert zap.socket.poll(10_000)
                for request in zap.requests(1):
                    zap.let_in(request, 1)
                assert router.poll(10_000)
                names.append(router.recv_multipart()[0])
            finally:
                peer.close(0)
                router.close(0)
                zap.close()
    assert names[0] != names[1]


def test_a_turn_of_the_broker_takes_a_bounded_number_of_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "time", SimpleNamespace(monotonic=lambda: 0.0, thread_time=lambda: 0.0))

    class Flood:
        """Always have another message."""

        def recv(self, flags: int, copy: bool = True) -> Any:
            return b"frame" if copy else SimpleNamespace(bytes=b"frame", more=False)

    class Receiver:
        taken = 0
        sessions = frozenset({b"frame"})

        def receive(self, routing_id: bytes, frames: list[bytes], now: float, peer: None) -> None:
            self.taken += 1

    turns: Any = loop.Loop((), open_store("memory:"), Settings())
    turns._router = Flood()
    turns._entrance = SimpleNamespace()
    turns._doorkeeper = SimpleNamespace(connections=SimpleNamespace(checking=False, sampled=()))
    receiver = Receiver()
    assert not turns._receive(receiver)
    assert receiver.taken == limits.TURN_FRAMES


def test_the_clients_socket_has_its_bounds() -> None:
    with zmq.Context[zmq.Socket[bytes]]() as context:
        connection = dealer.Dealer(context, "tcp://127.0.0.1:1", patient=False)
        try:
            assert connection.socket.getsockopt(zmq.SNDHWM) == dealer.SEND_MARK
            assert connection.socket.getsockopt(zmq.RCVHWM) == 0
            assert connection.socket.getsockopt(zmq.MAXMSGSIZE) == wire_limits.MAX_FRAME
            assert connection.send(b"what nobody will ever read")
        finally:
            began = time.monotonic()
            connection.close(lingering=True)
    assert time.monotonic() - began < DEADLINE, "the context waits for what lingers"


def test_the_clients_context_has_its_bounds() -> None:
    context = transport_context.context_of_this_process()
    assert context.get(zmq.MAX_SOCKETS) == min(transport_context.MAX_SOCKETS, context.get(zmq.SOCKET_LIMIT))


def test_a_turn_of_the_client_takes_a_bounded_number_of_frames() -> None:
    class Flood:
        """Always have another frame."""

        def recv(self, flags: int) -> bytes:
            return b"frame"

        def get(self, option: int) -> int:
            return zmq.POLLIN

    class Connection:
        socket = Flood()
        taken = 0

    class Core:
        taken = 0

        def receive(self, frame: bytes, now: float) -> None:
            self.taken += 1

    turns: Any = receive_thread.ReceiveThread.__new__(receive_thread.ReceiveThread)
    turns._dealer, turns.core = Connection(), Core()
    assert turns._receive(0.0)
    assert turns.core.taken == receive_thread.TURN_FRAMES


def test_ranges_of_own_messages_are_bounded_and_cost_the_position_nothing_in_the_end() -> None:
    feed = inbox.Inbox(Bell(), lambda reading: None, lambda membership: None)
    feed.cursor.begin(zchat.Position(7, 0), 10, gap=False)
    for number in range(2, 3 * cursor.MAX_OWN_RANGES, 2):
        feed.cursor.own(7, number, number)
    assert len(feed.cursor._own) == cursor.MAX_OWN_RANGES
    last = 3 * cursor.MAX_OWN_RANGES
    feed.cursor.receive(7, last)
    feed.push(notices.Push("General", 7, 0, last, []))
    assert list(messages_of(feed, 0)) == []
    assert feed.position == feed.cursor.received_position == (7, last)


def test_a_broker_whose_store_never_opens_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opening = Event()

    def never(self: object, wake: object, *, quotas: bool) -> list[contract.RoomLog]:
        opening.wait(DEADLINE)
        return []

    monkeypatch.setattr("zchat.broker.broker.START_SECONDS", 0.05)
    monkeypatch.setattr(memory.MemoryStore, "open", never)
    broker = Broker("tcp://127.0.0.1:*")
    try:
        with pytest.raises(zchat.ZchatError, match="did not start within"):
            broker.__enter__()
    finally:
        opening.set()
        assert broker.wait(DEADLINE)


def test_sqlite_keeps_no_long_log(tmp_path: Path) -> None:
    path = tmp_path / "z.db"
    connection = schema.connect(path, "FULL")
    try:
        assert connection.execute("PRAGMA journal_size_limit").fetchone() == (schema.WAL_KEPT,)
    finally:
        connection.close()


def test_sqlite_flushes_every_commit_to_the_disk(tmp_path: Path) -> None:
    store = open_store(f"sqlite:{tmp_path / 'log'}")
    assert isinstance(store, SqliteStore)
    assert synchronous(store, tmp_path) == 2  # SQLite's number for FULL


def test_sqlite_can_be_set_to_flush_less(tmp_path: Path) -> None:
    assert synchronous(SqliteStore(tmp_path / "log", synchronous="NORMAL"), tmp_path) == 1


def synchronous(store: SqliteStore, folder: Path) -> int:
    """Return how a store's connection that writes flushes, in SQLite's numbers."""
    store.open(lambda: None)
    try:
        connection = store._connect()
        try:
            number: int = connection.execute("PRAGMA synchronous").fetchone()[0]
            return number
        finally:
            connection.close()
    finally:
        store.close()


def test_waits_have_the_defaults_of_this_page() -> None:
    for function, seconds in (
        (zchat.Room.send, arguments.SEND_TIMEOUT),
        (zchat.Room.send_many, arguments.SEND_TIMEOUT),
        (zchat.Client.join, arguments.ASK_TIMEOUT),
        (zchat.Client.rooms, arguments.ASK_TIMEOUT),
        (zchat.Client.history, arguments.ASK_TIMEOUT),
    ):
        assert inspect.signature(function).parameters["timeout"].default == seconds


def test_send_many_takes_no_more_from_its_source_than_may_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(face, "MAX_WAITING_BYTES", 100 * face.WAITING_COST)
    taken = 0

    def source() -> Iterator[str]:
        nonlocal taken
        for _ in range(10_000):
            taken += 1
            yield "x"

    with Broker("tcp://127.0.0.1:*") as broker, zchat.Client(broker.url, user="bob") as bob:
        general = bob.join("General")
        monkeypatch.setattr(general._link.core, "offer", lambda name, submission: None)  # nothing goes out
        with pytest.raises(zchat.DeadlineExceeded):
            general.send_many(source(), timeout=0.5)
    assert taken == 100
