"""The sanctions that the server keeps, as far as this broker has reported them.

Replies tell of those that this broker has changed, notices of the others', snapshots of all, and they may overtake each
other: each says which change it is, and what is older than the newest is not gone by, but has all of them looked at.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from zchat.broker.store.contract import Imposed, Lifted, Sanction, TooMany, Watcher
from zchat.broker.store.redis.attachment import Snapshot
from zchat.broker.store.redis.forms import sanction_of
from zchat.broker.store.redis.notices import Notice
from zchat.broker.store.redis.requests import Call, Impose


class MirroredSanctions:
    """The sanctions; `look` has partition 0, which has them, looked at as a whole."""

    def __init__(self, look: Callable[[int], None]) -> None:
        self._look = look
        self.kept: dict[int, Sanction] = {}
        """The sanctions by their numbers, in their order."""
        self._changes = 0
        """Which change the newest is that is known of."""

    def take_over(self, snapshot: Snapshot, *, anew: bool) -> bool:
        """Return whether a snapshot's sanctions are those that there are; `anew`: it is of a new run of the server."""
        if not (anew or self._is_newest(snapshot.changes.others)):
            return False
        self._changes = snapshot.changes.others
        self.kept = {sanction.number: sanction for sanction in snapshot.sanctions or ()}
        return True

    def heard(self, notice: Notice, watcher: Watcher) -> None:
        """Report a sanction that another broker has imposed (`I`) or lifted."""
        if self._is_newest(notice.count):
            sanction = sanction_of(notice.fields[0])
            if notice.kind == b"I":
                self.kept.pop(notice.fields[1], None)
                self.kept[sanction.number] = sanction
                watcher.imposed(sanction)
            elif self.kept.pop(sanction.number, None) is not None:
                watcher.lifted(sanction)

    def imposed(self, call: Call, request: Impose, reply: Any, watcher: Watcher) -> None:
        """Report and answer what came of a sanction that was to be imposed: the script's reply."""
        assert call.done is not None
        word, *rest = reply
        if word == b"crowded":
            full, count = rest
            sanction, places = request.sanction, request.places
            whose, most = {
                b"room": (f"{sanction.room or 'the broker as a whole'} has", places.room),
                b"moderator": ("you have imposed", places.moderator),
                b"all": ("the broker has", places.all),
            }[full]
            call.done(TooMany(f"{whose} {count:,} sanctions, and none of yours is kept beyond {most:,}; lift others"))
            return
        number, value, change = rest
        imposed = request.sanction._replace(number=number)
        replaced = None if value is None else sanction_of(value)
        if self._is_newest(change):
            if replaced is not None:
                self.kept.pop(replaced.number, None)
            self.kept[number] = imposed
            watcher.imposed(imposed)
        call.done(Imposed(imposed, replaced))

    def lifted(self, call: Call, reply: Any, watcher: Watcher) -> None:
        """Report and answer what came of a sanction that was to be lifted: the script's reply."""
        assert call.done is not None
        word, *rest = reply
        sanction: Sanction | None = None
        if word == b"lifted":
            sanction = sanction_of(rest[0])
            if self._is_newest(rest[1]):
                self.kept.pop(sanction.number, None)
                watcher.lifted(sanction)
        call.done(Lifted(sanction))

    def _is_newest(self, change: int) -> bool:
        """Return whether no later change is known of; else all are looked at."""
        if change < self._changes:
            self._look(0)
            return False
        self._changes = change
        return True
