"""A conversation: the rooms one is in, where text goes, and what has been seen."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from threading import Lock

from zchat import Client, Room
from zchat.cli.commands import COMMANDS, Quit
from zchat.cli.show import Display, gap_text, harmless, link_text, table
from zchat.errors import ConnectionLost, ZchatError
from zchat.messages import Disconnected, Event, Gap, Message, Reconnected
from zchat.names import fold

UNSEEN = 10
"""Messages that `/messages` shows of a room not seen before: what fits a small screen."""

MAX_SHOWN = 1000
"""Messages that `/messages` shows at most: one request; for more there is `zchat tail`."""


class Chat:
    """Hold one conversation; `show` is called with each text to show, from any thread.

    `on_event` belongs to the client's handler thread, everything else to one other thread.
    """

    def __init__(self, show: Callable[[str], None]) -> None:
        self._show = show
        self._showing = Lock()
        self._display = Display()
        self._rooms: dict[str, Room] = {}
        self._current: Room | None = None
        self._seen: dict[str, int] = {}

    def begin(self, client: Client, names: Iterable[str]) -> None:
        """Join the rooms; text goes to the first."""
        self._client = client
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

    def enter(self, line: str) -> bool:
        """Do what a typed line says; return whether the conversation goes on.

        What goes wrong is told and the conversation goes on.

        Raises:
            ConnectionLost: the client has ended.
        """
        try:
            if line.startswith("/") and not line.startswith("//"):
                self._command(line)
            elif line.strip():
                self._say(line.removeprefix("/") if line.startswith("//") else line)
        except Quit:
            return False
        except ConnectionLost:
            raise
        except ZchatError as error:
            self.complain(str(error))
        return True

    def on_event(self, event: Event) -> None:
        """Show what comes."""
        match event:
            case Message():
                self._show_messages([event])
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
        room = self._rooms.get(fold(name))
        if room is None:
            room = self._client.join(name)
            self._rooms[fold(room.name)] = room
        if switch:
            self._turn_away()
            self._current = room
        self.tell(f"you are in {room.name}" + ("" if switch else " as well"))

    def leave(self) -> None:
        """Leave the current room; text goes to the one that was joined last before it."""
        room = self._current
        if room is None:
            self.complain("you are in no room; /join ROOM brings you into one")
            return
        self._turn_away()
        room.leave()
        del self._rooms[fold(room.name)]
        self._current = next(reversed(self._rooms.values()), None)
        self.tell(f"you left {room.name}" + (f" and are in {self.current}" if self._current else ""))

    def list_rooms(self) -> None:
        """Show what rooms there are, with a mark at those one is in."""
        rows = []
        for room in self._client.rooms():
            mark = (
                ">" if fold(room.name) == fold(self.current or "") else "*" if fold(room.name) in self._rooms else " "
            )
            rows.append(
                (f"{mark} {harmless(room.name)}", f"{room.members} in it", f"{room.last - room.first + 1} messages")
            )
        self._show("\n".join(f"  {line}" for line in table(rows)) if rows else "* there are no rooms")

    def room_names(self) -> list[str]:
        """Return the names of the rooms that there are. Any thread."""
        return [room.name for room in self._client.rooms()]

    def messages(self, count: int | None) -> None:
        """Show what was said in the current room since one last saw it, or the last `count`."""
        room = self._current
        if room is None:
            self.complain("you are in no room; /join ROOM brings you into one")
            return
        seen = self._seen.get(fold(room.name))
        limit = min(MAX_SHOWN, count if count is not None else UNSEEN if seen is None else MAX_SHOWN)
        found = room.history(limit=limit) if limit else []
        if count is None and seen is not None:
            found = [message for message in found if message.seq > seen]
        if not found:
            self.tell(f"nothing new in {room.name}" if seen is not None and count is None else "no messages")
            return
        if len(found) == MAX_SHOWN and found[0].seq > (seen or 0) + 1:
            self.tell(f"the last {MAX_SHOWN}; zchat tail shows more")
        self._show_messages(found)
        self._seen[fold(room.name)] = found[-1].seq

    def _say(self, text: str) -> None:
        if self._current is None:
            self.complain("you are in no room; /join ROOM brings you into one")
        else:
            self._show_messages([self._current.send(text)])

    def _command(self, line: str) -> None:
        word, _, argument = line.partition(" ")
        command = COMMANDS.get(word)
        if command is None:
            self.complain(f"there is no {word}; /help lists the commands, //{line[1:]} says it")
        else:
            command.run(self, argument.strip())

    def _turn_away(self) -> None:
        if self._current is not None:
            self._seen[fold(self._current.name)] = self._current.position.seq

    def _show_messages(self, messages: list[Message]) -> None:
        with self._showing:  # so that a date stands above the messages of its day
            current = self.current or ""
            self._show("\n".join(self._display.message(message, current) for message in messages))
