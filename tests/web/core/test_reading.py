"""What is read out of a log for a page."""

from __future__ import annotations

from typing import Any

import pytest

from tests.web.core.harness import EPOCH, Broker, Client, World, batch_of
from zchat.errors import NotAllowed
from zchat.messages import START, Batch, Position
from zchat.web.core.reading import newest, same_log


class Full(Client):
    """A client to whom the broker's answers have three messages at most, the oldest of what was asked for."""

    async def history_batch(
        self, name: str, *, after: int | None = None, before: int | None = None, limit: int
    ) -> Batch | None:
        found = await super().history_batch(name, after=after, before=before, limit=limit)
        return None if found is None else batch_of(name, list(found)[:3], EPOCH)


def result(world: World, work: Any) -> Any:
    found: list[Any] = []

    async def wait() -> None:
        found.append(await work)

    world.spawn(wait())
    world.run()
    return found[0]


@pytest.mark.parametrize(("before", "expected"), [(None, [18, 19, 20]), (21, [18, 19, 20]), (11, [8, 9, 10]), (2, [1])])
def test_the_newest_messages_are_returned_though_an_answer_has_not_all(before: int | None, expected: list[int]) -> None:
    broker = Broker()
    world = World(broker)
    broker.say("General", "bob", *range(1, 21))
    found = result(world, newest(Full(world, "alice"), "General", before, 10))
    assert found.seqs == expected
    assert result(world, newest(Client(world, "alice"), "General", before, 3)).seqs == expected
    assert result(world, newest(Full(world, "alice"), "empty", before, 3)) is None


def test_a_position_is_judged_by_the_message_that_it_ends_at() -> None:
    broker = Broker()
    world = World(broker)
    broker.say("General", "bob", *range(1, 11))
    client, end = Client(world, "alice"), Position(7, 10)

    def same(epoch: int, seq: int) -> bool:
        found: bool = result(world, same_log(client, "General", Position(epoch, seq), end))
        return found

    assert same(*START)
    assert same(7, 99), "another gateway may be faster"
    assert same(EPOCH, 4), "an earlier epoch of the same log"
    assert not same(EPOCH + 1, 4)
    assert not same(EPOCH, 11)
    broker.first["General"] = 6
    assert same(3, 2), "removed, and so is what came before"
    broker.refusals["alice", "history General"] = NotAllowed("no")
    assert same(3, 8), "withheld in any case"
