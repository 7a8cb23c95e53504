"""A chat within the test's own process."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from threading import Thread
from typing import cast

from tests.running import DEADLINE
from zchat import Client, Message
from zchat.cli.chat.conversation import OPTIONS, Conversation, Options
from zchat.cli.chat.history_pages import Fits
from zchat.cli.chat.news import News
from zchat.cli.chat.people import People
from zchat.cli.chat.rooms import Draft, Place, Rooms
from zchat.cli.chat.slash import do
from zchat.cli.chat.transcript import Show, Transcript

NO_CLIENT = cast(Client, None)
"""The client of a chat that has no broker."""


def keeping(texts: list[str]) -> Show:
    """Return what shows texts by keeping them."""

    def show(text: str, shown: Callable[[], object]) -> None:
        if text:
            texts.append(text)
        shown()

    return show


class Chat:
    """A conversation, and the texts that it has shown; what is sent is stored before the next line is done."""

    def __init__(
        self,
        client: Client = NO_CLIENT,
        rooms: Sequence[str] = (),
        options: Options = OPTIONS,
        show: Show | None = None,
        fits: Fits | None = None,
        own_name: str = "",
    ) -> None:
        self._client = client
        self.shown: list[str] = []
        self.rooms = Rooms(all_shown=options.all_rooms)
        self.people = People(client.user if client else "alice")
        self.transcript = Transcript(
            show or keeping(self.shown), self.rooms, self.people, own_name=own_name, read_marks=options.read_marks
        )
        self.rung = 0
        self.news = News(self._ring)
        self.conversation = Conversation(
            client, self.rooms, self.people, self.transcript, self._send, options, news=self.news, fits=fits
        )
        self._following = Thread(target=self.conversation.follow)
        if rooms:
            self.conversation.begin(rooms)

    def _send(self, draft: Draft) -> None:
        self.transcript.message(draft.open(DEADLINE).send(draft.text))

    def _ring(self) -> None:
        self.rung += 1

    def do(self, line: str, meant: Place | None = None, leads_to: Place | None = None) -> bool:
        return do(self.conversation, line, meant, leads_to)

    def __enter__(self) -> Chat:
        """Show what arrives until the end, which closes the client."""
        self._following.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._client.close()
        self._following.join(DEADLINE)
        self.conversation.close()
        assert not self._following.is_alive()


def unread(client: Client) -> dict[str, int | None]:
    return {room.name: room.unread for room in client.rooms()}


def half(messages: list[Message], *, half: bool = False) -> int:
    return min(3, len(messages))


def shown_to(chat: Chat) -> list[str]:
    """Return what was shown, by line, without times; and forget it."""
    lines = [re.sub(r"^\[\d\d:\d\d:\d\d\] ", "", line) for text in chat.shown for line in text.split("\n")]
    chat.shown.clear()
    return lines
