"""The gate: which key is whose, who is let in at a handshake, and whose sessions end when the keys change."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from math import inf
from typing import NamedTuple

from zchat.broker.limits import (
    HANDSHAKES,
    HANDSHAKES_A_KEY,
    HANDSHAKES_A_KEY_BURST,
    HANDSHAKES_BURST,
    HANDSHAKES_FOR_ENDLESS,
)
from zchat.buckets import Bucket
from zchat.errors import BadName
from zchat.names import GUEST, check_held_name, fold

BUCKETS = 10_000
"""Keys beside the users' whose handshakes are counted; then all are counted anew."""


class Admission(NamedTuple):
    """Whether a connection is let in, as whom, and what to count if it isn't."""

    let_in: bool
    user: str = ""
    """The folded name of the key's user; "" without keys."""
    name: str = ""
    """The same as it is spelt there."""
    turned_away: str = ""
    """The counter of the reason."""


class Gate:
    """Who may come in.

    `users` are names by public keys; None: there are no keys, and everybody is let in. `gateways` are the keys that let
    in other users too. `guests`: other keys are let in as guests. `logins`: a connection without a key is let in under
    a login.
    """

    def __init__(
        self,
        users: Mapping[str, str] | None = None,
        gateways: frozenset[str] = frozenset(),
        *,
        guests: bool = False,
        logins: bool = False,
    ) -> None:
        self._users = users
        self._take_gateways(gateways)
        self._guests = guests
        self._logins = logins
        self._of_users = Bucket(HANDSHAKES, HANDSHAKES_BURST, -inf)
        self._of_others = Bucket(HANDSHAKES, HANDSHAKES_BURST, -inf)  # anybody can have as many keys as they like
        self._buckets: dict[str, Bucket] = {}  # of keys that are let in

    @property
    def binds_names(self) -> bool:
        """True if nobody has a name but by a key or a login: else names are free."""
        return self._users is not None or self._logins

    def admit_without_key(self, find_login: Callable[[], str]) -> Admission:
        """Decide about a connection that shows no key; `find_login` returns that of its process, "" if it has none.

        It is called where logins are names alone: finding one may take its time.
        """
        if self._logins:
            login = find_login()
            with suppress(BadName):  # a system may have logins that are no names here
                return Admission(True, fold(check_held_name("user", login)), login)
            return Admission(False, turned_away="turned_away_unknown_key")
        return Admission(self._users is None, turned_away="turned_away_unknown_key")

    def admit(self, key: str, find_guest: Callable[[], str], now: float) -> Admission:
        """Decide about a handshake with a key; `find_guest` returns the name that its owner has as a guest.

        It is called for those who are let in as guests alone: the name is a digest of the key.
        """
        users = self._users
        if users is None:
            return Admission(True)
        name = users.get(key)
        of_all = self._of_others if name is None else self._of_users
        if of_all.wait(now):
            return Admission(False, turned_away="turned_away_too_many")
        of_all.take()
        if name is None and self._guests:
            name = find_guest()
        if name is None:
            return Admission(False, turned_away="turned_away_unknown_key")
        if key in self._gateways:  # it comes once for each of its users
            return Admission(True, fold(name), name)
        bucket = self._buckets.get(key)
        if bucket is None:
            if len(self._buckets) >= BUCKETS + len(users):  # guests come with ever new keys
                self._buckets.clear()
            bucket = self._buckets[key] = Bucket(HANDSHAKES_A_KEY, HANDSHAKES_A_KEY_BURST, now)
        if bucket.wait(now):
            return Admission(False, turned_away="turned_away_too_often")
        bucket.take()
        return Admission(True, fold(name), name)

    def put_off(self, key: str) -> None:
        """Let in less of a key for a while: a connection of it was cut because it sent without an end."""
        bucket = self._buckets.get(key)
        if bucket is not None:
            bucket.take(HANDSHAKES_FOR_ENDLESS)

    def revise(self, users: Mapping[str, str], gateways: frozenset[str] = frozenset()) -> None:
        """Take the keys as they are now."""
        self._users = users
        self._take_gateways(gateways)
        self._buckets = {key: bucket for key, bucket in self._buckets.items() if key in users}

    def is_of(self, key: str, user: str) -> bool:
        """Return whether a key is still that of a user, by folded name."""
        if self._users is None:
            return True
        name = self._users.get(key)
        return user.startswith(GUEST) and self._guests if name is None else fold(name) == user

    def is_gateways(self, key: str) -> bool:
        """Return whether a key lets in other users too."""
        return key in self._gateways

    def is_reserved(self, user: str) -> bool:
        """Return whether a folded name is had with its own key alone: a guest's, or a gateway's."""
        return user.startswith(GUEST) or user in self._gateway_names

    def spelling(self, user: str) -> str:
        """Return how the files spell the name of a user who comes through a gateway; as it is if there is no file."""
        return self._spellings.get(fold(user), user)

    def _take_gateways(self, gateways: frozenset[str]) -> None:
        users = self._users or {}
        self._gateways = gateways
        self._gateway_names = {fold(users[key]) for key in gateways}
        self._spellings = {fold(name): name for name in users.values()} if gateways else {}
