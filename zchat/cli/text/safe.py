"""Text from others, made safe to show: nothing in it can touch the terminal, hide, or pass for another line."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from zchat.names import COLONS, DIRECT, EMOJI_BASES, IGNORABLE, VISARGAS

INDENT = "    "
"""In front of each further line of a message: no line of a message begins with `[`."""

_BLANK = "\u2800\ufffc\U00013441\U00013442\U00016fe4\U0001d159"
"""Symbols and letters that are blank by design, which no property of Unicode has."""

_UNSEEN = re.compile(f"[{IGNORABLE}{_BLANK}]")
"""What shows nothing, whatever its category."""

_PICTURES = EMOJI_BASES[: EMOJI_BASES.index("\U0001f004")] + "\U0001f000-\U0001faff"
"""What may be followed by a selector or be joined to another: all pictures, also those of a newer Unicode."""

_IDEOGRAPHS = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003fffd"

_VARIED = (
    "\u1000-\u109f\u2205\u2229\u222a\u2268-\u2295\u2297\u229c\u22da\u22db\u2a3c\u2a3d\u2a9d-\u2acc"
    "\u210b\u2110\u2112\u211b\u212c\u2130-\u2133\u3001\u3002\ua856-\ua860\uff01\uff0c\uff0e\uff1a\uff1b\uff1f"
    "\U00013000-\U0001342f\U0001d49c-\U0001d4b5"
)
"""Where the letters, signs and hieroglyphs lie that have variants, after Unicode's StandardizedVariants."""

_JOINING = (
    "\u0600-\u08ff\u0900-\u109f\u1700-\u18aa\u1a20-\u1aad\u1b00-\u1c4f\ua800-\uabff\ufb50-\ufdcf\ufdf0-\ufdff\ufe70-\ufefc"
    "\U00010a00-\U00011fff\U0001e900-\U0001e95f"
)
"""The blocks of scripts whose letters join or stack: there the joiners are spelling."""

_HIDING = re.compile(
    f"(?:[{IGNORABLE}{_BLANK}](?<!"
    + "|".join(
        (
            f"[{_PICTURES}][\ufe0e\ufe0f]",
            "[#*0-9]\ufe0f(?=\u20e3)",  # a keycap
            f"[{_PICTURES}\ufe0f]\u200d(?=[{_PICTURES}])",
            f"[{_IDEOGRAPHS}][\ufe00-\ufe02\U000e0100-\U000e01ef]",
            f"[{_VARIED}][\ufe00-\ufe02]",
            "[\u1820-\u1842\u1844-\u18aa][\u180b-\u180d\u180f]",
            f"[{_JOINING}][\u200c\u200d]",
        )
    )
    + "))+"
)
"""What shows nothing, but where it is spelling: one of it, after what takes it."""

_TAGS = re.compile(
    "(?<=\U0001f3f4)(\U000e0067\U000e0062(?:\U000e0065\U000e006e\U000e0067|\U000e0073\U000e0063\U000e0074"
    "|\U000e0077\U000e006c\U000e0073)\U000e007f)"
)
"""The tags in the flags of England, Scotland and Wales. Any other tags could carry text that nobody sees."""

_NOT_IN_A_NAME = re.compile(rf":(?!\w)|[{COLONS}]|[{VISARGAS}](?= )")
"""What could pass for the colon that ends a name in front of its text."""

_APOSTROPHES = "'\u2019\u02b9\u02bb\u02bc\u055a\u05f3\u07f4\u07f5\ua78b\ua78c"
"""What is spelling between two letters: there alone it can't pass for the quotation mark that ends a name."""

_APOSTROPHE = re.compile(rf"(?<=[^\W_])[{_APOSTROPHES}](?=[^\W_])")

_QUOTES = re.compile(
    r"QUOTATION|DITTO|PRIME|APOSTROPHE|SALTILLO|GERESH|GERSHAYIM|NIHSHVASA|\bGRAVE\b|\bACUTE\b|CORNER BRACKET"
    r"|(?:TURNED|REVERSED|RAISED|HIGH|LOW) COMMA|TONOS|KORONIS|PSILI|DASIA|OXIA|VARIA"
)
"""Words in the names of the characters that could pass for a quotation mark, or for one of its strokes."""

_ARROW = re.compile(r"(?:(?!\b(?:WITH|BOW)\b).)*\b(?:ARROW|HARPOON)")
"""How the names of arrows begin; BACK WITH LEFTWARDS ARROW ABOVE and BOW AND ARROW are pictures of something else."""

