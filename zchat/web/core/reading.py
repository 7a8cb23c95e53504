"""What is read out of a room's log for a page: where it begins, and what came before."""

from __future__ import annotations

from zchat.errors import NotAllowed
from zchat.messages import START, Batch, Position
from zchat.web.core.limits import HISTORY_TRIES
from zchat.web.core.port import Client


async def newest(client: Client, room: str, before: int | None, limit: int) -> Batch | None:
    """Return the newest messages before a seq: as many as asked for, or as one answer of the broker has.

    An answer that is full ends too early, with the older ones: then fewer are asked for.
    """
    found: Batch | None = None
    for _ in range(HISTORY_TRIES):
        found = await client.history_batch(room, before=before, limit=limit)
        if found is None or len(found) == limit or found.last + 1 == before:
            break
        if before is None and await client.history_batch(room, after=found.last, limit=1) is None:
            break
        limit = len(found)
    return found


async def same_log(client: Client, room: str, after: Position, end: Position) -> bool:
    """Return whether a position that a page has kept is one of the log that ends at `end`."""
    if after == START or after.epoch == end.epoch:
        return True
    if after.seq > end.seq:
        return False
    try:
        found = await client.history_batch(room, after=max(0, after.seq - 1), before=after.seq + 1, limit=1)
    except NotAllowed:
        return True  # all that the user didn't see is withheld anyway
    return found is None or found.position.epoch == after.epoch  # None: trimmed, as everything before it
