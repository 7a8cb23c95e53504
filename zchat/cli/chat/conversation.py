"""A conversation: what the commands of a chat do, and what is shown of what arrives."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from threading import Lock
from typing import NamedTuple

from zchat import Client, Room
from zchat.cli.chat.history_pages import Fits, HistoryPages, Page
from zchat.cli.chat.joining import Joining, put_out_of
from zchat.cli.chat.listings import Lists
from zchat.cli.chat.lookup import Lookup, NobodySeen
from zchat.cli.chat.missed import Missed
from zchat.cli.chat.moderation import Moderation
from zchat.cli.chat.news import News, together
from zchat.cli.chat.people import People
from zchat.cli.chat.presence import Presence
from zchat.cli.chat.rooms import Draft, Place, Rooms
from zchat.cli.chat.status import Status
from zchat.cli.chat.syntax import is_command, quoted, says
from zchat.cli.chat.transcript import Transcript, nothing
from zchat.cli.text.phrases import connection_text, error_text, gap_text, removed_text
from zchat.cli.text.safe import named
from zchat.errors import DeadlineExceeded, NotAllowed, UsageError, ZchatError
from zchat.events import Disconnected, Event, Gap, Invited, MemberJoined, ReadMark, Reconnected, Removed
from zchat.messages import SAME_LOG, Message
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
    """True to keep the lines typed on a terminal, and the rooms, for the next time."""
    bell: bool = False
    """True to ring the terminal's bell when the user is mentioned or written to."""


OPTIONS = Options()

ANSWER_SECONDS = 5.0
"""Seconds for an answer, and for a broker that is away to be back."""

