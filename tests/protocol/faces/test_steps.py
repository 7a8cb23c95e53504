"""What takes several waits, carried out without threads: what is asked, what is returned, and what an end leaves."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from tests.protocol.driver import Wire
from tests.protocol.faces.driver import LIMIT, HandLink, HandRoom, HandRooms, carry_out
from zchat.client.reading import messages_of
from zchat.errors import Busy, DeadlineExceeded, UsageError
from zchat.messages import START, Member, Position, RoomInfo
from zchat.protocol.faces import moderation, steps
from zchat.wire.blocks import encode_block, join_bodies
from zchat.wire.limits import JOIN_FLAGS
from zchat.wire.values import pack, unpack


class Interrupted(BaseException):
    """What a signal may raise at any moment."""


@pytest.fixture
def link(wire: Wire) -> HandLink:
    return HandLink(wire)


@pytest.fixture
def rooms(link: HandLink) -> HandRooms:
    return HandRooms(link)


def answered(wire: Wire, word: str, *result: Any) -> Callable[[], None]:
    """Return what answers the one command of this name that has come."""

    def answer() -> None:
        [command] = wire.commands(word)
        wire.ok(command, *result)

    return answer


def interrupted() -> None:
    raise Interrupted


# -- questions ---------------------------------------------------------------------------------------


def test_rooms_are_asked_for_page_by_page(wire: Wire, link: HandLink) -> None:
    first = answered(wire, "rooms", [["General", 2, 1, 10, 4]], True)
    second = answered(wire, "rooms", [["@alice\nbob", 1, 6, 9, None]], False)
    assert carry_out(steps.rooms(link, LIMIT), first, second) == [
        RoomInfo("General", 2, 1, 10, 6),
        RoomInfo("@bob", 1, 6, 9, None),
    ]


def test_members_are_asked_for_after_the_last_of_the_page_before(wire: Wire, link: HandLink) -> None:
    asked: list[Any] = []

    def page(people: list[Any], more: bool) -> None:
        [command] = wire.commands("members")
        asked.append(command[3])
        wire.ok(command, people, more)

    found = carry_out(
        steps.members(link, "General", LIMIT),
        partial(page, [["alice", 5, False, 0]], True),
        partial(page, [["bob", 6, True, 3]], False),
    )
    assert asked == [None, "alice"]
    assert found == [Member("alice", 5, 0, False), Member("bob", 6, 3, True)]


def test_of_a_list_no_more_is_asked_for_than_is_wanted(
    wire: Wire, link: HandLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps, "ROOMS_PAGE", 2)
    asked: list[Any] = []

    def page(*names: str) -> None:
        [command] = wire.commands("rooms")
        asked.append(command[2:])
        wire.ok(command, [[name, 1, 1, 1, None] for name in names], True)

    found = carry_out(steps.rooms(link, LIMIT, "A", 3), partial(page, "B", "C"), partial(page, "D"))
    assert [room.name for room in found] == ["B", "C", "D"]
    assert asked == [["A", 2], ["C", 1]]


def block(first: int, *texts: str) -> list[Any]:
    found: list[Any] = unpack(encode_block(first, 1_000, "bob", b"b" * 16, join_bodies([pack(text) for text in texts])))
    return found


@pytest.mark.parametrize(
    ("word", "question", "reply"),
    [
        ("rooms", steps.rooms, [[["General", 1, 1, 1, None]], True]),
        ("members", partial(steps.members, name="General"), [[["alice", 5, False, 0]], True]),
        ("history", partial(steps.history, name="General", after=0, before=None, most=5),
         ["General", 77, 0, 1, True, [block(1, "one")]]),
        ("sanctions", partial(moderation.sanctions, room=None),
         [[[7, "", "bob", "ban", 0, "alice", 5, ""]], True]),
    ],
    ids=["rooms", "members", "history", "sanctions"],
)  # fmt: skip
def test_no_further_page_is_asked_for_once_the_client_is_closed(
    wire: Wire, link: HandLink, word: str, question: Any, reply: list[Any]
) -> None:
    def close() -> None:
        link.closed = True
        answered(wire, word, *reply)()

    with pytest.raises(UsageError, match="closed"):
        carry_out(question(link=link, limit=LIMIT), close)
    assert wire.commands() == []


def test_a_history_begins_anew_if_the_connection_is_another_one_between_two_pages(wire: Wire, link: HandLink) -> None:
    one = answered(wire, "history", "General", 77, 0, 1, True, [block(1, "old")])

    def two() -> None:
        wire.come_back()
        answered(wire, "history", "General", 78, 1, 2, True, [block(2, "of another log")])()

    three = answered(wire, "history", "General", 78, 0, 2, False, [block(1, "new", "newer")])
    found = carry_out(steps.history(link, "General", 0, None, 5, LIMIT), one, two, three)
    assert [message.body for message in found] == ["new", "newer"]


def test_no_history_is_asked_for_if_none_of_it_is_wanted(wire: Wire, link: HandLink) -> None:
    assert carry_out(steps.history(link, "General", None, None, 0, LIMIT)) == []
    assert wire.commands() == []


def test_a_question_that_is_interrupted_is_given_up(wire: Wire, link: HandLink) -> None:
    with pytest.raises(Interrupted):
        carry_out(steps.mark_read(link, "General", 5, LIMIT), interrupted)
    [command] = wire.commands("mark")
    wire.ok(command, 5)
    assert not wire.core.over


@pytest.mark.parametrize(
    "ask",
    [
        lambda link: steps.rooms(link, LIMIT),
        lambda link: steps.members(link, "General", LIMIT),
        lambda link: steps.stats(link, LIMIT),
        lambda link: steps.mark_read(link, "General", 5, LIMIT),
        lambda link: steps.history(link, "General", None, None, 5, LIMIT),
        lambda link: steps.join(link, HandRooms(link), "General", None, True, JOIN_FLAGS, LIMIT),
    ],
)
def test_a_question_without_an_answer_says_what_was_asked_and_a_closed_client_asks_nothing(
    wire: Wire, link: HandLink, ask: Callable[[HandLink], steps.Steps[Any]]
) -> None:
    with pytest.raises(DeadlineExceeded, match=r"(rooms|General|figures).*: the broker did not answer within 5 s"):
        carry_out(ask(link))
    wire.commands()
    link.closed = True
    with pytest.raises(UsageError, match="closed"):
        carry_out(ask(link))
    assert wire.commands() == []


# -- rooms -------------------------------------------------------------------------------------------


JOINED = ("General", 77, 0, 1, 0, 10, False)


def join(wire: Wire, link: HandLink, rooms: HandRooms, after: Position | None = None) -> HandRoom:
    return carry_out(
        steps.join(link, rooms, "General", after, True, JOIN_FLAGS, LIMIT), answered(wire, "join", *JOINED)
    )


def test_a_room_is_joined_once(wire: Wire, link: HandLink, rooms: HandRooms) -> None:
    room = join(wire, link, rooms)
    assert carry_out(steps.join(link, rooms, "GENERAL", None, True, JOIN_FLAGS, LIMIT)) is room
    with pytest.raises(UsageError, match="you are in General already"):
        carry_out(steps.join(link, rooms, "General", START, True, JOIN_FLAGS, LIMIT))
    assert wire.commands() == []


def test_a_join_at_a_position_may_be_repeated_until_something_is_taken(
    wire: Wire, link: HandLink, rooms: HandRooms
) -> None:
    room = join(wire, link, rooms, START)
    assert join_again(link, rooms, START) is room, "a caller that was interrupted at the last moment may join again"
    wire.say("push", "General", 77, 0, 1, [block(1, "one")])
    assert len([*messages_of(room.inbox, 0)]) == 1
    with pytest.raises(UsageError, match="you are in General already"):
        join_again(link, rooms, START)


def join_again(link: HandLink, rooms: HandRooms, after: Position) -> HandRoom:
    return carry_out(steps.join(link, rooms, "General", after, True, JOIN_FLAGS, LIMIT))


def test_a_join_waits_for_another_one_of_the_room_and_returns_its_room(
    wire: Wire, link: HandLink, rooms: HandRooms
) -> None:
    first = steps.join(link, rooms, "General", None, True, JOIN_FLAGS, LIMIT)
    wait = next(first)
    room = carry_out(steps.join(link, rooms, "general", None, True, JOIN_FLAGS, LIMIT), answered(wire, "join", *JOINED))
    with pytest.raises(StopIteration) as end:
        first.send(wait())
    assert end.value.value is room


@pytest.mark.parametrize("moment", ["before the answer", "after the answer"])
def test_of_a_join_that_is_interrupted_nothing_is_left(
    wire: Wire, link: HandLink, rooms: HandRooms, moment: str
) -> None:
    def late() -> None:
        answered(wire, "join", *JOINED)()
        raise Interrupted

    with pytest.raises(Interrupted):
        carry_out(
            steps.join(link, rooms, "General", None, True, JOIN_FLAGS, LIMIT),
            interrupted if moment == "before the answer" else late,
        )
    if moment == "before the answer":
        answered(wire, "join", *JOINED)()
    assert [command[0] for command in wire.commands()] == ["leave"]
    assert rooms.names == []
    assert link.events.inboxes == []
    assert join(wire, link, rooms), "and it may be joined after that"


@pytest.mark.parametrize("moment", ["before the answer", "after the answer"])
def test_a_join_that_is_interrupted_leaves_the_room_to_another_that_waits_for_it(
    wire: Wire, link: HandLink, rooms: HandRooms, moment: str
) -> None:
    first, second = (steps.join(link, rooms, "General", None, True, JOIN_FLAGS, LIMIT) for _ in range(2))
    next(first)
    wait = next(second)
    if moment == "before the answer":
        with pytest.raises(Interrupted):
            first.throw(Interrupted())
    answered(wire, "join", *JOINED)()
    if moment == "after the answer":
        with pytest.raises(Interrupted):
            first.throw(Interrupted())
    with pytest.raises(StopIteration) as end:
        second.send(wait())
    assert isinstance(end.value.value, HandRoom)
    assert wire.commands() == []
    assert rooms.names == ["general"]


def test_of_joins_of_one_room_that_are_all_interrupted_nothing_is_left(
    wire: Wire, link: HandLink, rooms: HandRooms
) -> None:
    rooms.invitations.receive("@alice\nbob", "bob", Position(77, 3))
    joins = [steps.join(link, rooms, "@bob", None, True, JOIN_FLAGS, LIMIT) for _ in range(3)]
    for each in joins:
        next(each)
    for each in joins:
        with pytest.raises(Interrupted):
            each.throw(Interrupted())
    answered(wire, "join", "@alice\nbob", 77, 3, 1, 3, 10, False)()
    assert [command[0] for command in wire.commands()] == ["leave"]
    assert rooms.names == []
    assert list(rooms.invitations.waiting) == ["@alice\nbob"], "it is for the next one"


def test_a_join_that_was_given_up_before_it_was_sent_holds_up_no_later_one(
    wire: Wire, link: HandLink, rooms: HandRooms
) -> None:
    wire.core.lost("cut")
    with pytest.raises(Interrupted):
        carry_out(steps.join(link, rooms, "General", None, True, JOIN_FLAGS, LIMIT), interrupted)
    again = steps.join(link, rooms, "General", None, True, JOIN_FLAGS, LIMIT)
    wait = next(again)
    wire.connected_anew()
    wire.greet()
    answered(wire, "join", *JOINED)()
    with pytest.raises(StopIteration):
        again.send(wait())
    assert rooms.names == ["general"]


def test_an_invitation_that_could_not_be_taken_up_is_kept(wire: Wire, link: HandLink, rooms: HandRooms) -> None:
    rooms.invitations.receive("@alice\nbob", "bob", Position(77, 3))

    def refused() -> None:
        [command] = wire.commands("join")
        assert command[4] == [77, 3]
        wire.refuse(command, Busy("later"))

    with pytest.raises(Busy):
        carry_out(steps.join(link, rooms, "@bob", None, True, JOIN_FLAGS, LIMIT), refused)
    assert list(rooms.invitations.waiting) == ["@alice\nbob"]


def test_a_room_is_left_once_and_then_is_no_more(wire: Wire, link: HandLink, rooms: HandRooms) -> None:
    room = join(wire, link, rooms)
    carry_out(steps.leave(link, rooms, room, "General", LIMIT), answered(wire, "leave"))
    carry_out(steps.leave(link, rooms, room, "General", LIMIT))
    assert wire.commands() == []
    assert rooms.names == []


def test_a_leave_that_is_interrupted_has_left_the_room(wire: Wire, link: HandLink, rooms: HandRooms) -> None:
    room = join(wire, link, rooms)
    with pytest.raises(Interrupted):
        carry_out(steps.leave(link, rooms, room, "General", LIMIT), interrupted)
    assert rooms.names == []
    answered(wire, "leave")()
    assert join(wire, link, rooms) is not room
