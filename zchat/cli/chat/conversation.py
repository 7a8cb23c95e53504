"""A conversation: the rooms one is in, where text goes, and what has been seen."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from threading import Lock
from typing import NamedTuple

from zchat import Client, Room
from zchat.cli.chat.history_pages import Fits, Pages
from zchat.cli.chat.listings import MEMBERS_SHOWN, member_lines, room_lines
from zchat.cli.chat.outbox import Draft, Outbox
from zchat.cli.chat.presence import Presence
from zchat.cli.chat.slash import COMMANDS, Quit, goes_elsewhere
from zchat.cli.chat.status import Status
from zchat.cli.chat.unread import News
from zchat.cli.text.colours import joined, painted
from zchat.cli.text.columns import cut
from zchat.cli.text.message_lines import Display
from zchat.cli.text.phrases import gap_text, link_text
from zchat.cli.text.safe import harmless
from zchat.errors import ConnectionLost, OutcomeUnknown, UsageError, ZchatError
from zchat.events import Disconnected, Event, Gap, Invited, Reconnected
from zchat.messages import Message
from zchat.names import DIRECT, fold

UNSAID_SHOWN = 3
"""Texts named that were not said: of more it is told how many they are."""

QUOTED_CELLS = 60
"""Columns shown of what could not be stored: enough to know it by, Up brings all of it back."""

COMPLETION_SECONDS = 0.5
"""Seconds that the names of rooms or people may take to complete a word: nothing that is typed shows meanwhile."""


def ends(error: ZchatError) -> bool:
    """Return whether a conversation ends with an error: the connection is lost, whatever else that meant."""
    return isinstance(error, ConnectionLost) or isinstance(error.__cause__, ConnectionLost)


class Manners(NamedTuple):
    """Say what is told.

    `quiet`: the user is not told who comes, goes and types. `typing`: the others are told that
    the user types. `read_marks`: the broker is told what the user was shown.
    """

    quiet: bool = False
    typing: bool = True
    read_marks: bool = True


MANNERS = Manners()


class Chat:
    """Hold one conversation; `show` is called with each text to show, from any thread; False if that failed.

    `own_name`: mark where others say the user's name. `waits`: what is said is stored, or has
    failed, before the next line is done; else `outbox` sends it meanwhile. `changed` is called,
    from any thread, when `status` may be another; `fits` tells what a page of history is,
    `pages.PAGE` messages if it is None.
    `on_event` belongs to the client's handler thread, everything else to one other thread.
    """

    def __init__(
        self,
        show: Callable[[str], bool | None],
        manners: Manners = MANNERS,
        *,
        own_name: bool = False,
        waits: bool = True,
    ) -> None:
        self.changed: Callable[[], None] = lambda: None
        self.fits: Fits | None = None
        self.unstored = 0  # of what was said: what could not be stored
        self.leaving = False
        self.outbox = None if waits else Outbox(lambda message: self._show_messages([message]), self._not_stored)
        self._show = show
        self._manners = manners
        self._own_name = own_name
        self._user = ""  # until one is in a room
        self.astray = False
        self.presence = Presence(self.tell, quiet=manners.quiet)
        self.presence.changed = lambda: self.changed()
        self._showing = Lock()
        self._display = Display()
        self._connected = True
        self._news = News()
        self._rooms: dict[str, Room] = {}
        self._beside: set[str] = set()  # direct rooms one is in without having gone there
        self._inviting: dict[str, str] = {}  # by direct room: who is yet to be told to write there
        self._current: Room | None = None
        self._pages = Pages()

    def begin(self, client: Client, names: Iterable[str]) -> None:
        """Join the rooms; text goes to the first."""
        self._client = client
        self._user = client.user
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
    def status(self) -> Status:
        """Return what the status line says. Any thread."""
        room = self._current
        new = self._news.beside(room.name if room else None)
        if room is None:
            return Status(self._connected, None, 0, "", new)
        here = room.member_count if self._connected else 0
        return Status(self._connected, room.name, here, self.presence.typing(room.name), new)

    def close(self) -> None:
        """Tell nothing more of who comes and goes; once it returns nothing is being told."""
        self.presence.end()

    def typed(self, text: str) -> None:
        """Tell the others in the current room of what stands in the line that is being typed. Any thread."""
        room = self._current
        if room is not None and self._manners.typing:
            says = bool(text.strip()) and (not text.startswith("/") or text.startswith("//"))
            with suppress(UsageError):  # the client is closed: nobody types any more
                room.typing(says)

    def enter(self, line: str) -> bool:
        """Do what a typed line says, as `do`; what goes wrong is told and the conversation goes on.

        `astray` is then whether the line was to go to another room: what was typed behind it was meant for that.

        Raises:
            ConnectionLost: the client has ended; OutcomeUnknown: what was said went with it.
        """
        self.astray = False
        try:
            return self.do(line)
        except ZchatError as error:
            if ends(error):
                raise
            self.complain(str(error))
            self.astray = goes_elsewhere(line)
        return True

    def unsaid(self, texts: list[str], why: str) -> None:
        """Tell what was not said, the first of it by name."""
        self.unstored += len(texts)
        for text in texts[:UNSAID_SHOWN]:
            self._complain_of("not said", text, why)
        if len(texts) > UNSAID_SHOWN:
            self.complain(f"and {len(texts) - UNSAID_SHOWN} more")

    def do(self, line: str) -> bool:
        """Do what a line says; return whether the conversation goes on.

        Raises:
            ZchatError: it can't be done.
        """
        try:
            if line.startswith("/") and not line.startswith("//"):
                self._command(line)
                return True
            self._pages.stop()
            if line.strip():
                self._say(line.removeprefix("/") if line.startswith("//") else line)
        except Quit:
            return False
        return True

    def on_event(self, event: Event) -> None:
        """Show what comes."""
        match event:
            case Message():
                self._tell_who_writes(event)
                self._show_messages([event])
                if fold(event.room) != fold(self.current or "") and fold(event.user) != fold(self._user):
                    self._news.take(event)
            case Gap():
                self.complain(gap_text(event))
            case Disconnected():
                self._connected = False
                self.complain(link_text(event))
            case Reconnected():
                self._connected = True
                self.tell(link_text(event))
            case Invited():
                self._beside.add(fold(event.room))
                self._inviting[fold(event.room)] = event.user
            case _:
                self.presence.take(event)
        self.changed()

    def _tell_who_writes(self, message: Message) -> None:
        """Tell that the other one of a direct room writes there: it may be the own user, from elsewhere, who did."""
        key = fold(message.room)
        user = self._inviting.get(key)
        if user is not None and fold(message.user) == fold(user):
            del self._inviting[key]
            self.tell(f"{user} writes to you; /msg {quoted(user)} TEXT answers")

    def tell(self, text: str) -> None:
        """Show a line about the conversation itself."""
        self._show(f"* {harmless(text)}")

    def complain(self, text: str) -> None:
        """Show a line about what went wrong."""
        self._show(f"! {harmless(text)}")

    def join(self, name: str, switch: bool = True) -> None:
        """Be in a room, and let text go there if `switch`."""
        room = self._client.join(name)  # the same if one is in it; a broker may have ended it meanwhile
        self._rooms[fold(room.name)] = room
        self._beside.discard(fold(room.name))
        self._inviting.pop(fold(room.name), None)
        if switch:
            self._turn_away()
            self._turn_to(room)
        self.tell(f"you are in {room.name}" + ("" if switch else " as well"))

    def leave(self) -> None:
        """Leave the current room; text goes to the one that was joined last before it."""
        room = self._in_a_room()
        self._turn_away()
        room.leave()
        del self._rooms[fold(room.name)]
        self.presence.forget(room.name)
        self._news.seen(room.name)
        gone_to = [each for key, each in self._rooms.items() if key not in self._beside]
        self._turn_to(gone_to[-1] if gone_to else None)
        self.tell(f"you left {room.name}" + (f" and are in {self.current}" if self._current else ""))

    def list_rooms(self) -> None:
        """Show what rooms there are, with a mark at those one is in."""
        lines = room_lines(self._client.rooms(), self._rooms.keys() | self._beside, self.current)
        if lines:
            self._show("\n".join(lines))
        else:
            self.tell("there are no rooms")

    def list_members(self) -> None:
        """Show who is in the current room, and who of them is typing."""
        room = self._in_a_room()
        members = room.members()
        typing = sum(member.typing for member in members)
        are = "1 person is" if len(members) == 1 else f"{len(members)} people are"
        self.tell(f"{are} in {room.name}" + (f", {typing} typing" if typing else ""))
        self._show("\n".join(member_lines(members)))
        if len(members) > MEMBERS_SHOWN:
            self.tell(f"and {len(members) - MEMBERS_SHOWN} more; zchat members lists all")

    def message_to(self, user: str, text: str) -> None:
        """Say something in the direct room with a user; text goes on to the current room."""
        room = self._client.direct(user)
        key = fold(room.name)
        if key not in self._rooms:
            self._beside.add(key)
        self._rooms[key] = room
        self._inviting.pop(key, None)
        self._news.seen(room.name)
        self._send(room, text)

    def user_names(self) -> list[str]:
        """Return the names of the others in the current room. Any thread."""
        room = self._current
        if room is None:
            return []
        own = fold(self._user)
        return [member.user for member in room.members(timeout=COMPLETION_SECONDS) if fold(member.user) != own]

    def room_names(self) -> list[str]:
        """Return the names of the rooms that there are. Any thread."""
        return [room.name for room in self._client.rooms(timeout=COMPLETION_SECONDS)]

    def messages(self, count: int | None) -> None:
        """Show what was missed in the current room, else its end, again what was before; or the last `count`."""
        room = self._in_a_room()
        page = self._pages.next(room, self.fits) if count is None else self._pages.last(room, count)
        if page.about:
            self.tell(page.about)
        if page.messages:
            self._show_messages(page.messages)

    def _say(self, text: str) -> None:
        self._send(self._in_a_room(), text)

    def _send(self, room: Room, text: str) -> None:
        if self.outbox is not None:
            self.outbox.put(room, text)
        else:
            self._show_messages([room.send(text)])

    def _not_stored(self, draft: Draft, error: ZchatError) -> None:
        self.unstored += 1
        perhaps = "perhaps not stored" if isinstance(error, OutcomeUnknown) else "not stored"
        why = "you left before the broker answered" if self.leaving else error
        self._complain_of(perhaps, draft.text, str(why))

    def _complain_of(self, what: str, text: str, why: str) -> None:
        self.complain(f"{what}: {cut(harmless(text), QUOTED_CELLS)} ({why})")

    def _in_a_room(self) -> Room:
        if self._current is None:
            raise UsageError("you are in no room; /join ROOM brings you into one")
        return self._current

    def _command(self, line: str) -> None:
        word, _, argument = line.partition(" ")
        if word != "/messages":
            self._pages.stop()
        command = COMMANDS.get(word)
        if command is None:
            raise UsageError(f"there is no {word}; /help lists the commands, //{line[1:]} says it")
        command.run(self, argument.strip())

    def _turn_away(self) -> None:
        if self._current is not None:
            self._pages.left(self._current)

    def _turn_to(self, room: Room | None) -> None:
        self._current = room
        if room is not None:
            self._pages.entered(room)
            self._news.seen(room.name)
        self.changed()

    def _show_messages(self, messages: list[Message]) -> None:
        current = self.current or ""
        own = self._user if self._own_name else ""
        with self._showing:  # so that a date stands above the messages of its day
            shown = self._show(
                joined(painted(*self._display.parts(each, current), each.user, own) for each in messages)
            )
        if shown is not False:
            self._mark_read(messages[-1])

    def _mark_read(self, message: Message) -> None:
        """Mark as read what was shown of the current room, or of a direct one, which is for nobody else."""
        key = fold(message.room)
        room = self._rooms.get(key)
        seen = key == fold(self.current or "") or message.room.startswith(DIRECT)
        if self._manners.read_marks and room is not None and seen:
            with suppress(ZchatError):  # closed meanwhile; or refused, which the client logs: unread counts stay as is
                room.mark_read(message.seq)


def quoted(name: str) -> str:
    """Return a user's name as `/msg` takes it."""
    return '"' + name.replace('"', '""') + '"' if name.split() != [name] or name.startswith('"') else name
