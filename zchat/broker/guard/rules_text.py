"""Rules as text: a file in TOML, in which whatever is wrong is reported by its line."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any

from zchat.broker.guard.rules import NOBODY, Rate, Rules, Table, Users, pattern_of
from zchat.broker.guard.toml_lines import Path, TomlLines
from zchat.broker.limits import RULES_NAMES
from zchat.checks import shown
from zchat.errors import BadName, BadRules
from zchat.names import GUEST, check_held_name, fold
from zchat.wire.commands import Right
from zchat.wire.limits import MAX_BLOCK_BYTES

RIGHTS = {"see": Right.SEE, "join": Right.JOIN, "read": Right.READ, "send": Right.SEND, "members": Right.MEMBERS}
"""The rights that a table can give, each by its key; one whose key is left out has the users of that in `_FROM`."""

MAX_RATE = 1_000_000_000
"""Messages a second: more than any broker stores."""

MAX_RATE_BYTES = 1 << 40
"""The same in bytes."""

MAX_MEMBERS = 1_000_000
"""Members of a room: more than a broker has sessions."""

_FROM = {"join": "see", "read": "join", "send": "join", "members": "join"}
"""Where a right's users come from if its key is left out."""

_UNITS = {"": 1, "B": 1, "KIB": 1 << 10, "MIB": 1 << 20, "GIB": 1 << 30}

_SIZE = re.compile(r"(\d{1,12}) ?([KMG]iB|B)?", re.IGNORECASE | re.ASCII)

_LONG_NUMBER = re.compile(r"[0-9_]{4300}")

_PLACE = re.compile(r" \(at line (\d+), column \d+\)$")

_FILE = ("operators", "stats", "makers_own", "groups", "limits", "rooms", "direct")
_TABLE = ("names", *RIGHTS, "create", "owners", "guests", "rate", "most", "max_message")
_RATE = ("messages", "bytes")
_DIRECT = ("allow",)


def parse(text: str) -> Rules:
    """Return the rules that a file's text has.

    Raises:
        BadRules: it is no TOML, or says what rules can't say; the text names the line.
    """
    try:
        value = tomllib.loads(text)
        lines = TomlLines(text)
    except RecursionError as error:
        rows = text.split("\n")
        line = 1 + rows.index(max(rows, key=len))  # most likely: the longest
        raise BadRules(f"line {line}: keys or values are nested too deeply") from error
    except ValueError as error:  # a number of too many digits is no error of TOML's
        message = str(error)
        place = _PLACE.search(message)
        number = None if isinstance(error, tomllib.TOMLDecodeError) else _LONG_NUMBER.search(text)
        before = text[: number.start()] if number else text.rstrip()
        line = int(place[1]) if place else 1 + before.count("\n")
        raise BadRules(f"line {line}: {message.partition(' (at ')[0].partition(';')[0]}") from error
    try:
        return _Reader(value, lines).rules()
    except _Wrong as wrong:
        raise BadRules(f"line {lines.of(wrong.path)}: {wrong}") from wrong


class _Wrong(Exception):
    """What is wrong, and where."""

    def __init__(self, path: Path, text: str) -> None:
        super().__init__(text)
        self.path = path


