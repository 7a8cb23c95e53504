"""What a broker can say to a client: whatever it is, the client goes on or ends with an error, and keeps its bounds.

The lives of clients come first, by their seeds; then each kind of lie that did harm.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import count
from typing import Any

import pytest

from tests.attacks.lies import DEEP, MAX_INT, NASTY
from tests.attacks.run import live
from tests.protocol.driver import FakeCall, FakeFeed, FakeSubmission, Wire
from tests.protocol.faces.driver import LIMIT, HandLink, carry_out
from zchat import errors
from zchat.protocol.faces import steps
from zchat.protocol.heartbeat import LATEST, SOONEST
from zchat.protocol.rooms.roster import MAX_PEOPLE
from zchat.protocol.send_queue import MAX_DUE
from zchat.wire.blocks import run_of
from zchat.wire.hostile import LARGE, MAX_TEXT, MAX_WORD
from zchat.wire.limits import MAX_NESTED, MAX_WINDOW, OLDEST_VERSION, VERSION
from zchat.wire.notices import decode_notice
from zchat.wire.values import array_header, pack

SEEDS = 400
"""Lives of clients that are tried; `make attack` tries more."""


@pytest.fixture
def wire() -> Wire:
    return Wire()


@pytest.fixture
def link(wire: Wire) -> HandLink:
    return HandLink(wire)


@pytest.mark.parametrize("part", range(4))
def test_whatever_a_broker_says_the_client_goes_on_or_ends_with_an_error_of_zchats(part: int) -> None:
    for seed in range(part, SEEDS, 4):
        live(seed)


# -- what it agrees on at the greeting --------------------------------------------------------------------


def welcomed(version: int = 1, window: int = 10, ping_ms: int = 1000, lost_ms: int = 3000) -> Wire:
    """Return a client that was welcomed in this way."""
    wire = Wire(greet=False)
    wire.ok(*wire.commands("hello"), version, "alice", window, 1 << 20, 1 << 20, 1000, 16, ping_ms, lost_ms, 10_000)
    return wire


@pytest.mark.parametrize("version", [OLDEST_VERSION - 1, VERSION + 1])
def test_another_version_than_the_clients_is_no_welcome(version: int) -> None:
    assert isinstance(welcomed(version=version).failed_with(), errors.ProtocolError)


def test_a_window_is_never_larger_than_was_asked_for_or_than_brokers_have() -> None:
    assert isinstance(welcomed(window=MAX_WINDOW + 1).failed_with(), errors.ProtocolError)
    assert welcomed(window=MAX_WINDOW).core.connected
    wire = Wire()
    wire.core.join("General", None, True, call := FakeCall(), FakeFeed())
    wire.ok(*wire.commands("join"), "General", 77, 0, 1, 0, 11, False)  # the greeting said 10
    assert isinstance(call.error, errors.ProtocolError)


@pytest.mark.parametrize("said", [0, 1, 1 << 40, MAX_INT])
def test_whatever_a_broker_says_of_pings_the_client_neither_spins_nor_waits_for_ever(said: int) -> None:
    """At once and without end was a busy loop; the longest time ended the receive thread with a traceback."""
    for wire in (welcomed(ping_ms=said, lost_ms=MAX_INT), welcomed(lost_ms=MAX_INT)):
        wire.say("pong", said)
        for _ in range(10):
            due = wire.core.tick(wire.now)
            assert SOONEST / 2 < due - wire.now <= LATEST
            wire.now = due
        assert len(wire.commands("ping")) <= 11


# -- notifications ---------------------------------------------------------------------------------------


def test_no_more_notifications_are_taken_than_there_is_credit_for(wire: Wire) -> None:
    feed, membership = wire.join()
    seqs = count()
    for _ in range(10):
        wire.say("push", "General", 77, seq := next(seqs), seq + 1, [])
    wire.take(membership, 4)
    for _ in range(4):
        wire.say("push", "General", 77, seq := next(seqs), seq + 1, [])
    assert wire.core.connected
    wire.say("gap", "General", 77, seq + 1, seq + 2, "trimmed")
    assert isinstance(wire.failed_with(), errors.ProtocolError)
    assert len(feed.notices) == 14


def test_a_notification_never_goes_back(wire: Wire) -> None:
    wire.join()
    wire.say("push", "General", 77, 0, 5, [])
    wire.say("push", "General", 77, 5, 5, [])
    assert isinstance(wire.failed_with(), errors.ProtocolError)


def test_rooms_that_the_client_is_not_in_change_nothing(wire: Wire) -> None:
    wire.say("push", "Other", 77, 0, MAX_INT, [])
    wire.say("state", 1, [["Other", True, 5, [["bob", 1, True, 1]], 0, 0]], [])
    assert wire.core.connected


def test_the_answer_to_a_join_is_about_that_room(wire: Wire) -> None:
    feed, _ = wire.join("Other")
    wire.core.join("General", None, True, call := FakeCall(), FakeFeed())
    wire.ok(*wire.commands("join"), "Other", 77, 0, 1, 0, 10, False)
    assert isinstance(call.error, errors.ProtocolError)
    assert feed.membership is not None


def test_a_name_that_is_none_leaves_no_caller_waiting(wire: Wire) -> None:
    wire.core.join("General", None, True, call := FakeCall(), FakeFeed())
    wire.ok(*wire.commands("join"), "x" * 5000, 77, 0, 1, 0, 10, False)
    assert isinstance(call.error, errors.ProtocolError)
    assert isinstance(wire.failed_with(), errors.ProtocolError)


@pytest.mark.parametrize(
    "blocks",
    [
        [[1, 2, "x" * 65, b"", pack(["a"])]],
        [[1, 2, "bob", b"", pack(["a"] * 1001)]],
        [[1, 2, "bob", b"", array_header(LARGE) + b"\x90" * LARGE]],
        [[MAX_INT + 1, 2, "bob", b"", pack(["a"])]],
        [[1, 2, "bob", b"", 7]],
    ],
    ids=["a long name", "too many messages", "too many arrays", "a number too high", "no bodies"],
)
def test_blocks_that_lie_break_the_protocol_once_they_are_read(blocks: list[Any]) -> None:
    with pytest.raises(errors.ProtocolError) as error:
        run_of("General", blocks, 0, 5000)
    assert len(str(error.value)) < 200


@pytest.mark.parametrize(
    "frame",
    [
        array_header(LARGE) + b"\x90" * LARGE,
        pack(["pong", 1, {number << 20: None for number in range(LARGE // 8)}]),
        pack(["push", "General", 1, 0, 9, [[1, 2, "bob", b"", b"x" * 1000]] * (LARGE // 1000)]),
        array_header(3) + pack("pong") + b"\x01" + b"\xdd\xff\xff\xff\xff" * 1000,
    ],
    ids=["arrays", "keys that may collide", "a large notification of several blocks", "lying headers"],
)
def test_a_frame_that_could_cost_much_is_refused_for_little(frame: bytes) -> None:
    began = time.process_time()
    with pytest.raises(errors.ProtocolError):
        decode_notice(frame)
    assert time.process_time() - began < 2


def test_what_a_large_frame_may_hold_is_taken() -> None:
    assert decode_notice(pack(["pong", 7, ["x" * LARGE, [[]] * (MAX_NESTED // 2), {"a": 1}]])) == (7,)
    bodies = pack(["x" * LARGE, {"a": [1]}, {1: 2}])
    assert [message.body for message in run_of("General", [[1, 2, "bob", b"", bodies]], 0, 3).messages][1:] == [
        {"a": [1]},
        {1: 2},
    ]


# -- texts -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", [NASTY, NASTY * 50_000, "x" * (1 << 20)], ids=["nasty", "long and nasty", "long"])
def test_texts_of_a_broker_are_short_lines_that_steer_nothing(wire: Wire, text: str) -> None:
    wire.core.ask("rooms", (None, 5), call := FakeCall())
    wire.say("error", wire.commands()[-1][1], text, text, False, None)
    refused = call.error
    assert isinstance(refused, errors.Refused)
    feed, _ = wire.join()
    wire.say("gap", "General", 77, 0, 1, text)
    wire.say("end", text, text, True)
    for found, most in (
        (refused.text, MAX_TEXT),
        (refused.code, MAX_WORD),
        (feed.notices[-1][-1], MAX_WORD),
        (str(wire.lost_with()), MAX_TEXT + 30),
    ):
        assert isinstance(found, str)
        assert len(found) <= most
        assert found.isprintable()


def test_a_word_that_is_none_is_not_repeated_at_length(wire: Wire) -> None:
    wire.say(NASTY * 1000)
    error = str(wire.failed_with())
    assert len(error) < 200
    assert error.isprintable()


# -- what it says of blocks, people and invitations ---------------------------------------------------------


@pytest.mark.parametrize("seq", [0, MAX_INT], ids=["nowhere", "at the end of numbers"])
def test_a_message_is_stored_at_a_number_of_the_log(wire: Wire, seq: int) -> None:
    submission = FakeSubmission("one", "two")
    wire.core.offer("General", submission)
    wire.ok(wire.commands("send")[0], seq, 1000, 77)
    assert isinstance(wire.failed_with(), errors.ProtocolError)
    assert isinstance(submission.errors[0], errors.OutcomeUnknown)


def test_a_number_that_is_due_leaves_some_to_count_on(wire: Wire) -> None:
    """Numbers ran out, and no other broker took them any more."""
    wire.core.offer("General", FakeSubmission("one"))
    wire.say("error", wire.commands("send")[0][1], "out_of_order", "no", False, MAX_DUE)
    assert wire.core.connected
    wire.core.offer("General", FakeSubmission("two"))
    wire.say("error", wire.commands("send")[0][1], "out_of_order", "no", False, MAX_DUE + 1)
    assert isinstance(wire.failed_with(), errors.ProtocolError)


def test_names_of_people_without_end_are_not_kept(wire: Wire) -> None:
    wire.join()
    for first in range(0, 2 * MAX_PEOPLE, 1000):
        people = [[f"user {number}", 1, False, 0] for number in range(first, first + 1000)]
        wire.say("state", 1, [["General", False, MAX_INT, people, 0, 0]], [])
    assert isinstance(wire.failed_with(), errors.ProtocolError)


@pytest.mark.parametrize(
    "invitation",
    [
        ["General", "bob", 1, 1],
        ["@bob\ncarol", "bob", 1, 1],
        ["@alice\nbob", "carol", 1, 1],
        ["@alice\nalice", "alice", 1, 1],
        ["@alice\n" + NASTY, NASTY, 1, 1],
        ["@alice\n" + "b" * 70, "b" * 70, 1, 1],
    ],
)
def test_an_invitation_is_to_the_users_own_room_with_its_sender(wire: Wire, invitation: list[Any]) -> None:
    wire.say("state", 1, [], [invitation])
    assert isinstance(wire.failed_with(), errors.ProtocolError)
    assert not wire.port.invitations


# -- answers to questions ------------------------------------------------------------------------------------


def endless(wire: Wire, word: str, page: Callable[[int], list[Any]]) -> Callable[[], None]:
    """Return what answers the command that has come with a page; True stands for more to come."""
    numbers = count()

    def answer() -> None:
        [command] = wire.commands(word)
        wire.ok(command, *page(next(numbers)))

    return answer


@pytest.mark.parametrize("word", ["rooms", "members"])
def test_a_list_without_an_end_is_given_up(
    wire: Wire, link: HandLink, word: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps, "MAX_LISTED", 2000)
    rows = {"rooms": ["General", 1, 1, 1, 1], "members": ["bob", 1, False, 1]}
    page = endless(wire, word, lambda _: [[rows[word]] * 500, True])
    ask: dict[str, Any] = {"rooms": steps.rooms(link, LIMIT), "members": steps.members(link, "General", LIMIT)}
    with pytest.raises(errors.ProtocolError, match="no end"):
        carry_out(ask[word], *[page] * 100)


@pytest.mark.parametrize(
    ("word", "rows"),
    [
        ("rooms", [["General", 1, 1, 1, 1]] * 501),
        ("rooms", [["x" * 65, 1, 1, 1, 1]]),
        ("members", [["bob", 1, False, 1]] * 501),
        ("members", [["x" * 65, 1, False, 1]]),
    ],
    ids=["too many rooms", "no room's name", "too many members", "no member's name"],
)
def test_a_page_has_no_more_rows_than_were_asked_for_and_names_are_names(
    wire: Wire, link: HandLink, word: str, rows: list[Any]
) -> None:
    ask: dict[str, Any] = {"rooms": steps.rooms(link, LIMIT), "members": steps.members(link, "General", LIMIT)}
    with pytest.raises(errors.ProtocolError):
        carry_out(ask[word], endless(wire, word, lambda _: [rows, False]))


def test_history_without_an_end_ends(wire: Wire, link: HandLink) -> None:
    beside = [[100, 1, "bob", b"", pack(["x"])]]  # no message in the range
    page = endless(wire, "history", lambda number: ["General", 77, number, number + 1, True, beside])
    assert carry_out(steps.history(link, "General", 0, None, 10, LIMIT), page) == []


@pytest.mark.parametrize(
    "page",
    [
        ["General", 77, 5, 19, False, [[6, 1, "bob", b"", pack(["x"] * 14)]]],
        ["Other", 77, 5, 6, False, [[6, 1, "bob", b"", pack(["x"])]]],
        ["x" * 5000, 77, 5, 6, False, [[6, 1, "bob", b"", pack(["x"])]]],
        ["General", 77, 4, 5, False, [[5, 1, "bob", b"", pack(["x"])]]],
        ["General", 77, 19, 20, False, [[20, 1, "bob", b"", pack(["x"])]]],
    ],
    ids=["more than asked for", "another room's", "no name", "before what was asked for", "after it"],
)
def test_history_is_what_was_asked_for(wire: Wire, link: HandLink, page: list[Any]) -> None:
    with pytest.raises(errors.ProtocolError):
        carry_out(steps.history(link, "General", 5, 20, 10, LIMIT), endless(wire, "history", lambda _: page))


@pytest.mark.parametrize(
    "figures",
    [
        [{"rooms": float("inf")}, {}, [], {}, []],
        [{"rooms": "9" * 5000}, {}, [], {}, []],
        [{}, {7: 1}, [], {}, []],
        [{}, {}, [[DEEP, "bob", 1]], {}, []],
        [{}, {}, [["x" * 5000, "bob", 1]], {}, []],
        [{}, {}, [], {"turn": [[1.5], [1], 1]}, []],
        [{}, {}, [], {"turn": [[1], [1]]}, []],
        [{}, {}, [], {}, [["General", 1, 1]]],
        [{}, {}, [], {}, ["General"]],
    ],
)
def test_figures_are_numbers_by_name(wire: Wire, link: HandLink, figures: list[Any]) -> None:
    with pytest.raises(errors.ProtocolError):
        carry_out(steps.stats(link, LIMIT), endless(wire, "stats", lambda _: figures))


@pytest.mark.parametrize(
    "overall",
    [
        [{"rooms": float("inf")}, []],
        [{"x" * 5000: 1}, []],
        [{7: 1}, []],
        [{}, [["id", 1]]],
        [{}, [["id", -1, {}]]],
        [{}, [["id", 1, {"rooms": None}]]],
        [{}, ["id"]],
    ],
)
def test_figures_of_all_brokers_are_numbers_by_name(wire: Wire, link: HandLink, overall: list[Any]) -> None:
    figures = [{}, {}, [], {}, [], *overall]
    with pytest.raises(errors.ProtocolError):
        carry_out(steps.overall_stats(link, LIMIT), endless(wire, "stats", lambda _: figures))
