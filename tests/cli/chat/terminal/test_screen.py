"""The screen of a chat: texts come in their order, none is lost, and of many some have to wait."""

from __future__ import annotations

import asyncio
from errno import EIO
from functools import partial
from threading import Thread

import pytest
from prompt_toolkit.data_structures import Size
from prompt_toolkit.output import DummyOutput

from tests.running import DEADLINE, eventually
from zchat import Message
from zchat.cli.chat.terminal import screen
from zchat.cli.chat.terminal.screen import PAGE_FOOT, Screen
from zchat.cli.chat.transcript import nothing


class Written(DummyOutput):
    """A terminal that keeps what is written to it."""

    def __init__(self, rows: int = 10, columns: int = 40) -> None:
        self.size = Size(rows, columns)
        self.text = ""
        self.erased = 0
        self.bells = 0
        self.broken = False

    def get_size(self) -> Size:
        return self.size

    def write(self, data: str) -> None:
        self.text += data

    def flush(self) -> None:
        if self.broken:
            raise OSError(EIO, "it takes nothing")

    def bell(self) -> None:
        self.bells += 1

    def erase_end_of_line(self) -> None:
        self.erased += 1
        self.text = ""

    def erase_screen(self) -> None:
        self.erased += 1
        self.text = ""


def said(*texts: str) -> list[Message]:
    return [Message("General", seq, 0, "bob", text) for seq, text in enumerate(texts, 1)]


def drawn(made: Screen) -> None:
    made.end()
    asyncio.run(asyncio.wait_for(made.draw(), DEADLINE))


def test_texts_are_drawn_in_their_order_and_all_of_them_before_the_end() -> None:
    output = Written()
    made = Screen(output)
    for text in ("one", "two", "three"):
        made.show(text, nothing)
    drawn(made)
    assert output.text.split() == ["one", "two", "three"]


def test_a_long_text_is_broken_where_the_terminal_would_break_it_with_its_further_lines_indented() -> None:
    output = Written(columns=20)
    made = Screen(output)
    made.show("[12:00:00] bob: one two three four", nothing)
    drawn(made)
    assert output.text.splitlines() == ["[12:00:00] bob: one", "    two three four"]


def test_who_shows_more_than_is_drawn_has_to_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(screen, "WAITING", 2)
    output = Written()
    made = Screen(output)
    shown: list[int] = []

    def show() -> None:
        for number in range(5):
            made.show(f"{number}", nothing)
            shown.append(number)

    async def draw_until_all_is_shown() -> None:
        drawing = asyncio.ensure_future(made.draw())
        await asyncio.to_thread(thread.join, DEADLINE)
        made.end()
        await drawing

    thread = Thread(target=show)
    thread.start()
    eventually(lambda: len(shown) == 2, "two wait")
    asyncio.run(draw_until_all_is_shown())
    assert output.text.split() == ["0", "1", "2", "3", "4"]


def test_after_the_end_nothing_waits_and_nothing_is_shown() -> None:
    output = Written()
    made = Screen(output)
    drawn(made)
    late = Thread(target=made.show, args=("too late", nothing))
    late.start()
    late.join(DEADLINE)
    assert not late.is_alive()
    assert output.text == ""


def test_another_size_has_the_latest_texts_drawn_again_to_fit_it() -> None:
    output = Written(rows=10, columns=40)
    made = Screen(output)

    async def scenario() -> None:
        drawing = asyncio.ensure_future(made.draw())
        made.notice_size()
        for number in range(20):
            await asyncio.to_thread(made.show, f"text number {number}", nothing)
        await asyncio.to_thread(eventually, lambda: "number 19" in output.text, "all is drawn")
        output.size = Size(5, 40)
        made.notice_size()
        made.end()
        await drawing

    asyncio.run(asyncio.wait_for(scenario(), DEADLINE))
    assert output.erased == 5, "row by row"
    assert output.text.splitlines() == [f"text number {number}" for number in (17, 18, 19)]


