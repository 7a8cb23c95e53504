"""The folder of a broker's keys, as it is and as it was, and what must hold of sessions by it."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, NamedTuple

from zmq.utils import z85

from tests.promises.simulation.checks import require
from tests.promises.simulation.world import World
from zchat.names import GUEST, fold
from zchat.transport.keys import guest_name

if TYPE_CHECKING:
    from tests.promises.simulation.broker import Broker, Process

ALLOWED = 2.0
"""Seconds after which a change of the keys has had its effect, if the broker doesn't stand still meanwhile."""

GATEWAY = "web"
"""The user of the gateway's key."""

GATEWAYS = 0.3
"""In how many of the seeds with keys there is one."""

THROUGH = 0.5
"""How many of the clients come through it where there is one, operators too, who are refused."""

EVERY = 3.0
"""Seconds for which the gateway's key is left as it is, on average."""

OUT = (0.3, 1.5, 4.0)
"""Seconds after which what was changed is as before, in different cases."""


class Holder(NamedTuple):
    """Whose a key is; a `gateway`'s lets in others too."""

    user: str
    gateway: bool


class Keys:
    """Keep whose key is whose, with what was changed when. `guests`: other keys are let in too.

    `operators`, by folded names, come in by keys of their own alone.
    """

    def __init__(self, world: World, random: Random, *, guests: bool) -> None:
        self.world = world
        self.random = random
        self.guests = guests
        self.names: dict[str, str] = {}
        self.gateways: frozenset[str] = frozenset()
        self.operators: set[str] = set()
        self.over = False
        self._owners: dict[str, Holder] = {}  # whose each key is when nothing is wrong
        self._history: dict[str, list[tuple[float, Holder | None]]] = {}
        self._gatewaying = Random(f"gateway of {world.seed}")
        self._gateway: str | None = None
        if self._gatewaying.random() < GATEWAYS:
            self._gateway = z85.encode(self._gatewaying.randbytes(32)).decode()
            self._owners[self._gateway] = Holder(GATEWAY, gateway=True)
            self.put_back(self._gateway)
            world.after(EVERY, self._change_gateway, self._gateway)

    def make(self, user: str, *, known: bool = True) -> str:
        """Make a key, and put it into the folder if it is to be `known`."""
        key = z85.encode(self.random.randbytes(32)).decode()
        if known:
            self._owners[key] = Holder(user, gateway=False)
            self.put(key, user)
        return key

    def put(self, key: str, user: str, *, gateway: bool = False) -> None:
        """Have a key be a user's, or a gateway's."""
        self.names = {**self.names, key: user}
        self.gateways = self.gateways | {key} if gateway else self.gateways - {key}
        self._changed(key, Holder(user, gateway))

    def remove(self, key: str) -> None:
        """Take a key out."""
        self.names = {each: user for each, user in self.names.items() if each != key}
        self.gateways -= {key}
        self._changed(key, None)

    def retire(self, key: str) -> None:
        """Take a key out for good."""
        self._owners.pop(key, None)
        self.remove(key)

    def put_back(self, key: str) -> None:
        """Have a key be its owner's again, unless it was taken out for good."""
        owner = self._owners.get(key)
        if owner is not None and (self.names.get(key), key in self.gateways) != owner:
            self.put(key, owner.user, gateway=owner.gateway)

    def put_all_back(self) -> None:
        """Have all keys be those of their owners again."""
        for key in self._owners:
            self.put_back(key)

    def owned(self, user: str) -> list[str]:
        """Return the keys that a user has and that are let in."""
        return [key for key, owner in self._owners.items() if owner.user == user and self.names.get(key) == user]

    def draw(self, user: str) -> str | None:
        """Return a key with which a user comes now, one of their own or the gateway's; None if there is none."""
        if self._gateway is not None and not self.over and self._gatewaying.random() < THROUGH:
            return self._gateway
        own = self.owned(user)
        return self.random.choice(own) if own else None

    def _change_gateway(self, key: str) -> None:
        """Take the gateway's key out, give it away or have it be none for a while."""
        if self.over:
            return
        what = self._gatewaying.random()
        if what < 0.3:
            self.remove(key)
        else:
            self.put(key, GATEWAY if what < 0.8 else "another")
        self.world.after(self._gatewaying.choice(OUT), self._restore_gateway, key)

    def _restore_gateway(self, key: str) -> None:
        """Have the gateway's key be one again, for a while."""
        self.put_back(key)
        self.world.after(self._gatewaying.expovariate(1 / EVERY), self._change_gateway, key)

    def _changed(self, key: str, holder: Holder | None) -> None:
        whose = None if holder is None else holder.user
        self.world.note(f"key {key[:4]} is {whose}'s")
        self._history.setdefault(key, []).append((self.world.now, holder))

    def _held(self, key: str, since: float) -> list[Holder | None]:
        """Return whose a key was since a time; None stands for nobody's."""
        history = self._history.get(key, [])
        before = [holder for at, holder in history if at <= since]
        return [before[-1] if before else None, *(holder for at, holder in history if at > since)]

    def _lets_in(self, key: str, holder: Holder | None, user: str) -> bool:
        if holder is None:
            return self.guests and user == guest_name(key)
        reserved = user in self.operators or user == GATEWAY or user.startswith(GUEST)
        return fold(holder.user) == user or (holder.gateway and not reserved)

    def was(self, key: str | None, user: str, since: float) -> bool:
        """Tell whether a key let in a user at some time from `since` on."""
        return key is not None and any(self._lets_in(key, holder, fold(user)) for holder in self._held(key, since))

    def was_not(self, key: str | None, user: str, since: float) -> bool:
        """Tell whether a key didn't let in a user at some time from `since` on."""
        return key is None or not all(self._lets_in(key, holder, fold(user)) for holder in self._held(key, since))

    def was_out(self, key: str | None, since: float) -> bool:
        """Tell whether a key was not let in at some time from `since` on."""
        return key is None or (not self.guests and None in self._held(key, since))

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
            require(fold(session.user) == peer.user, f"a session of {peer.user} is named {session.user}")
            require(peer.via or session.user == peer.name, f"a session of {peer.name} is named {session.user}")
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
