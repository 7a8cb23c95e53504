"""What each user has of something that a store keeps, so that no user takes up the places of all."""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Hashable
from typing import Generic, TypeVar

from zchat.names import account_of

Thing = TypeVar("Thing", bound=Hashable)


class Quota(Generic[Thing]):
    """The things of each user, the one unused for longest first, of which each may have `most`.

    A user is a folded name; "" is nobody, whose things are not counted.
    """

    __slots__ = ("_most", "_of")

    def __init__(self, most: int) -> None:
        self._most = most
        self._of: defaultdict[str, OrderedDict[Thing, None]] = defaultdict(OrderedDict)

    def used(self, user: str, thing: Thing) -> None:
        """Record that a user has used a thing, which may be a new one."""
        if user:
            things = self._of[account_of(user)]
            things[thing] = None
            things.move_to_end(thing)

    def displaced(self, user: str) -> Thing | None:
        """Return which of a user's things goes if the user gets another one, None if there is place for that."""
        things = self._of.get(account_of(user))
        return None if things is None or len(things) < self._most else next(iter(things))

    def remove(self, user: str, thing: Thing) -> None:
        """Record that a user no longer has a thing."""
        if user:
            account = account_of(user)
            things = self._of[account]
            del things[thing]
            if not things:
                del self._of[account]
