"""What Tab completes in a chat."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import partial

from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document

from zchat import Client
from zchat.cli.chat.people import People
from zchat.cli.chat.rooms import Rooms
from zchat.cli.chat.slash import COMMANDS
from zchat.cli.chat.syntax import ALIASES, EVERYWHERE, SURE, is_command, quoted
from zchat.cli.text.phrases import room_named
from zchat.cli.text.safe import safe
from zchat.errors import ZchatError
from zchat.names import DIRECT, fold

ANSWER_SECONDS = 0.5
"""Seconds that the broker has to list rooms or members: nothing that is typed shows meanwhile."""


class ChatCompleter(Completer):
    """Completion of commands, of rooms after `/join`, and of users after `/msg`, `/kick` and the like, and in text."""

    def __init__(self, client: Client, rooms: Rooms, people: People) -> None:
        self._client = client
        self._people = people
        self._rooms = rooms
        self._users_after: dict[str, Callable[[], list[str]]] = {
            **dict.fromkeys(("/msg", SURE, "/ignore"), self._user_names),
            **dict.fromkeys(("/kick", "/ban", f"/ban {EVERYWHERE}", "/mute"), self._users_to_moderate),
            "/unban": partial(self._sanctioned, "ban"),
            f"/unban {EVERYWHERE}": partial(self._sanctioned, "ban", everywhere=True),
            "/unmute": partial(self._sanctioned, "mute"),
        }
        """The commands whose argument begins with a user, and what returns the users."""

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
        if word in ("/ban", "/unban", "/bans") and rest.startswith("-"):
            option, space, rest = rest.partition(" ")
            if not space:
                return _beginning([f"{EVERYWHERE} "], option)
            word = f"{word} {EVERYWHERE}"
        names = self._users_after.get(word)
        found = [] if names is None else _beginning([f"{quoted(name)} " for name in self._known(names)], rest)
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

    def _users_to_moderate(self) -> list[str]:
        """Return the others in the current room, and then those that were seen: they may have left in a hurry."""
        here = self._user_names()
        known = {fold(name) for name in (self._client.user, *here)}
        return here + [name for name in reversed(self._people.seen) if fold(name) not in known]

    def _sanctioned(self, kind: str, *, everywhere: bool = False) -> list[str]:
        """Return the users that are banned from the current room, or muted in it; or banned from the broker."""
        where = self._client if everywhere else self._rooms.current
        found = [] if where is None else where.sanctions(timeout=ANSWER_SECONDS)
        return [each.user for each in found if each.kind == kind]


def _beginning(choices: Iterable[str], start: str) -> list[Completion]:
    """Return those of the choices that begin with `start`, in upper or lower case, with or without an opening quote."""
    begun = start.casefold()
    return [
        Completion(choice, start_position=-len(start))
        for choice in choices
        if choice.casefold().startswith(begun) or choice.casefold().removeprefix('"').startswith(begun)
    ]
