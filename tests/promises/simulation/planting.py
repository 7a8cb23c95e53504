"""Planting faults: the source of a function is changed, for a while."""

from __future__ import annotations

import inspect
import pkgutil
import textwrap
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple
from unittest.mock import patch

import pytest

from zchat.broker.core import handlers


class Change(NamedTuple):
    """Replace a piece of the source of `name` in `owner`, a class or a module by its dotted name."""

    owner: str
    name: str
    old: str
    new: str


@contextmanager
def planted(changes: list[Change]) -> Iterator[None]:
    """Have the changed functions in place of the real ones."""
    with ExitStack() as stack:
        for place, name, old, new in changes:
            owner: Any = pkgutil.resolve_name(place)
            function = inspect.unwrap(getattr(owner, name))
            source = textwrap.dedent(inspect.getsource(function))
            assert source.count(old) == 1, f"{name} has changed: look for {old!r}"
            scope: dict[str, Any] = {}
            exec(compile(source.replace(old, new), f"<mutation of {name}>", "exec"), function.__globals__, scope)
            words = [word for word, handler in handlers.HANDLERS.items() if handler is function]
            stack.enter_context(patch.dict(handlers.HANDLERS, dict.fromkeys(words, scope[name])))
            stack.enter_context(patch.object(owner, name, scope[name]))
        yield


def complaint(run: Callable[[int], object], seed: int) -> str | None:
    """Return what a seed finds wrong, None if all is well; `run` runs one."""
    try:
        run(seed)
    except Exception as error:  # a promise broken, or a core that fell over
        return f"{type(error).__name__}: {error}"
    return None


def catch(
    name: str, changes: list[Change], seeds: Iterable[int], run: Callable[[int], object], sound: Callable[[int], bool]
) -> None:
    """Plant a fault and fail the test unless one of some seeds finds it that is `sound` without."""
    tried = 0
    for seed in seeds:
        tried += 1
        with planted(changes):
            found = complaint(run, seed)
        if found is not None and sound(seed):
            print(f"{name}: caught by seed {seed}: {found}")
            return
    pytest.fail(f"{name} was not caught within {tried} seeds")
