"""What a message of 1 MiB costs the command that shows it, if it is made to be slow to show."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from prompt_toolkit.data_structures import Size
from prompt_toolkit.formatted_text import FormattedText
from prompt_toolkit.output.vt100 import Vt100_Output
from prompt_toolkit.renderer import print_formatted_text
from prompt_toolkit.styles import DummyStyle

from _run import in_turn, options, report, run
from zchat.cli.chat.transcript import LONG_ROWS
from zchat.cli.text.colours import fragments, styled_message
from zchat.cli.text.message_lines import ROWS, Cut, MessageLines, cut_with
from zchat.messages import Message

MAX_BYTES = 1 << 20
"""Bytes of the text in UTF-8, as large as a broker takes a message."""

WIDTHS = (20, 80, 250)
"""Columns of the terminal; the width that costs most counts."""

READER = "alice"

UNITS = {
    "letters without a space": "x",
    "words": "lorem ipsum ",
    "spaces": " ",
    "the reader's name": READER + " ",
    "the reader's name, joined": READER,
    "URLs": "https://example.com/a?b=c ",
    "URLs that never end": "https://example.com/" + "a" * 4_000,
    "what might begin a URL": "://",
    "lines": "\n",
    "lines of a space": " \n",
    "lines of one letter": "x\n",
    "carriage returns": "\r\n",
    "tabs": "\t",
    "control characters": "\x1b[2J",
    "escape characters": "\x1b",
    "C1 controls": "\x9b",
    "wide characters": "日",
    "flags": "\U0001f1e9\U0001f1ea",
    "a family, joined": "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d",
    "hearts with selectors": "❤\ufe0f",
    "keycaps": "1\ufe0f\u20e3",
    "Arabic with joiners": "\u0627\u200d",
    "joiners after letters": "a\u200d",
    "tags after a flag": "\U0001f3f4\U000e0067",
    "selectors alone": "\ufe0f",
    "supplementary selectors": "\U000e0101",
    "combining marks": "\u0301",
    "letters with marks": "e\u0301\u0316\u0327",
    "conjoining jamo": "\u1100\u1161\u11a8",
    "blank characters": "\u2800\u3164",
    "directions": "\u202e\u2066",
    "unassigned": "\U0002fffe",
    "characters of all kinds": "".join(map(chr, range(0x20, 0x3000))),
}
"""What is repeated in each text."""


def texts() -> dict[str, Any]:
    """Return the bodies."""
    made: dict[str, Any] = {name: unit * (MAX_BYTES // len(unit.encode("utf-8"))) for name, unit in UNITS.items()}
    nested: Any = 0
    for _ in range(60):
        nested = [nested, "x" * (MAX_BYTES // 60)]
    made["lists in lists"] = nested
    made["a list of numbers"] = [7] * (MAX_BYTES // 2)
    made["a map"] = {f"{number:07}": number for number in range(MAX_BYTES // 13)}
    return made


def milliseconds(body: Any) -> dict[str, float]:
    """Return the CPU time of one such message: cut, and by `/show`, at the width that costs most; in a pipe."""
    cut, shown = (cut_with("/show 1 shows more", rows) for rows in (ROWS, LONG_ROWS))
    return {
        "ms of CPU": max(_draw(body, width, cut) for width in WIDTHS),
        "by /show": max(_draw(body, width, shown) for width in WIDTHS),
        "in a pipe": _pipe(body),
    }


def _pipe(body: Any) -> float:
    message = Message("General", 1, 1_700_000_000_000_000, "mallory", body)
    start = time.process_time()
    MessageLines().message(message).encode()
    return (time.process_time() - start) * 1000


def _draw(body: Any, width: int, cut: Cut) -> float:
    output = Vt100_Output(io.StringIO(), lambda: Size(rows=40, columns=width), term="xterm-256color")
    message = Message("General", 1, 1_700_000_000_000_000, "mallory", body)
    start = time.process_time()
    parts = MessageLines().parts(message, "General", cut)
    text = styled_message(parts, message.user, READER)
    print_formatted_text(output, FormattedText([*fragments(text, width), ("", "\n")]), DummyStyle())
    return (time.process_time() - start) * 1000


def main() -> None:
    parser = options("Measure what a message of 1 MiB costs the command that shows it.")
    arguments = parser.parse_args()
    contenders: dict[str, Callable[[], dict[str, float]]] = {
        name: partial(milliseconds, body) for name, body in texts().items()
    }
    report("showing a message of 1 MiB", in_turn(contenders, arguments.rounds), arguments.json)


if __name__ == "__main__":
    run(main)
