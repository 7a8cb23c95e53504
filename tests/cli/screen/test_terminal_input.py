"""The keys of a terminal, pastes among them: whatever breaks off a paste, the keys after it are keys."""

from __future__ import annotations

import asyncio
import os
import select
import termios
import tty
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from prompt_toolkit.key_binding import KeyPress
from prompt_toolkit.keys import Keys

from tests.cli.outside import command, members, terminal
from tests.running import DEADLINE, eventually, read_now
from zchat import Client
from zchat.broker import Broker
from zchat.cli.screen import terminal_input, typed_ahead
from zchat.cli.screen.terminal_input import PASTE_BEGIN, PASTE_END, TYPED, TerminalInput
from zchat.cli.screen.typed_ahead import TypedAhead

Read = Callable[..., Awaitable[list[str]]]


def reading(read: Callable[[Read], Awaitable[None]], ahead: TypedAhead | None = None) -> None:
    """Call `read` with a function that types texts, one read each, and returns what comes, with a paste in brackets."""

    async def run() -> None:
        with terminal() as (master, slave):
            tty.setraw(slave)
            found: list[KeyPress] = []
            with os.fdopen(slave, encoding="utf-8") as stream:
                keys = TerminalInput(stream, ahead)
                ready = asyncio.Event()

                def take() -> None:
                    found.extend(keys.read_keys())
                    ready.set()

                async def typed(*texts: str, silence: bool = False) -> list[str]:
                    found.clear()
                    for text in texts:
                        ready.clear()
                        os.write(master, text.encode())
                        await asyncio.wait_for(ready.wait(), DEADLINE)
                    while silence and not found:
                        ready.clear()
                        await asyncio.wait_for(ready.wait(), DEADLINE)
                    return [f"[{key.data}]" if key.key == Keys.BracketedPaste else key.data for key in found]

                with keys.attach(take):
                    await read(typed)

    asyncio.run(run())


@pytest.fixture
def never_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal_input, "PASTE_SECONDS", 2 * DEADLINE)


@pytest.fixture
def soon_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal_input, "PASTE_SECONDS", 0.01)


@pytest.mark.usefixtures("never_silent")
def test_the_system_echoes_what_is_typed_only_while_other_programs_have_the_terminal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(terminal_input, "in_foreground", lambda descriptor: True)
    with terminal() as (_, slave), os.fdopen(slave, encoding="utf-8") as stream:

        def echoes() -> bool:
            return bool(termios.tcgetattr(slave)[3] & termios.ECHO)

        keys = TerminalInput(stream)
        assert echoes()
        with keys.raw_mode():
            for given_back in (False, True):
                keys.given_back = given_back
                with keys.cooked_mode():
                    assert echoes() is given_back
                assert not echoes()


def test_a_paste_is_one_key_however_it_comes() -> None:
    async def read(typed: Read) -> None:
        assert await typed(PASTE_BEGIN + "a\x03b" + PASTE_END + "c") == ["[a\x03b]", "c"]
        assert await typed(PASTE_BEGIN + "a", "b\x03", "c" + PASTE_END) == ["[ab\x03c]"]

    reading(read)


@pytest.mark.usefixtures("never_silent")
def test_an_interrupt_by_itself_ends_a_paste_with_what_has_come_and_is_one() -> None:
    async def read(typed: Read) -> None:
        assert await typed(PASTE_BEGIN + "half", "\x03") == ["[half]", "\x03"]
        assert await typed("q", "\x04") == ["q", "\x04"]

    reading(read)


@pytest.mark.usefixtures("soon_silent")
def test_silence_ends_a_paste_with_what_has_come() -> None:
    async def read(typed: Read) -> None:
        assert await typed(PASTE_BEGIN + "half", silence=True) == ["[half]"]
        assert await typed("q", "\r") == ["q", "\r"]
        assert await typed(PASTE_BEGIN + "whole" + PASTE_END, "q") == ["[whole]", "q"]

    reading(read)


def test_what_comes_late_of_a_paste_is_not_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal_input, "PASTE_SECONDS", 2 * DEADLINE)
    rest = "sent?\r" * TYPED

    async def read(typed: Read) -> None:
        assert await typed(PASTE_BEGIN + "half", "\x03") == ["[half]", "\x03"]
        assert await typed(rest, "end\r" + PASTE_END, "\r") == [f"[{rest}end\r]", "\r"]
        assert await typed(PASTE_BEGIN + "half", "\x03", "late\r" + PASTE_END) == ["[half]", "\x03", "[late\r]"]
        assert len(await typed("x" * 2 * TYPED)) == 2 * TYPED

    reading(read)


def test_late_answers_of_the_terminal_are_not_typed_and_escape_is_a_key_after_a_moment() -> None:
    async def read(typed: Read) -> None:
        assert await typed("a\x1b[?62;c", "\x1b]11;rgb:1e", "1e/2e\x1b", "\\b\x1b[O") == ["a", "b"]
        assert await typed("\x1b", silence=True) == ["\x1b"]
        assert await typed("\x1b[27;5;65~", "c") == ["c"]

    reading(read)


