"""What Tab completes in a chat."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document

from zchat.cli.chat.conversation import Chat, quoted
from zchat.cli.chat.slash import COMMANDS
from zchat.cli.text.safe import harmless
from zchat.errors import ZchatError


class ChatCompleter(Completer):
    """Complete commands, the names of rooms behind `/join`, of people behind `/msg` and in what is said."""

    def __init__(self, chat: Chat) -> None:
        self._chat = chat

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:
        """Return what can follow what stands before the cursor."""
        before = document.text_before_cursor
        word, blank, rest = before.partition(" ")
        if not blank and word.startswith("/") and not word.startswith("//"):
            words = [f"{command.word} " if command.argument else command.word for command in COMMANDS.values()]
            return _beginning(words, word)
        if word == "/join":
            return _beginning(self._known(self._chat.room_names), rest)
        found = []
        if word == "/msg":
            found = _beginning([f"{quoted(name)} " for name in self._known(self._chat.user_names)], rest)
        return found or self._people_named(before)

    def _people_named(self, before: str) -> list[Completion]:
        """Return the names that the last word can be: at the beginning of what is said they address somebody."""
        start = re.split(r"\s", before)[-1]
        end = ": " if start == before else " "
        names = self._known(self._chat.user_names) if start else []
        return _beginning([f"{name}{end}" for name in names], start)

    def _known(self, names: Callable[[], list[str]]) -> list[str]:
        try:
            return [name for name in names() if name == harmless(name)]
        except ZchatError:  # the next command tells of it
            return []


def _beginning(choices: Iterable[str], start: str) -> list[Completion]:
    """Return those of the choices that begin with `start`, in whatever case; a quote before a name may be left out."""
    begun = start.casefold()
    return [
        Completion(choice, start_position=-len(start))
        for choice in choices
        if choice.casefold().startswith(begun) or choice.casefold().removeprefix('"').startswith(begun)
    ]
