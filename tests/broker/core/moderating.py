"""A broker with rules, for the tests of moderation."""

from __future__ import annotations

from typing import Any

from tests.broker.driver import Peer, World
from zchat.broker.guard.gate import Gate
from zchat.broker.guard.rules_text import parse
from zchat.broker.store.contract import Store
from zchat.wire.notices import OK

RULES = 'operators = ["root"]\n[[rooms]]\nnames = ["*"]\nowners = ["anna", "otto"]\nguests = ["see", "join", "send"]'
HOUR = 3600


class Place(World):
    """A broker with rules: root is an operator, anna and otto own all rooms, bob and carol are users."""

    def __init__(self, rules: str | None = RULES, store: Store | None = None) -> None:
        super().__init__(store=store, gate=Gate(logins=True), rules=None if rules is None else parse(rules))

    def peer(self, user: str, *rooms: str, version: int = 2) -> Peer:
        peer = Peer(self, user, version=version)
        for room in rooms:
            assert peer.join(room)[0] == OK
        return peer


def code(notice: list[Any]) -> str:
    return OK if notice[0] == OK else notice[2]
