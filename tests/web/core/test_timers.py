"""What is due when."""

from __future__ import annotations

from zchat.web.core.timers import Timers


def test_what_is_due_is_called_once_and_in_order() -> None:
    timers, called = Timers(), list[str]()
    timers.at(2, lambda: called.append("two"))
    timers.at(1, lambda: called.append("one"))
    timers.at(1, lambda: called.append("one too"))
    timers.at(9, lambda: called.append("nine"))
    timers.turn(0.5)
    assert called == []
    timers.turn(2)
    timers.turn(2)
    assert called == ["one", "one too", "two"]
    assert len(timers) == 1


def test_what_is_cancelled_is_not_called() -> None:
    timers, called = Timers(), list[str]()
    timer = timers.at(1, lambda: called.append("x"))
    timer.cancel()
    timer.cancel()
    timers.turn(2)
    assert called == []
    assert len(timers) == 0


def test_what_is_begun_while_others_are_called_is_called_too_if_it_is_due() -> None:
    timers, called = Timers(), list[str]()

    def begin() -> None:
        timers.at(1, lambda: called.append("x"))

    timers.at(1, begin)
    timers.turn(1)
    assert called == ["x"]
