"""A disk that fills up under a running broker, as those who talk there see it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest

import zchat
from tests.running import DEADLINE, eventually
from zchat.broker import Broker
from zchat.broker.store.sqlite.store import SqliteStore

PAGES = 400
"""What the file may have at first, of 8 KiB: three blocks of a mebibyte, which `send_many` makes."""

LARGE = "x" * 50_000
MANY = 100
"""Such messages, of which the disk holds about half."""


class Disk(SqliteStore):
    """Be a store on a small disk, which can be given more room."""

    def grow(self) -> None:
        """Have all the room there is; the store learns of it when it fails once more, as with a real disk's file."""
        self._max_pages = 0


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    return Disk(tmp_path / "chat.db", max_pages=PAGES)


@pytest.fixture
def broker(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> Iterator[Broker]:
    monkeypatch.setattr("zchat.broker.broker.open_store", lambda url: disk)
    with Broker("tcp://127.0.0.1:*", store="sqlite:of the fixture") as running:
        yield running


def fill(room: zchat.Room) -> list[int]:
    """Send until the disk is full; return the seqs of what is stored."""
    bodies = [LARGE] * MANY
    stored: list[int] = []
    with pytest.raises(zchat.StoreFailed, match="full") as failure:
        stored.extend(room.send(body, timeout=DEADLINE).seq for body in bodies)
    assert failure.value.retryable
    assert stored
    return stored


def test_a_full_disk_is_reported_to_senders_and_reading_goes_on(broker: Broker) -> None:
    with zchat.Client(broker.url, user="alice") as alice, zchat.Client(broker.url, user="bob") as bob:
        general, heard = alice.join("General"), bob.join("General")
        stored = fill(general)
        assert stored == list(range(1, len(stored) + 1))
        assert [message.seq for message in islice(heard.messages(timeout=DEADLINE), len(stored))] == stored
        assert [message.seq for message in bob.history("General", limit=MANY)] == stored
        late = bob.join("Sports")
        bob.leave(heard)
        again = bob.join("General", after=zchat.START)
        assert next(again.messages(timeout=DEADLINE)).seq == 1
        assert {room.name: room.last for room in bob.rooms()}["General"] == len(stored)
        with pytest.raises(zchat.StoreFailed, match="full"):
            late.send(LARGE)


def test_of_many_messages_that_meet_a_full_disk_the_count_of_the_stored_is_true(broker: Broker) -> None:
    with zchat.Client(broker.url, user="alice") as alice:
        general = alice.join("General")

        def bodies() -> Iterator[str]:
            yield LARGE
            eventually(lambda: broker.counters.messages, "a commit of its own: one that fails takes all with it")
            yield from [LARGE] * (MANY - 1)

        with pytest.raises(zchat.StoreFailed) as failure:
            general.send_many(bodies(), timeout=DEADLINE)
        assert 0 < failure.value.stored < MANY
        assert [message.seq for message in alice.history("General", limit=MANY)] == list(
            range(1, failure.value.stored + 1)
        )


def test_when_there_is_room_again_the_same_clients_go_on_without_a_hole(broker: Broker, disk: Disk) -> None:
    with zchat.Client(broker.url, user="alice") as alice, zchat.Client(broker.url, user="bob") as bob:
        general, heard = alice.join("General"), bob.join("General")
        stored = fill(general)
        disk.grow()

        def sent() -> bool:
            try:
                stored.append(general.send(LARGE).seq)
            except zchat.StoreFailed:
                return False
            return True

        eventually(sent, "sending works again")
        assert general.send_many([LARGE] * MANY, timeout=DEADLINE) == MANY
        last = len(stored) + MANY
        seqs = [message.seq for message in islice(heard.messages(timeout=DEADLINE), last)]
        assert seqs == list(range(1, last + 1))
        assert [message.seq for message in bob.history("General", after=0, limit=last + 1)] == seqs
