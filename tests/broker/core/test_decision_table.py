"""The tables of docs/rules.md: what each may do, and to whom, asked of a broker command by command."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.broker.driver import Peer, World
from zchat.broker.guard.gate import Gate
from zchat.broker.guard.rules_text import parse
from zchat.messages import GapReason
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
    imposed: tuple[Any, ...] = ()
    """What an operator does before: a command without its room."""
    there: bool = False
    """True if the user is in the room before that."""


NOBODY = dict.fromkeys(("join", "read", "send", "members", "create"), '["nobody"]')


def table(*, names: str = "*", top: str = "", **lists: str) -> str:
    rows = [f"{key} = {value}" for key, value in {**NOBODY, **lists}.items()]
    return "\n".join([top, "[[rooms]]", f'names = ["{names}"]', *rows])


ME = '["bob"]'

ROOT = 'operators = ["root"]'

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
    "muted": Who(ROOT, imposed=("mute", "bob", 0, "")),
    "banned": Who(ROOT, imposed=("ban", "bob", 0, "")),
    "in a closed room": Who(ROOT, imposed=("close", ""), there=True),
    "not in the closed room": Who(ROOT, imposed=("close", "")),
    "owner of a closed room": Who(f'{ROOT}\n[[rooms]]\nnames = ["*"]\nowners = {ME}', imposed=("close", "")),
    "operator, room closed": Who('operators = ["root", "bob"]', imposed=("close", "")),
    "may not see, and is banned": Who(table(see='["nobody"]', top=ROOT), imposed=("ban", "bob", 0, "")),
    "owner, banned by an operator": Who(
        f'{ROOT}\n[[rooms]]\nnames = ["*"]\nowners = {ME}', imposed=("ban", "bob", 0, "")
    ),
}


def rows(title: str) -> dict[str, dict[str, str]]:
    """Return the table of a section of the page: by the first column, what is in the others."""
    section = PAGE.partition(f"## {title}\n")[2].partition("\n## ")[0]
    lines = [line.strip("| ").split("|") for line in section.splitlines() if line.startswith("|")]
    head, _, *found = [[cell.strip() for cell in line] for line in lines]
    return {who: dict(zip(head[1:], (WORDS.get(cell, cell) for cell in cells), strict=True)) for who, *cells in found}


TABLE = rows("What each may do")

MODERATED = rows("Who moderates whom")


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
        if who.there:
            assert self.join(who.room)[0] == OK
        if who.imposed:
            word, *fields = who.imposed
            assert Peer(self.world, "root", version=2).do(word, who.room, *fields)[0] == OK
        self.rules = rules

    def join(self, room: str, position: tuple[int, int] | None = None) -> list[Any]:
        return self.peer.join(room, position, create=False)

    def of(self, what: str) -> str:
        """Return what is answered."""
        peer, room = self.peer, self.who.room
        match what:
            case "listed":
                return "yes" if room in [row[0] for row in peer.do("rooms", None, 100)[2]] else "no_such_room"
            case "join":
                return answer(self.join(room))
            case "after a position":
                answered = answer(self.join(room, (0, 0)))
                gaps = [gap[5] for gap in peer.gaps.get(room, [])]
                return GapReason.WITHHELD if gaps == [GapReason.WITHHELD] and not peer.texts(room) else answered
            case "history":
                return answer(peer.do("history", room, None, None, 10))
            case "mark":
                return answer(peer.do("mark", room, 1))
            case "send":
                if not self.who.there:
                    self.join(room)
                return answer(peer.send(room, "more"))
            case "typing":
                if not self.who.there and self.join(room)[0] != OK:
                    return ""
                peer.tell("typing", room, True)
                roster = self.world.rooms[room.lower()].roster
                assert roster is not None
                return "yes" if roster.typing else "not_allowed"
            case "members":
                return answer(peer.do("members", room, None, 10))
            case "names":
                if not self.who.there and self.join(room)[0] != OK:
                    return ""
                return "counts" if peer.pictures[room].people is None else "names"
            case "make":
                made = answer(peer.do("join", self.who.other, 99, None, 0, True))
                assert (self.who.other.lower() in self.world.rooms) == (made == "yes")
                return made
            case "moderate":
                moderator = Peer(self.world, self.who.user, version=2)
                return answer(moderator.do("sanctions", room, None, 10))
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


# -- who moderates whom ------------------------------------------------------------------------------

WHOM = {"oneself": "", "another user": "user", "guest": "guest-1a2b3c4d", "owner": "anna", "operator": "root"}

AS = {"user": "bob", "guest": "guest-5e6f7a8b", "owner": "otto", "operator": "toor"}

OF_USERS: dict[str, tuple[Any, ...]] = {"kick": ("",), "ban": (0, ""), "unban": (), "mute": (0, ""), "unmute": ()}

LEVELS = 'operators = ["root", "toor"]\n[[rooms]]\nnames = ["*"]\nowners = ["anna", "otto"]\nguests = ["join", "see"]'


@pytest.mark.parametrize("whom", next(iter(MODERATED.values())))
@pytest.mark.parametrize("who", MODERATED)
def test_who_moderates_whom_is_what_the_page_says(who: str, whom: str) -> None:
    assert MODERATED.keys() == AS.keys()
    world = World(gate=Gate(logins=True), rules=parse(LEVELS))
    anna = Peer(world, "anna")
    anna.join("Room")
    anna.send("Room", "so that it stays")
    peer = Peer(world, AS[who], version=2)
    if whom in WHOM:
        user = WHOM[whom] or AS[who]
        asked = [(word, "Room", user, *fields) for word, fields in OF_USERS.items()]
    elif whom == "the room":
        asked = [("close", "Room", ""), ("open", "Room"), ("sanctions", "Room", None, 10)]
    else:
        assert whom == "the broker"
        asked = [("ban", None, "zoe", 0, ""), ("unban", None, "zoe"), ("sanctions", None, None, 10)]
    assert {answer(peer.do(*command)) for command in asked} == {MODERATED[who][whom]}
    world.check()
