"""Drawing an application again, as any thread may ask for."""

from __future__ import annotations

import asyncio
from threading import Thread, get_ident

import pytest
from prompt_toolkit.application import Application
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput

from tests.running import DEADLINE
from zchat.cli.screen.redraw import Redraw


def elsewhere(redraw: Redraw, times: int = 1) -> None:
    """Call it in another thread, until that is done."""
    raised: list[BaseException] = []

    def call() -> None:
        try:
            for _ in range(times):
                redraw()
        except BaseException as error:
            raised.append(error)

    thread = Thread(target=call)
    thread.start()
    thread.join(DEADLINE)
    assert not raised


def test_the_application_is_drawn_by_its_loop_once_for_many_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    """In another thread `invalidate` failed where the application ended meanwhile: a chat ended by that error."""
    drawn: list[int] = []
    with create_pipe_input() as keys:
        app: Application[None] = Application(input=keys, output=DummyOutput())
        monkeypatch.setattr(app, "invalidate", lambda: drawn.append(get_ident()))

        async def use() -> Redraw:
            redraw = Redraw(app)
            for _ in range(2):
                elsewhere(redraw, 100)
                await asyncio.sleep(0)
                await asyncio.sleep(0)
            return redraw

        redraw = asyncio.run(use())
        assert drawn == [get_ident()] * 2
        elsewhere(redraw)
        assert len(drawn) == 2, "the loop has ended"


def test_what_changes_while_it_is_drawn_is_drawn_too(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[bool] = []
    with create_pipe_input() as keys:
        app: Application[None] = Application(input=keys, output=DummyOutput())

        async def use() -> None:
            redraw = Redraw(app)

            def invalidate() -> None:
                drawn.append(True)
                if len(drawn) == 1:
                    elsewhere(redraw)

            monkeypatch.setattr(app, "invalidate", invalidate)
            redraw()
            for _ in range(5):
                await asyncio.sleep(0)

        asyncio.run(use())
    assert len(drawn) == 2
