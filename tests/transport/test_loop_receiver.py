"""The receiver that an event loop drives: work that is handed to it, what it notices, and its end."""

from __future__ import annotations

import asyncio
import logging
import math
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest

import zchat
from tests.frames import decode_command
from tests.loop import KINDS, run, until
from tests.mortal import Mortal
from tests.protocol.driver import FakeSubmission
from tests.running import DEADLINE, eventually
from zchat.broker import Broker
from zchat.errors import Busy, ConnectionLost, UsageError, ZchatError
from zchat.events import Disconnected, Reconnected
from zchat.transport import loop_receiver
from zchat.transport.link import POLLIN
from zchat.transport.loop_receiver import ENDINGS, TURN_FRAMES, LoopReceiver
from zchat.wire.values import unpack

pytestmark = [pytest.mark.usefixtures("loop_kind"), pytest.mark.parametrize("loop_kind", KINDS, indirect=True)]


class Receiving:
    """A receiver in the running loop, and what it has reported."""

    def __init__(self, url: str) -> None:
        self.reported: list[Disconnected | Reconnected] = []
        self.ends: list[ZchatError | None] = []
        self.receiver = LoopReceiver(
            asyncio.get_running_loop(), [url], "alice", b"p" * 16, b"t" * 16, 0,
            self.reported.append, lambda *invitation: None, self.ends.append,
        )  # fmt: skip


@asynccontextmanager
async def receiving(url: str) -> AsyncIterator[Receiving]:
    made = Receiving(url)
    made.receiver.start()
    try:
        assert await made.receiver.when_greeted(DEADLINE)
        yield made
    finally:
        made.receiver.give_up()


def in_loop(test: Callable[[Receiving], Any]) -> None:
    async def main() -> None:
        async with receiving(broker.url) as made:
            await test(made)

    with Broker("tcp://127.0.0.1:*") as broker:
        run(main())


def test_work_is_done_in_its_order_in_the_next_turn_and_never_at_once() -> None:
    async def test(made: Receiving) -> None:
        done: list[int] = []
        for number in range(100):
            made.receiver.do(done.append, number)
        assert done == []
        await until(lambda: done == list(range(100)), "it is done")

    in_loop(test)


def test_messages_that_are_offered_in_one_round_share_a_block_and_other_work_keeps_its_place() -> None:
    async def test(made: Receiving) -> None:
        receiver, before = made.receiver, list[int]()
        sent: list[list[Any]] = []
        send = receiver.send

        def record(frame: bytes) -> None:
            sent.append(decode_command(frame))
            send(frame)

        receiver.send = record  # type: ignore[method-assign]
        for text in map(str, range(100)):
            receiver.do(receiver.core.offer, "General", FakeSubmission(text))
        receiver.do(lambda: before.append(len(sent)))
        receiver.do(receiver.core.offer, "General", FakeSubmission("last"))
        await until(lambda: len(sent) > 1, "both blocks are sent")
        assert before == [1]
        assert [len(unpack(command[4])) for command in sent] == [100, 1]

    in_loop(test)


def test_another_thread_is_refused() -> None:
    async def test(made: Receiving) -> None:
        caught: list[UsageError] = []

        def elsewhere() -> None:
            try:
                made.receiver.do(print)
            except UsageError as error:
                caught.append(error)

        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join(DEADLINE)
        assert "run_coroutine_threadsafe" in str(caught[0])
        assert not made.receiver._work

    in_loop(test)


def test_a_fault_ends_it_with_the_reason_and_what_comes_too_late_is_done_all_the_same() -> None:
    async def test(made: Receiving) -> None:
        made.receiver.do(int, "no number")
        assert await made.receiver.when_over(DEADLINE)
        [error] = made.ends
        assert isinstance(error, ConnectionLost)
        assert isinstance(error.__cause__, ValueError)
        late: list[int] = []
        made.receiver.do(late.append, 1)
        assert late == [1]

    in_loop(test)


def test_an_end_that_is_broken_off_each_time_is_begun_again_only_so_often(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken_off(*arguments: object) -> None:
        begun.append(arguments)
        raise ValueError("of a signal's handler")

    async def test(made: Receiving) -> None:
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)
        with monkeypatch.context() as patch:
            patch.setattr(made.receiver.core, "fail", broken_off)
            made.receiver.do(broken_off)
            await until(lambda: len(begun) == 1 + ENDINGS, "it is begun again")
            await asyncio.sleep(0.05)
            assert len(begun) == 1 + ENDINGS
        assert made.ends == []

    begun: list[object] = []
    in_loop(test)


def test_what_the_programs_log_raises_over_a_refused_read_mark_ends_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(record: logging.LogRecord) -> bool:
        raise OSError("the log is full")

    monkeypatch.setattr(logging.getLogger("zchat.client"), "filters", [fail])

    async def test(made: Receiving) -> None:
        failed: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda loop, about: failed.append(about))
        made.receiver.do(made.receiver.mark_refused, "General", Busy("too many marks"))
        await until(lambda: bool(failed), "it was logged")
        assert str(failed[0]["exception"]) == "the log is full"
        assert made.ends == []
        assert not made.receiver.core.over

    in_loop(test)