class _Reader:
    """The values of a file on their way to rules."""

    def __init__(self, value: dict[str, Any], lines: TomlLines) -> None:
        self._value = value
        self._lines = lines
        self._groups: dict[str, frozenset[str]] = {}

    def rules(self) -> Rules:
        value = self._value
        _check_keys((), value, _FILE)
        groups = _table(("groups",), value.get("groups", {}))
        for name, users in groups.items():
            if not name or name != name.strip() or name.startswith("@"):
                raise _Wrong(("groups", name), f"{shown(name)} is no name of a group; in a list it stands as @NAME")
            self._groups[name] = self._group(("groups", name), users)
        direct = _table(("direct",), value.get("direct", {}))
        _check_keys(("direct",), direct, _DIRECT)
        operators = self._named(("operators",), value.get("operators", []))
        stats = self._users(("stats",), value.get("stats", []))
        makers_own = value.get("makers_own", True)
        if not isinstance(makers_own, bool):
            raise _Wrong(("makers_own",), f"makers_own is true or false, not {shown(makers_own)}")
        rooms = value.get("rooms", [])
        if not isinstance(rooms, list) or not all(isinstance(each, dict) for each in rooms):
            raise _Wrong(("rooms",), "rooms are tables, each of which begins with [[rooms]]")
        tables: list[Table] = []
        before = _Covered()
        for index, each in enumerate(rooms):
            table = self._rooms(("rooms", index), each, before)
            before.add(table.names, table.line)
            tables.append(table)
        return Rules(
            tuple(tables),
            operators=operators,
            stats=stats,
            direct=self._users(("direct", "allow"), direct.get("allow", ["everybody"])),
            makers_own=makers_own,
            limits=_rate(("limits",), value.get("limits", {})),
        )

    def _rooms(self, path: Path, value: dict[str, Any], before: _Covered) -> Table:
        _check_keys(path, value, _TABLE)
        if "names" not in value:
            raise _Wrong(path, 'a table of rooms has names, such as names = ["ops-*"]')
        users: dict[str, Users] = {"see": None}
        for key in RIGHTS:
            if key in value:
                users[key] = self._users((*path, key), value[key])
            elif key in _FROM:
                users[key] = users[_FROM[key]]
        users["create"] = self._users((*path, "create"), value["create"]) if "create" in value else _all_of(users)
        return Table(
            _names((*path, "names"), value["names"], before),
            self._lines.of(path),
            **users,
            owners=self._named((*path, "owners"), value.get("owners", [])),
            guests=_guests((*path, "guests"), value.get("guests", [])),
            rate=_rate((*path, "rate"), value.get("rate", {})),
            most=_number((*path, "most"), value.get("most", 0), MAX_MEMBERS),
            max_message=_size((*path, "max_message"), value.get("max_message", 0), MAX_BLOCK_BYTES),
        )

    def _group(self, path: Path, value: Any) -> frozenset[str]:
        return frozenset(_user((*path, index), name) for index, name in _texts(path, value))

    def _users(self, path: Path, value: Any) -> Users:
        """Return the users that a list names; None for everybody."""
        users: set[str] = set()
        listed = _texts(path, value)
        for index, name in listed:
            if name in ("everybody", "nobody"):
                if len(listed) > 1:
                    raise _Wrong((*path, index), f"{name!r} stands alone in a list")
                return None if name == "everybody" else NOBODY
            if not name.startswith("@"):
                users.add(_user((*path, index), name))
            elif name[1:] in self._groups:
                users |= self._groups[name[1:]]
            else:
                hint = _nearest(name[1:], self._groups)
                raise _Wrong((*path, index), f"there is no group {shown(name[1:])} under [groups]{hint}")
        return frozenset(users)

    def _named(self, path: Path, value: Any) -> frozenset[str]:
        """Return the users that a list names, which can't be everybody."""
        users = self._users(path, value)
        if users is None:
            raise _Wrong(path, f"{path[-1]} are users and groups, not everybody")
        return users


def _all_of(lists: Mapping[str, Users]) -> Users:
    """Return the users who are in all of some lists."""
    named = [users for users in lists.values() if users is not None]
    return frozenset.intersection(*named) if named else None


def _check_keys(path: Path, value: Any, known: tuple[str, ...]) -> None:
    for key in _table(path, value):
        if key not in known:
            raise _Wrong((*path, key), f"there is no key {shown(key)} here{_nearest(key, known)}")


def _nearest(word: str, known: Iterable[str]) -> str:
    near = get_close_matches(word, known, 1)
    return f"; did you mean {near[0]!r}?" if near else ""


