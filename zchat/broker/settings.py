"""What a broker can be told to do otherwise."""

from __future__ import annotations

import math
from dataclasses import dataclass

from zchat.broker.limits import HIGH_WATER_MARK, MAX_HIGH_WATER_MARK, MAX_MESSAGE, MAX_NAMES, NAMES
from zchat.errors import UsageError
from zchat.names import check_name
from zchat.wire.limits import MAX_BLOCK_BYTES

DEFAULT_ROOMS = ("General", "Technology", "Crypto", "Sports", "Movies")
"""The rooms that a fresh broker has."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Hold a broker's settings; `UsageError` for a value out of its range, `BadName` for a room's name.

    `retain_messages`: how many newest messages a room keeps at least (0: all). `retain_days`:
    for how many days messages are kept (0: for ever). `max_message`: bytes of one message.
    `names`: up to how many users of a room its members get names, beyond it counts (0: always counts).
    """

    high_water_mark: int = HIGH_WATER_MARK
    rooms: tuple[str, ...] = DEFAULT_ROOMS
    fixed_rooms: bool = False
    retain_messages: int = 0
    retain_days: float = 0
    max_message: int = MAX_MESSAGE
    names: int = NAMES

    def __post_init__(self) -> None:
        if not 1 <= self.high_water_mark <= MAX_HIGH_WATER_MARK:
            raise UsageError(
                f"the high-water mark is 1 to {MAX_HIGH_WATER_MARK} notifications, not {self.high_water_mark}"
            )
        if self.retain_messages < 0 or self.retain_days < 0 or not math.isfinite(self.retain_days):
            raise UsageError("retention is a number of messages or days, 0 for ever, never below 0 or without end")
        if not 1 <= self.max_message <= MAX_BLOCK_BYTES:
            raise UsageError(f"a message's limit is 1 to {MAX_BLOCK_BYTES} bytes, not {self.max_message}")
        if not 0 <= self.names <= MAX_NAMES:
            raise UsageError(f"a room tells 0 to {MAX_NAMES} names, not {self.names}")
        if self.fixed_rooms and not self.rooms:
            raise UsageError("fixed rooms need at least one room; name it")
        for room in self.rooms:
            check_name("room", room)
