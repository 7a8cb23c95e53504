"""The terminal that a screen is drawn on: of a bounded size, and counted as texts are, whatever it counts itself."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable
from itertools import accumulate
from typing import Any, cast

from prompt_toolkit import utils
from prompt_toolkit.application import Application, get_app_session
from prompt_toolkit.data_structures import Size
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.layout.processors import Processor, Transformation, TransformationInput
from prompt_toolkit.layout.screen import Char, Screen
from prompt_toolkit.layout.utils import explode_text_fragments
from prompt_toolkit.output import Output

from zchat.cli.text.columns import cells, is_joined

MOST = Size(rows=500, columns=1000)
"""The largest screen that is drawn: a terminal may say that it has 65,535 rows of as many columns."""

ERASE_LINE = "\x1b[K"
"""What has a terminal erase a line from the cursor on."""


def terminal_output() -> Output:
    """Return the terminal, whose size is bounded from now on, and which shows an escape of what its encoding lacks.

    From now on prompt_toolkit counts columns as `cells` does.
    """
    output = get_app_session().output
    if not isinstance(output.get_size, _Bounded):
        output.get_size = _Bounded(output.get_size)  # type: ignore[method-assign]
        output.write = _Escaping(output.write, output.encoding())  # type: ignore[method-assign]
    utils._CHAR_SIZES_CACHE = _Counted()
    return output


def drawn_by_cells(output: Output) -> Output:
    """Return a terminal for an application to draw on: each character is where it is counted to be.

    Text that goes past the application is for the terminal itself.
    """
    return cast(Output, _Cells(output))


def draw_whole_rows(app: Application[Any]) -> None:
    """Have an application write each row whole that changes and isn't ASCII, before or after.

    A terminal may have made one character of what is several cells: to write one of these again shows it twice.
    """
    container = app.layout.container
    write = container.write_to_screen

    def write_rows(screen: Screen, *arguments: Any, **named: Any) -> None:
        write(screen, *arguments, **named)
        before = app.renderer.last_rendered_screen
        if before is None:
            return
        for number in range(max(screen.height, before.height)):
            row, old = screen.data_buffer[number], before.data_buffer[number]
            if row != old and not all(cell.char.isascii() for each in (row, old) for cell in each.values()):
                before.data_buffer[number] = defaultdict(lambda: _NONE)
                screen.zero_width_escapes[number][0] = ERASE_LINE

    container.write_to_screen = write_rows  # type: ignore[method-assign]


_NONE = Char("")
"""What no cell holds."""


class Escapes(Processor):
    """What shows each escape in the text of a buffer as the characters that it consists of: a row may end in it.

    Args:
        encoding: the terminal's.
    """

    def __init__(self, encoding: str) -> None:
        self._encoding = encoding

    def apply_transformation(self, transformation_input: TransformationInput) -> Transformation:
        """Return a line with its escapes, and which place in it is which of the text."""
        fragments = [
            (style, _escaped(text, self._encoding))
            for style, text, *_ in explode_text_fragments(transformation_input.fragments)
        ]
        starts = [0, *accumulate(len(text) for _, text in fragments)]
        return Transformation(
            cast(StyleAndTextTuples, fragments),
            source_to_display=lambda place: starts[min(place, len(fragments))] + max(0, place - len(fragments)),
            display_to_source=lambda place: bisect_right(starts, place) - 1,
        )


def _escaped(text: str, encoding: str) -> str:
    return text.encode(encoding, "backslashreplace").decode(encoding)


class _Bounded:
    """What returns a terminal's size, up to `MOST`."""

    def __init__(self, size: Callable[[], Size]) -> None:
        self._size = size

    def __call__(self) -> Size:
        found = self._size()
        return Size(rows=min(found.rows, MOST.rows), columns=min(found.columns, MOST.columns))


class _Escaping:
    """What writes text, in which it escapes what an encoding lacks."""

    def __init__(self, write: Callable[[str], None], encoding: str) -> None:
        self._write = write
        self._encoding = encoding

    def __call__(self, data: str) -> None:
        self._write(_escaped(data, self._encoding))


class _Counted(utils._CharSizesCache):
    """The columns of texts for all of prompt_toolkit, by `cells`, which keeps what it has counted.

    Its own count leaves out what terminals add, and escapes.
    """

    def __missing__(self, string: str) -> int:
        return cells(string)


class _Cells:
    """A terminal whose cursor is set to the column that was counted, after what it may count in another way.

    Args:
        output: the terminal.
    """

    def __init__(self, output: Output) -> None:
        self._output = output
        self._column = 0
        """Where the cursor is counted to be."""
        self._written = ""
        """What was written since it was certainly there; "" if it is."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._output, name)

    def write(self, data: str) -> None:
        """Write what a cell holds, or go to the left edge, of a further row maybe."""
        if data.startswith("\r"):
            self._column, self._written = 0, ""
        elif self._written and not is_joined(self._written + data, len(self._written), 0):
            self._settle()
        self._output.write(data)
        if not data.startswith("\r"):
            self._column += cells(data) or 1
            if self._written or not data.isascii():
                self._written += data

    def cursor_forward(self, amount: int) -> None:
        """Go to the right."""
        self._settle()
        self._column += amount
        self._output.cursor_forward(amount)

    def cursor_backward(self, amount: int) -> None:
        """Go to the left."""
        self._settle()
        self._column = max(0, self._column - amount)
        self._output.cursor_backward(amount)

    def erase_end_of_line(self) -> None:
        """Erase from the cursor on."""
        self._settle()
        self._output.erase_end_of_line()

    def erase_down(self) -> None:
        """Erase from the cursor on, and all rows below."""
        self._settle()
        if self._column == 0:  # the row first: terminals keep a copy of all that is erased from their corner on
            self._output.erase_end_of_line()
            self._output.cursor_forward(1)
            self._output.erase_down()
            self._output.cursor_backward(1)
        else:
            self._output.erase_down()

    def reset_cursor_shape(self) -> None:
        """Begin anew, as the renderer does then: at the left edge."""
        self._column, self._written = 0, ""
        self._output.reset_cursor_shape()

    def flush(self) -> None:
        """Have the terminal show all."""
        self._settle()
        self._output.flush()

    def _settle(self) -> None:
        if self._written:
            self._written = ""
            self._output.write_raw("\r")
            self._output.cursor_forward(self._column)
