"""A conversation: the rooms one is in, where text goes, and what has been seen."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from threading import Lock
from typing import NamedTuple

from zchat import Client, Room
from zchat.cli.commands import COMMANDS, Quit
from zchat.cli.people import People
from zchat.cli.show import Display, clock, counted, gap_text, harmless, harmless_name, link_text, table
from zchat.errors import ConnectionLost, UsageError, ZchatError
from zchat.events import (
    Crowd,
    Disconnected,
    Event,
    Gap,
    Invited,
    MemberJoined,
    MemberLeft,
    Reconnected,
    Typing,
)
from zchat.messages import Message
from zchat.names import DIRECT, fold

UNSEEN = 10
"""Messages that `/messages` shows of a room not seen before: what fits a small screen."""

MAX_SHOWN = 1000
"""Messages that `/messages` shows at most: one request; for more there is `zchat tail`."""

MEMBERS_SHOWN = 50
"""People that `/members` names; `zchat members` names all."""

COMPLETION_SECONDS = 0.5
"""Seconds that the names of rooms or people may take to complete a word: nothing that is typed shows meanwhile."""


def quoted(user: str) -> str:
    """Return a user's name as `/msg` takes it: in quotation marks if there is a blank in it."""
    return f'"{user}"' if " " in user else user


def ends(error: ZchatError) -> bool:
    """Return whether a conversation ends with an error: the connection is lost, whatever else that meant."""
    return isinstance(error, ConnectionLost) or isinstance(error.__cause__, ConnectionLost)


class Habits(NamedTuple):
    """Say what a conversation does by itself.

    `typing`: tell the others that one types; `marks`: mark what is shown as read; `comings`: show
    who comes and goes.
    """

    typing: bool
    marks: bool
    comings: bool


