"""The table of docs/rules.md: what each may do, asked of a broker command by command."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.broker.driver import Peer, World
from zchat.broker.core.access import judge
from zchat.broker.guard.gate import Gate
from zchat.broker.guard.rules_text import parse
from zchat.messages import GapReason
from zchat.wire.commands import Right
from zchat.wire.notices import OK

PAGE = (Path(__file__).parents[3] / "docs" / "rules.md").read_text(encoding="utf-8")

WORDS = {"–": "not_allowed", "∅": "no_such_room"}


class Who(NamedTuple):
    """A row of the table: how the rules come to say that, and who asks about which room."""

    rules: str | None
    user: str = "bob"
    room: str = "Room"
    other: str = "Other"
    """Another name of the same rules, of a room that there isn't."""


NOBODY = dict.fromkeys(("join", "read", "send", "members", "create"), '["nobody"]')


def table(*, names: str = "*", top: str = "", **lists: str) -> str:
    rows = [f"{key} = {value}" for key, value in {**NOBODY, **lists}.items()]
    return "\n".join([top, "[[rooms]]", f'names = ["{names}"]', *rows])


ME = '["bob"]'

ROWS: dict[str, Who] = {
    "may not see": Who(table(see='["nobody"]')),
    "may see": Who(table(see=ME)),
    "may join": Who(table(join=ME)),
    "may read": Who(table(join=ME, read=ME)),
    "may send": Who(table(join=ME, send=ME)),
    "may ask for members": Who(table(join=ME, members=ME)),
    "may make rooms": Who(table(create=ME)),
    "may ask for figures": Who(table(top=f"stats = {ME}")),
    "in no list, by default": Who('operators = ["zoe"]'),
    "has made the room": Who(table(see='["nobody"]'), "alice"),
    "owner": Who(table(see='["nobody"]', owners=ME)),
    "operator": Who(table(see='["nobody"]', top=f"operators = {ME}")),
    "guest, by default": Who("", "guest-1a2b3c4d"),
    "guest who may join": Who('[[rooms]]\nnames = ["*"]\nguests = ["see", "join"]', "guest-1a2b3c4d"),
    "one of a direct room's two": Who(table(see='["nobody"]'), "bob", "@alice\nbob", "@bob\ncarol"),
    "the same, who may open none": Who('[direct]\nallow = ["alice"]', "bob", "@alice\nbob", "@bob\ncarol"),
    "operator, in others' direct room": Who(f"operators = {ME}", "bob", "@alice\ncarol", "@carol\ndave"),
    "anybody, without rules": Who(None),
}


def rows() -> dict[str, dict[str, str]]:
    """Return the page's table: by who asks, what the answer to each thing is."""
    section = PAGE.partition("## What each may do")[2]
    lines = [line.strip("| ").split("|") for line in section.splitlines() if line.startswith("|")]
    head, _, *found = [[cell.strip() for cell in line] for line in lines]
    return {who: dict(zip(head[1:], (WORDS.get(cell, cell) for cell in cells), strict=True)) for who, *cells in found}


TABLE = rows()


def answer(notice: list[Any]) -> str:
    return "yes" if notice[0] == OK else notice[2]


class Asked:
    """Everything that a user can ask about a room in which something was said by others."""

    def __init__(self, who: Who) -> None:
        rules = None if who.rules is None else parse(who.rules)
        self.who = who
        self.world = World(gate=Gate(logins=True))  # without rules yet: alice makes the room whatever they say
        maker = Peer(self.world, "alice")
        maker.join(who.room)
        maker.send(who.room, "said before")
        if rules is not None:
            self.world.core.revise(rules)
        self.world.run()
        self.peer = Peer(self.world, who.user)
        self.rules = rules

    def of(self, what: str) -> str:
        """Return what is answered."""
        peer, room = self.peer, self.who.room
        match what:
            case "listed":
                return "yes" if room in [row[0] for row in peer.do("rooms", None, 100)[2]] else "no_such_room"
            case "join":
                return answer(peer.join(room, create=False))
            case "after a position":
                answered = answer(peer.join(room, (0, 0), create=False))
                gaps = [gap[5] for gap in peer.gaps.get(room, [])]
                return GapReason.WITHHELD if gaps == [GapReason.WITHHELD] and not peer.texts(room) else answered
            case "history":
                return answer(peer.do("history", room, None, None, 10))
            case "mark":
                return answer(peer.do("mark", room, 1))
            case "send":
                peer.join(room, create=False)
                return answer(peer.send(room, "more"))
            case "typing":
                if peer.join(room, create=False)[0] != OK:
                    return ""
                peer.tell("typing", room, True)
                roster = self.world.rooms[room.lower()].roster
                assert roster is not None
                return "yes" if roster.typing else "not_allowed"
            case "members":
                return answer(peer.do("members", room, None, 10))
            case "names":
                if peer.join(room, create=False)[0] != OK:
                    return ""
                return "counts" if peer.pictures[room].people is None else "names"
            case "make":
                made = answer(peer.do("join", self.who.other, 99, None, 0, True))
                assert (self.who.other.lower() in self.world.rooms) == (made == "yes")
                return made
            case "moderate":
                if self.rules is None:
                    return ""
                found = self.world.rooms[room.lower()]
                rights = self.rules.rights(self.who.user, found.folded, found.maker == self.who.user)
                return judge(rights, Right.MODERATE).value
            case "stats":
                return answer(peer.do("stats"))
            case _:
                raise AssertionError(what)


def test_the_page_has_each_row_that_is_asked_here() -> None:
    assert TABLE.keys() == ROWS.keys()


@pytest.mark.parametrize("what", next(iter(TABLE.values())))
@pytest.mark.parametrize("who", ROWS)
def test_the_broker_answers_as_the_page_says(who: str, what: str) -> None:
    asked = Asked(ROWS[who])
    assert asked.of(what) == TABLE[who][what]
    asked.world.check()
