"""What is typed: pasted, completed, searched for, kept and cleared."""

from __future__ import annotations

from pathlib import Path

import zchat
from tests.cli.terminals import Terminal, Tmux
from zchat.broker import Broker


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
    alice.keys("C-o", "C-z", "M-#")  # which take lines away elsewhere
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