def _table(path: Path, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _Wrong(path, f"{path[-1]} is a table of keys and values, not {shown(value)}")
    return value


def _texts(path: Path, value: Any) -> list[tuple[int, str]]:
    """Return the texts of a list with their indices."""
    if not isinstance(value, list):
        raise _Wrong(path, f'{path[-1]} is a list of names in quotation marks, such as ["alice"], not {shown(value)}')
    for index, each in enumerate(value):
        if not isinstance(each, str):
            raise _Wrong((*path, index), f"{path[-1]} has names in quotation marks, not {shown(each)}")
    return list(enumerate(value))


def _user(path: Path, name: str) -> str:
    """Return a user's name, folded."""
    if name.startswith("@"):
        raise _Wrong(path, f"a group has users, not other groups: {shown(name)}")
    try:
        folded = fold(check_held_name("user", name))
    except BadName as error:
        raise _Wrong(path, str(error)) from error
    if folded.startswith(GUEST):
        raise _Wrong(path, f"{shown(name)} is a guest's name; what all guests may is guests = [ ] of a table")
    return folded


def _names(path: Path, value: Any, before: _Covered) -> tuple[str, ...]:
    """Return the names of a table's rooms, each of which a room can have that no table before names."""
    names: list[str] = []
    for index, name in _texts(path, value):
        place = (*path, index)
        try:
            check_held_name("room", re.sub(r"[*?]", "x", name))
        except BadName as error:
            direct = "; [direct] is about direct rooms" if name.startswith("@") else ""
            raise _Wrong(place, f"{error}{direct}") from error
        names.append(fold(name))
        if line := before.line(names[-1]):
            raise _Wrong(place, f"{shown(name)} is never reached: the table in line {line} comes first")
        if before.count + len(names) > RULES_NAMES:
            raise _Wrong(place, f"there are more than {RULES_NAMES:,} names of rooms, the most that rules may have")
    if not names:
        raise _Wrong(path, 'names is empty; name rooms, or all others with "*"')
    return tuple(names)


class _Covered:
    """The names of tables that come first, and which of them leave nothing of another."""

    def __init__(self) -> None:
        self.count = 0
        """Their number."""
        self._by_prefixes: dict[str, list[tuple[re.Pattern[str], int]]] = {}  # by what stands before a wildcard

    def add(self, names: Iterable[str], line: int) -> None:
        """Add the names of the table in a line."""
        for name in names:
            self.count += 1
            self._by_prefixes.setdefault(_prefix(name), []).append((re.compile(pattern_of((name,))), line))

    def line(self, name: str) -> int:
        """Return the line of a table of which a single name fits each room that `name` fits; 0 if there is none.

        A name fits whatever another fits if it fits the shortest of that and the one in which each wildcard stands for
        letters that no name has. It begins with no more than the other does, then.
        """
        shortest = name.replace("*", "").replace("?", "\0")
        longest = name.replace("*", "\0" * 100).replace("?", "\0")
        prefix = _prefix(name)
        for end in range(len(prefix) + 1):
            for pattern, line in self._by_prefixes.get(prefix[:end], ()):
                if pattern.match(shortest) and pattern.match(longest):
                    return line
        return 0


def _prefix(name: str) -> str:
    return re.split(r"[*?]", name, maxsplit=1)[0]


def _guests(path: Path, value: Any) -> int:
    """Return the rights that a list names."""
    rights = int(Right.NOTHING)
    for index, name in _texts(path, value):
        if name not in RIGHTS:
            raise _Wrong((*path, index), f"guests have rights of {', '.join(RIGHTS)}, not {shown(name)}")
        rights |= RIGHTS[name]
    for key, right in RIGHTS.items():
        needed = _FROM.get(key, "")
        if rights & right and needed and not rights & RIGHTS[needed]:
            raise _Wrong(path, f"guests who may {key} have to be given {needed!r} too")
    return rights


def _rate(path: Path, value: Any) -> Rate:
    _check_keys(path, value, _RATE)
    return Rate(
        _number((*path, "messages"), value.get("messages", 0), MAX_RATE),
        _size((*path, "bytes"), value.get("bytes", 0), MAX_RATE_BYTES),
    )


def _number(path: Path, value: Any, most: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
        raise _Wrong(path, f"{path[-1]} is a number from 0, which is for none, to {most:,}, not {shown(value)}")
    return value


def _size(path: Path, value: Any, most: int) -> int:
    if isinstance(value, str) and (found := _SIZE.fullmatch(value)):
        value = int(found[1]) * _UNITS[(found[2] or "").upper()]
    if isinstance(value, str):
        raise _Wrong(path, f'{path[-1]} is a number of bytes or a size such as "16 MiB", not {shown(value)}')
    return _number(path, value, most)
