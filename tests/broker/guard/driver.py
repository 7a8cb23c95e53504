"""Files of rules: made at random, printed in many layouts, and judged by the letter of docs/rules.md."""

from __future__ import annotations

import json
import re
from typing import Any

from hypothesis import strategies as st

USERS = ("alice", "bob", "carol", "Straße", "guest-1a2b3c4d")
"""Users, the last of them a guest."""

NAMED = (*USERS[:-1], "ALICE", "strasse")
"""Users as a file may spell them."""

ROOMS = ("ops", "ops-db", "OPS-web", "General", "Straßen", "a[b]", "*", "x")
"""Rooms, some of whose names have what means something in a pattern."""

NAMES = ("ops", "ops-*", "OPS-?b", "*-*", "general", "STRASSEN", "a[b]", "?", "x", "*s*", "*")
"""Names in tables."""

RIGHTS = ("see", "join", "read", "send", "members")
NEEDED = {"see": (), "join": ("see",), "read": ("see", "join"), "send": ("see", "join"), "members": ("see", "join")}
NEEDED["create"] = ("see",)
DEFAULTS = {"join": "see", "read": "join", "send": "join", "members": "join"}

users = st.lists(st.sampled_from(NAMED), max_size=3)
groups = st.dictionaries(st.sampled_from(("staff", "bots", "with space")), users, min_size=1)


@st.composite
def files(draw: st.DrawFn) -> dict[str, Any]:
    """Draw a file's value; its tables' names may be out of reach."""
    value: dict[str, Any] = {"groups": draw(groups)}
    some = st.lists(st.sampled_from((*NAMED, *(f"@{name}" for name in value["groups"]))), max_size=3)
    lists = some | st.sampled_from((["everybody"], ["nobody"]))
    for key, kind in {"operators": some, "stats": lists, "makers_own": st.booleans()}.items():
        if draw(st.booleans()):
            value[key] = draw(kind)
    value["rooms"] = []
    for _ in range(draw(st.integers(0, 3))):
        table: dict[str, Any] = {"names": draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=3))}
        for key in (*RIGHTS, "create"):
            if draw(st.booleans()):
                table[key] = draw(lists)
        if draw(st.booleans()):
            table["owners"] = draw(some)
        if draw(st.booleans()):
            given = draw(st.sets(st.sampled_from(RIGHTS)))
            table["guests"] = [key for key in RIGHTS if key in {*given, *(each for it in given for each in NEEDED[it])}]
        if draw(st.booleans()):
            table["rate"] = {"messages": draw(st.integers(0, 50)), "bytes": draw(st.sampled_from((0, 7, "1 MiB")))}
        value["rooms"].append(table)
    if draw(st.booleans()):
        value["direct"] = {"allow": draw(lists)}
    return value


@st.composite
def printed(draw: st.DrawFn, value: dict[str, Any]) -> tuple[str, dict[tuple[str | int, ...], int]]:
    """Draw a text that has a value, and for what is in it the line in which it stands."""
    lines: list[str] = []
    places: dict[tuple[str | int, ...], int] = {}

    def put(path: tuple[str | int, ...], key: str, each: Any) -> None:
        while draw(st.integers(0, 3)) == 3:
            lines.append(draw(st.sampled_from(("", "# [[rooms]] ]", "  "))))
        places[*path, key] = len(lines) + 1
        name = key if re.fullmatch(r"[\w-]+", key, re.ASCII) else json.dumps(key)
        if isinstance(each, list) and each and draw(st.booleans()):
            lines.append(f"{name} = [  # ]")
            for index, one in enumerate(each):
                places[*path, key, index] = len(lines) + 1
                lines.append(f"    {text_of(one)},{draw(st.sampled_from(('', ' # ]', ' # [')))}")
            lines.append("]")
        else:
            if isinstance(each, list):
                places.update({(*path, key, index): len(lines) + 1 for index in range(len(each))})
            lines.append(f"{name} = {text_of(each)}")

    for key, each in value.items():
        if not isinstance(each, dict) and key != "rooms":
            put((), key, each)
    for key, each in value.items():
        if isinstance(each, dict):
            places[(key,)] = len(lines) + 1
            lines.append(f"[{key}]")
            for name, one in each.items():
                put((key,), name, one)
    for index, table in enumerate(value.get("rooms", [])):
        places["rooms", index] = len(lines) + 1
        lines.append(draw(st.sampled_from(("[[rooms]]", " [[ rooms ]] # x"))))
        rate = table.get("rate") if draw(st.booleans()) else None
        for name, one in table.items():
            if rate is None or name != "rate":
                put(("rooms", index), name, one)
        if rate is not None:
            places["rooms", index, "rate"] = len(lines) + 1
            lines.append("[rooms.rate]")
            for name, one in rate.items():
                put(("rooms", index, "rate"), name, one)
    return draw(st.sampled_from(("\n", "\r\n"))).join(lines), places


def text_of(value: Any) -> str:
    """Return a value in TOML, in one line."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {text_of(each)}" for key, each in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(text_of, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def same(one: str, other: str) -> bool:
    return one.casefold() == other.casefold()


def fits(pattern: str, name: str) -> bool:
    """Return whether a name fits a pattern, letter by letter."""
    if not pattern:
        return not name
    if pattern[0] == "*":
        return fits(pattern[1:], name) or (bool(name) and fits(pattern, name[1:]))
    return bool(name) and pattern[0] in ("?", name[0]) and fits(pattern[1:], name[1:])


def judged(value: dict[str, Any], user: str, room: str, *, made: bool) -> set[str]:
    """Return what a user may do in a room, not a direct one, as the page tells it."""

    def named(names: list[str]) -> bool:
        return any(
            any(same(user, each) for each in value["groups"][name[1:]]) if name[0] == "@" else same(user, name)
            for name in names
        )

    def has(names: list[str]) -> bool:
        return names == ["everybody"] or (names != ["nobody"] and named(names))

    folded = room.casefold()
    found = (each for each in value["rooms"] if any(fits(name.casefold(), folded) for name in each["names"]))
    table: dict[str, Any] = next(found, {})
    guest = user.startswith("guest-")
    everything = {*RIGHTS, "create", "moderate"}
    if named(value.get("operators", [])) or named(table.get("owners", [])):
        return everything
    if made and value.get("makers_own", True) and not guest:
        return everything
    listed = {"see": table.get("see", ["everybody"])}
    for right in RIGHTS[1:]:
        listed[right] = table.get(right, listed[DEFAULTS[right]])
    if guest:
        given = {right for right in table.get("guests", []) if listed[right] == ["everybody"]}
    else:
        given = {right for right in listed if has(listed[right])}
        if has(table["create"]) if "create" in table else len(given) == len(listed):
            given.add("create")
    return {right for right in given if all(each in given for each in NEEDED[right])}
