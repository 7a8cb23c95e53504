"""The keys of a terminal, pastes among them: whatever breaks off a paste, the keys after it are keys."""

from __future__ import annotations

import asyncio
import os
import select
import termios
import time
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
from zchat.cli.screen.late_paste import PASTE_BEGIN, PASTE_END
from zchat.cli.screen.terminal_input import TerminalInput
from zchat.cli.screen.typed_ahead import TypedAhead

Read = Callable[..., Awaitable[list[str]]]


def reading(
    read: Callable[[Read], Awaitable[None]],
    ahead: TypedAhead | None = None,
    asked: Callable[[], bool] = lambda: False,
) -> None:
    """Call `read` with a function that types texts, one read each, and returns what comes, with a paste in brackets.

    With `silence` it then waits for the first that comes, with `count` for so many, with `pause` so long after each.
    """

    async def run() -> None:
        with terminal() as (master, slave):
            tty.setraw(slave)
            found: list[KeyPress] = []
            with os.fdopen(slave, encoding="utf-8") as stream:
                keys = TerminalInput(stream, ahead, asked)
                ready = asyncio.Event()

                def take() -> None:
                    found.extend(keys.read_keys())
                    ready.set()

                async def typed(*texts: str, silence: bool = False, count: int = 1, pause: float = 0) -> list[str]:
                    found.clear()
                    for text in texts:
                        ready.clear()
                        os.write(master, text.encode())
                        await asyncio.wait_for(ready.wait(), DEADLINE)
                        if pause:
                            await asyncio.sleep(pause)
                            found.extend(keys.flush_keys())
                    while silence and len(found) < count:
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
    for name in ("PASTE_SECONDS", "ALONE_SECONDS", "ESCAPE_SECONDS"):
        monkeypatch.setattr(terminal_input, name, 0.01)


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


def test_an_end_of_input_that_was_typed_before_the_terminal_gave_each_key_is_one() -> None:
    """Linux makes a NUL of it: a chat whose input had ended by then stayed for ever."""
    with terminal() as (master, slave), os.fdopen(slave, encoding="utf-8") as stream:
        os.write(master, b"hello\n\x04")
        eventually(lambda: select.select([slave], [], [], 0)[0], "it has come")
        keys = TerminalInput(stream)

        async def read() -> list[str]:
            with keys.raw_mode():
                found = [key.data for key in keys.read_keys()]
                os.write(master, b"\0")  # Ctrl-Space, now
                eventually(lambda: select.select([slave], [], [], 0)[0], "it has come")
                return [*found, *(key.data for key in keys.read_keys())]

        assert asyncio.run(read()) == [*"hello\n", "\x04", "\0"]


def test_a_chat_whose_input_has_ended_before_it_began_sends_what_came_and_ends(
    broker: Broker, environment: dict[str, str]
) -> None:
    with (
        terminal() as (master, slave),
        command("client", environment=environment | {"TERM": "xterm"}, stdin=slave, stdout=slave, stderr=slave) as chat,
    ):
        os.write(master, b"hello\n\x04")
        assert chat.wait(DEADLINE) == 0
        with Client(broker.url, user="bob") as bob:
            assert [message.body for message in bob.history("General")] == ["hello"]


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
        assert await typed("q", "\r", silence=True, count=2) == ["q", "\r"]
        assert await typed(PASTE_BEGIN + "whole" + PASTE_END, "q") == ["[whole]", "q"]

    reading(read)


def test_what_comes_late_of_a_paste_is_not_typed(never_silent: None) -> None:
    rest = "sent?\r" * 64

    async def read(typed: Read) -> None:
        assert await typed(PASTE_BEGIN + "half", "\x03") == ["[half]", "\x03"]
        assert await typed(rest, "end\r" + PASTE_END, "\r") == [f"[{rest}end\r]", "\r"]
        assert await typed(PASTE_BEGIN + "half", "\x03", "late\r" + PASTE_END) == ["[half]", "\x03", "[late\r]"]
        assert len(await typed("x" * 100)) == 100

    reading(read)