KEPT_SECONDS = 60.0
"""Seconds for which a message or a `/join` is tried on a terminal: a restarted broker is back well within them."""


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
        news: what was said to the user.
        keys: keys of the terminal with what they do, for the list of commands.
        fits: how much history fits the screen; None without one, where nobody can be asked, and lines are a script's.
        width: returns the columns of the screen; None for no limit.
        changed: called, by any thread, when `status` may have changed.
        clear: clears the screen.
    """

    def __init__(
        self,
        client: Client,
        rooms: Rooms,
        people: People,
        transcript: Transcript,
        send: Callable[[Draft], object],
        options: Options = OPTIONS,
        *,
        news: News,
        keys: Sequence[tuple[str, str]] = (),
        fits: Fits | None = None,
        width: Callable[[], int] | None = None,
        changed: Callable[[], None] = nothing,
        clear: Callable[[], None] = nothing,
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
        self._news = news
        self._missed = Missed(client, transcript.mentions, people.is_ignored, news.keep)
        self.lists = Lists(client, rooms, people, transcript, news, self._missed, width)
        """The lists that the user may ask for."""
        self._lookup = Lookup(client, rooms, people, transcript.seen)
        self.moderation = Moderation(client, rooms, self._lookup, transcript)
        """What the user may do as a moderator."""
        self._on_terminal = fits is not None
        self._seconds = KEPT_SECONDS if self._on_terminal else ANSWER_SECONDS
        """How long a lost broker is waited for."""
        self._read_marks = options.read_marks
        self._joining = Joining(
            client, rooms, transcript, self._lookup, self._missed, self._seconds, read_marks=options.read_marks
        )
        self._shows_typing = options.typing
        self._changed = changed
        self._presence = Presence(transcript.info, changed, rooms.shows, quiet=options.quiet)
        self._connected = True

    # -- beginning and end -------------------------------------------------------------------------

    def begin(self, names: Sequence[str], kept: Sequence[str] = (), before: Sequence[str] = ()) -> None:
        """Join the rooms of these names; text goes to the first. What is unread elsewhere is reported.

        `kept`: the rooms of before; those that can still be joined are joined instead, if there are any. On a terminal
        rooms that can't be joined are reported, even if the user is in no room then; a script's text is for the first.
        `before`: the rooms of before, whether they are joined or not.
        """
        self.transcript.info(f"{named(self._client.user)} at {self._client.url}; /help lists the commands")
        if self._read_marks:
            self._joining.before = {fold(name) for name in (*kept, *before)}
        infos = self._joining.infos()
        first = (*kept, *names)[0]  # what is typed meanwhile is meant for that
        kept = [infos[fold(name)].name for name in kept if fold(name) in infos]
        rooms: Iterable[Room] = self._joining.allowed(kept, infos, kept=True)
        if not rooms:
            others = [name for name in names if fold(name) not in map(fold, kept)]
            rooms = (
                self._joining.allowed(others, infos)
                if self._on_terminal
                else (self._joining.joined(name, infos) for name in names)
            )
        place = self._rooms.place
        joined = iter(rooms)
        if not any(self._go_to(room, place if fold(room.name) == fold(first) else None) for room in joined):
            self._go_to(None)
        for room in joined:
            self.transcript.info(f"you are also in {named(room.name)}")
        if self._on_terminal and (elsewhere := self._missed.elsewhere(list(infos.values()), self._rooms.joined)):
            self.transcript.info(f"unread elsewhere: {elsewhere}")
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
                self.transcript.error(error_text(error))  # what has come in one room can't be read

    def take(self, event: Event) -> None:
        """Show an event."""
        match event:
            case Message():
                with self._arriving:
                    self._take_message(event)
            case Gap():
                if event.reason not in SAME_LOG:  # what was counted there is not in the log that there is now
                    self._rooms.forget_unread(event.room)
                self.transcript.error(gap_text(event))
            case Disconnected():
                self._connected = False
                self.transcript.forget_history()
                self.transcript.error(connection_text(event))
            case Reconnected():
                self._connected = True
                self.transcript.info(connection_text(event))
            case Removed():
                self._removed(event)
            case Invited():
                self._joining.invited(event)
            case ReadMark() if fold(event.user) == fold(self._client.user):
                self._rooms.read_upto(event.room, event.seq)
                self._news.seen(event.room)
            case _:
                if isinstance(event, MemberJoined):
                    self.transcript.seen(event.user)
                self._presence.take(event)
        self._changed()

    def _take_message(self, message: Message) -> None:
        self._presence.spoke(message.room, message.user)
        self._rooms.spoken_in(message.room)
        if self._people.is_ignored(message.user) or self.transcript.has_shown(message):
            return
        own = fold(message.user) == fold(self._client.user)
        meant = not own and (message.room.startswith(DIRECT) or self.transcript.mentions(message))
        shown = self._rooms.shows(message.room)
        if shown:
            inviter = self._rooms.inviter(message)
            if inviter is not None:
                self.transcript.info(f"{named(inviter)} wrote to you; reply with /msg {quoted(inviter)} TEXT")
            self.transcript.message(message, partial(self._news.come, message, shown=True) if meant else nothing)
        elif not own:
            self._rooms.count(message, mentions=meant)
        else:  # said elsewhere
            self.transcript.pass_over(message)
        if meant and not shown:
            self._news.come(message, shown=False)

    def _removed(self, event: Removed) -> None:
        """Show why the user is in a room no longer, and go on in another; a script's text is for no other."""
        self.transcript.error(removed_text(event, datetime.now()))
        here = self._rooms.removed(event.room)
        self._presence.forget(event.room)
        if here and self._on_terminal:
            self._go_on()
        elif here:
            self._go_to(None)

    @property
    def status(self) -> Status:
        """Return what the status line says. Any thread."""
        room = self._rooms.current
        unread = together(self._rooms.unread, self._news.unseen)
        if room is None:
            return Status(self._connected, None, 0, "", unread, joining=self._rooms.place.room is None)
        here = room.member_count if self._connected else 0
        return Status(self._connected, room.name, here, self._presence.typing(room.name), unread)

    def key(self) -> None:
        """Record that the user has pressed a key, and so has seen the screen. Any thread."""
        if self._news.seen():
            self._changed()

    # -- what the user does ------------------------------------------------------------------------

    def typed(self, text: str) -> None:
        """Let the others in the current room see whether the user is typing `text`, the line so far. Any thread."""
        room = self._rooms.current
        if room is not None and self._shows_typing:
            with suppress(UsageError):  # the client is closed
                room.typing(bool(text.strip()) and not is_command(text))

    def say(self, text: str) -> None:
        """Send a text to the current room.

        Raises:
            UsageError, MeantElsewhere: as `Rooms.here` has it.
        """
        room = self._rooms.here()
        typed = text if says(text) else f"/{text}"
        self._send(Draft(room.name, text, typed, lambda seconds: room))

    def message_to(self, user: str, text: str, *, sure: bool = False) -> None:
        """Send a text to the direct room with a user; other text still goes to the current room.

        `sure`: True if the user may be one of whom nobody has seen anything.
        """
        if self._connected and not sure:
            user = self._user_meant(user)
            sure = True
        name = f"{DIRECT}{user}"
        self._send(Draft(name, text, f"/msg {quoted(user)} {text}", partial(self._direct, user, sure)))

    def _direct(self, user: str, sure: bool, seconds: float) -> Room:
        """Return the direct room with a user, joined aside unless the user is in it. Any thread."""
        deadline = time.monotonic() + seconds
        if not sure:
            self._await_broker(f"{DIRECT}{user}", seconds)
            user = self._user_meant(user)
        room = self._client.direct(user, timeout=max(0.0, deadline - time.monotonic()))  # as `Joining.joined` has it
        self._rooms.add_aside(room)
        return room

    def _await_broker(self, name: str, seconds: float) -> None:
        """Wait until there is a broker, which knows users, for so many seconds at most."""
        if not self._connected:
            try:
                self._client.rooms(timeout=seconds)
            except DeadlineExceeded as error:
                raise DeadlineExceeded(
                    f"joining {named(name)}: the broker did not answer within {seconds:g} s"
                ) from error

    def _user_meant(self, user: str) -> str:
        """Return the user that a typed name means; a script, which can't answer, is warned and goes on.

        Raises:
            NobodySeen: nobody of that name was seen.
        """
        if self._rooms.get(f"{DIRECT}{user}") is not None:
            return user
        try:
            return self._lookup.user_meant(user)
        except NobodySeen as error:
            if self._on_terminal:
                raise
            self.transcript.error(error.what)
            return user

    def join(self, name: str, *, sure: bool = False) -> None:
        """Join a room, and make it the current one; `sure` as in `message_to`."""
        if name.startswith(DIRECT) and not sure and self._rooms.get(name) is None:
            self._await_broker(name, self._seconds)
            name = f"{DIRECT}{self._user_meant(name.removeprefix(DIRECT))}"
        room = self._joining.joined(name)
        if not self._go_to(room, self._rooms.leads_to):
            raise put_out_of(room)

    def next(self) -> None:
        """Go to the next room in which something is unread, first to one in which the user is meant."""
        name = self._rooms.next_with_news()
        if not name:
            raise UsageError("nothing is new in your other rooms")
        self.join(name, sure=True)

    def leave(self, name: str = "") -> None:
        """Leave a room, "" for the current one; from that the user comes to the one joined last before it.

        Raises:
            DeadlineExceeded: the broker has not confirmed it; the room is left all the same.
        """
        room = self._room(name)
        late: DeadlineExceeded | None = None
        try:
            room.leave(timeout=self._seconds)
        except DeadlineExceeded as error:
            late = error
        self._presence.forget(room.name)
        if self._rooms.left(room.name):
            self._go_on(f"you left {named(room.name)}", self._rooms.leads_to)
        else:
            self._rooms.stay()
            self.transcript.info(f"you left {named(room.name)}")
            self._changed()
        if late is not None:
            raise DeadlineExceeded(f"the broker has not confirmed yet that you left {named(room.name)}") from late

    def watch(self, name: str) -> None:
        """Have the messages of a room shown while the user is in another; join the room if the user isn't in it."""
        room = self._rooms.get(name) or self._joining.joined(name)
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
                + ("" if self._people.has_seen(user) else " (nobody of that name was seen yet)")
            )
        else:
            self.transcript.info(f"{named(user)} is no longer ignored")
        self._rooms.recount(lambda unread: self._news.recounted(unread, self._people.is_ignored))
        self._changed()

    def messages(self, count: int | None) -> None:
        """Show the next page of the current room's history, as `HistoryPages.next`; or its last `count` messages."""
        room = self._rooms.here()
        with self._arriving:
            self._show_page(self.pages.next(room) if count is None else self.pages.last(room, count))

    def unread(self) -> None:
        """Show the next page of what was new in the current room when the user came."""
        room = self._rooms.here()
        with self._arriving:
            self._show_page(self.pages.new(room))

    def _show_page(self, page: Page) -> None:
        if page.heading:
            self.transcript.info(page.heading)
        if page.messages:
            self.transcript.history(page)

    def show(self, seq: int, name: str) -> None:
        """Show a message that was shown cut; `name`: its room, "" for the current one."""
        room = name or self._rooms.here().name
        found = self._client.history(room, after=seq - 1, before=seq + 1, limit=1) if seq else []
        if not found:
            raise UsageError(f"there is no message {seq} in {named(room)}")
        self.transcript.long_message(found[0])

    @property
    def place(self) -> Place:
        """Return where the user is. Any thread."""
        return self._rooms.place

    def coming(self) -> Place:
        """Return a place to which a line leads that is entered now. Any thread."""
        return self._rooms.coming()

    def begin_line(self, meant: Place | None, leads_to: Place | None) -> None:
        """Record where the line is meant for that is carried out next, and where it leads; None for a script's."""
        self._rooms.begin_line(meant, leads_to)

    def check_broker(self, word: str) -> None:
        """Raise UsageError if a question can't be answered now, and somebody is there to repeat it."""
        if self._on_terminal and not self._connected:
            raise UsageError(f"the broker is away: {word} works once it is back")

    def _room(self, name: str) -> Room:
        """Return a room that the user is in, the current one for ""."""
        room = self._rooms.get(name) if name else self._rooms.here()
        if room is None:
            raise UsageError(f"you are not in {named(name)}: /list marks the rooms you are in")
        return room

    def _go_to(self, room: Room | None, place: Place | None = None) -> bool:
        """Make a room the current one, None for none; return False if the user is in it no longer.

        `place`: as `Rooms.go_to` has it.
        """
        with self._arriving:
            unseen = self._rooms.go_to(room, place)
            if unseen is not None:
                self._arrive(room, unseen)
        return unseen is not None

    def _go_on(self, left: str = "", place: Place | None = None) -> None:
        """Make the room the current one that was joined last, if the user is in none; `left`: what to say of the other.

        `place`: as `Rooms.go_on` has it.
        """
        with self._arriving:
            if self._rooms.current is None:
                room, unseen = self._rooms.go_on(place)
                self._arrive(room, unseen, left)

    def _arrive(self, room: Room | None, unseen: int, left: str = "") -> None:
        """Say which room is the current one, and show its end; `unseen`: as `_show_end` has it."""
        here = f"are now in {named(room.name)}" if room else ""
        if left:
            self.transcript.info(" and ".join(filter(None, (left, here))))
        else:
            self.transcript.info(
                f"you are in {named(room.name)}" if room else "you are in no room: go to one with /join ROOM"
            )
        if room is not None:
            self._news.seen(room.name)
            try:
                self._show_end(room, unseen)
            except ZchatError as error:
                if isinstance(error, NotAllowed):  # nor ever can be: it counts no more
                    self._rooms.read_upto(room.name, room.position.seq)
                self.transcript.error(f"the end of {named(room.name)} can't be shown: {error_text(error)}")
        self._changed()

    def _show_end(self, room: Room, unseen: int) -> None:
        """Show the end of a room in which `unseen` is the first message that was not shown, 0 for none."""
        new = unseen or max(room.position.seq + 1, self.transcript.history_end(room.name))
        entry = self.pages.entry(room, new)
        if not entry.messages:
            if self._on_terminal and unseen:
                self._rooms.read_upto(room.name, room.position.seq)  # it is there no longer
            return
        first = entry.messages[0].seq
        if entry.new and entry.new < first:
            users = self._missed.mentioned_by(room.name, entry.new, first - 1)
            meant = f"{users} mentioned you in what is not shown: /mentions; " if users else ""
            self.transcript.info(f"{meant}/unread shows all that is new, in order")
        self.transcript.entry(entry)
