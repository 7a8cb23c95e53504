"""Waiting in an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace

import pytest

from tests.loop import run
from zchat.loops import SWEEP, Bell, Deadlines, Flag, others, wake


def test_a_future_that_is_woken_is_not_late_and_one_that_is_not_woken_is() -> None:
    async def main() -> list[bool]:
        loop, deadlines = asyncio.get_running_loop(), Deadlines()
        early, late, soon, never = (loop.create_future() for _ in range(4))
        loop.call_soon(wake, early)
        wake(soon)
        found = [await deadlines.limit(early, None), await deadlines.limit(late, 0.001), await deadlines.limit(soon, 0)]
        wake(late)
        wake(soon)
        return [*found, await deadlines.limit(never, 0)]

    assert run(main()) == [True, False, True, False]


class Broken(Exception):
    """What a signal's handler raises."""


@pytest.mark.parametrize("step", ["before", "after"])
def test_a_deadline_that_is_broken_off_while_its_timer_is_set_keeps_no_later_one_from_coming(
    step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> bool:
        loop, deadlines = asyncio.get_running_loop(), Deadlines()

        def break_off(seconds: float, function: Callable[[], None]) -> None:
            if step == "after":
                loop.call_soon(function)
            raise Broken

        with monkeypatch.context() as patch:
            patch.setattr("zchat.loops.get_running_loop", lambda: SimpleNamespace(call_later=break_off))
            with pytest.raises(Broken):
                deadlines.limit(loop.create_future(), 0.001)
        return await deadlines.limit(loop.create_future(), 0.01)

    assert run(main()) is False


def test_what_breaks_off_the_waking_of_one_keeps_no_other_from_being_woken() -> None:
    class Unlucky(asyncio.Future[bool]):
        broken = False

        def set_result(self, result: bool, /) -> None:
            if not self.broken:
                self.broken = True
                raise Broken
            super().set_result(result)

    async def main() -> list[bool]:
        loop, deadlines = asyncio.get_running_loop(), Deadlines()
        reported: list[object] = []
        loop.set_exception_handler(lambda _, context: reported.append(context.get("exception")))
        waiting = [Unlucky(loop=loop), loop.create_future()]
        woken = [await each for each in [deadlines.limit(each, 0.001) for each in waiting]]
        assert [type(each) for each in reported] == [Broken]
        return woken

    assert asyncio.run(main()) == [False, False]


def test_a_timer_that_never_goes_off_is_set_again_with_the_next_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> bool:
        loop, deadlines = asyncio.get_running_loop(), Deadlines()
        lost = deadlines.limit(loop.create_future(), 0.001)
        assert deadlines._timer is not None
        deadlines._timer.cancel()
        monkeypatch.setattr("zchat.loops.TIMER_LOST_AFTER", 0.01)
        await asyncio.sleep(0.02)
        await deadlines.limit(loop.create_future(), 0.001)
        return await lost

    assert run(main()) is False


def test_deadlines_come_in_their_order_whichever_was_set_first() -> None:
    async def main() -> list[str]:
        loop, deadlines = asyncio.get_running_loop(), Deadlines()
        over: list[str] = []

        async def wait(name: str, seconds: float) -> None:
            assert not await deadlines.limit(loop.create_future(), seconds)
            over.append(name)

        await asyncio.gather(wait("third", 0.03), wait("first", 0.01), wait("second", 0.02))
        return over

    assert run(main()) == ["first", "second", "third"]


def test_of_many_waits_that_end_long_before_their_deadlines_few_are_kept_and_one_timer_is_set() -> None:
    async def main() -> None:
        loop, deadlines = asyncio.get_running_loop(), Deadlines()
        last = loop.create_future()
        waiting = deadlines.limit(last, 1_000)
        timer = deadlines._timer
        for _ in range(10 * SWEEP):
            future = loop.create_future()
            wake(deadlines.limit(future, 2_000))
        assert len(deadlines._due) <= SWEEP + 2
        assert deadlines._timer is timer
        wake(waiting)
        assert await waiting

    run(main())


def test_a_wait_that_is_cancelled_leaves_neither_a_timer_nor_a_place_at_the_bell() -> None:
    async def main() -> None:
        bell = Bell(Deadlines())
        waits = [asyncio.create_task(bell.wait(seconds)) for seconds in (None, 1_000)]
        await others()
        assert len(bell.waiting) == 2
        for each in waits:
            each.cancel()
        for each in waits:
            with pytest.raises(asyncio.CancelledError):
                await each
        assert bell.waiting == []
        bell.ring()

    run(main())


def test_a_bell_wakes_all_that_wait() -> None:
    async def main() -> list[bool]:
        bell = Bell(Deadlines())
        waits = [asyncio.create_task(bell.wait(None)) for _ in range(3)]
        await others()
        bell.ring()
        assert not bell.waiting
        return await asyncio.gather(*waits)

    assert run(main()) == [True] * 3


def test_a_flag_is_waited_for_until_it_is_set_and_then_no_more() -> None:
    async def main() -> list[bool]:
        flag = Flag(Deadlines())
        found = [await flag.wait(0), await flag.wait(0.001)]
        asyncio.get_running_loop().call_soon(flag.set)
        return [*found, await flag.wait(None), await flag.wait(0)]

    assert run(main()) == [False, False, True, True]


def test_others_have_their_turn() -> None:
    async def main() -> list[str]:
        said: list[str] = []
        asyncio.get_running_loop().call_soon(said.append, "other")
        await others()
        return [*said, "own"]

    assert run(main()) == ["other", "own"]
