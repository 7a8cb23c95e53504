"""What an application may pass to a call, and what it is answered otherwise."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from typing import Any

import pytest

from zchat.errors import BadName, UsageError
from zchat.messages import Position
from zchat.protocol.faces import arguments
from zchat.wire.limits import MAX_INT


@pytest.mark.parametrize("wrong", [-1, MAX_INT + 1, 1.0, True, "1", None])
def test_a_number_is_whole_and_in_range_and_the_error_names_it(wrong: Any) -> None:
    with pytest.raises(UsageError, match="limit is a number from 0"):
        arguments.check_number("limit", wrong)


@pytest.mark.parametrize("wrong", [5, (1,), [1, 2], "ab", (1, -1), (1.5, 2)])
def test_a_position_is_a_pair_of_numbers(wrong: Any) -> None:
    arguments.check_position(Position(7, 3))
    with pytest.raises(UsageError):
        arguments.check_position(wrong)


@pytest.mark.parametrize(
    "check", [arguments.check_user, arguments.direct_room, lambda name: arguments.check_room("bob", name)]
)
@pytest.mark.parametrize("wrong", [None, b"alice", 5])
def test_names_are_text(check: Callable[[Any], str], wrong: Any) -> None:
    with pytest.raises(UsageError, match="is text, not"):
        check(wrong)


def test_a_direct_room_is_named_by_the_other_user() -> None:
    assert arguments.check_room("bob", arguments.direct_room("alice")) == "@alice\nbob"
    assert arguments.check_room("bob", "General") == "General"
    with pytest.raises(BadName):
        arguments.check_room("bob", "@bob")


def test_a_handler_can_be_called() -> None:
    arguments.check_handler(print)
    with pytest.raises(UsageError, match="on_event is a function"):
        arguments.check_handler(5)  # type: ignore[arg-type]


class Handler:
    """Something that is called like a function."""

    def __call__(self, event: Any) -> None:
        """Handle an event."""

    async def handle(self, event: Any) -> None:
        """Do nothing by being called."""


class AsyncHandler:
    """Something that is called like an asynchronous function."""

    async def __call__(self, event: Any) -> None:
        """Do nothing by being called."""


async def coroutine(event: Any) -> None:
    """Do nothing by being called."""


def generator(event: Any) -> Iterator[Any]:
    """Do nothing by being called."""
    yield event


async def async_generator(event: Any) -> AsyncIterator[Any]:
    """Do nothing by being called."""
    yield event


@pytest.mark.parametrize(
    "wrong",
    [
        coroutine, generator, async_generator, partial(partial(coroutine), 1), Handler().handle, AsyncHandler(),
        partial(AsyncHandler()),
    ],
)  # fmt: skip
def test_a_handler_does_something_by_being_called(wrong: Any) -> None:
    handlers: list[Any] = [Handler(), Handler().__call__, Exception, partial(print, end=""), [].append, lambda _: None]
    for right in handlers:
        arguments.check_handler(right)
    with pytest.raises(UsageError, match="an ordinary function, neither async nor a generator"):
        arguments.check_handler(wrong)


@pytest.mark.parametrize("wrong", ["hello", b"hello", bytearray(b"hello"), memoryview(b"hello"), {"a": 1}, None, 5])
def test_one_body_is_not_many_messages(wrong: Any) -> None:
    several: list[Any] = [[], (), {"a": 1}.values(), iter("hello"), range(3)]
    for bodies in several:
        arguments.check_bodies(bodies)
    with pytest.raises(UsageError, match=r"send_many is given a list of bodies.* not one"):
        arguments.check_bodies(wrong)
