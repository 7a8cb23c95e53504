"""Whatever size a terminal says it has, what is drawn on it is bounded."""

from __future__ import annotations

import fcntl
import io
import os
import re
import struct
import termios
from functools import partial

import pytest
from prompt_toolkit.application import create_app_session
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.data_structures import Size
from prompt_toolkit.document import Document
from prompt_toolkit.layout import BufferControl
from prompt_toolkit.layout.processors import TransformationInput
from prompt_toolkit.output import DummyOutput
from prompt_toolkit.output.vt100 import Vt100_Output

import zchat as library
from tests.cli.emulator import COUNTINGS, Emulator, unheard_of
from tests.cli.outside import command, terminal
from tests.cli.terminals import Terminal, Tmux
from tests.running import DEADLINE, eventually
from zchat.broker import Broker
from zchat.cli.screen.terminal_output import MOST, Escapes, drawn_by_cells, terminal_output
from zchat.cli.text.columns import cells


@pytest.mark.parametrize(
    ("said", "drawn"),
    [((24, 80), (24, 80)), ((65_535, 65_535), MOST), ((24, 65_535), (24, MOST.columns)), ((65_535, 9), (MOST.rows, 9))],
)
def test_a_screen_is_as_large_as_the_terminal_says_up_to_a_bound(
    said: tuple[int, int], drawn: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DummyOutput, "get_size", lambda _: Size(*said))
    with create_app_session(output=DummyOutput()):
        for _ in range(2_000):
            assert terminal_output().get_size() == drawn


@pytest.mark.parametrize("size", [(65_535, 65_535), (0, 0), (1, 1)], ids=repr)
def test_top_draws_and_ends_on_a_terminal_of_any_size(
    broker: Broker, environment: dict[str, str], size: tuple[int, int]
) -> None:
    with terminal() as (master, slave):
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", *size, 0, 0))
        variables = environment | {"TERM": "xterm"}
        line = ("top", "-n", "1")
        with command(*line, environment=variables, stdin=slave, stdout=slave, stderr=slave) as process:
            os.set_blocking(master, False)
            shown = b""

            def ended() -> bool:
                nonlocal shown
                try:
                    while more := os.read(master, 1 << 20):
                        shown += more
                except BlockingIOError:
                    pass
                return process.poll() is not None

            eventually(ended, "it has ended")
            assert process.wait(DEADLINE) == 0, shown[-1000:]
        os.close(slave)
    assert b"Traceback" not in shown


def drawn_cells(text: str) -> list[str]:
    """Return the cells of a text: what takes no column is in the cell of what is before it."""
    found: list[str] = []
    for character in text:
        if cells(character):
            found.append(character)
        else:
            found[-1] += character
    return found


ROWS = ("x 👨‍👩‍👧 a b", "0123456789 🇩🇪 abc def", "❤️ é 👍🏽 中文 jkl", "e\u0301 \U0001fae8 end")
"""Texts that terminals count in different ways."""


@pytest.mark.parametrize("counting", [*COUNTINGS, "unheard of"])
@pytest.mark.parametrize("text", ROWS)
def test_what_follows_a_character_is_where_it_is_counted_to_be_whatever_the_terminal_counts(
    text: str, counting: str
) -> None:
    drawn = io.StringIO()
    output = drawn_by_cells(Vt100_Output(drawn, lambda: Size(5, 60), term="xterm"))
    for cell in drawn_cells(text):
        output.write(cell)
    output.flush()
    output.write("!")
    output.cursor_backward(3)
    output.flush()
    emulator = Emulator(60, 5, COUNTINGS.get(counting, unheard_of))
    emulator.feed(drawn.getvalue())
    assert emulator.cursor.x == cells(text) - 2
    assert emulator.buffer[0][cells(text)].data == "!"
    for index, character in enumerate(text):
        if character.isascii():
            assert emulator.buffer[0][cells(text[:index])].data[0] == character


