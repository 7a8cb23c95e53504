"""Whatever call of a client in an event loop is cancelled, at whichever of its waits: what it leaves is as promised."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import pytest

import zchat
from tests.loop import run
from tests.promises.tasks.cancelling import WAYS
from tests.promises.tasks.table import Door, Talk, door, sweep

SHARE = (
    "client.connect", "client.close", "client.join", "client.join together", "client.events", "room.send",
    "room.send_many of a source", "room.messages",
)  # fmt: skip
"""What is cancelled over uvloop too; its long form, `make cancel`, does it with all."""

NAMES = (
    *SHARE, "client in a block", "client.join at", "client.join again", "client.direct", "client.leave",
    "client.rooms", "client.members", "client.stats", "client.overall_stats", "client.mark_read", "client.history",
    "client.history_batch",
    "client.ban", "client.unban", "client.sanctions", "client.wait", "room.history", "room.members", "room.kick",
    "room.ban", "room.unban", "room.mute", "room.unmute", "room.close_room", "room.open_room", "room.sanctions",
    "room.leave",
    "room.send_many", "room.batches", "room.messages at rest", "progress.settled",
)  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    with door(tmp_path_factory.mktemp("door")) as found:
        yield found


@pytest.mark.parametrize(
    ("loop_kind", "name"),
    [*(("asyncio", each) for each in NAMES), *(("uvloop", each) for each in SHARE)],
    indirect=["loop_kind"],
)
def test_a_call_may_be_cancelled_at_any_of_its_waits(place: Door, loop_kind: str, name: str) -> None:
    least = 1 if name == "progress.settled" else len(WAYS)  # that may find all settled
    assert run(sweep(place, name, f"{loop_kind} {name}")) >= least


def test_every_call_that_waits_is_among_them(place: Door) -> None:
    async def named() -> set[str]:
        async with Talk(place, "named") as talk:
            return set(talk.cases())

    waiting = {
        f"{kind}.{name}"
        for kind, of in (("client", zchat.AsyncClient), ("room", zchat.AsyncRoom), ("progress", zchat.Progress))
        for name, each in inspect.getmembers(of)
        if not name.startswith("_") and (inspect.iscoroutinefunction(each) or name in ("messages", "batches", "events"))
    }
    assert run(named()) == set(NAMES)
    assert waiting - set(NAMES) <= {"client.aclose"}, "which is close"
