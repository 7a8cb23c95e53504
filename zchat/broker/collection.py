"""Python's search for cycles of garbage, put off while a broker takes over what its store has."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def collected_later() -> Iterator[None]:
    """Have a block run without searches for garbage, which its thread, and others, would repeat as objects grow more.

    What is made of a store with 100,000 rooms is a million objects that stay; to go through them again and again
    takes four times as long as to make them. Collection goes on afterwards, if it did before. Any thread.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