@pytest.mark.parametrize(
    ("encoding", "shown"), [("utf-8", "aé中"), ("latin-1", "aé\\u4e2d"), ("ascii", "a\\xe9\\u4e2d")]
)
def test_what_the_encoding_lacks_is_written_and_typed_as_its_escape(
    encoding: str, shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []
    output = DummyOutput()
    monkeypatch.setattr(DummyOutput, "write", lambda _, data: written.append(data))
    monkeypatch.setattr(DummyOutput, "encoding", lambda _: encoding)
    with create_app_session(output=output):
        terminal_output().write("aé中")
    assert written == [shown]
    line = Escapes(encoding).apply_transformation(typed("aé中"))
    assert "".join(text for _, text, *_ in line.fragments) == shown
    ends = [line.source_to_display(place) for place in range(5)]
    assert ends == [0, 1, shown.index("中" if "中" in shown else "\\u"), len(shown), len(shown) + 1]
    assert [line.display_to_source(end) for end in ends[:4]] == [0, 1, 2, 3]
    assert line.display_to_source(ends[3] - 1) == 2


def typed(text: str) -> TransformationInput:
    buffer = Buffer(document=Document(text))
    return TransformationInput(BufferControl(buffer), buffer.document, 0, lambda place: place, [("", text)], 80, 5)


@pytest.mark.parametrize("variables", ["PYTHONIOENCODING=ascii", "LC_ALL=C PYTHONUTF8=0 PYTHONCOERCECLOCALE=0"])
def test_two_names_are_two_names_on_a_terminal_whose_encoding_lacks_their_letters(
    tmux: Tmux, broker: Broker, variables: str
) -> None:
    alice = Terminal(tmux, "alice", 80, before=f"env {variables} ")
    alice.until("you are in General\n", "General>")
    with library.Client(broker.url, user="zoé") as one, library.Client(broker.url, user="zoè") as other:
        one.join("General").send("one … µ")
        other.join("General").send("two")
        alice.until(r"zo\xe9: one \u2026 \xb5", r"zo\xe8: two", "General>")
        other.join("General").typing()
        alice.until(r"zo\xe8: two", "General>", status=r"zo\xe8 is typing")
        top = Terminal(tmux, "bob", 80, "--every", "0.2", command="top", before=f"env {variables} ")
        eventually(lambda: re.search(r"   turns .* \\xb5s, \d+ %$", top.screen(), re.MULTILINE), top.screen)
    assert "?" not in alice.screen() + top.screen()
    figures = top.screen().partition("per second")[2].partition("busiest")[0].splitlines()[1:]
    assert len(figures) == 6
    assert len(set(map(len, figures))) == 1, figures


@pytest.mark.parametrize("columns", [20, 40, 80])
@pytest.mark.parametrize("picture", ["👨‍👩‍👧", "🇩🇪", "❤️", "👍🏽", "é", "中"])
def test_what_is_typed_is_shown_once_wherever_the_row_ends(
    tmux: Tmux, broker: Broker, columns: int, picture: str
) -> None:
    alice = Terminal(tmux, "alice", columns)
    eventually(lambda: "General>" in alice.screen(), "it is ready")
    line = "0123456789" * max(0, columns // 16 - 1) + f" {picture} abc def ghi jkl"

    def shows(line: str) -> bool:
        rows = alice.screen().rpartition("General>")[2].splitlines()[:-1]
        return "".join(rows).replace(" ", "") == line.replace(" ", "")

    for end, character in enumerate(line, 1):
        alice.type(character)
        if line[:end].endswith((" ", "l")):
            eventually(partial(shows, line[:end]), alice.screen)
    alice.keys("Home")
    for character in "mno":
        alice.type(character)
    eventually(lambda: shows(f"mno{line}"), alice.screen)
    alice.keys("BSpace", "BSpace", "C-e", "BSpace")
    eventually(lambda: shows(f"m{line[:-1]}"), alice.screen)
