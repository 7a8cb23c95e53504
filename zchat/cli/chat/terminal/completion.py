"""What Tab completes in a chat."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document

from zchat import Client
from zchat.cli.chat.people import People
from zchat.cli.chat.rooms import Rooms
from zchat.cli.chat.slash import COMMANDS
from zchat.cli.chat.syntax import ALIASES, SURE, is_command, quoted
from zchat.cli.text.phrases import room_named
from zchat.cli.text.safe import safe
from zchat.errors import ZchatError
from zchat.names import DIRECT, fold

ANSWER_SECONDS = 0.5
"""Seconds that the broker has to list rooms or members: nothing that is typed shows meanwhile."""


class ChatCompleter(Completer):
    """Completion of commands, of rooms after `/join`, and of the room's members after `/msg` and in text."""

    def __init__(self, client: Client, rooms: Rooms, people: People) -> None:
        self._client = client
        self._people = people
        self._rooms = rooms

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:
        """Return what can follow the text before the cursor."""
        before = document.text_before_cursor
        word, space, rest = re.fullmatch(r"(?s)(\S*)(\s*)(.*)", before).groups()  # type: ignore[union-attr]
        if not space and is_command(word):
            words = [f"{command.word} " if command.argument else command.word for command in COMMANDS.values()]
            return _beginning(words, word) or _beginning(ALIASES, word)
        word = word.lower()
        word = ALIASES.get(word, word)
        if word in ("/join", "/leave", "/members", "/watch", "/hide"):
            return _beginning(self._known(self._room_names), room_named(rest))
        found = []
        if word in ("/msg", SURE, "/ignore"):
            found = _beginning([f"{quoted(name)} " for name in self._known(self._user_names)], rest)
        return found or self._mentions(before)

    def _mentions(self, before: str) -> list[Completion]:
        """Return the users whose name the last word can begin; at the beginning of a text they are addressed."""
        start = re.split(r"\s", before)[-1]
        end = ": " if start == before else " "
        names = self._known(self._user_names) if start else []
        if start.startswith(DIRECT):
            return _beginning([f"{DIRECT}{name} " for name in names], start)
        return _beginning([f"{name}{end}" for name in names], start)

    def _known(self, names: Callable[[], list[str]]) -> list[str]:
        try:
            return [name for name in names() if name == safe(name)]
        except ZchatError:  # the next command reports it
            return []

    def _room_names(self) -> list[str]:
        """Return the names of all rooms, but for direct ones with users that nobody has seen."""
        names = [room.name for room in self._client.rooms(timeout=ANSWER_SECONDS)]
        return [name for name in names if not name.startswith(DIRECT) or self._people.has_seen(name[1:])]

    def _user_names(self) -> list[str]:
        """Return the names of the others in the current room."""
        room = self._rooms.current
        if room is None:
            return []
        own = fold(self._client.user)
        return [member.user for member in room.members(timeout=ANSWER_SECONDS) if fold(member.user) != own]


def _beginning(choices: Iterable[str], start: str) -> list[Completion]:
    """Return those of the choices that begin with `start`, in upper or lower case, with or without an opening quote."""
    begun = start.casefold()
    return [
        Completion(choice, start_position=-len(start))
        for choice in choices
        if choice.casefold().startswith(begun) or choice.casefold().removeprefix('"').startswith(begun)
    ]
