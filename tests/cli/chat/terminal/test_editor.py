"""What is typed: pasted, completed, searched for, kept and cleared."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from prompt_toolkit.application.current import set_app
from prompt_toolkit.completion import DummyCompleter
from prompt_toolkit.history import InMemoryHistory
from prompt_toolkit.input import DummyInput
from prompt_toolkit.input.ansi_escape_sequences import ANSI_SEQUENCES
from prompt_toolkit.key_binding import KeyPress
from prompt_toolkit.keys import Keys
from prompt_toolkit.output import DummyOutput

import zchat
from tests.cli.terminals import Terminal, Tmux
from tests.mortal import Mortal
from tests.running import eventually
from zchat.broker import Broker
from zchat.cli.chat.rooms import Place
from zchat.cli.chat.terminal.editor import LINES_WAITING, Editor
from zchat.cli.chat.terminal.outbox import WAITING
from zchat.cli.chat.terminal.typed_lines import TypedLine
from zchat.cli.screen.key_parser import KeyParser
from zchat.cli.screen.late_paste import PASTE_BEGIN
from zchat.cli.screen.typed_ahead import TypedAhead


def editing(conversation: object, outbox: object = None, ahead: TypedAhead | None = None) -> Editor:
    """Return an editor without a terminal; nothing waits in its outbox unless one is given."""
    return Editor(
        cast(Any, conversation),
        cast(Any, outbox or SimpleNamespace(waiting=[])),
        DummyCompleter(),
        InMemoryHistory(),
        DummyInput(),
        ahead or TypedAhead(lambda: 1),
        DummyOutput(),
    )


def test_a_paste_of_many_lines_is_asked_about(tmux: Tmux, broker: Broker) -> None:
    alice, bob = Terminal(tmux, "alice", 80), Terminal(tmux, "bob", 40)
    for terminal in (alice, bob):
        terminal.until("you are in General\n", "General>")
    with zchat.Client(broker.url, user="carol") as carol:
        room = carol.join("General")
        alice.paste("one line\n")
        alice.until("General> one line")
        alice.keys("Enter")
        alice.until("alice: one line\n", "General>")
        alice.paste("first\n\n/second\n")
        alice.until("General>", status="2 lines pasted. Enter: send as one, Tab: edit, Ctrl-L: send each")
        alice.type("hello")  # no answer
        alice.keys("Enter")
        alice.until("alice: first\n\n    /second\n", "General>")
        bob.paste("/one\ntwo")
        bob.until("General>", status="2 lines: Enter sends, Tab edits, ^L each")
        bob.keys("C-l")
        bob.until("bob: /one\n[12:00:00] bob: two\n", "General>", status="online")
        bob.paste("never\nsaid")
        bob.until("General>", status="2 lines: ")
        bob.keys("Escape")
        bob.until("General>", status="online")
        bob.paste("edited\nfirst")
        bob.until("General>", status="2 lines: ")
        bob.keys("Tab")
        bob.until("General> edited\n    first", status="online")
        bob.keys("C-c")
        bob.until("General>", status="online")
        bob.type("by hand")
        bob.keys("M-Enter")
        bob.type("on two lines", "Enter")
        bob.until("bob: by hand\n    on two lines\n", "General>")
        said = [message.body for message in room.messages(timeout=1)]
    assert said == ["one line", "first\n\n/second", "/one", "two", "by hand\non two lines"]


def test_what_is_pasted_while_pasted_lines_are_asked_about_is_joined_to_them() -> None:
    conversation = SimpleNamespace(typed=lambda text: None, key=lambda: None, coming=Place, place=Place())

    async def taken(draft: str, pastes: list[str], *answer: Keys) -> tuple[list[TypedLine], str]:
        editor = editing(conversation)
        buffer = editor.app.layout.current_buffer
        assert buffer is not None
        buffer.insert_text(draft)
        with set_app(editor.app):
            for key in (*(KeyPress(Keys.BracketedPaste, each) for each in pastes), *map(KeyPress, answer)):
                editor.app.key_processor.feed(key)
                editor.app.key_processor.process_keys()
        assert not editor.asks
        return editor.lines.withdraw(), buffer.text

    async def scenario() -> None:
        assert await taken("", ["a\rb\r\n", "c\rd", "d\r"], Keys.Enter) == (["a\nb\nc\ndd"], "")
        assert await taken("", ["a\rb", "\rc", "\r\r"], Keys.Tab) == ([], "a\nb\nc")
        assert await taken("", ["a\rb\r", "/c"], Keys.ControlL) == (["a", "b", "//c"], "")
        assert await taken("one", ["\rtwo\r", "", "three"], Keys.Enter) == (["one\ntwo\nthree"], "")
        assert await taken("", ["\rone\r", "two\r"]) == ([], "onetwo")
        assert await taken("one", ["\r"]) == ([], "one")
        assert await taken("", ["a\rb", "c"], Keys.ControlC) == ([], "")

    asyncio.run(scenario())


def rows(count: int) -> str:
    return "".join(f"row {number} of the paste\n" for number in range(count))


@pytest.mark.parametrize(("columns", "count"), [(80, 250), (40, 1000)])
def test_each_line_of_a_paste_without_marks_is_sent_to_where_it_was_typed_for(
    tmux: Tmux, broker: Broker, tmp_path: Path, columns: int, count: int
) -> None:
    alice = Terminal(tmux, "alice", columns)
    alice.until("you are in General\n", "General>")
    file = tmp_path / "paste"
    file.write_text(f"{rows(count)}/join PasteB\n\n{rows(100)}", encoding="utf-8")
    with zchat.Client(broker.url, user="carol") as carol:
        rooms = carol.join("General"), carol.join("PasteB")
        tmux("load-buffer", str(file))
        tmux("paste-buffer", "-t", "alice")
        alice.until("alice: row 99 of the paste\n", "PasteB>", status="online | PasteB")
        said = ["".join(f"{message.body}\n" for message in room.messages(timeout=1)) for room in rooms]
        assert said == [rows(count), rows(100)]


def test_what_is_typed_ahead_waits_until_ctrl_c_drops_it(tmux: Tmux, tmp_path: Path) -> None:
    with Mortal(f"sqlite:{tmp_path / 'z.db'}") as mortal:
        alice = Terminal(tmux, "alice", 80, "--connect", mortal.url)
        alice.until("you are in General\n", "General>")
        mortal.kill()
        alice.until("reconnecting\n", "General>", status="offline")
        tmux("set-buffer", rows(350))
        tmux("paste-buffer", "-t", "alice")
        first = WAITING + LINES_WAITING
        alice.until(f"more waiting\nGeneral> row {first} of the paste", status="typed ahead: Ctrl-C drops it | offline")
        alice.keys("C-c")
        alice.until("more waiting\nGeneral>", status="offline, reconnecting")
        assert "typed ahead" not in alice.screen()
        alice.type("after it", "Enter")
        alice.until("General> after it", status="typed ahead: Ctrl-C drops it | offline")
        alice.keys("C-c", "C-c")
        alice.until("exit code 130")


def test_completion_shows_the_commands_there_are(tmux: Tmux, broker: Broker) -> None:
    alice = Terminal(tmux, "alice", 80)
    alice.until("you are in General\n", "General>")
    before = alice.screen()
    alice.keys("/", "Tab")
    alice.until("General> /", status="/list  /join  /leave")
    alice.keys("Tab", "Tab")
    alice.until("General> /join", status="/leave")
    assert before.splitlines()[:2] == alice.screen().splitlines()[:2], "nothing is printed among the messages"
    assert alice.screen().count("\n") == before.count("\n")
    alice.keys("C-u")
    alice.type("/q")
    alice.keys("Tab", "Enter")
    alice.until("exit code 0")


def test_what_was_typed_before_is_searched_for(tmux: Tmux, broker: Broker) -> None:
    alice = Terminal(tmux, "alice", 80)
    alice.until("you are in General\n", "General>")
    for text in ("hey alice", "something else"):
        alice.type(text, "Enter")
        alice.until(f"alice: {text}\n", "General>")
    alice.keys("C-r")
    alice.type("ali")
    alice.until("General> hey alice", "I-search backward: ali")
    alice.keys("Enter")
    alice.until("General> hey alice")
    alice.keys("C-o", "C-z", "M-#", "C-Space")  # which take lines away elsewhere, or what is typed after them
    alice.type("!", "Enter")
    alice.until("alice: hey !alice\n", "General>")


def test_ctrl_c_clears_a_draft_which_up_brings_back_and_leaves_without_one(tmux: Tmux, broker: Broker) -> None:
    alice = Terminal(tmux, "alice", 40)
    alice.until("you are in General\n", "General>")
    alice.type("half a line")
    alice.until("General> half a line")
    alice.keys("C-c")
    alice.until("\nGeneral>", status="Up brings the line back; Ctrl-C again l…")
    alice.keys("Up")
    alice.until("\nGeneral> half a line")
    alice.keys("C-c", "C-c")
    alice.until("exit code 130")


def test_what_was_typed_is_there_after_a_restart_unless_that_is_declined(
    tmux: Tmux, broker: Broker, tmp_path: Path
) -> None:
    for name, option, text in (("one", "", "kept"), ("two", "--no-history", "lost"), ("three", "", "")):
        chat = Terminal(tmux, name, 80, *filter(None, [option]))
        chat.until("you are in General\n", "General>")
        if text:
            chat.type(text, "Enter")
            chat.until(f"{name}: {text}\n", "General>")
        else:
            chat.keys("Up")
            chat.until("General> kept")
        chat.keys("C-u", "C-d")
        chat.until("exit code 0")
    kept = list((tmp_path / ".local" / "state" / "zchat").iterdir())
    assert sorted(each.name for each in kept) == ["rooms", "typed_lines"]
    assert {each.stat().st_mode & 0o777 for each in kept} == {0o600}


def test_a_text_that_is_higher_than_its_window_says_so(tmux: Tmux, broker: Broker) -> None:
    alice = Terminal(tmux, "alice", 40)
    alice.until("you are in General\n", "General>")
    alice.resize(40, 20)
    alice.type("x" * 200)
    alice.until("x" * 20, status="online | General")
    alice.type("y" * 300)
    alice.until("y" * 36, "y", status="↑ more above | online | General")
    alice.keys("C-a")
    alice.until("General> xxx", "y" * 36, status="online | General")


def test_keys_lead_to_earlier_messages_and_to_what_is_new_while_a_text_is_being_typed(
    tmux: Tmux, broker: Broker
) -> None:
    with zchat.Client(broker.url, user="bob") as bob:
        bob.join("General").send_many(f"line {number:02}" for number in range(50))
        alice = Terminal(tmux, "alice", 40, "General", "Sports", "--quiet")
        alice.until("you are also in Sports\n", "General>")
        alice.type("half a line")
        alice.until("General> half a line")
        alice.keys("PageUp")
        alice.until("* earlier: messages 20 to 39 of General\n", "bob: line 38\nGeneral> half a line")
        bob.join("Sports").send("goal")
        alice.until("General> half a line", status="new: Sports 1")
        alice.keys("M-a")
        alice.until("--- new ---\n[12:00:00] bob: goal\nSports> half a line", status="online | Sports")
        alice.keys("C-c", "C-c")
        alice.until("exit code 130")


def test_a_bell_rings_for_what_is_meant_for_one_if_that_is_asked_for(tmux: Tmux, broker: Broker) -> None:
    alice = Terminal(tmux, "alice", 80, before="ZCHAT_CLIENT_BELL=1 ")
    silent = Terminal(tmux, "carol", 80)
    for terminal in (alice, silent):
        terminal.until("you are in General\n", "General>")
    tmux("set-option", "-g", "monitor-bell", "on")
    tmux("new-session", "-d", "-s", "other", "exec cat")
    with zchat.Client(broker.url, user="bob") as bob:
        bob.join("General").send("alice, carol!")
        for terminal in (alice, silent):
            terminal.until("» bob: alice, carol!\n", "General>")
    eventually(lambda: tmux("display-message", "-p", "-t", "alice", "#{window_bell_flag}") == "1\n", "it rings")
    assert tmux("display-message", "-p", "-t", "carol", "#{window_bell_flag}") == "0\n"


ALL_KEYS = [
    *(chr(code) for code in (*range(0x20), 0x7F)),
    *(f"\x1b{chr(code)}" for code in range(0x80)),
    *ANSI_SEQUENCES,
]
"""What a terminal sends for each key, and with Alt."""


@pytest.mark.parametrize(("draft", "typed"), [("pay bob", "100 not 1000"), ("", "(100)")])
def test_whatever_key_was_pressed_what_is_typed_after_it_is_seen_in_the_text_or_the_search(
    draft: str, typed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zchat.cli.chat.terminal.editor.suspend", lambda: None)
    conversation = SimpleNamespace(
        typed=lambda text: None, key=lambda: None, coming=Place, clear=lambda: None, place=Place()
    )

    async def after(key: str) -> tuple[str, str]:
        editor = editing(conversation)
        buffer = editor.app.layout.current_buffer
        assert buffer is not None
        buffer.insert_text(draft)
        parser = KeyParser(editor.app.key_processor.feed)
        with set_app(editor.app):
            for keys in (key, typed):
                parser.feed(keys)
                parser.flush()
                editor.app.key_processor.process_keys()
        shown = editor.app.layout.current_buffer
        assert shown is not None
        return "" if shown is buffer else "the search", shown.text

    async def scenario() -> dict[str, tuple[str, str]]:
        return {key: await after(key) for key in ALL_KEYS if key != PASTE_BEGIN}

    found = asyncio.run(scenario())
    assert {key: text for key, (_, text) in found.items() if typed not in text} == {}
    assert {key for key, (place, _) in found.items() if place} == {"\x12", "\x13", "\x1b\x12", "\x1b\x13"}


def test_a_line_is_meant_for_where_the_user_is_when_it_is_begun_and_goes_along_where_the_user_leads_it() -> None:
    places = {name: Place() for name in ("Ops", "General", "Sports", "Movies")}
    names = {place: name for name, place in places.items()}
    conversation = SimpleNamespace(typed=lambda text: None, key=lambda: None, coming=Place)

    def led(line: TypedLine) -> str:
        if line.leads_to is not None and line.leads_to not in names:
            names[line.leads_to] = f"where {line} leads"
        return names[line.meant]

    async def scenario() -> list[tuple[str, str]]:
        outbox = SimpleNamespace(waiting=[])
        editor = editing(conversation, outbox=outbox)
        found: list[tuple[str, str]] = []

        def press(*keys: Keys | str, data: str = "") -> None:
            with set_app(editor.app):
                for key in keys:
                    editor.app.key_processor.feed(KeyPress(cast(Keys, key), data))
                    editor.app.key_processor.process_keys()

        def comes_to(name: str) -> None:
            conversation.place = places[name]

        def done() -> None:
            found.extend((line, led(line)) for line in editor.lines.withdraw())

        buffer = editor.app.layout.current_buffer
        assert buffer is not None
        comes_to("Ops")
        buffer.insert_text("/close")
        comes_to("General")
        buffer.insert_text(" now")
        press(Keys.Enter)
        buffer.insert_text("typed later")
        press(Keys.Enter)
        buffer.insert_text("cleared")
        comes_to("Sports")
        press(Keys.ControlC)
        buffer.insert_text("in place of it")
        press(Keys.Enter)
        press(Keys.BracketedPaste, data="one\ntwo")
        comes_to("Movies")
        press(Keys.ControlL, Keys.PageUp)
        done()

        buffer.insert_text("a draft that goes along")
        press(Keys.Escape, "a", Keys.PageUp, Keys.Enter)
        buffer.insert_text("/join Ops")
        press(Keys.Enter)
        buffer.insert_text("begun while that is awaited")
        done()
        comes_to("Ops")
        press(Keys.Enter)
        buffer.insert_text("a draft that stays")
        comes_to("General")
        press(Keys.Escape, "a", Keys.Enter)
        done()
        return found

    assert asyncio.run(scenario()) == [
        ("/close now", "Ops"),
        ("typed later", "General"),
        ("in place of it", "Sports"),
        ("one", "Sports"),
        ("two", "Sports"),
        ("/messages", "Movies"),
        ("/next", "Movies"),
        ("/messages", "where /next leads"),
        ("a draft that goes along", "where /next leads"),
        ("/join Ops", "where /next leads"),
        ("begun while that is awaited", "where /join Ops leads"),
        ("/next", "General"),
        ("a draft that stays", "Ops"),
    ]


def test_a_line_that_was_held_is_meant_for_where_it_was_typed_and_else_reported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("zchat.cli.chat.terminal.editor.LINES_WAITING", 2)
    general, sports, movies = Place(), Place(), Place()
    conversation = SimpleNamespace(typed=lambda text: None, key=lambda: None, coming=Place, place=general)

    async def scenario() -> None:
        ahead = TypedAhead(lambda: editor.room())
        editor = editing(conversation, ahead=ahead)
        buffer = editor.app.layout.current_buffer
        assert buffer is not None

        def typed(text: str) -> None:
            keys: list[KeyPress] = []
            KeyParser(keys.append).feed(text)
            with set_app(editor.app):
                editor.app.key_processor.feed_multiple(ahead.take(keys))
                editor.app.key_processor.process_keys()

        def done() -> list[tuple[str, Place]]:
            return [(line, line.meant) for line in editor.lines.withdraw()]

        typed("one\rtwo\rthree\r/join Ops\rfour\rfive\r")
        assert buffer.text == "three"
        conversation.place = sports
        assert done() == [("one", general), ("two", general)]
        typed("")
        conversation.place = movies
        *others, joining = editor.lines.withdraw()
        assert [(line, line.meant) for line in (*others, joining)] == [("three", general), ("/join Ops", general)]
        typed("")
        assert done() == [("four", joining.leads_to), ("five", joining.leads_to)]
        typed("six\r")
        assert done() == [("six", movies)]

        typed("one\rtwo\rthree\r\rfour\rfi")
        assert editor.withdraw() == ["one", "two", "three", "four"]
        assert editor.withdraw() == []

        buffer.reset()
        typed("one\rtwo\rthree")
        with set_app(editor.app):
            editor.app.key_processor.feed(KeyPress(Keys.ControlM))
            editor.app.key_processor.process_keys()
        assert (buffer.text, editor.lines.waiting) == ("three\n", ["one", "two"]), "of keys that aren't held"

    asyncio.run(scenario())