_WORDS = frozenset(("and", "others", "someone", "you"))
"""Words of the sentences in which names stand."""

_MARKED = frozenset(("Cc", "Cf", "Cs", "Zl", "Zp"))
"""Categories that steer a terminal or hide: controls, formats (bidi among them), surrogates, line ends."""


def safe(text: str) -> str:
    """Return text as one line in which each character that could steer a terminal, or hide, is a visible mark.

    C0 characters become control pictures (`␇`), others `<U+009B>`; a tab becomes spaces. A selector of a
    variant stays, and a joiner, where it belongs to what stands before it.
    """
    return text if _is_safe(text) else _marked(text)


def _is_safe(text: str) -> bool:
    return text.isprintable() and (text.isascii() or not _UNSEEN.search("".join(set(text))))


def _marked(text: str, kept: str = "") -> str:
    """Return text with a mark in place of each character that could steer or hide, but for the one that is `kept`.

    It is searched for each different one as a whole: a long message may consist of nothing else.
    """
    different = set(text)
    if not text.isascii() and _UNSEEN.search("".join(different)):
        parts = _TAGS.split(text) if "\U0001f3f4" in text else [text]
        text = "".join(part if index % 2 else _HIDING.sub(_codes, part) for index, part in enumerate(parts))
    for character in different:
        if not character.isprintable() and character != kept:
            text = text.replace(character, _mark(character))
    return text


@lru_cache(maxsize=1000)
def _mark(character: str) -> str:
    """Return the mark of a character that is not printable, or the character if it can be shown as it is."""
    code = ord(character)
    if character == "\t":
        return INDENT
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "␡"
    nobodys = 0xFDD0 <= code <= 0xFDEF or code & 0xFFFE == 0xFFFE  # what will never be a character
    if nobodys or (unicodedata.category(character) in _MARKED and not _UNSEEN.match(character)):
        return _code(character)
    return character


@lru_cache(maxsize=1000)
def safe_name(name: str) -> str:
    """Return a user's name like `safe`, as it stands before the colon and the user's text.

    What has more than words of letters, digits, `-`, `_`, `.` and apostrophes stands in quotation marks, in which
    arrows and all that could pass for a quotation mark are marked. What looks like a colon is marked in any name.
    """
    return _code_colons(name) if all(map(_is_plain, name.split(" "))) else _quoted(name)


@lru_cache(maxsize=1000)
def named(name: str) -> str:
    """Return a room's or user's name like `safe_name`, as it stands in a sentence, a list, or beside another name.

    Names of several words stand in quotation marks too, and those that are words of such sentences (`@` in front
    is no reason), so that nothing that follows can be read as a part of the name, or the other way round.
    """
    plain = _is_plain(name.removeprefix(DIRECT)) and name.casefold() not in _WORDS
    return _code_colons(name) if plain else _quoted(name)


def _is_plain(word: str) -> bool:
    return bool(word) and all(
        each.isalnum() or each in "-_." or unicodedata.category(each)[0] == "M" for each in _APOSTROPHE.sub("", word)
    )


def _quoted(name: str) -> str:
    kept = {found.start() for found in _APOSTROPHE.finditer(name)}
    marked = (
        _code(each) if index not in kept and _passes_for_quote_or_arrow(each) else each
        for index, each in enumerate(name)
    )
    return f"“{_code_colons(''.join(marked))}”"


@lru_cache(maxsize=1000)
def _passes_for_quote_or_arrow(character: str) -> bool:
    """Return True for the marks, signs and modifiers that Unicode's names show to be quotation marks or arrows."""
    category = unicodedata.category(character)
    if category in ("Pi", "Pf"):
        return True
    if category[0] not in "PS" and category != "Lm" and character not in _APOSTROPHES:
        return False
    name = unicodedata.name(character, "")
    return bool(_QUOTES.search(name) or _ARROW.match(name))


def _code_colons(name: str) -> str:
    return _NOT_IN_A_NAME.sub(_codes, safe(name))


@lru_cache(maxsize=1000)
def _code(character: str) -> str:
    return f"<U+{ord(character):04X}>"


def _codes(found: re.Match[str]) -> str:
    text = found[0]
    if len(text) == 1:
        return _code(text)
    for character in set(text):
        text = text.replace(character, _code(character))
    return text


def safe_lines(text: str) -> str:
    r"""Return text like `safe`, but broken at `\n` and `\r\n`, each further line indented."""
    if _is_safe(text):
        return text
    return _marked(text.replace("\r\n", "\n"), kept="\n").replace("\n", f"\n{INDENT}")
