"""The stores: where the rooms' logs are kept."""

from __future__ import annotations

from collections.abc import Callable

from zchat.broker.store.contract import Store
from zchat.broker.store.memory import MemoryStore
from zchat.broker.store.sqlite.store import SqliteStore
from zchat.checks import shown
from zchat.errors import UsageError

ELSEWHERE = (":", "file:", "//")
"""How a PATH begins that means something else to others: SQLite's `:memory:` and its URIs, SQLAlchemy's `sqlite:///`."""


def open_store(url: str, clock: Callable[[], int] | None = None) -> Store:
    """Return the store that `memory:` or `sqlite:PATH` names; its `open` is still to be called.

    `clock` returns the microseconds since 1970 (None: the system's). Any thread.

    Raises:
        UsageError: it is not the URL of a store.
    """
    if not isinstance(url, str):
        raise UsageError(f"a store is named by text, memory: or sqlite:PATH, not {shown(url)}")
    scheme, colon, path = url.partition(":")
    if scheme == "memory" and colon and not path:
        return MemoryStore(clock)
    if scheme == "sqlite" and path and not path.casefold().startswith(ELSEWHERE):
        return SqliteStore(path, clock)
    hint = "" if scheme != "sqlite" or not path else ": use memory: to keep nothing, or an ordinary path (./:NAME)"
    raise UsageError(f"{shown(url)} is not a store: use memory: or sqlite:PATH, PATH being a file{hint}")