def test_it_is_over_once_it_was_asked_to_close_and_the_broker_has_answered() -> None:
    async def test(made: Receiving) -> None:
        made.receiver.do(made.receiver.core.close, time.monotonic() + DEADLINE)
        assert await made.receiver.when_over(DEADLINE)
        assert made.ends == [None]
        assert made.receiver._timer is None or made.receiver._timer.cancelled()

    in_loop(test)


def test_one_that_is_given_up_is_over_at_once_and_the_broker_hears_its_goodbye() -> None:
    async def test(made: Receiving) -> None:
        made.receiver.give_up()
        assert made.ends == [None]
        made.receiver.give_up()

    with Broker("tcp://127.0.0.1:*") as broker:

        async def main() -> None:
            async with receiving(broker.url) as made:
                await test(made)
                await until(lambda: broker.figures.counts["sessions"] == 0, "it is heard")

        run(main())


def test_the_killed_broker_of_a_client_at_rest_is_noticed_by_its_sockets_and_not_by_silence() -> None:
    """The monitor's descriptor is silent for ever if nobody asks for its events once it is watched."""

    async def main() -> None:
        with Mortal() as mortal:
            async with receiving(mortal.url) as made:
                made.receiver.core._heartbeat._silence = math.inf  # and no sample is taken, which asks the monitor too
                made.receiver.sample_at = math.inf
                await asyncio.sleep(0.05)  # it is at rest: nothing is left to be done but to wait
                mortal.kill()
                await until(lambda: made.reported, "it is noticed")
                [event] = made.reported
                assert isinstance(event, Disconnected)
                assert "the connection broke" in event.reason

    run(main())


def test_no_descriptor_is_watched_any_more_once_it_has_ended() -> None:
    async def test(made: Receiving) -> None:
        running, watched = asyncio.get_running_loop(), list(made.receiver._watched)
        made.receiver.give_up()
        assert len(watched) == 2
        assert not any(running.remove_reader(each) for each in watched), "others may have these numbers now"

    in_loop(test)


def test_one_timer_is_set_and_anew_only_for_what_is_due_earlier(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(made: Receiving) -> None:
        running, timers = asyncio.get_running_loop(), []
        plain = running.call_later

        def call_later(delay: float, function: Callable[..., object], *arguments: Any) -> asyncio.TimerHandle:
            handle = plain(delay, function, *arguments)
            if getattr(function, "__self__", None) is made.receiver:
                timers.append(handle)
            return handle

        monkeypatch.setattr(running, "call_later", call_later)
        turns = 200
        for _ in range(turns):
            made.receiver.do(int)
            await asyncio.sleep(0)
        assert len(timers) < turns / 4
        assert sum(not handle.cancelled() for handle in [*timers, made.receiver._timer] if handle) >= 1

    in_loop(test)


class NoReaders(asyncio.SelectorEventLoop):
    """A loop that can't watch sockets, as Windows' default one."""

    def add_reader(self, *arguments: Any) -> None:  # type: ignore[override]
        raise NotImplementedError


def test_a_loop_that_can_not_watch_sockets_says_which_can() -> None:
    async def main() -> None:
        made = Receiving("tcp://127.0.0.1:5555")
        made.receiver.start()
        assert isinstance(made.receiver.error, UsageError)
        assert "loop_factory=asyncio.SelectorEventLoop" in str(made.receiver.error)
        assert await made.receiver.when_over(DEADLINE)

    with asyncio.Runner(loop_factory=NoReaders) as runner:
        runner.run(main())


def test_one_whose_loop_is_closed_has_said_goodbye_and_closed_its_sockets_by_then() -> None:
    with Broker("tcp://127.0.0.1:*") as broker, zchat.Client(broker.url, user="bob") as bob:

        async def main() -> Receiving:
            made = Receiving(broker.url)
            made.receiver.start()
            assert await made.receiver.when_greeted(DEADLINE)
            return made

        made = run(main())
        assert made.receiver._over
        assert made.receiver._dealer is None
        assert made.ends == [None]
        made.receiver.drop()
        eventually(lambda: bob.stats().counts["sessions"] == 1, "its session has ended")
        assert bob.stats().counts["expired"] == 0


def test_a_forked_child_that_closes_its_copy_of_the_loop_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    with Broker("tcp://127.0.0.1:*") as broker:

        async def main() -> Receiving:
            made = Receiving(broker.url)
            made.receiver.start()
            assert await made.receiver.when_greeted(DEADLINE)
            monkeypatch.setattr(loop_receiver, "os", SimpleNamespace(getpid=lambda: 0))
            return made

        made = run(main())
        assert not made.receiver._over
        monkeypatch.undo()
        made.receiver.give_up()


class Endless:
    """A DEALER at which another frame is always there."""

    taken = 0
    socket: Any

    def __init__(self) -> None:
        self.socket = self

    def get(self, option: int) -> int:
        return POLLIN

    def recv(self, flags: int) -> bytes:
        return b"frame"


class Counting:
    """A core that counts what it is given."""

    received = 0

    def receive(self, frame: bytes, now: float) -> None:
        self.received += 1


def test_a_turn_takes_a_bounded_number_of_frames() -> None:
    receiver: Any = LoopReceiver.__new__(LoopReceiver)
    receiver._dealer, receiver.core, receiver._over = Endless(), Counting(), True
    assert receiver._receive(0.0)
    assert receiver.core.received == TURN_FRAMES
