"""What a hostile broker says: frames of the vectors with something wrong in them, and answers that lie."""

from __future__ import annotations

from random import Random
from typing import Any

from tests.vectors.load import value_of, vectors
from zchat.wire.blocks import join_bodies
from zchat.wire.values import pack, unpack

NASTY = "\x1b[2J\x1b]0;owned\x07\r\n[00:00:00] alice: forged\n\u202ezchat: forged\u2028\x9b31m"
"""Text that steers a terminal, hides, and begins lines of its own."""

MAX_INT = (1 << 63) - 1

DEEP = unpack(b"\x91" * 1000 + b"\xc0")
"""As many arrays in each other as MessagePack's decoder takes."""

NUMBERS = [0, 1, 2, 3, 10, 1000, 1 << 31, 1 << 32, 1 << 53, MAX_INT - 1, MAX_INT]
"""Numbers at which something may end."""

ODD: list[Any] = [
    *NUMBERS, 1 << 63, (1 << 64) - 1, -1, -(1 << 63), None, True, False, 0.0, 1.5, float("inf"), float("nan"),
    "", "x", NASTY, "General", "@alice\nbob", "@", "@\n", "@alice\nalice", "/x", "a" * 65, "a" * 5000, "e\u0301" * 40,
    b"", b"\xff" * 16, b"x" * 5000, [], [[]], [None] * 20, {}, {"a": 1}, {1: 2}, {b"x": []}, DEEP, [DEEP], {"a": DEEP},
]  # fmt: skip
"""Values of all kinds, few of them where they belong."""

BODIES: list[Any] = [
    pack(["hello"]), pack([NASTY] * 3), pack([{"a": [1]}, None, 1.5]), pack(["x"] * 1001), pack(NASTY), pack([DEEP]),
    pack([]), pack({}), b"", b"\xdd\xff\xff\xff\xff", b"\xdf\x00\x01\x00\x00", b"\x91\xa1\xff", None, 7, [DEEP],
    join_bodies([b"\x90"] * 1000), pack([["\x00"] * 60_000, {"k": b"x" * 70_000}]),
    b"\xdd\x00\x03\x00\x00" + b"\x90" * (3 << 16),
]  # fmt: skip
"""What may stand for the messages of a block."""

NOTICES = [value_of(entry["value"]) for entry in vectors("notices")]


def changed(value: Any, random: Random) -> Any:
    """Return a value with one thing in it that is another, is missing, comes several times, or is too much."""
    if not isinstance(value, list) or not value or random.random() < 0.1:
        return random.choice(ODD)
    index = random.randrange(len(value))
    before, after = value[:index], value[index + 1 :]
    match random.randrange(10):
        case 0:
            return before + after
        case 1:
            return [*before, *[value[index]] * random.choice((2, 3, 50)), *after]
        case 2:
            return [*value, random.choice(ODD)]
        case _:
            return [*before, changed(value[index], random), *after]


def damaged(frame: bytes, random: Random) -> bytes:
    """Return a frame with bytes that are others, are missing, or are too many."""
    data = bytearray(frame)
    for _ in range(random.randrange(1, 4)):
        at = random.randrange(len(data) + 1)
        data[at : at + random.randrange(4)] = random.randbytes(random.randrange(4))
    return bytes(data)


def name(random: Random) -> str:
    """Return a name that may be none."""
    if random.random() < 0.002:
        return random.choice(("b" * 5000, NASTY * 2, ""))
    return random.choice(("General", "general", "Other", NASTY[:60], "a" * 64, "@alice\nbob"))


def block(first: int, random: Random) -> list[Any]:
    """Return a block of which any part may lie."""
    user = random.choice(("bob", "bob", "bob", "alice", NASTY[:60], random.choice(ODD)))
    when = random.choice((1767225600000000, random.choice(NUMBERS)))
    return [first, when, user, b"p" * 16, random.choice(BODIES[:3] if random.random() < 0.8 else BODIES)]


