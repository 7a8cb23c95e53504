"""A conversation: what the commands of a chat do, and what is shown of what arrives."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from threading import Lock
from typing import NamedTuple

from zchat import Client, Room
from zchat.cli.chat.history_pages import Fits, HistoryPages
from zchat.cli.chat.listings import MEMBERS_SHOWN, member_lines, room_lines
from zchat.cli.chat.people import People, closest
from zchat.cli.chat.presence import Presence
from zchat.cli.chat.rooms import Rooms
from zchat.cli.chat.status import Status
from zchat.cli.chat.syntax import is_command, quoted
from zchat.cli.chat.transcript import Transcript
from zchat.cli.text.phrases import connection_text, counted, gap_text
from zchat.cli.text.safe import named
from zchat.errors import NoSuchRoom, UsageError, ZchatError
from zchat.events import Disconnected, Event, Gap, Invited, MemberJoined, Reconnected
from zchat.messages import Message
from zchat.names import DIRECT, fold

ENDING_SECONDS = 0.1
"""Seconds that a client may take to be over once its events have ended with an error, which a single room's may too."""


class Options(NamedTuple):
    """What the user and the others are shown of each other."""

    quiet: bool = False
    """True not to show who comes, who goes and who is typing."""
    typing: bool = True
    """True to let the others see that the user is typing."""
    read_marks: bool = True
    """True to mark as read what the user was shown."""
    all_rooms: bool = False
    """True to show the messages of all rooms on a terminal, not of the current one and direct ones alone."""
    keep_lines: bool = True
    """True to keep the lines typed on a terminal for the next time."""


OPTIONS = Options()

ANSWER_SECONDS = 0.5
"""Seconds for each answer that only serves a warning."""

ASKED_ROOMS = 10
"""Rooms whose members are asked for, to find a user."""


def _ignore() -> None:
    """Do nothing about a change that nobody watches, or without a screen."""


