"""The terminal that a screen is drawn on."""

from __future__ import annotations

from collections.abc import Callable

from prompt_toolkit.application import get_app_session
from prompt_toolkit.data_structures import Size
from prompt_toolkit.output import Output

MOST = Size(rows=500, columns=1000)
"""The largest screen that is drawn: a terminal may say that it has 65,535 rows of as many columns."""


def terminal_output() -> Output:
    """Return the terminal, whose size is bounded from now on."""
    output = get_app_session().output
    if not isinstance(output.get_size, _Bounded):
        output.get_size = _Bounded(output.get_size)  # type: ignore[method-assign]
    return output


class _Bounded:
    """What returns a terminal's size, up to `MOST`."""

    def __init__(self, size: Callable[[], Size]) -> None:
        self._size = size

    def __call__(self) -> Size:
        found = self._size()
        return Size(rows=min(found.rows, MOST.rows), columns=min(found.columns, MOST.columns))
