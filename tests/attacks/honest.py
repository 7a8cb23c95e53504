"""Honest clients at a broker under attack, which check all that they have of each other."""

from __future__ import annotations

import time
from contextlib import ExitStack
from itertools import count
from threading import Thread
from typing import NamedTuple

import zchat
from tests.attacks.place import Approach
from tests.promises.faults.processes import Pipe
from tests.running import DEADLINE

HONEST = ("alice", "bob", "carol")
"""Their users; nobody else has these names."""

BEAT = 0.02
"""Seconds between two messages of one of them."""

END = "end"
"""The last message of each."""


class Heard(NamedTuple):
    """What they had of each other: every message once and in order, or it had failed."""

    number: int
    """How many messages each of them sent, and the others had."""
    seconds: list[float]
    """How long each took, from just before it was sent until another client had it."""


class _Reader(Thread):
    """Reads a room to the end of each of the others, and checks what they say."""

    def __init__(self, room: zchat.Room, others: set[str]) -> None:
        super().__init__(daemon=True)
        self._room = room
        self._next = dict.fromkeys(others, 0)
        self.seconds: list[float] = []
        self.failed = ""

    def run(self) -> None:
        waiting = set(self._next)
        for message in self._room.messages(timeout=DEADLINE):
            if isinstance(message, zchat.Message) and message.user in self._next:
                number, sent = message.body
                if number == END:
                    waiting.discard(message.user)
                    if not waiting:
                        return
                elif number != self._next[message.user]:
                    self.failed = f"{message.user}'s message {number} came, {self._next[message.user]} was due"
                    return
                else:
                    self._next[message.user] += 1
                    self.seconds.append(time.monotonic() - sent)
        self.failed = f"nothing more came of {waiting}"


def talk(pipe: Pipe, approach: Approach) -> None:
    """Let all of them send until told to stop, then say what was `Heard`; fails if a message is lost or in disorder."""
    with ExitStack() as stack:
        rooms = [stack.enter_context(approach.client(user)).join("Talk") for user in HONEST]
        readers = [_Reader(room, {*HONEST} - {user}) for room, user in zip(rooms, HONEST, strict=True)]
        for reader in readers:
            reader.start()
        pipe.say("ready")
        for number in count():
            for room in rooms:
                room.send([number, time.monotonic()], timeout=DEADLINE)
            if pipe.hear(BEAT) is not None:
                break
        for room in rooms:
            room.send([END, 0.0], timeout=DEADLINE)
        for reader in readers:
            reader.join(DEADLINE)
            assert not reader.is_alive(), "messages are missing"
            assert not reader.failed, reader.failed
        pipe.say("done", Heard(number + 1, [each for reader in readers for each in reader.seconds]))