@pytest.mark.parametrize("asked", [False, True])
@pytest.mark.parametrize(
    "text",
    [
        f"{PASTE_BEGIN}aaa\rbbb\r|ccc\rddd\r|eee{PASTE_END}",
        f"{PASTE_BEGIN}aaa\rbbb|\rccc\r|\r\rddd\x1b[20|1~",
        f"{PASTE_BEGIN}aaa\r\n|\r\nb|bb\rccc\x1b|[201~",
        f"{PASTE_BEGIN}aaa\rbbb\r|ccc\r{PASTE_END}{PASTE_BEGIN}d\rd{PASTE_END}",
        f"{PASTE_BEGIN}aaa\rbbb\r|ccc\r{PASTE_BEGIN}d\rd{PASTE_END}",
        f"\x1b[20|0~aaa\rb|bb\rccc{PASTE_END}",
    ],
    ids=ascii,
)
def test_however_slowly_it_comes_and_wherever_it_is_divided_all_of_a_paste_is_pasted(
    text: str, asked: bool, soon_silent: None
) -> None:
    async def read(typed: Read) -> None:
        *found, last = await typed(*text.split("|"), pause=5 * terminal_input.PASTE_SECONDS) + await typed("q")
        pasted = text.replace("|", "").replace(PASTE_BEGIN, "").replace(PASTE_END, "")
        assert ("".join(each.strip("[]") for each in found), last) == (pasted, "q")
        assert not asked or all(each.startswith("[") for each in found), found
        assert all(each.startswith("[") or each.isalnum() for each in found), found

    reading(read, asked=lambda: asked)


@pytest.mark.usefixtures("soon_silent")
@pytest.mark.parametrize("mark", [PASTE_BEGIN, PASTE_END], ids=ascii)
def test_a_mark_is_one_wherever_a_silence_divides_it(mark: str) -> None:
    async def read(typed: Read) -> None:
        for at in range(1, len(mark)):
            texts = (mark[:at], f"{mark[at:]}a\r", PASTE_END) if mark == PASTE_BEGIN else (mark[:at], mark[at:])
            keys = [key for key in await typed(*texts, pause=0.05) if key not in ("\x1b", "[")]  # Esc, Alt-[
            assert keys == (["[a]", "[\r]"] if mark == PASTE_BEGIN else []), at
        assert await typed("q") == ["q"]

    reading(read)


@pytest.mark.usefixtures("soon_silent")
@pytest.mark.parametrize("asked", [False, True])
def test_after_a_paste_without_an_end_a_key_alone_is_typed(asked: bool) -> None:
    async def read(typed: Read) -> None:
        assert await typed(PASTE_BEGIN + "a\rb\r", silence=True) == ["[a\rb]"]
        for key in ("\r", "\t", "\x0c", "x", "\x1b[A", "\x1b"):
            assert await typed(key, silence=True) == [key]
        assert await typed(f"c{PASTE_END}q") == ["[\rc]" if asked else "[c]", "q"]

    reading(read, asked=lambda: asked)


def test_at_a_question_keys_that_come_at_once_are_of_the_paste(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal_input, "PASTE_SECONDS", 0.01)
    monkeypatch.setattr(terminal_input, "ALONE_SECONDS", 2 * DEADLINE)

    async def read(typed: Read) -> None:
        assert await typed(PASTE_BEGIN + "a\rb\r", silence=True) == ["[a\rb]"]
        assert await typed("\r", "d", silence=True) == ["[\r\rd]"]
        assert await typed("d", "d", silence=True) == ["[dd]"]

    reading(read, asked=lambda: True)


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


def test_a_paste_that_comes_slowly_is_asked_about_as_one_and_answers_nothing_by_itself(
    broker: Broker, environment: dict[str, str]
) -> None:
    with Client(broker.url, user="carol") as carol, terminal() as (master, slave):
        room = carol.join("General")
        variables = environment | {"TERM": "xterm"}
        with command("client", environment=variables, stdin=slave, stdout=slave, stderr=slave) as process:
            until(master, b"General>")
            os.write(master, f"{PASTE_BEGIN}one\rtwo\r".encode())
            until(master, b"send each, Esc: discard")  # by its silence
            for text in ("three\rfour\r", "\r", f"five{PASTE_END}", "\r"):
                time.sleep(2 * terminal_input.ALONE_SECONDS)
                os.write(master, text.encode())
            assert next(room.messages(timeout=DEADLINE)).body == "one\ntwo\nthree\nfour\n\nfive"
            os.write(master, b"\x04")
            assert process.wait(DEADLINE) == 0
            assert list(room.messages(timeout=0)) == []
        os.close(slave)


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
