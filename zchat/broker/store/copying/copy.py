"""`copy`: all that one store keeps, into an empty other one."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from zchat.broker.store import sqlite_path
from zchat.broker.store.copying.records import Tally
from zchat.broker.store.copying.sides import Source, Target
from zchat.broker.store.copying.sqlite_source import sqlite_source
from zchat.broker.store.copying.sqlite_target import sqlite_target
from zchat.broker.store.redis.connections.url import is_redis, parse
from zchat.errors import StoreError, UsageError

Progress = Callable[[str, int, int], None]
"""What is called for each record with what is done, `COPIED` or `COMPARED`, and of how many messages of how many; what
it raises ends all."""

COPIED = "copied"
COMPARED = "compared"


def copy(source: str, target: str, progress: Progress, *, again: bool = False) -> Tally:
    """Copy all that the store `source` keeps into the store `target`, which is not there yet; return what that is.

    Both are URLs of stores, of whatever kind. Numbers, times and epochs stay as they are, so that a broker on the copy
    goes on where the one on the source has ended. What was written is read back and compared. Until that is done no
    broker takes the copy for a store. Any one thread.

    Args:
        again: remove what an interrupted copy has left at `target` first.

    Raises:
        UsageError: one of them is not the URL of a store that keeps anything, or both are of the same store.
        StoreError: a broker has the source open, something is at the target, or either can't be used.
    """
    if source == target:
        raise UsageError("a store can't be copied into itself: name another one")
    with source_of(source) as reading, target_of(target, reading, again=again) as writing:
        whole = reading.messages()
        copied = Tally(reading.place)
        for record in reading.records():
            copied.add(record)
            writing.put(record)
            progress(COPIED, copied.messages, whole)
        copied.end()
        reading.check_unchanged()
        compared = Tally(writing.place)
        for record in writing.records():
            compared.add(record)
            progress(COMPARED, compared.messages, whole)
        compared.end()
        if not copied.is_like(compared):
            raise StoreError(f"{writing.place} is not as it was written: something else has changed it")
        writing.complete()
    return compared


def source_of(url: str) -> AbstractContextManager[Source]:
    """Return the store of a URL as what is copied: it is open while a block of it runs. Any one thread.

    Raises:
        UsageError: it is not the URL of a store that keeps anything.
        StoreError, as the block begins: there is none, or a broker has it open, or it can't be used.
    """
    if is_redis(url):
        redis_url = parse(url)
        from zchat.broker.store.copying.redis_source import (
            redis_source,
        )  # which loads redis-py, for a fifth of a second

        return redis_source(redis_url)
    return sqlite_source(_path(url))


def target_of(url: str, source: Source, *, again: bool) -> AbstractContextManager[Target]:
    """Return the store of a URL as what a source is copied into: it is made while a block of it runs. Any one thread.

    Raises:
        UsageError: it is not the URL of a store that keeps anything.
        StoreError, as the block begins: something is there, or nothing can be made there.
    """
    if is_redis(url):
        redis_url = parse(url)
        from zchat.broker.store.copying.redis_target import redis_target  # as above

        return redis_target(redis_url, source.identity, again=again)
    return sqlite_target(_path(url), source.identity)


def _path(url: str) -> Path:
    if url == "memory:":
        raise UsageError("memory: keeps nothing that could be copied: name sqlite:PATH or redis://HOST")
    return Path(sqlite_path(url))
