"""What a chat shows: messages, and lines about the chat itself."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from threading import Lock
from typing import Any

from zchat.cli.chat.history_pages import Entry, Page
from zchat.cli.chat.people import People
from zchat.cli.chat.rooms import Rooms
from zchat.cli.text.colours import NEW, StyledText, joined, mentions, styled_message
from zchat.cli.text.message_lines import CHARACTERS, Cut, MessageLines, cut_with
from zchat.cli.text.safe import named, safe
from zchat.client.room import Room
from zchat.errors import NotAllowed, ZchatError
from zchat.messages import Message
from zchat.names import DIRECT, fold

LONG_ROWS = 400
"""Rows of a message that are shown if it is asked for."""

NEW_LINE = "--- new ---"
"""What stands before the messages that are new to the user."""

PIPE_HINT = "zchat tail --json shows all"

Show = Callable[[str, Callable[[], Any]], object]
"""Shows a text, and calls something once it is shown, which means written; after "" once all before it is shown.

What isn't written after all is never shown, and nothing is called for it.
"""


def nothing() -> None:
    """Do nothing about what happens."""


def code_points(name: str) -> str:
    """Return a name for a sentence, with the code points of all that isn't ASCII after it."""
    codes = " ".join(f"U+{ord(character):04X}" for character in name if not character.isascii())
    return f"{named(name)} ({codes})" if codes else named(name)


