"""Whatever is sent to a broker's port, it lives, honest clients lose nothing, and no descriptor is left."""

from __future__ import annotations

import os

import pytest

from tests.attacks.mutations import Mallory
from tests.attacks.place import Place, meanwhile
from tests.running import eventually
from zchat.broker.guard import connections as guard

BUNCHES = 3
"""Bunches of inputs; `make attack MINUTES=5` sends a million and more."""

CONNECTIONS, HANDSHAKES, BATCHES = 40, 15, 10
"""What is in a bunch."""


@pytest.mark.parametrize("seed", range(2))
def test_whatever_is_sent_the_broker_lives_and_honest_clients_lose_nothing(
    place: Place, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """41,800 mutated connections were tried by hand; a frame in a session, encrypted or not, was never mutated."""
    mallory = Mallory(place, seed, kept=10_000)

    def attack() -> None:
        for _ in range(CONNECTIONS):
            mallory.connect()
        for _ in range(HANDSHAKES if place.server else 0):
            mallory.shake_hands()
        for _ in range(BATCHES):
            mallory.speak()

    with place.talk() as talk:
        monkeypatch.setattr(guard, "GREET_WITHIN", 0.5)  # those who talk have greeted
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(BUNCHES):
            with meanwhile(attack):
                talk.goes_on()
        mallory.end_session()
        eventually(lambda: _left(place) == 2, "all who did not greet are cut, with their connections open at their end")
        mallory.close()
        eventually(lambda: len(os.listdir("/proc/self/fd")) <= before, "no descriptor is left")
        talk.goes_on()
    assert place.count("messages") >= 20 * BUNCHES


def _left(place: Place) -> int:
    """Return how many connections the broker has."""
    assert place.broker._loop is not None
    assert place.broker._loop._doorkeeper is not None
    return len(place.broker._loop._doorkeeper.connections)
