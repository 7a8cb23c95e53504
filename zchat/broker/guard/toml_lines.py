"""The lines of a TOML text in which its keys and values stand, which `tomllib` doesn't report."""

from __future__ import annotations

import tomllib
from bisect import bisect_left
from collections.abc import Iterator
from typing import Any, NamedTuple, TypeAlias

Path: TypeAlias = tuple[str | int, ...]
"""What leads to a value: keys, and of an array the index."""

_ENDS = ("]", '"""', "'''")
"""One of these is in the last line of each statement of several lines."""


class _Span(NamedTuple):
    """A statement: its lines, from `start` up to before `end`, counted from 0, and where it stands."""

    start: int
    end: int
    table: Path


class TomlLines:
    """The lines of a text that `tomllib` has read without an error.

    A statement of TOML ends with a line, and is a text of TOML itself. So the end of one that begins in a given line is
    the first line with which `tomllib` reads it without an error.
    """

    def __init__(self, text: str) -> None:
        self._lines = text.replace("\r\n", "\n").split("\n")
        self._tables: dict[Path, int] = {}
        self._spans: dict[Path, _Span] = {}
        self._counts: dict[Path, int] = {}  # of the arrays of tables, how many have begun
        table: Path = ()
        for start, end, value in self._statements():
            if self._lines[start].lstrip().startswith("["):
                table = self._begin(value, start)
            else:
                self._take(table, value, _Span(start, end, table))

    def of(self, path: Path) -> int:
        """Return the line in which a value begins, counted from 1; that of what it is in if it has none of its own."""
        while path:
            if path in self._tables:
                return self._tables[path] + 1
            if path in self._spans:
                return self._within(self._spans[path], path) + 1
            path = path[:-1]
        return 1

    def _statements(self) -> Iterator[tuple[int, int, dict[str, Any]]]:
        lines = self._lines
        start = 0
        while start < len(lines):
            for end in range(start + 1, len(lines) + 1):
                if end > start + 1 and not any(each in lines[end - 1] for each in _ENDS):
                    continue
                value = self._read(start, end)
                if value is not None:
                    break
            else:
                raise AssertionError("tomllib has read what is no row of statements")
            if value:
                yield start, end, value
            start = end

    def _read(self, start: int, end: int, closing: str = "") -> dict[str, Any] | None:
        try:
            return tomllib.loads("\n".join(self._lines[start:end]) + closing)
        except tomllib.TOMLDecodeError:
            return None

    def _begin(self, value: Any, start: int) -> Path:
        """Return the table that a header begins."""
        path: Path = ()
        while isinstance(value, dict) and value:
            key, value = next(iter(value.items()))
            path += (key,)
            if isinstance(value, list):
                self._counts[path] = self._counts.get(path, 0) + 1
            if path in self._counts:
                path += (self._counts[path] - 1,)
        self._tables.setdefault(path, start)
        return path

    def _take(self, path: Path, value: Any, span: _Span) -> None:
        """Record a statement for all that it has values of."""
        self._spans.setdefault(path, span)
        items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for key, each in items:
            self._take((*path, key), each, span)

    def _within(self, span: _Span, path: Path) -> int:
        """Return the line of a value within a statement: of the array's element that it is, or is in."""
        value: Any = self._read(span.start, span.end)
        place = len(span.table)
        while isinstance(value, dict) and place < len(path):
            value = value[path[place]]
            place += 1
        if span.end == span.start + 1 or not isinstance(value, list) or place == len(path):
            return span.start
        index = path[place]
        assert isinstance(index, int)
        keys = path[len(span.table) : place]

        def has(end: int) -> bool:
            cut: Any = self._read(span.start, end, "\n]")
            for key in keys:
                if not isinstance(cut, dict) or key not in cut:
                    return False
                cut = cut[key]
            return isinstance(cut, list) and len(cut) > index

        return bisect_left(range(span.end), True, lo=span.start + 1, key=has) - 1
