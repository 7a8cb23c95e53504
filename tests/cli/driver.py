"""What the tests of the command share."""

from __future__ import annotations

import re

import zchat as library
from tests.running import ROOT, eventually
from zchat.broker import Broker

MANUAL = (ROOT / "docs" / "command.md").read_text(encoding="utf-8")


def bodies(broker: Broker, room: str, limit: int = 1000) -> list[object]:
    with library.Client(broker.url, user="reader") as client:
        return [message.body for message in client.history(room, limit=limit)]


def say(broker: Broker, room: str, *texts: object, user: str = "bob") -> None:
    with library.Client(broker.url, user=user) as client:
        client.join(room).send_many(texts)


def unread(broker: Broker, room: str, user: str = "alice") -> int | None:
    """Return how many messages of a room the broker counts as unread for a user; None if none was ever read."""
    with library.Client(broker.url, user=user) as looker:
        return next(each.unread for each in looker.rooms() if each.name == room)


def masked(text: str) -> str:
    return re.sub(r"\[\d\d:\d\d:\d\d]", "[12:00:00]", text)


def settled(broker: Broker) -> None:
    """Wait until a broker has told everyone who is in a room: who comes from then on is reported."""
    with library.Client(broker.url, user="looker") as client:
        room = client.join("Technology")
        eventually(lambda: room.member_count, "the broker tells who is in a room")
