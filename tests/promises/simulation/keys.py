"""The folder of a broker's keys, as it is and as it was, and what must hold of sessions by it."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from zmq.utils import z85

from tests.promises.simulation.checks import require
from tests.promises.simulation.world import World
from zchat.names import GUEST, fold
from zchat.transport.keys import guest_name

if TYPE_CHECKING:
    from tests.promises.simulation.broker import Broker, Process

ALLOWED = 2.0
"""Seconds after which a change of the keys has had its effect, if the broker doesn't stand still meanwhile."""


class Keys:
    """Keep whose key is whose, with what was changed when. `guests`: other keys are let in too."""

    def __init__(self, world: World, random: Random, *, guests: bool) -> None:
        self.world = world
        self.random = random
        self.guests = guests
        self.names: dict[str, str] = {}
        self._owners: dict[str, str] = {}  # whose each key is when nothing is wrong
        self._history: dict[str, list[tuple[float, str | None]]] = {}

    def make(self, user: str, *, known: bool = True) -> str:
        """Make a key, and put it into the folder if it is to be `known`."""
        key = z85.encode(self.random.randbytes(32)).decode()
        if known:
            self._owners[key] = user
            self.put(key, user)
        return key

    def put(self, key: str, user: str) -> None:
        """Have a key be a user's."""
        self.names = {**self.names, key: user}
        self._changed(key, user)

    def remove(self, key: str) -> None:
        """Take a key out."""
        self.names = {each: user for each, user in self.names.items() if each != key}
        self._changed(key, None)

    def retire(self, key: str) -> None:
        """Take a key out for good."""
        self._owners.pop(key, None)
        self.remove(key)

    def put_back(self, key: str) -> None:
        """Have a key be its owner's again, unless it was taken out for good."""
        user = self._owners.get(key)
        if user is not None and self.names.get(key) != user:
            self.put(key, user)

    def put_all_back(self) -> None:
        """Have all keys be those of their owners again."""
        for key in self._owners:
            self.put_back(key)

    def owned(self, user: str) -> list[str]:
        """Return the keys that a user has and that are let in."""
        return [key for key, owner in self._owners.items() if owner == user and self.names.get(key) == user]

    def _changed(self, key: str, user: str | None) -> None:
        self.world.note(f"key {key[:4]} is {user}'s")
        self._history.setdefault(key, []).append((self.world.now, user))

    def _named(self, key: str, since: float) -> set[str | None]:
        """Return the folded names that a key has had since a time; None stands for not being let in."""
        history = self._history.get(key, [])
        names = [user for at, user in history if at > since]
        before = [user for at, user in history if at <= since]
        names.append(before[-1] if before else None)
        return {self._name(key, user) for user in names}

    def _name(self, key: str, user: str | None) -> str | None:
        if user is not None:
            return fold(user)
        return guest_name(key) if self.guests else None

    def was(self, key: str | None, user: str, since: float) -> bool:
        """Tell whether a key was a user's at some time from `since` on."""
        return key is not None and fold(user) in self._named(key, since)

    def was_not(self, key: str | None, user: str, since: float) -> bool:
        """Tell whether a key was not a user's at some time from `since` on."""
        return key is None or self._named(key, since) != {fold(user)}

    def was_out(self, key: str | None, since: float) -> bool:
        """Tell whether a key was not let in at some time from `since` on."""
        return key is None or None in self._named(key, since)

    # -- what must hold --------------------------------------------------------------------------------

    def check_sessions(self, broker: Broker) -> None:
        """Check that each session has the name of its key, or has had it until a moment ago."""
        core = broker.core
        if core is None:
            return
        since = broker.attentive_since(ALLOWED)
        for session in core.context.sessions.table.by_token.values():
            peer = session.peer
            require(self.was(peer.key, peer.user, since), f"{session.user} has a session, and not the key")
            guest = peer.user.startswith(GUEST)
            require(session.user == peer.name, f"a session of {peer.name} is named {session.user}")
            require(not guest or self.guests, f"{session.user} is a guest, and there are none")

    def check_connections(self, process: Process) -> None:
        """Check that no connection is left that had a session with a key that isn't let in as that user any more."""
        since = process.broker.attentive_since(ALLOWED)
        for connection in process.broker.network.by_fd.values():
            known = process.connections._by_number.get(connection.number)
            if known is None or not known.greeted or connection.key is None:
                continue
            user = process.connections._peers[connection.number].user
            require(self.was(connection.key, user, since), f"{user} is connected, and has not the key")
