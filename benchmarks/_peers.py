"""Which peers zchat is compared with, and which of them can run here."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager
from typing import Protocol

from _contenders import ROOM, Contender, Talker
from _pubsub import Mqtt, Nats, RedisPubSub, RedisStreams
from _websockets import Centrifugo, SocketIo


class Peer(Contender, Protocol):
    """A contender that needs programs and packages of others, and has many rooms."""

    def missing(self) -> str:
        """Return what isn't installed, "" if all is."""

    def subscriber(self, url: str, user: str, last: int, room: str = ROOM) -> AbstractContextManager[Talker]: ...


PEERS: tuple[Peer, ...] = (RedisPubSub(), RedisStreams(), Nats(), Mqtt(), SocketIo(), Centrifugo())


def left_out() -> dict[str, str]:
    """Return what isn't installed of those that can't run here, by their names."""
    return {str(peer): missing for peer in PEERS if (missing := peer.missing())}


def installed() -> list[Peer]:
    """Return those that can run here; what the others need is said on stderr."""
    without = left_out()
    for name, missing in without.items():
        print(f"{name} is left out: {missing} isn't installed", file=sys.stderr)
    return [peer for peer in PEERS if str(peer) not in without]