class Chat:
    """Hold one conversation; `show` is called with each text to show, `typing_changed` when others type or stop.

    Both are called from any thread. `on_event` belongs to the client's handler thread, everything
    else to one other thread unless it says so.
    """

    def __init__(
        self, show: Callable[[str], None], habits: Habits, typing_changed: Callable[[], None] = lambda: None
    ) -> None:
        self._show = show
        self._habits = habits
        self._typing_changed = typing_changed
        self._people = People()
        self._client: Client | None = None
        self._invitations: deque[str] = deque()
        self._typed = False
        self._showing = Lock()
        self._display = Display()
        self._rooms: dict[str, Room] = {}
        self._current: Room | None = None
        self._missed: dict[str, range] = {}  # of the rooms seen before: what was said while one was elsewhere

    def begin(self, client: Client, names: Iterable[str]) -> None:
        """Join the rooms; text goes to the first."""
        self._client = client
        self._accept(client)
        first, *others = names
        self.tell(f"{client.user} at {client.url}; /help lists the commands")
        self.join(first)
        for name in others:
            self.join(name, switch=False)

    @property
    def current(self) -> str | None:
        """Return the name of the room that text goes to, None if one is in no room. Any thread."""
        room = self._current
        return room.name if room else None

    @property
    def typing(self) -> str:
        """Say who types in the current room, nothing if nobody does. Any thread."""
        return self._people.typing(self.current) if self.current else ""

    def typed(self, text: str) -> None:
        """Tell the others in the current room, or no longer, by what stands in the line being typed. Any thread."""
        says = bool(text.strip()) and (not text.startswith("/") or text.startswith("//"))
        room = self._current
        if self._habits.typing and room is not None and (says or self._typed):
            with suppress(UsageError):  # closed meanwhile
                room.typing(says)
        self._typed = says

    def enter(self, line: str) -> bool:
        """Do what a typed line says, as `do`; what goes wrong is told and the conversation goes on.

        Raises:
            ConnectionLost: the client has ended; OutcomeUnknown: what was said went with it.
        """
        try:
            return self.do(line)
        except ZchatError as error:
            if ends(error):
                raise
            self.complain(str(error))
        return True

    def do(self, line: str) -> bool:
        """Do what a line says; return whether the conversation goes on.

        Raises:
            ZchatError: it can't be done.
        """
        try:
            if line.startswith("/") and not line.startswith("//"):
                self._command(line)
            elif line.strip():
                self._say(line.removeprefix("/") if line.startswith("//") else line)
        except Quit:
            return False
        return True

    def on_event(self, event: Event) -> None:
        """Show what comes."""
        match event:
            case Message():
                self._show_messages([event])
                self._mark(event)
            case MemberJoined() | MemberLeft():
                if self._habits.comings and (text := self._people.came_or_went(event, time.monotonic())):
                    self.tell(text)
            case Typing() | Crowd():
                self._people.typed(event)
                self._typing_changed()
            case Invited():
                self._invitations.append(event.user)
                if self._client is not None:
                    self._accept(self._client)
                self.tell(f"{event.user} writes to you; /msg {quoted(event.user)} TEXT answers")
            case Gap():
                self.complain(gap_text(event))
            case Disconnected():
                self.complain(link_text(event))
            case Reconnected():
                self.tell(link_text(event))

    def tell(self, text: str) -> None:
        """Show a line about the conversation itself."""
        self._show(f"* {harmless(text)}")

    def complain(self, text: str) -> None:
        """Show a line about what went wrong."""
        self._show(f"! {harmless(text)}")

    def join(self, name: str, switch: bool = True) -> None:
        """Be in a room, and let text go there if `switch`."""
        room = self._connected().join(name)  # the same if one is in it; a broker may have ended it meanwhile
        self._rooms[fold(room.name)] = room
        if switch:
            self._turn_away()
            self._turn_to(room)
        self.tell(f"you are in {room.name}" + ("" if switch else " as well"))

    def write(self, user: str, text: str) -> None:
        """Say something to one user in the direct room with them; without text, go there."""
        if not text:
            self.join(f"{DIRECT}{user}")
            return
        room = self._connected().direct(user)
        self._rooms[fold(room.name)] = room
        self._sent(room.send(text))

    def members(self) -> None:
        """Show who is in the current room, since when, and who of them types."""
        room = self._in_a_room()
        found = room.members()
        self.tell(f"{len(found)} {'person is' if len(found) == 1 else 'people are'} in {room.name}")
        rows = [(harmless_name(each.user), f"since {clock(each.since)}") for each in found[:MEMBERS_SHOWN]]
        self._show("\n".join(f"  {line}" for line in table(rows)))
        if len(found) > MEMBERS_SHOWN:
            self.tell(f"and {len(found) - MEMBERS_SHOWN} more; zchat members names all")
        if self.typing:
            self.tell(self.typing)

    def leave(self) -> None:
        """Leave the current room; text goes to the one that was joined last before it."""
        room = self._in_a_room()
        self._turn_away()
        room.leave()
        del self._rooms[fold(room.name)]
        self._turn_to(next(reversed(self._rooms.values()), None))
        self.tell(f"you left {room.name}" + (f" and are in {self.current}" if self._current else ""))

    def list_rooms(self) -> None:
        """Show what rooms there are, with a mark at those one is in."""
        rows = []
        for room in self._connected().rooms():
            mark = (
                ">" if fold(room.name) == fold(self.current or "") else "*" if fold(room.name) in self._rooms else " "
            )
            rows.append(
                (
                    f"{mark} {harmless(room.name)}",
                    f"{room.members} in it",
                    counted(room.last - room.first + 1, "message"),
                    f"{room.unread} unread" if room.unread else "",
                )
            )
        self._show("\n".join(f"  {line}" for line in table(rows)) if rows else "* there are no rooms")

    def room_names(self) -> list[str]:
        """Return the names of the rooms that there are. Any thread."""
        return [room.name for room in self._connected().rooms(timeout=COMPLETION_SECONDS)]

    def user_names(self) -> list[str]:
        """Return the names of the people in the current room. Any thread."""
        room = self._in_a_room()
        return [each.user for each in room.members(timeout=COMPLETION_SECONDS)]

    def messages(self, count: int | None) -> None:
        """Show what was said in the current room since one last saw it, or the last `count`."""
        room = self._in_a_room()
        key = fold(room.name)
        missed = self._missed.get(key) if count is None else None
        if missed is None:
            limit, before, first = min(MAX_SHOWN, UNSEEN if count is None else count), None, 1
        else:  # what came since was shown as it came
            limit, before, first = min(MAX_SHOWN, len(missed)), missed.stop, missed.start
        found = room.history(before=before, limit=limit) if limit else []
        self._missed[key] = range(0)
        if not found:
            self.tell("no messages" if missed is None else f"nothing new in {room.name}")
            return
        if len(found) == MAX_SHOWN and found[0].seq > first:
            self.tell(f"the last {MAX_SHOWN}; zchat tail shows more")
        self._show_messages(found)
        self._mark(found[-1])

    def _say(self, text: str) -> None:
        self._typed = False  # the message ends it
        self._sent(self._in_a_room().send(text))

    def _sent(self, message: Message) -> None:
        self._show_messages([message])
        self._mark(message)

    def _mark(self, message: Message) -> None:
        """Mark a room as read up to a message that has been shown."""
        room = self._rooms.get(fold(message.room))
        if self._habits.marks and room is not None:
            try:
                room.mark_read(message.seq)
            except UsageError:  # closed meanwhile
                pass
            except ZchatError as error:
                self.complain(f"{message.room} is not marked as read: {error}")

    def _accept(self, client: Client) -> None:
        """Take the direct rooms into which one was invited among one's own; the client has joined them."""
        while self._invitations:
            try:
                room = client.direct(self._invitations.popleft())
            except IndexError:  # the other thread was here
                return
            self._rooms.setdefault(fold(room.name), room)

    def _connected(self) -> Client:
        assert self._client is not None, "begin comes first"
        return self._client

    def _in_a_room(self) -> Room:
        if self._current is None:
            raise UsageError("you are in no room; /join ROOM brings you into one")
        return self._current

    def _command(self, line: str) -> None:
        word, _, argument = line.partition(" ")
        command = COMMANDS.get(word)
        if command is None:
            raise UsageError(f"there is no {word}; /help lists the commands, //{line[1:]} says it")
        command.run(self, argument.strip())

    def _turn_away(self) -> None:
        if self._current is not None:
            unseen = self._current.position.seq + 1
            self._missed[fold(self._current.name)] = range(unseen, unseen)

    def _turn_to(self, room: Room | None) -> None:
        self._current = room
        if room is not None and (missed := self._missed.get(fold(room.name))) is not None:
            self._missed[fold(room.name)] = range(missed.start, room.position.seq + 1)

    def _show_messages(self, messages: list[Message]) -> None:
        with self._showing:  # so that a date stands above the messages of its day
            current = self.current or ""
            self._show("\n".join(self._display.message(message, current) for message in messages))
