"""The rooms of before: where a user was when a chat ended, for the next one."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from zchat.cli.chat.terminal import state_file
from zchat.errors import BadName
from zchat.names import fold

ROOMS_KEPT = 50
"""Rooms kept of one user at most: to join more takes a new chat noticeably longer."""

USERS_KEPT = 50
"""Users and brokers kept at most, the latest."""

MOST = 1 << 20
"""Bytes of the file at most: what is longer is something else."""


class KeptRooms:
    """The rooms of a user at a broker, kept in a file that only its owner can read. One thread.

    What can't be read or written is forgotten at the end, without a word: there is `/join`.

    Args:
        path: the file; None to keep nothing.
        url: the broker's address.
        user: the user.
    """

    def __init__(self, path: Path | None, url: str, user: str) -> None:
        self._path = path
        self._key = f"{url} {fold(user)}"

    def load(self) -> list[str]:
        """Return the rooms, first the one that text went to; none if nothing is kept."""
        return self._read().get(self._key, [])

    def keep(self, names: list[str]) -> None:
        """Keep rooms in place of those of before."""
        if self._path is None:
            return
        with suppress(OSError), state_file.alone(self._path):
            kept = self._read()
            kept.pop(self._key, None)
            kept[self._key] = names[:ROOMS_KEPT]
            data = json.dumps(dict(list(kept.items())[-USERS_KEPT:]))
            state_file.replace(self._path, data.encode())

    def _read(self) -> dict[str, list[str]]:
        """Return what the file has that may be rooms of users; whatever else it has may be of any kind and depth."""
        if self._path is not None:
            with suppress(OSError, ValueError, RecursionError):
                found = json.loads(state_file.read(self._path, MOST)[0])
                if isinstance(found, dict):
                    return {key: _names(each) for key, each in found.items() if isinstance(each, list)}
        return {}


def _names(found: list[Any]) -> list[str]:
    return [name for name in found[:ROOMS_KEPT] if isinstance(name, str) and _may_be_name(name)]


def _may_be_name(name: str) -> bool:
    try:
        return bool(fold(name))
    except BadName:
        return False
