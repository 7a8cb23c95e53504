"""Typed lines are done one after the other, in their order."""

from __future__ import annotations

import asyncio

from zchat.cli.chat.typed_lines import TypedLines


def test_lines_are_done_in_their_order_each_once_the_one_before_is() -> None:
    async def scenario() -> None:
        lines = TypedLines()
        for line in ("one", "two"):
            lines.put(line)
        assert await lines.next() == "one"
        assert lines.waiting == ["one", "two"], "the first is being done"
        assert await lines.next() == "two"
        lines.end()
        assert await lines.next() is None
        assert lines.waiting == []

    asyncio.run(scenario())


def test_who_waits_for_a_line_gets_the_next_that_is_typed() -> None:
    async def scenario() -> None:
        lines = TypedLines()
        waiting = asyncio.ensure_future(lines.next())
        await asyncio.sleep(0)
        assert not waiting.done()
        lines.put("typed at last")
        assert await waiting == "typed at last"

    asyncio.run(scenario())


def test_lines_that_are_withdrawn_are_those_not_begun() -> None:
    async def scenario() -> None:
        lines = TypedLines()
        for line in ("being done", "two", "three"):
            lines.put(line)
        assert await lines.next() == "being done"
        assert lines.withdraw() == ["two", "three"]
        assert lines.waiting == ["being done"]
        lines.end()
        assert await lines.next() is None

    asyncio.run(scenario())
