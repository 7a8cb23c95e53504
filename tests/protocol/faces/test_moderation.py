"""What a moderator asks a broker for, carried out without threads: what is said, and what is made of the answer."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from tests.protocol.driver import Wire
from tests.protocol.faces.driver import LIMIT, HandLink, carry_out
from zchat.errors import BadName, DeadlineExceeded, ProtocolError, UsageError, VersionRefused
from zchat.messages import Sanction
from zchat.protocol.faces import moderation, steps
from zchat.protocol.faces.steps import Steps
from zchat.wire.limits import MAX_SANCTION


@pytest.fixture
def link(wire: Wire) -> HandLink:
    return HandLink(wire)


Ask = Callable[[HandLink], Steps[Any]]

CALLS: dict[str, tuple[Ask, list[Any], list[Any], Any]] = {
    "kick": (lambda link: moderation.kick(link, "Ops", "bob", "spam", LIMIT), ["Ops", "bob", "spam"], [2], 2),
    "ban": (
        lambda link: moderation.sanction(link, "ban", "Ops", "bob", 60, "spam", LIMIT),
        ["Ops", "bob", 60, "spam"],
        [7_500_000],
        7.5,
    ),
    "ban everywhere": (
        lambda link: moderation.sanction(link, "ban", None, "bob", 0, "", LIMIT),
        [None, "bob", 0, ""],
        [0],
        None,
    ),
    "mute": (
        lambda link: moderation.sanction(link, "mute", "Ops", "bob", MAX_SANCTION, "", LIMIT),
        ["Ops", "bob", MAX_SANCTION, ""],
        [1],
        1e-6,
    ),
    "unban": (lambda link: moderation.lift(link, "unban", "Ops", "bob", LIMIT), ["Ops", "bob"], [True], True),
    "unmute": (lambda link: moderation.lift(link, "unmute", "Ops", "bob", LIMIT), ["Ops", "bob"], [False], False),
    "close": (lambda link: moderation.close_room(link, "Ops", "why", LIMIT), ["Ops", "why"], [True], True),
    "open": (lambda link: moderation.open_room(link, "Ops", LIMIT), ["Ops"], [False], False),
}


def answered(wire: Wire, word: str, fields: list[Any], *result: Any) -> None:
    [command] = wire.commands(word)
    assert command[2:] == fields
    wire.ok(command, *result)


@pytest.mark.parametrize("name", CALLS)
def test_each_call_says_what_was_asked_for_and_returns_what_the_broker_found(
    wire: Wire, link: HandLink, name: str
) -> None:
    ask, fields, result, found = CALLS[name]
    assert carry_out(ask(link), partial(answered, wire, name.split()[0], fields, *result)) == found


@pytest.mark.parametrize("name", CALLS)
def test_a_broker_of_the_older_version_is_asked_for_none_of_it(name: str) -> None:
    wire = Wire(greet=False)
    wire.greet(version=1)
    with pytest.raises(VersionRefused, match="requires version 2 of the protocol, the broker speaks 1: update it"):
        carry_out(CALLS[name][0](HandLink(wire)))
    assert wire.commands() == []


@pytest.mark.parametrize("name", CALLS)
def test_a_call_without_an_answer_is_over_at_its_deadline_and_a_closed_client_asks_nothing(
    wire: Wire, link: HandLink, name: str
) -> None:
    with pytest.raises(DeadlineExceeded, match=r"(bob|Ops).*: the broker did not answer within 5 s"):
        carry_out(CALLS[name][0](link))
    wire.commands()
    link.closed = True
    with pytest.raises(UsageError, match="closed"):
        carry_out(CALLS[name][0](link))
    assert wire.commands() == []


@pytest.mark.parametrize(
    ("user", "seconds", "reason", "kind"),
    [
        ("/x", 0, "", BadName),
        ("bob", -1, "", UsageError),
        ("bob", MAX_SANCTION + 1, "", UsageError),
        ("bob", 0, "two\nlines", UsageError),
        ("bob", 0, "x" * 201, UsageError),
    ],
)
def test_what_no_broker_would_take_is_not_sent(
    wire: Wire, link: HandLink, user: str, seconds: int, reason: str, kind: type[Exception]
) -> None:
    with pytest.raises(kind):
        carry_out(moderation.sanction(link, "ban", "Ops", user, seconds, reason, LIMIT))
    assert wire.commands() == []


def test_sanctions_are_asked_for_page_by_page_after_the_number_of_the_last(wire: Wire, link: HandLink) -> None:
    first = [
        [3, "Ops", "bob", "ban", 7_500_000, "alice", 2_000_000, "spam"],
        [5, "Ops", "", "closed", 0, "alice", 0, ""],
    ]
    second = [[9, "Ops", "eve", "mute", 0, "carol", 1, ""]]
    found = carry_out(
        moderation.sanctions(link, "Ops", LIMIT),
        partial(answered, wire, "sanctions", ["Ops", None, 100], first, True),
        partial(answered, wire, "sanctions", ["Ops", 5, 100], second, False),
    )
    assert found == [
        Sanction("Ops", "bob", "ban", 7.5, "alice", 2.0, "spam"),
        Sanction("Ops", "", "closed", None, "alice", 0.0, ""),
        Sanction("Ops", "eve", "mute", None, "carol", 1e-6, ""),
    ]
    everywhere = [[4, None, "bob", "ban", 0, "alice", 0, ""]]
    [ban] = carry_out(
        moderation.sanctions(link, None, LIMIT),
        partial(answered, wire, "sanctions", [None, None, 100], everywhere, False),
    )
    assert ban.room is None


@pytest.mark.parametrize(("rows", "pages"), [(101, 1), (100, 5)])
def test_a_list_that_is_longer_than_was_asked_for_or_has_no_end_is_a_fault_of_the_broker(
    wire: Wire, link: HandLink, monkeypatch: pytest.MonkeyPatch, rows: int, pages: int
) -> None:
    monkeypatch.setattr(steps, "MAX_LISTED", 350)
    page = [[7, "Ops", "bob", "mute", 0, "alice", 0, ""]] * rows

    def answer() -> None:
        [command] = wire.commands("sanctions")
        wire.ok(command, page, True)

    asked = moderation.sanctions(link, "Ops", LIMIT)
    with pytest.raises(ProtocolError):
        carry_out(asked, *[answer] * pages)
