"""Text of strangers, made so that nothing in it can touch the terminal."""

from __future__ import annotations

import re
import unicodedata

INDENT = "    "
"""In front of what goes on below a message's first line: no line of a message begins with `[`."""

_KEPT = frozenset((0x200C, 0x200D))
"""Format characters that text needs: the joiners of Persian, Indic scripts and emoji."""

_FLAG = re.compile("\U0001f3f4[\U000e0030-\U000e0039\U000e0061-\U000e007a]{3,6}\U000e007f")
"""A region's flag, whose tags are format characters: anywhere else they could carry text that nobody sees."""

_NOT_A_NAMES = re.compile(r":(?!\w)|^[»…]")
"""What stands behind a name in front of its text, and, before it, that it says one's own name, or waits."""

_MARKED = frozenset(("Cc", "Cf", "Cs", "Zl", "Zp"))
"""Categories that steer a terminal or hide: controls, formats (bidi among them), surrogates, line ends."""


class _Marks(dict[int, str]):
    """Map characters that could steer a terminal to marks, for `str.translate`."""

    def __missing__(self, code: int) -> str:
        if code in _KEPT or unicodedata.category(chr(code)) not in _MARKED:
            raise LookupError  # left as it is
        mark = self[code] = f"<U+{code:04X}>"
        return mark


_marks = _Marks({code: chr(0x2400 + code) for code in range(0x20)})
_marks[0x7F] = "␡"
_marks[ord("\t")] = INDENT


def harmless(text: str) -> str:
    """Return text as one line in which whatever could steer a terminal is a visible mark.

    C0 characters become control pictures (`␇`), others `<U+009B>`; a tab becomes blanks.
    """
    return text if text.isprintable() else _marked(text)


def _marked(text: str) -> str:
    parts: list[str] = []
    end = 0
    for flag in _FLAG.finditer(text):
        parts += text[end : flag.start()].translate(_marks), flag[0]
        end = flag.end()
    return "".join((*parts, text[end:].translate(_marks)))


def harmless_name(name: str) -> str:
    """Return a name like `harmless`, with marks for what could pass for its end or for what stands before one."""
    return _NOT_A_NAMES.sub(lambda found: f"<U+{ord(found[0]):04X}>", harmless(name))


def harmless_lines(text: str) -> str:
    r"""Return text like `harmless`, but broken at `\n` and `\r\n`, each further line indented."""
    if text.isprintable():
        return text
    lines = text.replace("\r\n", "\n").split("\n")
    return f"\n{INDENT}".join(map(_marked, lines))
