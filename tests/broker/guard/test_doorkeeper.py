"""Who is let in and who is cut, and in which order: the doorkeeper at an entrance of the test's, on its clock."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from zchat.broker.figures.audit_trail import AuditTrail
from zchat.broker.figures.counters import Counters
from zchat.broker.figures.log_lines import LogLines
from zchat.broker.guard.connections import Connections
from zchat.broker.guard.doorkeeper import CHECK_EVERY, FILES_FOR_NEWCOMERS, KNOCKS_AT_ONCE, MADE_ROOM, Doorkeeper
from zchat.broker.guard.gate import Gate
from zchat.broker.limits import (
    CUT_AFTER,
    CUT_NOTED_EVERY,
    GREET_WITHIN,
    HANDSHAKES_A_KEY_BURST,
    HANDSHAKES_FOR_ENDLESS,
    OVERRUN_BYTES,
)
from zchat.broker.port import Cut, Peer

ID = b"\0\0\0\0\1"
KEYS = {"a" * 40: "Alice"}


class Asking(NamedTuple):
    """A connection that asks to be let in."""

    key: str | None = None
    address: str = "192.0.2.1"

    def find_guest(self) -> str:
        return "guest-1"

    def find_login(self) -> str:
        return ""


class Entrance:
    """An entrance, and a core as far as a doorkeeper needs one."""

    def __init__(self, gate: Gate | None = None) -> None:
        self.counters = Counters()
        self.log_lines = LogLines()
        self.audit = AuditTrail(lambda: 0)
        self.connections = Connections()
        self.doorkeeper = Doorkeeper(gate or Gate(), self.connections, self)
        self.asking: list[Asking] = []
        self.shut = False
        self.wake = float("inf")
        self.files: int | None = None
        self.bytes: dict[int, int] = {}
        self.events: list[Callable[[], object]] = []  # that `check` is to find
        self.gone: list[Peer] = []
        self.done: list[tuple[object, ...]] = []  # in their order

    def knocks(self, most: int) -> list[Asking]:
        now, self.asking = self.asking[:most], self.asking[most:]
        self.done.append(("asked",))
        return now

    def check(self, now: float, counters: Counters, log_lines: LogLines) -> None:
        self.done.append(("checked",))
        for event in self.events:
            event()
        self.events.clear()

    def take_vanished(self) -> list[Peer]:
        gone, self.gone = self.gone, []
        return gone

    def let_in(self, knock: Asking, number: int) -> None:
        self.done.append(("let in", number))

    def refuse(self, knock: Asking, *, later: bool) -> None:
        self.done.append(("refused", "later" if later else "for good"))

    def limit(self) -> int | None:
        return self.files

    def read(self, fd: int) -> int:
        return self.bytes.get(fd, -1)

    def address(self, fd: int) -> str:
        return f"192.0.2.{fd}"

    def cut(self, fd: int, *, reset: bool) -> bool:
        self.done.append(("cut", fd, reset))
        return True

    def taken(self, routing_id: bytes) -> int:
        return 0

    def vanished(self, peer: Peer) -> None:
        self.done.append(("vanished", peer.connection))

    def turn(self, now: float) -> list[tuple[object, ...]]:
        """Have all read that has come, and the doorkeeper check; return what was done for it."""
        self.doorkeeper.drained(self, now)
        self.done.clear()
        self.doorkeeper.check(now, self)
        return [each for each in self.done if each not in (("asked",), ("checked",))]

    def come(self, fd: int, now: float, *, greets: bool = True) -> Peer:
        """Have a connection accepted, let in and, if it greets, heard of as a client's."""
        self.connections.accepted(fd, now)
        number = self.connections.admit()
        peer = self.connections.peer(number, fd, ID, 1, known=False)
        assert peer is not None
        if greets:
            self.connections.greeted(number)
        return peer


def test_who_asks_is_let_in_under_numbers_once_it_is_known_what_was_accepted() -> None:
    entrance = Entrance()
    entrance.asking = [Asking(), Asking()]
    entrance.turn(1.0)
    assert entrance.done == [("asked",), ("checked",), ("let in", 1), ("let in", 2)]


def test_an_unknown_key_is_refused_for_good_and_one_that_comes_too_often_for_now() -> None:
    entrance = Entrance(Gate(KEYS))
    entrance.asking = [Asking("x" * 40), Asking()]
    assert entrance.turn(1.0) == [("refused", "for good"), ("refused", "for good")]
    assert entrance.counters.turned_away_unknown_key == 2
    entrance.asking = [Asking("a" * 40)] * (HANDSHAKES_A_KEY_BURST + 1)
    assert entrance.turn(1.0)[-1] == ("refused", "later")
    assert entrance.counters.turned_away_too_often == 1


def test_so_many_are_let_in_at_once_and_the_next_without_a_wait() -> None:
    entrance = Entrance()
    entrance.asking = [Asking()] * (KNOCKS_AT_ONCE + 1)
    assert len(entrance.turn(1.0)) == KNOCKS_AT_ONCE
    assert entrance.doorkeeper.due == 0.0
    assert len(entrance.turn(1.0)) == 1
    assert entrance.doorkeeper.due == 1.0 + CHECK_EVERY


def test_whose_connection_has_ended_the_core_is_reported() -> None:
    entrance = Entrance()
    peer = entrance.come(7, 0.0)
    entrance.gone.append(peer)
    assert entrance.turn(0.1) == [("vanished", peer.connection)]