class Transcript:
    """The running text of a chat. Any thread.

    Args:
        show: called with each text. What it calls in turn, in any thread, waits for nothing.
        rooms: the rooms of the chat. Messages of others than the current one are shown with their room.
        people: the users that were seen; what those say who are ignored is not shown.
        own_name: the user's name, to be highlighted where others mention it; "" for never.
        read_marks: True to mark messages as read that are shown.
        on_terminal: True to have long messages shown cut.
    """

    def __init__(
        self,
        show: Show,
        rooms: Rooms,
        people: People,
        *,
        own_name: str = "",
        read_marks: bool = True,
        on_terminal: bool = False,
    ) -> None:
        self._show = show
        self._rooms = rooms
        self._people = people
        self._own_name = own_name
        self._read_marks = read_marks
        self._unmarked: set[Room | None] = set()  # that the user may not mark
        self._on_terminal = on_terminal
        self._lock = Lock()
        """Held while messages are shown, so that a date stands above the messages of its day."""
        self._lines = MessageLines(own=people.own)
        self._paged: dict[str, range] = {}
        """The messages that were shown as history, by room: some of them may be on their way still."""

    def info(self, text: str) -> None:
        """Show a line about the chat itself."""
        self._show(f"* {safe(text)}", nothing)

    def error(self, text: str, shown: Callable[[], object] = nothing) -> None:
        """Show a line about something that went wrong; `shown` is called once it is shown."""
        self._show(f"! {safe(text)}", shown)

    def listing(self, lines: list[str]) -> None:
        """Show lines that are safe already."""
        self._show("\n".join(lines), nothing)

    def message(self, message: Message, shown: Callable[[], object] = nothing) -> None:
        """Show a message that has come or was stored, unless history has; its room is then marked as read up to it.

        A mark covers all before it: a room of which something is not shown is not marked, and one of which something
        before the message is yet to come only up to that. `shown` is called once the message is shown.
        """
        mark = self._marking(message)

        def done() -> None:
            mark()
            shown()

        self.seen(message.user)
        with self._lock:
            if self.has_shown(message):
                self._show("", shown)
            else:
                self._show(self._styled(message, self._cut(message)), done)

    def history(self, page: Page) -> None:
        """Show a page of one room's history; the room is then marked as read as far as nothing is left out before.

        A line stands before the first message that was new when the user came, and the rest is dimmed.
        """
        first = page.messages[0].seq
        self._show_history(page.messages, page.begin or first, page.new, NEW_LINE if page.new >= first else "")

    def quotation(self, messages: list[Message]) -> None:
        """Show messages of any rooms again, each with its room."""
        with self._lock:
            lines = MessageLines(own=self._people.own)
            texts = []
            for each in messages:
                parts, direct = lines.parts(each, "", self._cut(each)), each.room.startswith(DIRECT)
                texts.append(styled_message(parts, each.user, self._own_name, meant=direct))
            self._show(joined(texts), nothing)

    def entry(self, entry: Entry) -> None:
        """Show the end of a room, which is then marked as read; a line is before what is new, the rest is dimmed."""
        first, last = entry.messages[0].seq, entry.messages[-1].seq
        line = NEW_LINE
        if 0 < entry.new < first:
            line = f"--- the last {len(entry.messages):,} of {last - entry.new + 1:,} new ---"
        self._show_history(entry.messages, 0, entry.new or last + 1, line)

    def has_shown(self, message: Message) -> bool:
        """Return True if a message was shown as history before it came."""
        return message.seq in self._paged.get(fold(message.room), ())

    def history_end(self, room: str) -> int:
        """Return the seq after the last message of a room that was shown as history, 0 if none was."""
        found = self._paged.get(fold(room))
        return found.stop if found else 0

    def forget_history(self) -> None:
        """Forget which messages were shown as history: the log may be another one now."""
        with self._lock:
            self._paged.clear()

    def mentions(self, message: Message) -> bool:
        """Return True if a message mentions the user."""
        text = message.body
        return isinstance(text, str) and bool(self._own_name and mentions(text[:CHARACTERS], self._own_name))

    def seen(self, user: str) -> None:
        """Report a user whose name looks like that of another who was seen before."""
        other = self._people.saw(user)
        if other is not None:
            self.error(f"{code_points(user)} is not the same user as {code_points(other)}, though the names look alike")

    def long_message(self, message: Message) -> None:
        """Show a message whose rows were left out, with `LONG_ROWS` at most."""
        with self._lock:
            self._show(self._styled(message, cut_with(PIPE_HINT, LONG_ROWS) if self._on_terminal else None), nothing)

    def _show_history(self, messages: list[Message], begin: int, new: int = 0, line: str = "") -> None:
        """Show messages of one room; those from `begin` on are not shown again when they come.

        Those before `new` are dimmed, and `line` stands before the others.
        """
        shown = [each for each in messages if not self._people.is_ignored(each.user)]
        for user in dict.fromkeys(each.user for each in shown):
            self.seen(user)
        last = messages[-1]
        self._unmarked.discard(self._rooms.get(last.room))  # what can be read can be marked
        with self._lock:
            seen = [self._styled(each, self._cut(each), seen=True) for each in shown if each.seq < new]
            fresh = [self._styled(each, self._cut(each)) for each in shown if each.seq >= new]
            texts = [*seen, StyledText(line, [(0, len(line), NEW)]), *fresh] if fresh and line else seen + fresh
            before = self._paged.get(fold(last.room), range(0))
            if before and before.start <= last.seq + 1 and begin <= before.stop:
                self._paged[fold(last.room)] = range(min(begin, before.start), max(last.seq + 1, before.stop))
            elif last.seq >= before.stop:
                self._paged[fold(last.room)] = range(begin, last.seq + 1)
            upto = self._read_with(last.room, range(begin, last.seq + 1))
            self._show(joined(texts) if texts else "", partial(self._mark_read, last.room, upto))

    def _read_with(self, room: str, page: range) -> int:
        """Return up to which message a room is read once a page of it is shown; 0 if not even the page is.

        What was not shown of the room is then recorded as shown.
        """
        unread = self._rooms.unread_in(room)
        if unread is None:
            return page.stop - 1
        pages = (page, self._paged[fold(room)])
        upto = max((each.stop - 1 for each in pages if each.start <= unread.first <= each.stop), default=0)
        if upto:
            self._rooms.read_upto(room, upto)
        return upto

    def _styled(self, message: Message, cut: Cut | None, *, seen: bool = False) -> StyledText:
        parts = self._lines.parts(message, self._rooms.current_name, cut)
        aside = message.room.startswith(DIRECT) and not self._rooms.is_current(message.room)
        return styled_message(parts, message.user, self._own_name, seen=seen, meant=aside)

    def _cut(self, message: Message) -> Cut | None:
        if not self._on_terminal:
            return None
        if self._rooms.is_current(message.room):
            return cut_with(f"/show {message.seq} shows more")
        return cut_with(f"for more: /show {message.seq} {safe(message.room)}")

    def pass_over(self, message: Message) -> None:
        """Mark a message's room as read up to it as if it were shown, once what was to be shown before is shown."""
        self._show("", self._marking(message))

    def _marking(self, message: Message) -> Callable[[], None]:
        """Return what marks a message's room as read with it: nothing if something of the room is not shown.

        An own message may be stored before what others said before it has come. With that it is marked too.
        """
        room = self._rooms.get(message.room)
        if room is None or self._rooms.unread_in(message.room) is not None:
            return nothing
        return partial(self._mark_read, message.room, room.position.seq)

    def _mark_read(self, name: str, seq: int) -> None:
        """Mark a room as read up to a message, 0 for none, unless the user has declined that.

        One that the client joined by itself is marked all the same: it begins after its mark the next time.
        """
        room = self._rooms.get(name)
        wanted = self._read_marks or self._rooms.is_invited(name)
        if seq and room is not None and wanted and room not in self._unmarked:
            try:
                room.mark_read(seq)
            except NotAllowed:
                self._unmarked.add(room)
            except ZchatError:
                pass  # closed meanwhile; or refused, which the client logs: unread counts stay as is
