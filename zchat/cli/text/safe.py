"""Text from others, made safe to show: nothing in it can touch the terminal or pass for another line."""

from __future__ import annotations

import re
import unicodedata

INDENT = "    "
"""In front of each further line of a message: no line of a message begins with `[`."""

_KEPT = frozenset((0x200C, 0x200D))
"""Format characters that text needs: the joiners of Persian, Indic scripts and emoji."""

_FLAG = re.compile("\U0001f3f4[\U000e0030-\U000e0039\U000e0061-\U000e007a]{3,6}\U000e007f")
"""A region's flag, whose tags are format characters: anywhere else they could carry text that nobody sees."""

_NOT_IN_A_NAME = re.compile(r":(?!\w)|^[»…]")
"""What ends a name in front of its text, and what marks a mention or an unsent message before it."""

_MARKED = frozenset(("Cc", "Cf", "Cs", "Zl", "Zp"))
"""Categories that steer a terminal or hide: controls, formats (bidi among them), surrogates, line ends."""


class _Marks(dict[int, str]):
    """The visible marks of characters that could steer a terminal, for `str.translate`."""

    def __missing__(self, code: int) -> str:
        if code in _KEPT or unicodedata.category(chr(code)) not in _MARKED:
            raise LookupError  # left as it is
        mark = self[code] = f"<U+{code:04X}>"
        return mark


_marks = _Marks({code: chr(0x2400 + code) for code in range(0x20)})
_marks[0x7F] = "␡"
_marks[ord("\t")] = INDENT


def safe(text: str) -> str:
    """Return text as one line in which each character that could steer a terminal is a visible mark.

    C0 characters become control pictures (`␇`), others `<U+009B>`; a tab becomes spaces.
    """
    return text if text.isprintable() else _marked(text)


def _marked(text: str) -> str:
    parts: list[str] = []
    end = 0
    for flag in _FLAG.finditer(text):
        parts += text[end : flag.start()].translate(_marks), flag[0]
        end = flag.end()
    return "".join((*parts, text[end:].translate(_marks)))


def safe_name(name: str) -> str:
    """Return a name like `safe`, with marks also for what could pass for its end or for a mark before it."""
    return _NOT_IN_A_NAME.sub(lambda found: f"<U+{ord(found[0]):04X}>", safe(name))


def safe_lines(text: str) -> str:
    r"""Return text like `safe`, but broken at `\n` and `\r\n`, each further line indented."""
    if text.isprintable():
        return text
    lines = text.replace("\r\n", "\n").split("\n")
    return f"\n{INDENT}".join(map(_marked, lines))
