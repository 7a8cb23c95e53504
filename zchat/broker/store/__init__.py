"""The stores: where the rooms' logs are kept."""

from __future__ import annotations

import os
from collections.abc import Callable

from zchat import paths
from zchat.broker.store.contract import Store
from zchat.broker.store.memory import MemoryStore
from zchat.broker.store.redis.connections.url import is_redis, parse, shown_url
from zchat.broker.store.sqlite.access import ENDS
from zchat.broker.store.sqlite.store import SqliteStore
from zchat.checks import shown
from zchat.errors import UsageError

__all__ = ["files_of", "open_store", "shown_url", "sqlite_path"]

ELSEWHERE = (":", "file:", "//")
"""How a PATH begins that means something else to others: SQLite's `:memory:` and its URIs, SQLAlchemy's `sqlite:///`."""


def open_store(url: str, clock: Callable[[], int] | None = None) -> Store:
    """Return the store that `memory:`, `sqlite:PATH` or the URL of a Redis names; its `open` is still to be called.

    `clock` returns the microseconds since 1970 (None: the system's). Any thread.

    Raises:
        UsageError: it is not the URL of a store, or of one over Redis, for which the package redis is missing.
    """
    if not isinstance(url, str):
        raise UsageError(f"a store is named by text, memory: or sqlite:PATH or redis://HOST, not {shown(url)}")
    if is_redis(url):
        from zchat.broker.store.redis.store import RedisStore  # which loads redis-py, for a fifth of a second

        return RedisStore(parse(url), clock)
    return MemoryStore(clock) if url == "memory:" else SqliteStore(sqlite_path(url), clock)


def sqlite_path(url: str) -> str:
    """Return the PATH of `sqlite:PATH`. Any thread.

    Raises:
        UsageError: it is not such a URL.
    """
    scheme, _, path = url.partition(":")
    if scheme == "sqlite" and path and not path.casefold().startswith(ELSEWHERE):
        return paths.given("the PATH of sqlite:PATH is that of a file", path)
    hint = "" if scheme != "sqlite" or not path else ": use memory: to keep nothing, or an ordinary path (./:NAME)"
    raise UsageError(
        f"{shown(url)} is not a store: use memory: or sqlite:PATH or redis://HOST, PATH being a file{hint}"
    )


def files_of(url: str) -> list[str]:
    """Return the paths of the files that a store has while it is open, there or not; none if it has no such files.

    Any thread.
    """
    scheme, _, path = url.partition(":")
    if scheme != "sqlite":
        return []
    try:
        place = paths.resolved(os.path.expanduser(path))
    except OSError:
        return []  # it can't be opened
    return [place + end for end in ENDS]
