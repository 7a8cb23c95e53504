"""What a chat shows: messages, and lines about the chat itself."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from threading import Lock

from zchat.cli.chat.rooms import Rooms
from zchat.cli.text.colours import joined, styled_message
from zchat.cli.text.lookalikes import LookAlikes
from zchat.cli.text.message_lines import Cut, MessageLines, cut_with
from zchat.cli.text.safe import safe
from zchat.errors import ZchatError
from zchat.messages import Message
from zchat.names import DIRECT

LONG_ROWS = 400
"""Rows of a message that are shown if it is asked for."""

PIPE_HINT = "zchat tail --json shows all"


def code_points(name: str) -> str:
    """Return a name with the code points of all that isn't ASCII after it."""
    codes = " ".join(f"U+{ord(character):04X}" for character in name if not character.isascii())
    return f"{name} ({codes})" if codes else name


class Transcript:
    """The running text of a chat. Any thread.

    Args:
        show: called with each text; it returns False if the text could not be shown.
        rooms: the rooms of the chat. Messages of others than the current one are shown with their room.
        own_name: the user's name, to be highlighted where others mention it; "" for never.
        read_marks: True to mark messages as read that are shown.
        on_terminal: True to have long messages shown cut.
    """

    def __init__(
        self,
        show: Callable[[str], bool | None],
        rooms: Rooms,
        *,
        own_name: str = "",
        read_marks: bool = True,
        on_terminal: bool = False,
    ) -> None:
        self._show = show
        self._rooms = rooms
        self._own_name = own_name
        self._read_marks = read_marks
        self._on_terminal = on_terminal
        self._lock = Lock()
        """Held while messages are shown, so that a date stands above the messages of its day."""
        self._lines = MessageLines()
        self._look_alikes = LookAlikes()
        if own_name:
            self._look_alikes.add(own_name)

    def info(self, text: str) -> None:
        """Show a line about the chat itself."""
        self._show(f"* {safe(text)}")

    def error(self, text: str) -> None:
        """Show a line about something that went wrong."""
        self._show(f"! {safe(text)}")

    def listing(self, lines: list[str]) -> None:
        """Show lines that are safe already."""
        self._show("\n".join(lines))

    def messages(self, messages: list[Message]) -> None:
        """Show messages of one room.

        If it is the current one or a direct one, it is marked as read up to the last of them.
        """
        for user in dict.fromkeys(each.user for each in messages):
            self.seen(user)
        shown = self._show_messages([(each, self._cut(each)) for each in messages])
        if shown is not False and self._read_marks:
            self._mark_read(messages[-1])

    def seen(self, user: str) -> None:
        """Report a user whose name looks like that of another who was seen before."""
        with self._lock:
            other = self._look_alikes.add(user)
        if other is not None:
            self.error(f"{code_points(user)} is not the same user as {code_points(other)}, though the names look alike")

    def long_message(self, message: Message) -> None:
        """Show a message whose rows were left out, with `LONG_ROWS` at most."""
        self._show_messages([(message, cut_with(PIPE_HINT, LONG_ROWS) if self._on_terminal else None)])

    def _show_messages(self, messages: list[tuple[Message, Cut | None]]) -> bool | None:
        current = self._rooms.current_name
        with self._lock:
            parts = [(self._lines.parts(each, current, cut), each.user) for each, cut in messages]
            return self._show(joined(styled_message(part, user, self._own_name) for part, user in parts))

    def _cut(self, message: Message) -> Cut | None:
        if not self._on_terminal:
            return None
        room = "" if self._rooms.is_current(message.room) else f" {safe(message.room)}"
        return cut_with(f"/show {message.seq}{room} shows more")

    def _mark_read(self, message: Message) -> None:
        room = self._rooms.get(message.room)
        if room is not None and (self._rooms.is_current(message.room) or message.room.startswith(DIRECT)):
            with suppress(ZchatError):  # closed meanwhile; or refused, which the client logs: unread counts stay as is
                room.mark_read(message.seq)
