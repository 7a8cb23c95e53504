"""The rules for the names of rooms and users."""

from __future__ import annotations

import unicodedata

from zchat.errors import BadName

MAX_CHARACTERS = 64
"""Long enough for any name that a person reads, short enough for a prompt."""

RESERVED = "/@#"
"""First characters that mean commands, people and rooms where names are typed."""

DIRECT = "@"
"""What the name of a direct room begins with."""

_FORBIDDEN = {"Cc": "a control character", "Cf": "an invisible format character"}
_FORBIDDEN |= {"Zl": "a line separator", "Zp": "a paragraph separator", "Cs": "half a surrogate pair"}

_INVISIBLE = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0")
"""Letters, marks and a symbol that are invisible, whatever their category says: a name with them looks like another."""


def check_name(kind: str, name: str) -> str:
    """Return a room's or user's name if it complies with the rules. Any thread.

    Args:
        kind: "room" or "user", for the error's text.
        name: the name.

    Raises:
        BadName: it is empty, longer than 64 characters, not in Unicode's composed form (NFC),
            contains a control, format, line or invisible character, begins or ends with white
            space, or begins with one of `/`, `@`, `#`.
    """
    shown = ascii(name[:MAX_CHARACTERS]) + ("" if len(name) <= MAX_CHARACTERS else "…")
    if not 1 <= len(name) <= MAX_CHARACTERS:
        raise BadName(f"a {kind} name has 1 to {MAX_CHARACTERS} characters, {shown} has {len(name)}")
    for character in name:
        wrong = "an invisible character" if character in _INVISIBLE else _FORBIDDEN.get(unicodedata.category(character))
        if wrong:
            raise BadName(f"{kind} name {shown} contains {wrong} (U+{ord(character):04X}); leave it out")
    if not unicodedata.is_normalized("NFC", name):
        raise BadName(f"{kind} name {shown} is not in composed form; normalize it to NFC")
    if name != name.strip():
        raise BadName(f"{kind} name {shown} begins or ends with white space; leave it out")
    if name[0] in RESERVED:
        raise BadName(f"{kind} name {shown} begins with {name[0]}, which is reserved; choose another first character")
    return name


def direct_name(one: str, other: str) -> str:
    """Return the name of the direct room of two users, in either order. Any thread.

    It begins with `@` and contains a line feed, so that it is no user's and no other room's name.

    Raises:
        BadName: one of them breaks the rules, or they are the same user.
    """
    check_name("user", one)
    check_name("user", other)
    if fold(one) == fold(other):
        raise BadName(f"a direct room has two users, and both are {one!r}; name another user")
    return DIRECT + "\n".join(sorted((one, other), key=fold))


def direct_users(name: str) -> tuple[str, str]:
    """Return the two users of the direct room of that name, as they are written there. Any thread.

    Raises:
        BadName: it is not a direct room's name.
    """
    one, line_feed, other = name.removeprefix(DIRECT).partition("\n")
    if not line_feed or not name.startswith(DIRECT) or direct_name(one, other) != name:
        raise BadName(
            f"room name {ascii(name[: 2 * MAX_CHARACTERS])} is not a direct room's: @ and two users, in order"
        )
    return one, other


def wire_name(user: str, name: str) -> str:
    """Return the protocol's name of the room that `user` calls `name`. Any thread.

    Raises:
        BadName: `name` is neither a room's name nor `@` and another user's.
    """
    return direct_name(user, name[1:]) if name[:1] == DIRECT else check_name("room", name)


def shown_name(user: str, name: str) -> str:
    """Return the name that `user` has for the room that the protocol calls `name`. Any thread."""
    if name[:1] != DIRECT:
        return name
    one, _, other = name[1:].partition("\n")
    return DIRECT + (other if fold(one) == fold(user) else one)


def fold(name: str) -> str:
    """Return a name in the form that is equal for equal names, whatever their case. Any thread.

    Raises:
        BadName: it is longer than any name; composing it would take time by the square of its length.
    """
    if len(name) <= MAX_CHARACTERS and name.isascii():  # as below, for most names there are
        return name.lower()
    if name[:1] == DIRECT:
        return DIRECT + "\n".join(map(_fold, name[1:].split("\n", 1)))
    return _fold(name)


def _fold(name: str) -> str:
    if len(name) > MAX_CHARACTERS:
        raise BadName(f"a name has at most {MAX_CHARACTERS} characters, this one has {len(name)}")
    return unicodedata.normalize("NFC", name.casefold())
