"""Somebody in between a client and a broker, who has no keys and changes what is carried."""

from __future__ import annotations

import socket
from contextlib import suppress
from threading import Thread

from tests.attacks.hostile import Hostile, Visitor
from tests.attacks.zmtp import COMMAND
from tests.running import DEADLINE

HARM_AFTER = 4
"""Frames of a connection that are carried as they are before one is harmed: the handshake, a greeting, a join."""

MOST_HARMED = 3
"""Connections that are harmed; the next one is left alone."""


class Between(Hostile):
    """Carry frames both ways, and do harm once `harmful` is true.

    `harm`: "alter", "swap" or "repeat" a frame of each connection, or "drop" every other one that goes to the client.
    """

    def __init__(self, url: str, harm: str) -> None:
        self.harmful = False
        self.harmed = 0
        self._broker = ("127.0.0.1", int(url.rpartition(":")[2]))
        self._harm = harm
        super().__init__(self._carry_both)

    def _carry_both(self, visitor: Visitor) -> None:
        with socket.create_connection(self._broker, DEADLINE) as broker:
            there = Visitor(broker)
            Thread(target=self._carry, args=(there, visitor, True), daemon=True).start()
            self._carry(visitor, there, False)

    def _carry(self, source: Visitor, target: Visitor, to_client: bool) -> None:
        with suppress(OSError):
            for _ in range(64):  # the greeting, for whose beginning the other end waits
                target.send(source.read(1))
            carried, kept = 0, b""
            while True:
                frame = source.frame()
                carried += 1
                if not self.harmful or carried <= HARM_AFTER or frame[0] & COMMAND:
                    target.send(frame)
                elif self._harm == "drop":
                    if carried % 2 or not to_client:
                        target.send(frame)
                elif kept:
                    target.send(frame + kept)
                    kept = b""
                elif self.harmed >= MOST_HARMED:
                    target.send(frame)
                else:
                    self.harmed += 1
                    match self._harm:
                        case "alter":
                            target.send(frame[:-1] + bytes((frame[-1] ^ 1,)))
                        case "repeat":
                            target.send(frame + frame)
                        case _:
                            kept = frame
        for end in (source, target):
            with suppress(OSError):
                end.socket.shutdown(socket.SHUT_RDWR)
