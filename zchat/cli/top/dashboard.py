"""A broker that is looked at again and again: what it told last, and what is shown of that."""

from __future__ import annotations

from zchat import Stats
from zchat.cli.top import figures
from zchat.cli.top.rates import Rates


class Watched:
    """Keep what was told last. One thread gives it what is found, any thread asks for lines."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._last: Stats | None = None
        self._told: tuple[Rates | None, str] = (None, "")

    def take(self, found: Stats | str) -> None:
        """Take what the broker told, or why it told nothing."""
        if isinstance(found, str):
            self._told = self._told[0], found
        else:
            self._told = Rates(found, self._last), ""
            self._last = found

    def lines(self, width: int, height: int | None = None) -> list[figures.Line]:
        """Return what is to be shown in so many columns and lines (None: as many as it takes)."""
        rates, trouble = self._told
        return figures.lines(self._url, rates, trouble, width, height)
