"""Somebody at the door who is not to come in, or not as that, or not to stay."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.frames import decode_notice
from tests.promises.simulation.checks import require
from tests.promises.simulation.network import Dealer
from zchat.broker.limits import ENDLESS_BYTES, GREET_WITHIN, UNGREETED_BYTES
from zchat.wire.limits import OLDEST_VERSION
from zchat.wire.notices import OK
from zchat.wire.values import pack

if TYPE_CHECKING:
    from tests.promises.simulation.simulation import Simulation

STAYS = GREET_WITHIN + 3.0
"""Seconds after which one goes who is still there."""

NAME = "intruder"
"""The user who has a key, and does nothing good."""


class Intruder:
    """Connect with the key of a user, do one thing, and see what comes of it."""

    def __init__(self, sim: Simulation, key: str | None, name: str = NAME) -> None:
        self.sim = sim
        self.key = key
        self.name = name
        self._welcome = True  # if it greets
        self.dealer = Dealer(sim.network, self, lambda: 0, 1.0, key)
        sim.world.after(STAYS, self.dealer.close, None)

    def arrived(self, frame: bytes) -> None:
        """Take a frame."""
        notice = decode_notice(frame)
        if notice[0] == OK:
            require(self._welcome, f"somebody was greeted as {notice[3]} who was not to be")
            require(notice[3] == self.name, f"somebody with the key of {self.name} was greeted as {notice[3]}")

    def broken(self) -> None:
        """Be cut, and stay away."""
        self.dealer.close(None)

    def refused(self, *, later: bool) -> None:
        """Not be let in."""
        self.dealer.close(None)

    def greet(self, user: str, token: bytes | None = None, connection: int = 1) -> None:
        """Greet under a name, with a token of its own unless one is given."""
        random = self.sim.intruding
        own = random.randbytes(16)
        self.dealer.send(pack(("hello", 1, OLDEST_VERSION, OLDEST_VERSION, user, own, token or own, 0, connection)))

    # -- what it does ----------------------------------------------------------------------------------

    def never_greets(self) -> None:
        """Send nothing."""

    def begins_otherwise(self) -> None:
        """Send something other than a greeting."""
        self.dealer.send(pack(("join", 1, self.sim.rooms[0], 1, None, 0, True)))
        self._welcome = False

    def sends_much_without_a_greeting(self) -> None:
        """Send more than there can be before a greeting."""
        self._receive(2 * UNGREETED_BYTES)

    def sends_a_message_without_an_end(self) -> None:
        """Greet, and send more than a message has."""
        self.greet(NAME)
        self.sim.world.after(0.7, self._receive, 2 * ENDLESS_BYTES)

    def _receive(self, size: int) -> None:
        connection = self.dealer.connection
        if connection is not None:
            connection.received += size

    def goes_before_it_is_heard(self) -> None:
        """Greet while the broker stands still, and be gone once it goes on, with somebody else in its place."""
        self.sim.world.after(0.5, self._greet_and_go)

    def _greet_and_go(self) -> None:
        sim, connection = self.sim, self.dealer.connection
        if connection is None or sim.peace:
            return
        sim.broker.stand_still(0.5)
        self.greet(NAME)
        sim.world.after(0.2, connection.cut, 0.0)
        sim.world.after(0.21, Intruder, sim, self.key)

    def lingers(self) -> None:
        """Greet late, when the key may have been taken out."""
        random = self.sim.intruding
        self.sim.world.after(random.uniform(0.5, 0.9) * GREET_WITHIN, self.greet, NAME)
        keys = self.sim.keys
        if keys is not None and self.key is not None and random.random() < 0.7:
            self.sim.world.after(random.uniform(0.1, 0.5), keys.remove, self.key)
            self.sim.world.after(random.uniform(3.0, 8.0), keys.put_back, self.key)

    def greets_in_vain(self, seconds: float) -> None:
        """Greet then, when the key is out for sure, and go."""
        self.sim.world.after(seconds, self.greet, self.name)
        self.sim.world.after(seconds + 0.3, self.dealer.close, None)
        self._welcome = False

    def takes_a_name(self) -> None:
        """Greet as a user whose key it has not."""
        self.greet(self.sim.intruding.choice(self.sim.actors).user)
        self._welcome = False

    def takes_a_session(self) -> None:
        """Greet with the token of somebody else's session, under the own name or theirs."""
        client = self.sim.intruding.choice(self.sim.actors).client
        assert client is not None
        client.robbed = True
        self.greet(self.sim.intruding.choice((client.user, NAME)), client.token, 10_000)

    def comes_again_and_again(self) -> None:
        """Have more handshakes with its key than are allowed."""
        for _ in range(self.sim.intruding.randint(5, 40)):
            Intruder(self.sim, self.key).never_greets()


KEYLESS = (
    Intruder.never_greets,
    Intruder.begins_otherwise,
    Intruder.sends_much_without_a_greeting,
    Intruder.sends_a_message_without_an_end,
    Intruder.goes_before_it_is_heard,
)
"""What can be done at a broker without keys."""

KEYED = (*KEYLESS, Intruder.lingers, Intruder.takes_a_name, Intruder.takes_a_session, Intruder.comes_again_and_again)
"""What can be done with a key."""


class Unknown(Intruder):
    """Come with a key that nobody has put into the folder."""

    def __init__(self, sim: Simulation) -> None:
        assert sim.keys is not None
        super().__init__(sim, sim.keys.make("nobody", known=False))
        user = sim.intruding.choice(sim.actors).user
        self.greet(user)
        self._welcome = False

    def arrived(self, frame: bytes) -> None:
        """Take a frame: there is none for somebody who isn't let in, but for a guest."""
        assert self.sim.keys is not None
        require(self.sim.keys.guests, "somebody with an unknown key was let in")
        super().arrived(frame)

    def refused(self, *, later: bool) -> None:
        """Be refused for good, unless there are too many."""
        assert self.sim.keys is not None
        require(later or not self.sim.keys.guests, "a guest was refused for good")
        super().refused(later=later)