class Conversation:
    """One user's conversation in some rooms.

    `follow` belongs to a thread of its own, `status` and `typed` to any, the rest to one thread.

    Args:
        client: the connection; the conversation takes its events.
        rooms: the rooms of the conversation.
        people: the users that were seen.
        transcript: where everything is shown.
        send: sends a text to a room, and has it shown once it is stored.
        options: what is shown, to the user and to the others.
        keys: keys of the terminal with what they do, for the list of commands.
        fits: how much history fits the screen; None if nothing is known of it.
        changed: called, by any thread, when `status` may have changed.
        clear: clears the screen.
    """

    def __init__(
        self,
        client: Client,
        rooms: Rooms,
        people: People,
        transcript: Transcript,
        send: Callable[[Room, str], object],
        options: Options = OPTIONS,
        *,
        keys: Sequence[tuple[str, str]] = (),
        fits: Fits | None = None,
        changed: Callable[[], None] = _ignore,
        clear: Callable[[], None] = _ignore,
    ) -> None:
        self.clear = clear
        """Clears the screen."""
        self.transcript = transcript
        self.keys = keys
        self.pages = HistoryPages(fits)
        """How far back each room has been shown; a line other than `/messages` restarts it."""
        self._client = client
        self._rooms = rooms
        self._people = people
        self._arriving = Lock()
        """Held while a message that has come is shown, and while the user goes to a room and is shown its end."""
        self._send = send
        self._shows_typing = options.typing
        self._changed = changed
        self._presence = Presence(transcript.info, changed, quiet=options.quiet)
        self._connected = True

    # -- beginning and end -------------------------------------------------------------------------

    def begin(self, names: Iterable[str]) -> None:
        """Join the rooms of these names; text goes to the first."""
        first, *others = names
        self.transcript.info(f"{named(self._client.user)} at {self._client.url}; /help lists the commands")
        self.join(first)
        for name in others:
            room = self._joined(name)
            self.transcript.info(f"you are also in {named(room.name)}")
        self._changed()

    def close(self) -> None:
        """Show nothing more of who comes and goes; nothing is being shown once this returns. Any thread."""
        self._presence.end()

    # -- what arrives ------------------------------------------------------------------------------

    def follow(self) -> None:
        """Show what arrives until the client is closed.

        Raises:
            Refused, ProtocolError, ConnectionLost: why the client has ended.
        """
        while True:
            try:
                for event in self._client.events():
                    self.take(event)
                return
            except ZchatError as error:
                if self._client.wait(ENDING_SECONDS):
                    return
                self.transcript.error(str(error))  # one room has ended

    def take(self, event: Event) -> None:
        """Show an event."""
        match event:
            case Message():
                with self._arriving:
                    self._take_message(event)
            case Gap():
                self.transcript.error(gap_text(event))
            case Disconnected():
                self._connected = False
                self.transcript.forget_history()
                self.transcript.error(connection_text(event))
            case Reconnected():
                self._connected = True
                self.transcript.info(connection_text(event))
            case Invited():
                self._rooms.invited(event.room, event.user)
            case _:
                if isinstance(event, MemberJoined):
                    self.transcript.seen(event.user)
                self._presence.take(event)
        self._changed()

    def _take_message(self, message: Message) -> None:
        if self._people.is_ignored(message.user) or self.transcript.has_shown(message):
            return
        if not self._rooms.shows(message.room):
            if fold(message.user) != fold(self._client.user):
                self._rooms.count(message, mentions=self.transcript.mentions(message))
            return
        inviter = self._rooms.inviter(message)
        if inviter is not None:
            self.transcript.info(f"{named(inviter)} wrote to you; reply with /msg {quoted(inviter)} TEXT")
        self.transcript.message(message)

    @property
    def status(self) -> Status:
        """Return what the status line says. Any thread."""
        room = self._rooms.current
        unread = self._rooms.unread
        if room is None:
            return Status(self._connected, None, 0, "", unread)
        here = room.member_count if self._connected else 0
        return Status(self._connected, room.name, here, self._presence.typing(room.name), unread)

    # -- what the user does ------------------------------------------------------------------------

    def typed(self, text: str) -> None:
        """Let the others in the current room see whether the user is typing `text`, the line so far. Any thread."""
        room = self._rooms.current
        if room is not None and self._shows_typing:
            with suppress(UsageError):  # the client is closed
                room.typing(bool(text.strip()) and not is_command(text))

    def say(self, text: str) -> None:
        """Send a text to the current room."""
        self._send(self._current(), text)

    def message_to(self, user: str, text: str) -> None:
        """Send a text to the direct room with a user; other text still goes to the current room."""
        room = self._client.direct(user)
        self._warn_of_stranger(room)
        self._rooms.add_aside(room)
        self._send(room, text)

    def join(self, name: str) -> None:
        """Join a room, and make it the current one."""
        room = self._joined(name)
        self._warn_of_stranger(room)
        self._go_to(room, f"you are in {named(room.name)}")

    def leave(self) -> None:
        """Leave the current room; the one that was joined last before it becomes the current one."""
        room = self._current()
        room.leave()
        self._presence.forget(room.name)
        next_room = self._rooms.remove(room)
        self._go_to(
            next_room,
            f"you left {named(room.name)}" + (f" and are now in {named(next_room.name)}" if next_room else ""),
        )

    def watch(self, name: str) -> None:
        """Have the messages of a room shown while the user is in another; join the room if the user isn't in it."""
        room = self._rooms.get(name) or self._joined(name)
        self._rooms.choose(room.name, shown=True)
        self.transcript.info(f"{named(room.name)} is shown wherever you are; to end that: /hide {room.name}")

    def hide(self, name: str) -> None:
        """Have the messages of a room counted, but not shown, while the user is in another."""
        room = self._rooms.get(name)
        if name.startswith(DIRECT):
            raise UsageError("direct messages are always shown; /ignore USER hides those of one user")
        if room is None:
            raise UsageError(f"you are not in {named(name)}: /join or /watch it first")
        self._rooms.choose(room.name, shown=False)
        self.transcript.info(f"{named(room.name)} is counted, not shown, while you are elsewhere")

    def ignore(self, user: str) -> None:
        """Show nothing more of what a user says, or show it again; without a name list the users that are ignored."""
        if not user:
            names = ", ".join(map(named, self._people.ignored))
            self.transcript.info(f"you ignore {names}" if names else "you ignore nobody: /ignore USER")
        elif self._people.ignore(user):
            self.transcript.info(
                f"{named(user)} is ignored: nothing {named(user)} says is shown; to end that: /ignore {quoted(user)}"
            )
        else:
            self.transcript.info(f"{named(user)} is no longer ignored")

    def list_rooms(self) -> None:
        """Show all rooms, with a mark at those the user is in."""
        lines = room_lines(self._client.rooms(), self._rooms.joined, self._rooms.current_name)
        if lines:
            self.transcript.listing(lines)
        else:
            self.transcript.info("there are no rooms")

    def list_members(self) -> None:
        """Show the members of the current room, and which of them are typing."""
        room = self._current()
        members = room.members()
        typing = sum(member.typing for member in members)
        head = f"{named(room.name)} has {counted(len(members), 'member')}"
        self.transcript.info(head + (f", {typing:,} typing" if typing else ""))
        self.transcript.listing(member_lines(members))
        if len(members) > MEMBERS_SHOWN:
            self.transcript.info(f"and {len(members) - MEMBERS_SHOWN:,} more; zchat members lists all")

    def messages(self, count: int | None) -> None:
        """Show the next page of the current room's history, as `HistoryPages.next`; or its last `count` messages."""
        room = self._current()
        with self._arriving:
            page = self.pages.next(room) if count is None else self.pages.last(room, count)
            if page.heading:
                self.transcript.info(page.heading)
            if page.messages:
                self.transcript.history(page.messages)

    def show(self, seq: int, name: str) -> None:
        """Show a message that was shown cut; `name`: its room, "" for the current one."""
        room = name or self._current().name
        found = self._client.history(room, after=seq - 1, before=seq + 1, limit=1) if seq else []
        if not found:
            raise UsageError(f"there is no message {seq} in {named(room)}")
        self.transcript.long_message(found[0])

    def _current(self) -> Room:
        room = self._rooms.current
        if room is None:
            raise UsageError("you are not in a room: go to one with /join ROOM")
        return room

    def _joined(self, name: str) -> Room:
        """Return a room, joined now unless the user is in it; what the user missed there is counted."""
        try:
            room = self._client.join(name, create=False)  # also if the user is in it: a broker may have ended it
        except NoSuchRoom:
            like = "" if name.startswith(DIRECT) else self._room_like(name)
            room = self._client.join(name)
            if not name.startswith(DIRECT):
                self.transcript.info(
                    f"{named(room.name)} is a new room" + (f"; did you mean {named(like)}?" if like else "")
                )
        known = self._rooms.get(room.name) is room
        upto = room.position.seq
        self._rooms.add(room)
        if not known and not room.name.startswith(DIRECT):
            with suppress(ZchatError):  # nothing is known of it
                for each in self._client.rooms():
                    if fold(each.name) == fold(room.name) and each.unread is not None:
                        self._rooms.count_missed(room.name, each.last - each.unread + 1, upto)
        return room

    def _room_like(self, name: str) -> str:
        """Return the room that a new name may have been meant for; "" if there is none."""
        with suppress(ZchatError):
            return closest(name, [room.name for room in self._client.rooms() if not room.name.startswith(DIRECT)])
        return ""

    def _warn_of_stranger(self, room: Room) -> None:
        """Report that nobody was seen who has the name of a direct room's user: it may be a slip."""
        user = room.name.removeprefix(DIRECT)
        if user == room.name or not self._connected or self._people.has_seen(user):
            return
        try:
            for each in self._rooms.public[-ASKED_ROOMS:]:
                for member in each.members(timeout=ANSWER_SECONDS):
                    self.transcript.seen(member.user)
            for message in room.history(timeout=ANSWER_SECONDS):
                self.transcript.seen(message.user)
        except ZchatError:  # nothing is known
            return
        if not self._people.has_seen(user):
            like = closest(user, self._people.seen)
            self.transcript.error(
                f"no user {named(user)} was seen here" + (f"; did you mean {named(like)}?" if like else "")
            )

    def _go_to(self, room: Room | None, text: str) -> None:
        """Make a room the current one, say so with `text`, and show the room's end."""
        with self._arriving:
            unseen = self._rooms.go_to(room)  # or what has come, but was not taken yet
            self.transcript.info(text)
            if room is not None:
                try:
                    entry = self.pages.entry(
                        room, unseen or max(room.position.seq + 1, self.transcript.history_end(room.name))
                    )
                except ZchatError as error:
                    self.transcript.error(f"the end of {named(room.name)} can't be shown: {error}")
                else:
                    if entry.messages:
                        self.transcript.entry(entry)
        self._changed()
