"""Whose turn it is: the queues of all rooms and the places they share."""

from __future__ import annotations

from tests.protocol.driver import FakeSubmission, Wire
from tests.protocol.test_send_queue import back
from zchat.protocol.send_queue import BLOCKS_IN_FLIGHT


def test_one_room_waits_for_its_join_while_another_flows(wire: Wire) -> None:
    wire.join()
    wire.join("Sports")
    for room in ("General", "Sports"):
        wire.core.offer(room, FakeSubmission(room))
    wire.come_back()
    joins = {join[2]: join for join in wire.commands("join")}
    wire.ok(joins["Sports"], "Sports", 77, 0, 1, 0, 10, False)
    assert [block[2] for block in wire.commands("send")] == ["Sports"]
    wire.ok(joins["General"], "General", 77, 0, 1, 0, 10, False)
    assert [block[2] for block in wire.commands("send")] == ["General"]


def test_no_more_blocks_are_in_flight_after_a_loss_than_before(wire: Wire) -> None:
    wire.join()
    for number in range(30):
        wire.core.offer("General", FakeSubmission(str(number)))
    assert len(wire.commands("send")) == BLOCKS_IN_FLIGHT
    assert len(back(wire)) == BLOCKS_IN_FLIGHT


def test_submissions_of_one_room_take_turns(wire: Wire) -> None:
    long, short = FakeSubmission(*["long"] * 10_000), FakeSubmission("short")
    wire.core.offer("General", long)
    wire.core.offer("General", short)
    one, two, *_ = wire.commands()
    wire.store(one)
    wire.store(two)
    assert [wire.texts(block)[0] for block in wire.commands()] == ["long", "short"]


def test_rooms_take_turns_for_the_places_there_are() -> None:
    wire = Wire(requests=2)
    for room in ("A", "B", "C"):
        wire.core.offer(room, FakeSubmission(*["x"] * 3_000))
    rooms = []
    pending = wire.commands()
    while pending:
        send = pending.pop(0)
        rooms.append(send[2])
        wire.store(send)
        pending += wire.commands()
    assert len(rooms) == 9
    assert set(rooms[:5]) == {"A", "B", "C"}
