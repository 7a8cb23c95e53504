"""The rooms of before: where a user was when a chat ended, for the next one."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

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
        self._key = f"{url} {user}"

    def load(self) -> list[str]:
        """Return the rooms, first the one that text went to; none if nothing is kept."""
        found = self._read().get(self._key)
        if not isinstance(found, list):
            return []
        return [name for name in found[:ROOMS_KEPT] if isinstance(name, str) and name]

    def keep(self, names: list[str]) -> None:
        """Keep rooms in place of those of before."""
        if self._path is None:
            return
        kept = self._read()
        kept.pop(self._key, None)
        kept[self._key] = names[:ROOMS_KEPT]
        data = json.dumps(dict(list(kept.items())[-USERS_KEPT:]))
        with suppress(OSError):
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            new = self._path.with_name(f"{self._path.name}.{os.getpid()}")
            descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with open(descriptor, "w", encoding="ascii") as file:
                file.write(data)
            new.replace(self._path)

    def _read(self) -> dict[str, Any]:
        if self._path is not None:
            with suppress(OSError, ValueError, RecursionError):
                with open(self._path, "rb") as file:
                    found = json.loads(file.read(MOST))
                if isinstance(found, dict):
                    return found
        return {}
