"""Typed lines are done one after the other, in their order."""

from __future__ import annotations

import asyncio
import os
import stat
from pathlib import Path

from zchat.cli.chat.rooms import Place
from zchat.cli.chat.terminal.typed_lines import LinesOfBefore, TypedLine, TypedLines


def test_lines_are_done_in_their_order_each_once_the_one_before_is() -> None:
    async def scenario() -> None:
        lines = TypedLines()
        for line in ("one", "two"):
            lines.put(TypedLine(line, Place()))
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
        lines.put(TypedLine("typed at last", Place()))
        assert await waiting == "typed at last"

    asyncio.run(scenario())


def test_lines_that_are_withdrawn_are_those_not_begun() -> None:
    async def scenario() -> None:
        lines = TypedLines()
        for line in ("being done", "two", "three"):
            lines.put(TypedLine(line, Place()))
        assert await lines.next() == "being done"
        assert lines.withdraw() == ["two", "three"]
        assert lines.waiting == ["being done"]
        lines.end()
        assert await lines.next() is None

    asyncio.run(scenario())


def test_lines_that_are_not_withdrawn_stay_in_their_order() -> None:
    async def scenario() -> None:
        lines = TypedLines()
        for line in ("a", "b", "a", "c", "b"):
            lines.put(TypedLine(line, Place()))
        assert await lines.next() == "a"
        assert lines.withdraw(lambda line: line in ("a", "b")) == ["b", "a", "b"]
        assert lines.waiting == ["a", "c"]

    asyncio.run(scenario())


def test_where_the_lines_lead_that_are_not_done_is_known() -> None:
    async def scenario() -> None:
        lines, sports, movies = TypedLines(), Place(), Place()
        for line in (TypedLine("/join Sports", Place(), sports), TypedLine("text", sports)):
            lines.put(line)
        found = [lines.leads_to]
        lines.put(TypedLine("/join Movies", sports, movies))
        for _ in range(3):
            await lines.next()
            found.append(lines.leads_to)
        lines.end()
        await lines.next()
        assert [*found, lines.leads_to] == [sports, movies, movies, movies, None]

    asyncio.run(scenario())


def typed(path: Path, *lines: str) -> list[str]:
    """Return the lines of before, the latest first, and add others."""
    history = LinesOfBefore(path)
    found = list(history.load_history_strings())
    for line in lines:
        history.store_string(line)
    return found


def test_lines_of_before_come_back_in_a_file_that_only_its_owner_can_read(tmp_path: Path) -> None:
    path = tmp_path / "new" / "typed_lines"
    before = os.umask(0)
    try:
        assert typed(path, "one", "two\nlines \ud800é") == []
    finally:
        os.umask(before)
    assert typed(path) == ["two\nlines \ufffdé", "one"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_file_that_others_could_read_is_closed_to_them_and_what_it_has_wrong_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "typed_lines"
    deep, long = b"[" * 5000, b"9" * 5000  # for which there is no ValueError, and another than of JSON's
    path.write_bytes(b'"one"\n{"a": 1}\nno json\n\xff\n' + deep + b"\n" + long + b'\n"two"\n')
    path.chmod(0o644)
    assert typed(path) == ["two", "one"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_file_does_not_grow_for_ever(tmp_path: Path) -> None:
    path = tmp_path / "typed_lines"
    typed(path, *(f"line {number} {'x' * 90}" for number in range(4000)))
    typed(path, "x" * 10_001)
    assert typed(path)[0].startswith("line 3999 ")
    assert path.stat().st_size <= 128 << 10
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in tmp_path.iterdir()] == ["typed_lines"]
    assert typed(path)[0].startswith("line 3999 ")


def test_lines_are_kept_nowhere_if_that_is_asked_for_or_impossible(tmp_path: Path) -> None:
    history = LinesOfBefore(None)
    history.store_string("secret")
    assert list(history.load_history_strings()) == []
    (tmp_path / "file").write_text("")
    assert typed(tmp_path / "file" / "typed_lines", "lost") == []