def test_a_connection_is_cut_after_its_last_word_which_is_still_sent() -> None:
    entrance = Entrance()
    peer = entrance.come(7, 0.0)
    entrance.turn(0.1)
    entrance.doorkeeper.cut(peer, Cut.ENDED, 0.1)
    assert entrance.doorkeeper.wake <= 0.1 + CUT_AFTER
    assert entrance.turn(0.09 + CUT_AFTER) == []
    assert entrance.turn(0.1 + CUT_AFTER) == [("cut", 7, False)]
    assert entrance.counters.cut_after_end == 1


def test_what_a_newcomer_that_does_not_greet_was_to_be_sent_is_lost_with_it() -> None:
    entrance = Entrance()
    entrance.come(7, 0.0, greets=False)
    entrance.turn(0.1)
    assert entrance.doorkeeper.wake <= GREET_WITHIN
    assert entrance.turn(GREET_WITHIN) == [("cut", 7, True)]


def test_newcomers_take_half_of_the_files_at_most() -> None:
    entrance = Entrance()
    entrance.files = 3 * FILES_FOR_NEWCOMERS
    for fd in range(5):
        entrance.come(fd, 0.0, greets=False)
    assert entrance.turn(0.1) == [("cut", 0, True), ("cut", 1, True)]
    assert entrance.counters.cut_too_many_newcomers == 2


def test_newcomers_make_room_once_when_descriptors_become_scarce() -> None:
    entrance = Entrance()
    for fd in range(MADE_ROOM + 2):
        entrance.come(fd, 0.0, greets=False)

    def shut() -> None:
        entrance.shut = True

    entrance.events.append(shut)
    assert len(entrance.turn(0.1)) == MADE_ROOM
    assert entrance.turn(0.2) == []


def test_cuts_are_logged_a_line_a_reason_and_second_but_those_after_an_end() -> None:
    entrance = Entrance()
    for fd in range(3):
        entrance.come(fd, 0.0, greets=False)
    entrance.doorkeeper.cut(entrance.come(9, 0.0), Cut.ENDED, 1.0)
    entrance.turn(1.0 + CUT_AFTER)
    entrance.turn(GREET_WITHIN)
    assert entrance.doorkeeper.wake <= GREET_WITHIN + CUT_NOTED_EVERY
    (text, *_), *others = entrance.log_lines.take()
    assert text == "cut 3 connections that did not greet within 5 s"
    assert others == []


def test_those_that_hold_too_much_are_cut_once_all_that_came_before_is_read() -> None:
    entrance = Entrance()
    entrance.come(7, 0.0)
    entrance.bytes[7] = 3 << 20
    assert entrance.turn(1.0) == []
    entrance.done.clear()
    entrance.doorkeeper.drained(entrance, 1.0)
    assert entrance.done == [("cut", 7, True)]
    assert entrance.counters.cut_endless_message == 1


def test_a_key_whose_connection_is_cut_for_sending_without_an_end_is_let_in_less_for_a_while() -> None:
    entrance = Entrance(Gate(KEYS))
    entrance.asking = [Asking("a" * 40)]
    entrance.turn(1.0)
    entrance.connections.accepted(8, 1.0)
    number = entrance.connections.admit("alice", "a" * 40, "192.0.2.8", "Alice")
    peer = entrance.connections.peer(number, 8, ID, 1, known=False)
    assert peer is not None
    entrance.doorkeeper.cut(peer, Cut.ENDED, 1.0)
    entrance.connections.peer(number, 8, ID, OVERRUN_BYTES + 1, known=False)
    assert entrance.turn(1.0) == [("cut", 8, True)]
    entrance.asking = [Asking("a" * 40)] * HANDSHAKES_A_KEY_BURST
    refused = [done for done in entrance.turn(1.0) if done[0] == "refused"]
    assert len(refused) == HANDSHAKES_FOR_ENDLESS + 1


def test_who_is_turned_away_is_recorded_by_address_with_its_key() -> None:
    entrance = Entrance(Gate(KEYS))
    entrance.asking = [Asking("x" * 40), Asking("x" * 40), Asking(None, "192.0.2.2")]
    entrance.events.append(lambda: setattr(entrance.counters, "turned_away", 3))
    entrance.turn(1.0)
    assert [(line.event, line.key, line.fields) for line in entrance.audit.take_all()] == [
        ("turned_away", "", {"reason": "turned_away", "count": 3}),
        ("turned_away", "x" * 40, {"address": "192.0.2.1", "reason": "turned_away_unknown_key", "count": 2}),
        ("turned_away", "", {"address": "192.0.2.2", "reason": "turned_away_unknown_key", "count": 1}),
    ]


def test_who_is_cut_is_recorded_but_after_an_end_which_is_recorded_itself() -> None:
    entrance = Entrance()
    entrance.doorkeeper.cut(entrance.come(9, 0.0), Cut.ENDED, 0.0)
    entrance.connections.accepted(7, 0.0)
    entrance.connections.accepted(8, 0.0)
    number = entrance.connections.admit("alice", "a" * 40, "198.51.100.7", "Alice")
    entrance.connections.peer(number, 8, ID, 1, known=False)
    entrance.turn(GREET_WITHIN)
    assert [(line.event, line.key, line.fields) for line in entrance.audit.take_all()] == [
        ("cut", "", {"address": "192.0.2.7", "reason": "cut_before_greeting", "count": 1}),
        (
            "cut",
            "a" * 40,
            {"address": "198.51.100.7", "user": "Alice", "reason": "cut_before_greeting", "count": 1},
        ),
    ]
