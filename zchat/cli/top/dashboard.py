"""The dashboard of a broker: the latest sample, and the lines that show it."""

from __future__ import annotations

from zchat.cli.top import figures
from zchat.cli.top.rates import Rates
from zchat.stats import Stats


class Dashboard:
    """What is shown of a broker. One thread adds samples, any thread asks for lines."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._last: Stats | None = None
        """The latest sample."""
        self._shown: tuple[Rates | None, str] = (None, "")
        """The latest rates, and why there are no newer ones, "" if there is no reason."""

    def add(self, sample: Stats | str) -> None:
        """Add a sample, or a few words that say why there is none."""
        if isinstance(sample, str):
            self._shown = self._shown[0], sample
        else:
            self._shown = Rates(sample, self._last), ""
            self._last = sample

    def lines(self, width: int, height: int | None = None) -> list[figures.Line]:
        """Return the lines for a screen of `width` columns and `height` lines (None: as many as are needed)."""
        rates, trouble = self._shown
        return figures.lines(self._url, rates, trouble, width, height)
