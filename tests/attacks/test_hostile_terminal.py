"""What the command shows of a hostile broker: no control character reaches the terminal, and no line is forged."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.attacks.hostile import HONEST, Hostile, Visitor, broker
from tests.attacks.lies import DEEP, MAX_INT, NASTY
from tests.running import DEADLINE, ROOT, ZCHAT, eventually, read_now, read_to_the_end
from zchat.wire.values import pack

NAME = NASTY[:60]
BODIES: list[Any] = [
    NASTY,
    f"/me {NASTY}",
    DEEP,
    {"a": DEEP},
    {1: 2, NASTY: NASTY},
    "x" * 100_000,
    NASTY * 500,
    b"\x1b[2J",
]
LAST = "the last message"
TIMES = (MAX_INT, 0, 1767225600000000, 1 << 61)
LEFT_OUT = ("ZCHAT_", "LC_", "XDG_", "COVERAGE_")
"""Variables that the command doesn't get: coverage's own lock is held for ever if a signal comes within."""

FORGED = ("[00:00:00] alice: forged", "zchat: forged")


def push(visitor: Visitor, command: list[Any]) -> None:
    """Answer a join, and say everything that there is to say in a room."""
    room = command[2]
    visitor.answer(command, *HONEST["join"](command))
    visitor.say("state", 1, [[room, True, MAX_INT, [[NAME, MAX_INT, True, MAX_INT], ["", 1, True, 1]], 0, 0]], [])
    for seq, body in enumerate([*BODIES, LAST]):
        blocks = [[seq + 1, TIMES[seq % 4], NAME if seq % 2 else "bob", b"p" * 16, pack([body])]]
        visitor.say("push", room, 7, seq, seq + 1, blocks)
    visitor.say("state", 2, [[room, False, 3, [[NAME, 0, False, 0]], 0, 0]], [])
    visitor.say("state", 3, [[room, True, MAX_INT, None, MAX_INT, MAX_INT]], [])


def refuse(visitor: Visitor, command: list[Any]) -> None:
    """Refuse a request with a long text that steers."""
    visitor.say("error", command[1], NASTY, NASTY * 10_000, False, None)


ROOMS = [[[NAME, MAX_INT, 0, MAX_INT, MAX_INT], ["", 0, MAX_INT, 0, None], ["@alice\n" + NAME, 1, 1, 1, 1]], False]
PEOPLE = [[[NAME, MAX_INT, True, MAX_INT], ["", 0, False, 0], ["a" * 64, 1 << 61, False, 1]], False]
FIGURES = [
    {NAME: MAX_INT, "uptime": MAX_INT, "interval": 0, "started": MAX_INT, "sessions": MAX_INT},
    {NAME: MAX_INT},
    [[NAME, NAME, MAX_INT]],
    {NAME: [[], [], 0], "turn": [[1], [MAX_INT, MAX_INT], MAX_INT], "commit": [[MAX_INT], [MAX_INT, 5], MAX_INT]},
    [[NAME, MAX_INT, MAX_INT, MAX_INT]],
    {NAME: MAX_INT},
    [[NAME, MAX_INT, {NAME: MAX_INT, "users": MAX_INT}]],
]


@pytest.fixture
def liar() -> Iterator[Hostile]:
    """Give a broker that lies about everything in the right shape."""
    answers = {"rooms": ROOMS, "members": PEOPLE, "stats": FIGURES}
    with broker(
        join=push,
        **{
            word: lambda visitor, command, result=result: visitor.answer(command, *result)
            for word, result in answers.items()
        },
    ) as hostile:
        yield hostile


@pytest.fixture
def refuser() -> Iterator[Hostile]:
    """Give a broker that refuses everything but the greeting."""
    with broker(**dict.fromkeys(("join", "history", "rooms", "members", "stats"), refuse)) as hostile:
        yield hostile


def started(hostile: Hostile, home: Path, *arguments: str, **streams: Any) -> subprocess.Popen[bytes]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(LEFT_OUT)}
    environment = kept | {
        "ZCHAT_URL": hostile.url,
        "ZCHAT_USER": "alice",
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "TERM": "xterm",
    }
    return subprocess.Popen(
        [*ZCHAT, *arguments], env=environment | {"PYTHONPATH": str(ROOT)}, start_new_session=True, **streams
    )


def check(text: str) -> None:
    """Fail unless text is harmless to a terminal, and has no line that the broker has made."""
    assert not {each for each in text if not each.isprintable() and each != "\n"}
    assert "Traceback" not in text
    assert not [line for line in text.split("\n") if line.startswith(FORGED)]


READS = [
    ["tail", "General", "-f"],
    ["tail", "General", "-f", "--json"],
    ["client", "General"],
    ["send", "General", "hello"],
    ["rooms"],
    ["members", "General"],
    ["stats", "--explain"],
    ["stats", "--all"],
    ["top", "-n", "1"],
]


def test_whatever_a_broker_sends_is_shown_harmlessly(liar: Hostile, tmp_path: Path) -> None:
    pipe = subprocess.PIPE
    running = [started(liar, tmp_path, *each, stdin=pipe, stdout=pipe, stderr=subprocess.STDOUT) for each in READS]
    for arguments, process in zip(READS, running, strict=True):
        assert process.stdin
        assert process.stdout
        shown = b""
        if arguments[0] == "client":
            process.stdin.write(b"/list\n/who\n/members\n")
            process.stdin.flush()
        if arguments[0] in ("tail", "client"):
            while LAST.encode() not in shown:
                line = process.stdout.readline()
                assert line, (arguments, shown[-500:])
                shown += line
            process.send_signal(signal.SIGTERM)
        rest, _ = process.communicate(timeout=DEADLINE)
        text = (shown + rest).decode()
        check(text)
        assert text or arguments[0] == "send", arguments


def test_whatever_a_broker_refuses_is_one_short_line(refuser: Hostile, tmp_path: Path) -> None:
    pipe = subprocess.PIPE
    commands = [each for each in READS if each[0] in ("send", "rooms", "stats", "top", "client")]
    running = [started(refuser, tmp_path, *each, stdin=pipe, stdout=pipe, stderr=pipe) for each in commands]
    for process in running:
        _, errors = process.communicate(timeout=DEADLINE)
        assert process.returncode == 1
        check(errors.decode())
        assert errors.count(b"\n") == 1
        assert len(errors.decode()) < 1_100


def test_nothing_of_it_steers_the_terminal_of_a_chat(liar: Hostile, tmp_path: Path) -> None:
    mine, its = pty.openpty()
    process = started(liar, tmp_path, "client", "General", "--all-rooms", stdin=its, stdout=its, stderr=its)
    os.close(its)
    shown = b""

    def there() -> bool:
        nonlocal shown
        shown += read_now(mine)
        return LAST.encode() in shown

    eventually(there, lambda: f"the last line is in {shown!r}")
    os.killpg(process.pid, signal.SIGTERM)
    shown += read_to_the_end(mine)
    process.wait(DEADLINE)
    os.close(mine)
    text = shown.decode()
    for each in ("\x1b]0;", "\x07", "\u202e", "\u2028", "\x9b"):
        assert each not in text
    assert "Traceback" not in text
