"""The busiest rooms."""

from __future__ import annotations

from tests.broker.driver import Peer, World
from zchat.broker.limits import BUSIEST_SHOWN, LAG_EVERY


def look(world: World, *peers: Peer) -> None:
    """Let time pass until the broker has looked, with peers that stay."""
    for _ in range(int(LAG_EVERY) + 1):
        world.pass_time(1)
        for peer in peers:
            peer.tell("ping")


def test_the_busiest_rooms_are_reported_with_what_was_said_and_delivered_since_the_last_look() -> None:
    world = World()
    alice, bob, carol = (Peer(world, name) for name in ("alice", "bob", "carol"))
    for room in ("General", "Sports", "Movies", "@alice\nbob"):
        for peer in (alice, bob):
            peer.join(room)
    carol.join("General")
    look(world, alice, bob, carol)
    assert alice.do("stats")[6] == []
    alice.send("Sports", "one")
    alice.send("General", "one", "two")
    bob.send("General", "three")
    alice.send("@alice\nbob", *range(10))
    look(world, alice, bob, carol)
    counts, _, _, _, busiest = alice.do("stats")[2:]
    assert busiest == [["General", 3, 3, 6], ["Sports", 2, 1, 1]]
    assert LAG_EVERY <= counts["interval"] / 1_000_000 <= LAG_EVERY + 1
    assert counts["deliveries"] == 17, "those in direct rooms are counted, in which room isn't told"
    look(world, alice, bob, carol)
    assert alice.do("stats")[6] == []


def test_at_most_twenty_rooms_are_reported_as_the_busiest() -> None:
    world = World()
    alice = Peer(world, "alice")
    for number in range(BUSIEST_SHOWN + 2):
        alice.join(f"room {number}")
        alice.send(f"room {number}", *range(number + 1))
    look(world, alice)
    assert [row[2] for row in alice.do("stats")[6]] == list(range(BUSIEST_SHOWN + 2, 2, -1))
