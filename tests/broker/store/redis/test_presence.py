"""Who is where, as a broker has told and was told it, without a server."""

from __future__ import annotations

from typing import Any

from tests.broker.store.driver import Reports
from zchat.broker.store.contract import Failed, Present
from zchat.broker.store.redis.attachment import Snapshot
from zchat.broker.store.redis.forms import pack_present
from zchat.broker.store.redis.hearing import Changes
from zchat.broker.store.redis.notices import Notice
from zchat.broker.store.redis.partitions import partition_of
from zchat.broker.store.redis.presence import TELLING, MirroredPresence
from zchat.broker.store.redis.requests import Here, Request

GENERAL = partition_of("general")
ALICE = Present("General", "carol", "Alice", 5)
BOB = Present("General", "carol", "Bob", 6)


class Held:
    """A mirror of presence, what it asks for and what it reports."""

    def __init__(self) -> None:
        self.asked: list[Request] = []
        self.looks: list[int] = []
        self.reports = Reports()
        self.presence = MirroredPresence(self.asked.append, self.looks.append, b"this")

    def hear(self, count: int, kind: bytes, *fields: Any, broker: bytes = b"other") -> None:
        self.presence.heard(Notice(GENERAL, kind, broker, 7, count, fields), self.reports)

    def came(self, count: int, present: Present, broker: bytes = b"other") -> None:
        field = f"{present.room}\0{present.user}".lower().encode()
        self.hear(count, b"H", field, pack_present(present), broker=broker)

    def look(self, count: int, *here: tuple[bytes, Present], anew: bool = False) -> None:
        snapshot = Snapshot(Changes(7, 0, count), {}, {}, None, here)
        self.presence.take_over(GENERAL, snapshot, self.reports, anew=anew)

    def take(self) -> list[tuple[Any, ...]]:
        taken, self.reports.all = self.reports.all, []
        return taken


def test_users_of_another_broker_are_reported_as_they_come_and_go() -> None:
    held = Held()
    held.came(1, ALICE)
    held.came(2, BOB, broker=b"third")
    held.hear(3, b"H", b"general\0alice", b"")
    held.hear(4, b"H", b"general\0alice", b"")
    assert held.take() == [("came", ALICE, b"other"), ("came", BOB, b"third"), ("went", "general", "alice", b"other")]


def test_what_is_older_than_the_newest_changes_nothing() -> None:
    held = Held()
    held.look(5, (b"other", ALICE))
    held.take()
    held.came(4, BOB)
    held.hear(5, b"H", b"general\0alice", b"")
    held.look(4)
    assert held.take() == []
    held.look(5, (b"other", BOB))
    assert held.take() == [("came", BOB, b"other"), ("went", "general", "alice", b"other")]


def test_another_run_of_the_server_counts_anew() -> None:
    held = Held()
    held.look(5, (b"other", ALICE))
    held.look(1, (b"third", ALICE), anew=True)
    held.came(2, BOB)
    assert held.take()[1:] == [
        ("went", "general", "alice", b"other"),
        ("came", ALICE, b"third"),
        ("came", BOB, b"other"),
    ]


def test_all_of_a_broker_go_with_it() -> None:
    held = Held()
    held.look(2, (b"other", ALICE), (b"other", BOB), (b"third", BOB))
    held.take()
    held.hear(3, b"G", b"other", broker=b"third")
    assert held.take() == [("went", "general", "alice", b"other"), ("went", "general", "bob", b"other")]


def test_what_the_server_has_otherwise_of_this_brokers_users_it_is_told_again() -> None:
    held = Held()
    held.presence.come(ALICE)
    assert held.asked == [Here("general", "alice", ALICE)]
    held.look(1, (b"this", ALICE))
    assert len(held.asked) == 1
    held.look(2, (b"this", ALICE._replace(since=4)), (b"this", BOB))
    assert held.asked[1:] == [Here("general", "alice", ALICE), Here("general", "bob", None)]
    held.hear(3, b"G", b"this")
    assert held.asked[3:] == [Here("general", "alice", ALICE)], "it was taken for ended"
    assert held.take() == [], "nobody is elsewhere"


def test_what_could_not_be_told_is_compared_soon() -> None:
    held = Held()
    held.presence.come(ALICE)
    held.presence.replied(Here("general", "alice", ALICE), Failed("no server"))
    assert held.looks == [GENERAL]


def test_a_bounded_number_is_on_its_way_and_of_the_rest_the_latest_counts() -> None:
    held = Held()
    for number in range(TELLING):
        held.presence.come(ALICE._replace(user=f"{number}"))
    held.presence.come(ALICE)
    held.presence.come(BOB)
    held.presence.go("general", "alice")
    assert len(held.asked) == TELLING
    held.presence.replied(Here("general", "0", None), [b"here", 1])
    held.presence.replied(Here("general", "1", None), [b"here", 2])
    assert held.asked[TELLING:] == [Here("general", "alice", None), Here("general", "bob", BOB)]
