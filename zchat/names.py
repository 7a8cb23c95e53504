"""The rules for the names of rooms and users."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from zchat.errors import BadName, Malformed

MAX_CHARACTERS = 64
"""Long enough for any name that a person reads, short enough for a prompt."""

MAX_REASON = 200
"""Characters of a moderator's reason: two lines of a terminal."""

RESERVED = "/@#"
"""First characters that mean commands, people and rooms where names are typed."""

DIRECT = "@"
"""What the name of a direct room begins with."""

GUEST = "guest-"
"""What the names begin with that a broker with keys gives to guests: no key is of a user with such a name."""

IGNORABLE = (
    "\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
"""Unicode's property Default_Ignorable_Code_Point (DerivedCoreProperties.txt of Unicode 15.0), as a class of `re`.

What has it shows nothing unless a program knows better. Reserved code points are among it, so that later versions
of Unicode add none.
"""

EMOJI_BASES = (
    "\xa9\xae\u203c\u2049\u2122\u2139\u2194-\u2199\u21a9\u21aa\u231a\u231b\u2328\u23cf\u23e9\u23ea"
    "\u23ed-\u23ef\u23f1-\u23f3\u23f8-\u23fa\u24c2\u25aa\u25ab\u25b6\u25c0\u25fb-\u25fe\u2600-\u2604\u260e"
    "\u2611\u2614\u2615\u2618\u261d\u2620\u2622\u2623\u2626\u262a\u262e\u262f\u2638-\u263a\u2640\u2642"
    "\u2648-\u2653\u265f\u2660\u2663\u2665\u2666\u2668\u267b\u267e\u267f\u2692-\u2697\u2699\u269b\u269c"
    "\u26a0\u26a1\u26a7\u26aa\u26ab\u26b0\u26b1\u26bd\u26be\u26c4\u26c5\u26c8\u26cf\u26d1\u26d3\u26d4"
    "\u26e9\u26ea\u26f0-\u26f5\u26f7-\u26fa\u26fd\u2702\u2708\u2709\u270c\u270d\u270f\u2712\u2714\u2716\u271d"
    "\u2721\u2733\u2734\u2744\u2747\u2753\u2757\u2763\u2764\u27a1\u2934\u2935\u2b05-\u2b07\u2b1b\u2b1c\u2b50"
    "\u2b55\u3030\u303d\u3297\u3299\U0001f004\U0001f170\U0001f171\U0001f17e\U0001f17f\U0001f202\U0001f21a"
    "\U0001f22f\U0001f237\U0001f30d-\U0001f30f\U0001f315\U0001f31c\U0001f321\U0001f324-\U0001f32c\U0001f336"
    "\U0001f378\U0001f37d\U0001f393\U0001f396\U0001f397\U0001f399-\U0001f39b\U0001f39e\U0001f39f\U0001f3a7"
    "\U0001f3ac-\U0001f3ae\U0001f3c2\U0001f3c4\U0001f3c6\U0001f3ca-\U0001f3ce\U0001f3d4-\U0001f3e0\U0001f3ed"
    "\U0001f3f3\U0001f3f5\U0001f3f7\U0001f408\U0001f415\U0001f41f\U0001f426\U0001f43f\U0001f441\U0001f442"
    "\U0001f446-\U0001f449\U0001f44d\U0001f44e\U0001f453\U0001f46a\U0001f47d\U0001f4a3\U0001f4b0\U0001f4b3"
    "\U0001f4bb\U0001f4bf\U0001f4cb\U0001f4da\U0001f4df\U0001f4e4-\U0001f4e6\U0001f4ea-\U0001f4ed\U0001f4f7"
    "\U0001f4f9-\U0001f4fb\U0001f4fd\U0001f508\U0001f50d\U0001f512\U0001f513\U0001f549\U0001f54a"
    "\U0001f550-\U0001f567\U0001f56f\U0001f570\U0001f573-\U0001f579\U0001f587\U0001f58a-\U0001f58d\U0001f590"
    "\U0001f5a5\U0001f5a8\U0001f5b1\U0001f5b2\U0001f5bc\U0001f5c2-\U0001f5c4\U0001f5d1-\U0001f5d3"
    "\U0001f5dc-\U0001f5de\U0001f5e1\U0001f5e3\U0001f5e8\U0001f5ef\U0001f5f3\U0001f5fa\U0001f610\U0001f687"
    "\U0001f68d\U0001f691\U0001f694\U0001f698\U0001f6ad\U0001f6b2\U0001f6b9\U0001f6ba\U0001f6bc\U0001f6cb"
    "\U0001f6cd-\U0001f6cf\U0001f6e0-\U0001f6e5\U0001f6e9\U0001f6f0\U0001f6f3"
)
"""The characters that take a selector for their style (emoji-variation-sequences.txt of Unicode 15.0), as a class of
`re`; without the keycaps' digits, with which it shows nothing."""

COLONS = (
    "\u02d0\u02f8\u0589\u05c3\u0703-\u0709\u1361-\u1366\u16ec\u1803\u1804\u1809\u205a\u205d\u2236\u2237\u223a"
    "\u2254\u2255\u2982\u2af6\ua4fd\ua6f4\ua789\ufe13\ufe30\ufe55\uff1a\U00010781\U00010af5\U00010f88"
    "\U00012471-\U00012474\U0001da8a"
)
"""What looks like a colon, which ends a name before its message, as a class of `re`.

It has UTS 39's confusables of the colon and others with two dots, but for the visargas: these are spelling.
"""

VISARGAS = "\u0903\u0a83"
"""The visargas that UTS 39 takes for colons; before a space one could end a name."""

_COLON = re.compile(f"[{COLONS}]|[{VISARGAS}](?= )")

_UNSEEN = re.compile(f"[{IGNORABLE}\u2800\ufffc\U00013441\U00013442\U00016fe4\U0001d159]")
"""Where a name shows nothing, whatever its category says; those that follow the property are blank by design."""

_STYLED = re.compile(f"(?<=[{EMOJI_BASES}])[\ufe0e\ufe0f]")
"""The one place of a selector in a name."""

_FORBIDDEN = {"Cc": "a control character", "Cf": "an invisible format character"}
_FORBIDDEN |= {"Zl": "a line separator", "Zp": "a paragraph separator", "Cs": "half a surrogate pair"}

_FORBIDDEN_NOW = {"Cn": "an unassigned character", "Co": "a private character", "Me": "an enclosing mark"}

_INVISIBLE = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0")
"""What shows nothing and was refused from the beginning."""

MAX_MARKS = 4
"""Combining marks in a row in a name: more than any language writes, less than what covers the lines around it."""

_SCRIPTS = {
    **dict.fromkeys(
        ("CARON", "COMBINING", "DIGIT", "MASU", "MODIFIER", "PHAISTOS", "VARIATION", "VEDIC", "ZNAMENNY"), ""
    ),
    **dict.fromkeys(("HENTAIGANA", "HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA", "VERTICAL"), "KANA"),
    **dict.fromkeys(("HANGZHOU", "IDEOGRAPHIC", "VIETNAMESE"), "CJK"),
    **dict.fromkeys(("ARABIC-INDIC", "EXTENDED"), "ARABIC"),
    **dict.fromkeys(("ROMAN", "TURNED"), "LATIN"),
}
"""The scripts of letters, marks and digits whose names begin with another word; "" for what all scripts use.

The names of all others begin with their script, which `unicodedata` has no property for.
"""

_OF_TWO_WORDS = frozenset(("LINEAR", "OLD", "TAI"))
"""First words of several scripts' names."""

_OF_SCRIPTS = frozenset(("CYRILLIC", "DEVANAGARI", "GLAGOLITIC", "GRANTHA", "GREEK", "KATAKANA-HIRAGANA", "OLD"))
"""What follows COMBINING in the names of marks that belong to a script."""

_TOGETHER = tuple(frozenset(("LATIN", "CJK", each)) for each in ("KANA", "BOPOMOFO", "HANGUL"))
"""Scripts that one name may have: those that are written together (UTS 39, "highly restrictive")."""


def check_held_name(kind: str, name: str) -> str:
    """Return a room's or user's name if a store may hold it: by the rules of version 0.1.0. Any thread.

    Whether a name is new is known to the broker alone, which checks new ones by `check_name`.

    Args:
        kind: "room" or "user", for the error's text.
        name: the name.

    Raises:
        BadName: it is empty, longer than 64 characters, not in Unicode's composed form (NFC),
            contains a control, format, line or invisible character, begins or ends with white
            space, or begins with one of `/`, `@`, `#`.
    """
    shown = _shown(name)
    if not 1 <= len(name) <= MAX_CHARACTERS:
        raise BadName(f"a {kind} name has 1 to {MAX_CHARACTERS} characters, {shown} has {len(name)}")
    for character in name:
        if wrong := _wrong(character):
            raise _contains(kind, name, character, wrong)
    if not unicodedata.is_normalized("NFC", name):
        raise BadName(f"{kind} name {shown} is not in composed form; normalize it to NFC")
    if name != name.strip():
        raise BadName(f"{kind} name {shown} begins or ends with white space; leave it out")
    if name[0] in RESERVED:
        raise BadName(f"{kind} name {shown} begins with {name[0]}, which is reserved; choose another first character")
    return name


def check_name(kind: str, name: str) -> str:
    """Return a room's or user's name if it complies with the rules for new names. Any thread.

    They keep out names that look like others; see docs/design.md for what they don't keep out.

    Args:
        kind: "room" or "user", for the error's text.
        name: the name.

    Raises:
        BadName: as `check_held_name`; or it contains a character that shows nothing (one U+FE0E or U+FE0F after an
            emoji that takes it is allowed), one that is unassigned or private, an enclosing mark, more than 4
            combining marks in a row, white space other than single spaces, a compatibility form (NFKC has
            another for it), what looks like a colon, letters of several scripts (but Latin with those of Chinese,
            Japanese or Korean), digits of several systems, or a mark of another script than what it stands on.
    """
    check_held_name(kind, name)
    if name.isascii() and "  " not in name:
        return name
    marks = 0
    for character in _STYLED.sub("", name):
        category = unicodedata.category(character)
        marks = marks + 1 if category[0] == "M" else 0
        if _UNSEEN.match(character):
            raise _contains(kind, name, character, "an invisible character")
        if category in _FORBIDDEN_NOW:
            raise _contains(kind, name, character, _FORBIDDEN_NOW[category])
        if category == "Zs" and character != " ":
            raise _contains(kind, name, character, "white space other than a space")
        if marks > MAX_MARKS:
            raise BadName(
                f"{kind} name {_shown(name)} has more than {MAX_MARKS} combining marks in a row; leave some out"
            )
    if colon := _COLON.search(name):
        raise _contains(kind, name, colon[0], "what looks like a colon")
    if "  " in name:
        raise BadName(f"{kind} name {_shown(name)} has several spaces in a row; leave one")
    if not unicodedata.is_normalized("NFKC", name):
        plain = ascii(unicodedata.normalize("NFKC", name))
        raise BadName(f"{kind} name {_shown(name)} has compatibility forms; write {plain}")
    _check_scripts(kind, name)
    return name


def _check_scripts(kind: str, name: str) -> None:
    scripts, zeros, base = set(), set(), ""
    for character in name:
        category = unicodedata.category(character)
        script = _script(character)
        if category[0] != "M":
            base = script
        elif script and script != base:
            raise _contains(kind, name, character, "a mark of another script than the character before it")
        if script and (category[0] in "LM" or category in ("Nd", "Nl")):
            scripts.add(script)
        if category == "Nd":
            zeros.add(ord(character) - unicodedata.decimal(character))
    if len(scripts) > 1 and not any(scripts <= together for together in _TOGETHER):
        raise BadName(f"{kind} name {_shown(name)} mixes letters of several scripts; use those of one script")
    if len(zeros) > 1:
        raise BadName(f"{kind} name {_shown(name)} mixes digits of several scripts; use those of one script")


def _script(character: str) -> str:
    """Return the script of a letter, mark or digit; "" if it belongs to all. Of other characters it is of no use."""
    first, *others = unicodedata.name(character, "TANGUT").split()
    if first == "COMBINING" and others[0] in _OF_SCRIPTS:
        first, *others = others
    return f"{first} {others[0]}" if first in _OF_TWO_WORDS and others else _SCRIPTS.get(first, first)


def _wrong(character: str) -> str | None:
    """Return what is wrong with a character that no name may have."""
    return "an invisible character" if character in _INVISIBLE else _FORBIDDEN.get(unicodedata.category(character))


def _shown(name: str) -> str:
    return ascii(name[:MAX_CHARACTERS]) + ("" if len(name) <= MAX_CHARACTERS else "…")


def _contains(kind: str, name: str, character: str, wrong: str) -> BadName:
    return BadName(f"{kind} name {_shown(name)} contains {wrong} (U+{ord(character):04X}); leave it out")


def check_reason(reason: str) -> str:
    """Return what a moderator gives as a reason, if others can be shown it: one line, or nothing. Any thread.

    Raises:
        Malformed: it is longer than 200 characters, contains a character that no name may have, or has more than 4
            combining marks in a row.
    """
    if len(reason) > MAX_REASON:
        raise Malformed(f"a reason has at most {MAX_REASON} characters, this one has {len(reason)}: shorten it")
    marks = 0
    for character in reason:
        if wrong := _wrong(character):
            raise Malformed(f"the reason contains {wrong} (U+{ord(character):04X}): leave it out")
        marks = marks + 1 if unicodedata.category(character)[0] == "M" else 0
        if marks > MAX_MARKS:
            raise Malformed(f"the reason has more than {MAX_MARKS} combining marks in a row: leave some out")
    return reason


def direct_name(one: str, other: str) -> str:
    """Return the name of the direct room of two users, in either order. Any thread.

    It begins with `@` and contains a line feed, so that it is no user's and no other room's name.

    Raises:
        BadName: one of them breaks the rules, or they are the same user.
    """
    check_held_name("user", one)
    check_held_name("user", other)
    if fold(one) == fold(other):
        raise BadName(f"a direct room has two users, and both are {one!r}; name another user")
    return DIRECT + "\n".join(sorted((one, other), key=fold))


def direct_users(name: str) -> tuple[str, str]:
    """Return the two users of the direct room of that name, whatever their order there, in the room's own. Any thread.

    Raises:
        BadName: it is not a direct room's name.
    """
    one, line_feed, other = name.removeprefix(DIRECT).partition("\n")
    if not line_feed or not name.startswith(DIRECT):
        raise BadName(f"room name {ascii(name[: 2 * MAX_CHARACTERS])} is not a direct room's: @ and two users")
    return (one, other) if direct_name(one, other) == name else (other, one)


def wire_name(user: str, name: str) -> str:
    """Return the protocol's name of the room that `user` calls `name`. Any thread.

    Raises:
        BadName: `name` is neither a room's name nor `@` and another user's.
    """
    return direct_name(user, name[1:]) if name[:1] == DIRECT else check_held_name("room", name)


def shown_name(user: str, name: str) -> str:
    """Return the name that `user` has for the room that the protocol calls `name`. Any thread."""
    if name[:1] != DIRECT:
        return name
    one, _, other = name[1:].partition("\n")
    return DIRECT + (other if fold(one) == fold(user) else one)


def account_of(user: str) -> str:
    """Return the name under which it is counted what a user, by folded name, may have kept for good.

    All guests have one account: their names are free, as each new key is another guest.
    """
    return GUEST if user.startswith(GUEST) else user


@lru_cache(maxsize=1000)
def fold(name: str) -> str:
    """Return a name in the form that is equal for equal names, whatever their case. Any thread.

    A direct room's name may have its two users in either order.

    Raises:
        BadName: it is longer than any name; composing it would take time by the square of its length.
    """
    if len(name) <= MAX_CHARACTERS and name.isascii():  # as below, for most names there are
        folded = name.lower()
        if folded[:1] != DIRECT:
            return folded
        return DIRECT + "\n".join(sorted(folded[1:].split("\n", 1)))
    if name[:1] == DIRECT:
        return DIRECT + "\n".join(sorted(map(_fold, name[1:].split("\n", 1))))
    return _fold(name)


@lru_cache(maxsize=1000)
def room_key(name: str) -> str:
    """Return the folded name of a room, direct or not, if a store may hold its name as it is spelt. Any thread.

    Other spellings may fold to the same name: they are refused whether or not there is such a room.

    Raises:
        BadName: as `check_held_name` and `direct_users`.
    """
    if name.startswith(DIRECT):
        direct_users(name)
    else:
        check_held_name("room", name)
    return fold(name)


def is_same(one: str, other: str) -> bool:
    """Return True if two names are equal, whatever their case; what is too long is nobody's name. Any thread."""
    try:
        return fold(one) == fold(other)
    except BadName:
        return False


def _fold(name: str) -> str:
    if len(name) > MAX_CHARACTERS:
        raise BadName(f"a name has at most {MAX_CHARACTERS} characters, this one has {len(name)}")
    return unicodedata.normalize("NFC", name.casefold())
