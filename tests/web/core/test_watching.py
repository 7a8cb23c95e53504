"""One who follows a public room and sends nothing."""

from __future__ import annotations

import json
from typing import Any

from tests.web.core.harness import EPOCH, House
from zchat.errors import NoSuchRoom, ZchatError
from zchat.events import MemberJoined, Removed
from zchat.messages import Position
from zchat.web.core import frames
from zchat.web.core.letting_in import Caller
from zchat.web.core.watching import Watching


class Stream:
    def __init__(self) -> None:
        self.paused = False
        self.closed = 0
        self.found: list[dict[str, Any]] = []

    def write(self, *found: bytes) -> None:
        self.found += [json.loads(frames.text_of(frame)) for frame in found]

    def hold(self, held: bool) -> None:
        raise AssertionError("nothing is read")

    def close(self, code: int, text: str) -> None:
        self.closed = code


def watch(house: House, room: str, after: Position | None = None) -> tuple[Watching, Stream, list[ZchatError]]:
    stream, errors = Stream(), list[ZchatError]()
    watching = Watching(house.gateway, stream, Caller("192.0.2.1", True, None))

    async def begin() -> None:
        try:
            await watching.begin(room, after, lambda: stream.found.append({"op": "begun"}))
        except ZchatError as error:
            errors.append(error)

    house.world.spawn(begin())
    house.world.run()
    return watching, stream, errors


def test_messages_and_gaps_come_without_being_acknowledged_and_nothing_else() -> None:
    house = House()
    house.say("General", "bob", 0)
    watching, stream, _ = watch(house, "General")
    house.tell("zchat web", MemberJoined("General", "carol"))
    for number in range(1, 40):
        house.say("General", "bob", number)
    assert stream.found[0] == {"op": "begun"}
    assert [frame["rows"][0][3] for frame in stream.found[1:]] == [*range(1, 40)]
    stream.paused = True
    house.say("General", "bob", "later")
    stream.paused = False
    watching.resumed()
    assert stream.found[-1]["rows"][0][3] == "later"
    watching.lost()
    watching.lost()
    house.say("General", "bob", "never")
    assert stream.found[-1]["rows"][0][3] == "later"
    assert house.gateway.connected == {}


def test_it_begins_after_a_position() -> None:
    house = House()
    house.say("General", "bob", 1, 2, 3)
    assert watch(house, "General", Position(EPOCH, 1))[1].found[-1]["rows"][0][3] == 2
    assert watch(house, "General", Position(77, 1))[1].found[-1]["reason"] == "reset"


def test_a_room_that_is_not_there_is_an_error() -> None:
    _, stream, errors = watch(House(), "nowhere")
    assert [type(error) for error in errors] == [NoSuchRoom]
    assert stream.found == []


def test_it_ends_with_the_room_and_with_the_gateway() -> None:
    house = House()
    house.say("General", "bob", 1)
    _, one, _ = watch(house, "General")
    house.tell("zchat web", Removed("General", "", "", None, "not_allowed"))
    house.say("Other", "bob", 1)
    _, other, _ = watch(house, "Other")
    house.gateway.close()
    assert (one.closed, other.closed) == (1012, 1012)


def test_who_has_gone_or_whose_room_has_ended_while_it_was_asked_for_is_written_nothing() -> None:
    house = House()
    house.say("General", "bob", 1)
    house.shut("zchat web", "join General")
    gone, nothing, _ = watch(house, "General")
    gone.lost()
    house.open("zchat web", "join General")
    assert house.gateway.channels["general"].members == set()
    house.shut("zchat web", "history General")
    ended, ending, _ = watch(house, "General", Position(77, 1))
    house.put_out("zchat web", "General", "not_allowed")
    house.open("zchat web", "history General")
    assert (nothing.found, ending.found, ending.closed) == ([], [], 1012)
    assert house.gateway.connected == {}
    ended.lost()
