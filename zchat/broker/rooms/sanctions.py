"""The sanctions of one room, or of the broker as a whole: who is banned, who is muted, and whether it is closed."""

from __future__ import annotations

from zchat.broker.store.contract import BAN, CLOSED, Sanction
from zchat.names import fold


class Sanctions:
    """What the store has reported of one room, or of the broker as a whole; some of it may be over meanwhile."""

    __slots__ = ("bans", "closed", "mutes")

    def __init__(self) -> None:
        self.bans: dict[str, Sanction] = {}
        """By folded user."""
        self.mutes: dict[str, Sanction] = {}
        """By folded user."""
        self.closed: Sanction | None = None
        """Why the room is closed; None if it is open."""

    def __bool__(self) -> bool:
        return bool(self.bans or self.mutes or self.closed)

    def put(self, sanction: Sanction) -> Sanction | None:
        """Take in a sanction; return the one that it replaces."""
        if sanction.kind == CLOSED:
            replaced, self.closed = self.closed, sanction
            return replaced
        users, user = self._of(sanction), fold(sanction.user)
        replaced = users.pop(user, None)
        users[user] = sanction
        return replaced

    def remove(self, sanction: Sanction) -> None:
        """Take out a sanction, if it is there."""
        if sanction.kind == CLOSED:
            self.closed = None
        else:
            self._of(sanction).pop(fold(sanction.user), None)

    def all(self) -> list[Sanction]:
        """Return the sanctions in the order in which they were imposed."""
        found = [*self.bans.values(), *self.mutes.values()]
        if self.closed is not None:
            found.append(self.closed)
        return sorted(found, key=lambda each: each.number)

    def _of(self, sanction: Sanction) -> dict[str, Sanction]:
        return self.bans if sanction.kind == BAN else self.mutes