def test_a_page_of_history_is_what_fits_above_the_foot_and_one_message_at_least() -> None:
    made = Screen(Written(rows=PAGE_FOOT + 4, columns=40))
    assert made.fits(said("a", "b", "c", "d", "e")) == 3, "the date takes a row"
    assert made.fits(said("a", "a text that takes two rows of forty columns", "c")) == 2
    assert made.fits(said("word " * 200)) == 1
    assert Screen(Written(rows=12)).fits(said("a", "b", "c", "d", "e", "f"), half=True) == 4, (
        "and the line for new ones"
    )


def test_what_was_cleared_is_not_drawn_again_in_another_size() -> None:
    output = Written(rows=10, columns=40)
    made = Screen(output)

    async def scenario() -> None:
        drawing = asyncio.ensure_future(made.draw())
        made.notice_size()
        await asyncio.to_thread(made.show, "before", nothing)
        await asyncio.to_thread(eventually, lambda: "before" in output.text, "it is drawn")
        made.clear()
        await asyncio.to_thread(eventually, lambda: not output.text, "it is cleared")
        await asyncio.to_thread(made.show, "after", nothing)
        output.size = Size(8, 40)
        made.notice_size()
        made.end()
        await drawing

    asyncio.run(asyncio.wait_for(scenario(), DEADLINE))
    assert output.text.splitlines() == ["after"]


def test_the_bell_rings_once_for_many_messages_and_again_later(monkeypatch: pytest.MonkeyPatch) -> None:
    output = Written()
    made = Screen(output)

    async def scenario() -> None:
        drawing = asyncio.ensure_future(made.draw())
        for _ in range(3):
            made.ring()
        await asyncio.to_thread(eventually, lambda: output.bells == 1, "it rings")
        made.ring()
        monkeypatch.setattr(screen, "BELL_SECONDS", 0.0)
        made.ring()
        made.end()
        await drawing

    asyncio.run(asyncio.wait_for(scenario(), DEADLINE))
    assert output.bells == 2


def test_what_is_to_be_called_is_called_in_order_once_the_text_is_written() -> None:
    output = Written()
    made = Screen(output)
    calls: list[str] = []
    made.show("one", lambda: calls.append(f"one: {output.text.split()}"))
    made.show("two", lambda: calls.append(f"two: {output.text.split()}"))
    made.show("", lambda: calls.append("after"))
    assert calls == []
    drawn(made)
    assert calls == ["one: ['one', 'two']", "two: ['one', 'two']", "after"]


def test_what_could_not_be_written_is_not_drawn() -> None:
    output = Written()
    output.broken = True
    made = Screen(output)
    calls: list[str] = []
    made.show("lost", lambda: calls.append("lost"))
    with pytest.raises(OSError, match="takes nothing"):
        drawn(made)
    assert calls == []


def test_while_another_job_has_the_terminal_nothing_is_drawn_and_at_the_end_nothing_counts_as_drawn() -> None:
    output = Written()
    foreground = False
    made = Screen(output, lambda: foreground)
    calls: list[str] = []

    async def scenario() -> None:
        nonlocal foreground
        drawing = asyncio.ensure_future(made.draw())
        made.clear()
        made.ring()
        await asyncio.to_thread(made.show, "meanwhile", lambda: calls.append("meanwhile"))
        await asyncio.sleep(0.05)
        await made.caught_up()
        assert (output.text, output.erased, output.bells, calls) == ("", 0, 0, [])
        foreground = True
        await made.caught_up()
        assert (output.text.strip(), output.erased, output.bells, calls) == ("meanwhile", 1, 1, ["meanwhile"])
        foreground = False
        await asyncio.to_thread(made.show, "too late", lambda: calls.append("too late"))
        made.end()
        await drawing

    asyncio.run(asyncio.wait_for(scenario(), DEADLINE))
    assert (output.text.strip(), calls) == ("meanwhile", ["meanwhile"])


def test_what_comes_while_the_size_changes_is_drawn_whole() -> None:
    output = Written(rows=10, columns=40)
    made = Screen(output)
    calls: list[int] = []

    async def scenario() -> None:
        made.notice_size()
        output.size = Size(5, 40)
        made.notice_size()
        for number in range(20):
            await asyncio.to_thread(made.show, f"text number {number}", partial(calls.append, number))
        made.end()
        await made.draw()

    asyncio.run(asyncio.wait_for(scenario(), DEADLINE))
    assert output.text.splitlines() == [f"text number {number}" for number in calls]
    assert calls == list(range(20))
