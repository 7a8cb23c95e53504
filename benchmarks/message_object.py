"""What a message costs its reader: the object alone, and everything from the block to the object."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from itertools import repeat
from typing import Any

from _run import in_turn, options, report, run
from zchat.messages import Message
from zchat.wire.blocks import encode_block, encode_body, join_bodies, messages_of
from zchat.wire.limits import MAX_BLOCK_MESSAGES
from zchat.wire.values import unpack

COUNT = MAX_BLOCK_MESSAGES
"""Messages made at a time: one full block."""

REPEATS = 100
"""Blocks a round, of which the fastest counts: what disturbs a block is not the block's cost."""


@dataclass(slots=True)
class Slots:
    room: str
    seq: int
    timestamp: int
    user: str
    body: Any


@dataclass(frozen=True, slots=True)
class FrozenSlots:
    room: str
    seq: int
    timestamp: int
    user: str
    body: Any


def _fields(texts: list[str]) -> Iterable[tuple[str, int, int, str, str]]:
    return zip(
        repeat("General"), range(1, COUNT + 1), repeat(1_700_000_000_000_000), repeat("alice"), texts, strict=False
    )


def nanoseconds(make: Callable[[], list[Any]]) -> dict[str, float]:
    """Return what one message costs of those that a call makes."""
    best = min(_time(make) for _ in range(REPEATS))
    return {"ns a message": best / COUNT}


def _time(make: Callable[[], list[Any]]) -> int:
    start = time.perf_counter_ns()
    made = make()
    took = time.perf_counter_ns() - start
    assert len(made) == COUNT
    return took


def main() -> None:
    parser = options("Measure what a message costs its reader.")
    arguments = parser.parse_args()
    texts = [f"{number:0{arguments.size}}" for number in range(COUNT)]
    bodies = join_bodies([encode_body(text) for text in texts])
    packed = encode_block(1, 1_700_000_000_000_000, "alice", bytes(16), bodies)

    def each(make: Callable[..., Any]) -> list[Any]:
        return [make(*fields) for fields in _fields(texts)]

    contenders: dict[str, Callable[[], list[Any]]] = {
        "Message by tuple.__new__": lambda: list(map(partial(tuple.__new__, Message), _fields(texts))),
        "Message._make": lambda: list(map(Message._make, _fields(texts))),
        "Message(...)": partial(each, Message),
        "dataclass, slots": partial(each, Slots),
        "dataclass, frozen, slots": partial(each, FrozenSlots),
        "text decoded, no object": lambda: unpack(bodies),
        "from block to Message": lambda: messages_of("General", [unpack(packed)], 0, COUNT),
        "plain tuple": lambda: list(_fields(texts)),
    }
    rows = in_turn({name: partial(nanoseconds, make) for name, make in contenders.items()}, arguments.rounds)
    report(f"making a message with {arguments.size} bytes of text", rows, arguments.json)


if __name__ == "__main__":
    run(main)