def answer(word: str, fields: list[Any], random: Random) -> list[Any]:
    """Return an answer to a command that has the right shape, and may lie: `fields` are those after `request`."""
    numbers = random.choices(NUMBERS, k=8)
    here = fields[0] if fields and random.random() < 0.99 else name(random)
    more = random.random() < 0.8
    match word:
        case "hello":
            return [1, name(random), random.randrange(6), *numbers[:7], b"d" * 16]
        case "join":
            return [here, *numbers[:4], random.choice((0, 1, 3, *[5] * 60, 6)), random.random() < 0.3, 7]
        case "send":
            return [max(1, min(numbers[0], MAX_INT - 1000)), *numbers[1:3]]
        case "history":
            blocks = [block(numbers[0] + index, random) for index in range(random.randrange(5))]
            return [here, numbers[1], numbers[0], numbers[2], more, blocks]
        case "rooms":
            return [[[name(random), *numbers[:4]] for _ in range(random.choice((1, 5, 500)))], more]
        case "members":
            return [[[name(random), numbers[0], more, numbers[1]] for _ in range(random.choice((1, 5, 600)))], more]
        case "mark":
            return numbers[:1]
        case "stats":
            odd = random.choice(ODD) if random.random() < 0.05 else 7
            times = random.choice(([[1, 2], [3, 4, 5], 6], [[], [], 0], [numbers, numbers, odd]))
            return [
                {name(random): numbers[0], "uptime": random.choice((numbers[1], odd))},
                {name(random): numbers[2]},
                [[name(random), name(random), numbers[3]]],
                {"turn": times},
                [[name(random), *numbers[4:7]]],
                random.choice(({name(random): numbers[0]}, {"users": odd}, odd)),
                random.choice(([[name(random), numbers[1], {"users": numbers[2]}]], [[name(random), odd, {}]], odd)),
            ]
        case "kick" | "ban" | "mute":
            return numbers[:1]
        case "unban" | "unmute" | "close" | "open":
            return [more]
        case "sanctions":
            kinds = ("ban", "mute", "closed", NASTY, "x" * 5000)
            rows = [
                [numbers[0], random.choice((None, name(random))), name(random), random.choice(kinds), numbers[1],
                 random.choice(("bob", NASTY, "x" * 5000)), numbers[2], random.choice(("", NASTY * 100))]
                for _ in range(random.choice((1, 5, 100, 101)))
            ]  # fmt: skip
            return [rows, more]
    return []


def removal(room: str, join: int, random: Random) -> list[Any]:
    """Return the end of a membership, mostly of one that there is."""
    if random.random() < 0.2:
        room, join = random.choice((name(random), room)), random.choice(NUMBERS)
    code = random.choice(("kicked", "banned", "not_allowed", "busy", "superseded", NASTY, "x" * 5000))
    by = random.choice(("bob", "", NASTY, "x" * 5000))
    return ["removed", room, join, code, random.choice(("", "spam", NASTY * 100)), by, random.choice(NUMBERS)]


def refusal(request: int | None, random: Random) -> list[Any]:
    """Return the refusal of a request, or of none."""
    codes = ("busy", "out_of_order", "forgotten", "closing", "store_failed", "bad_block", NASTY, "x" * 5000)
    text = random.choice((NASTY, "x" * (1 << 20), "no"))
    detail = random.choice((None, 0, 1, 2, 1 << 62, *NUMBERS))
    return ["error", request, random.choice(codes), text, random.random() < 0.5, detail]


def notification(room: str, after: int, random: Random) -> list[Any]:
    """Return a notification of a room that follows after a seq, as a rule."""
    after = after if random.random() < 0.98 else random.choice(NUMBERS)
    upto = min(MAX_INT, after + random.choice((1, 1, 3, 1000, 1 << 40)))
    upto = upto if random.random() < 0.98 else random.choice(NUMBERS)
    if random.random() < 0.2:
        return ["gap", room, 7, after, upto, random.choice(("trimmed", "reset", NASTY * 100))]
    first = random.choice((after, after + 1, after + 1, upto, 0))
    return ["push", room, 7, after, upto, [block(first + index, random) for index in range(random.randrange(4))]]


def state(room: str, random: Random) -> list[Any]:
    """Return news of who is in a room."""
    names = [f"user {random.randrange(100_000)}" for _ in range(random.choice((1, 3, 1000)))]
    names.append(name(random) if random.random() < 0.1 else "bob")
    people = [[each, random.choice(NUMBERS), random.random() < 0.5, random.choice(NUMBERS)] for each in names]
    everyone = None if random.random() < 0.1 else people
    return ["state", 1, [[room, random.random() < 0.3, random.choice(NUMBERS), everyone, 3, 3]], []]