def test_while_too_many_keys_are_held_the_terminal_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(typed_ahead, "KEYS_HELD", 8)
    room, found = 0, list[str]()

    async def run() -> None:
        nonlocal room
        with terminal() as (master, slave):
            tty.setraw(slave)
            with os.fdopen(slave, encoding="utf-8") as stream:
                keys = TerminalInput(stream, TypedAhead(lambda: room))

                async def comes(text: str) -> None:
                    until = asyncio.get_running_loop().time() + DEADLINE
                    while "".join(found) != text:
                        assert asyncio.get_running_loop().time() < until, found
                        await asyncio.sleep(0.01)

                with keys.attach(lambda: found.extend(key.data for key in keys.read_keys())):
                    os.write(master, b"one\rtwo\x1b[A\rthree\r")
                    await comes("one")
                    os.write(master, b"four\x03")
                    await asyncio.sleep(3 * terminal_input.HELD_EVERY)
                    assert select.select([slave], [], [], 0)[0], "the terminal has it"
                    keys.given_back, room = True, 9
                    await asyncio.sleep(3 * terminal_input.HELD_EVERY)
                    assert found == list("one"), "other programs have the terminal"
                    keys.given_back = False
                    await comes("one\rtwo\x1b[A\rthree\rfour\x03")
                    os.write(master, b"!")
                    await comes("one\rtwo\x1b[A\rthree\rfour\x03!")

    asyncio.run(run())


def test_escape_keeps_its_place_among_what_is_held() -> None:
    room = 0

    async def read(typed: Read) -> None:
        nonlocal room
        assert await typed("one\rtwo", "\x1b") == list("one")
        await asyncio.sleep(3 * terminal_input.ESCAPE_SECONDS)
        room = 9
        assert await typed(silence=True) == ["\r", *"two", "\x1b"]

    reading(read, TypedAhead(lambda: room))


def until(master: int, text: bytes) -> bytes:
    """Return what a terminal was sent up to a text."""
    shown = b""

    def there() -> bool:
        nonlocal shown
        shown += read_now(master)
        return text in shown

    eventually(there, lambda: f"{text!r} in {shown!r}")
    return shown


@pytest.mark.parametrize("line", ["client", "top --every 0.2"])
def test_after_a_paste_that_broke_off_an_interrupt_still_ends_it(
    broker: Broker, environment: dict[str, str], line: str
) -> None:
    with terminal() as (master, slave):
        before = termios.tcgetattr(slave)
        variables = environment | {"TERM": "xterm"}
        with command(*line.split(), environment=variables, stdin=slave, stdout=slave, stderr=slave) as process:
            until(master, b"General>" if line == "client" else b"per second")
            os.write(master, f"{PASTE_BEGIN}half".encode())
            if line == "client":
                until(master, b"half")  # by its silence
                os.write(master, b"\x03")
                until(master, b"Ctrl-C again leaves")
            eventually(lambda: os.write(master, b"\x03") and process.poll() is not None, "it ends")
            assert process.wait(DEADLINE) == 130
        assert termios.tcgetattr(slave) == before
        os.close(slave)
    eventually(lambda: members(broker) == 0, "it has left")


def test_top_has_no_pastes_marked(broker: Broker, environment: dict[str, str]) -> None:
    with terminal() as (master, slave):
        variables = environment | {"TERM": "xterm"}
        with command("top", environment=variables, stdin=slave, stdout=slave, stderr=slave):
            assert b"\x1b[?2004h" not in until(master, b"per second")
        os.close(slave)


def test_bytes_that_are_no_text_are_stored_as_of_any_input_typed_or_pasted_or_from_an_earlier_chat(
    broker: Broker, environment: dict[str, str], tmp_path: Path
) -> None:
    kept = tmp_path / ".local" / "state" / "zchat" / "typed_lines"
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b'"of before: caf\\udce9"\n')
    cut, up = "😀".encode()[:3], b"\x1b[A"
    said = {
        b"caf\xe9 at 8\r": "caf\ufffd at 8",
        b"cut " + cut + b" off\r": "cut \ufffd off",
        b"\x93quoted\x94 \x9e \x9b\r": "\ufffdquoted\ufffd \ufffd \ufffd",
        up * 4 + b"\r": "of before: caf\ufffd",
        b"".join(
            (PASTE_BEGIN.encode(), b"one ", cut, b"\rtwo \x9e", PASTE_END.encode(), b"\r")
        ): "one \ufffd\ntwo \ufffd",
        b"/join caf\xe9\rthere\r": "there",
    }
    with Client(broker.url, user="bob") as client, terminal() as (master, slave):
        rooms = {"there": client.join("caf\ufffd")}
        general = client.join("General")
        variables = environment | {"TERM": "xterm"}
        with command("client", environment=variables, stdin=slave, stdout=slave, stderr=slave) as process:
            until(master, b"General>")
            for keys, body in said.items():
                os.write(master, keys)
                assert next(rooms.get(body, general).messages(timeout=DEADLINE)).body == body, keys
                until(master, b"\x1b[0m: " + body.encode().partition(b"\n")[0])
            os.write(master, b"\x04")
            assert process.wait(DEADLINE) == 0
        os.close(slave)
