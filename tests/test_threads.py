"""Real threads, and waiting by locks."""

from __future__ import annotations

import _thread
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from tests.promises.breaking_off import Timer, interrupted_at
from tests.running import DEADLINE, FORKING, ROOT, eventually
from zchat import threads
from zchat.errors import UsageError, ZchatError
from zchat.threads import Bell, Flag, RealThread, awaited_by_callers, get_ident


def test_a_bell_wakes_all_that_wait() -> None:
    bell = Bell()
    rung: list[bool] = []
    woken: list[bool] = []
    threads = [threading.Thread(target=lambda: woken.append(bell.wait(lambda: rung, DEADLINE))) for _ in range(5)]
    for thread in threads:
        thread.start()
    eventually(lambda: len(bell.waiting) == 5, "all wait")
    rung.append(True)
    bell.ring()
    for thread in threads:
        thread.join(DEADLINE)
    assert woken == [True] * 5
    assert not bell.waiting


def test_a_thread_that_is_woken_for_nothing_waits_on() -> None:
    bell = Bell()
    rung: list[bool] = []
    thread = threading.Thread(target=bell.wait, args=(lambda: rung, DEADLINE))
    thread.start()
    for _ in range(10):
        eventually(lambda: len(bell.waiting) == 1, "it waits")
        bell.ring()
    eventually(lambda: len(bell.waiting) == 1, "it waits")
    rung.append(True)
    bell.ring()
    thread.join(DEADLINE)
    assert not thread.is_alive()


def test_what_changes_while_a_thread_begins_to_wait_ends_the_wait() -> None:
    bell, asked = Bell(), []

    def ready() -> bool:
        asked.append(True)
        if len(asked) == 2:  # it is in the bell's list by now
            bell.ring()
        return len(asked) > 2

    assert bell.wait(ready, DEADLINE)
    assert len(asked) == 3


def test_a_wait_ends_in_time_and_leaves_nothing_behind() -> None:
    bell = Bell()
    began = time.monotonic()
    assert not bell.wait(lambda: False, 0.02)
    assert not bell.wait(lambda: False, 0)
    assert 0.02 <= time.monotonic() - began < DEADLINE
    assert not bell.waiting


def test_the_lock_of_a_thread_that_was_interrupted_goes_with_the_next_ring() -> None:
    bell = Bell()
    bell.enter()
    bell.ring()
    assert not bell.waiting


def test_a_flag_is_set_once_and_for_all() -> None:
    flag = Flag()
    assert not flag.is_set()
    assert not flag.wait(0)
    threading.Timer(0.01, flag.set).start()
    assert flag.wait(None)
    assert flag.wait(0)
    assert flag.is_set()


def test_a_thread_that_callers_wait_for_may_not_wait_but_may_see_what_is_true_already() -> None:
    bell = Bell()
    with awaited_by_callers():
        with pytest.raises(UsageError, match="a thread of the program's"):
            bell.wait(lambda: False, 1)
        assert not bell.wait(lambda: False, 0)
        assert bell.wait(lambda: True, 1)
    assert not bell.wait(lambda: False, 0.01)


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
def test_new_threads_of_a_forked_child_may_wait_and_the_one_that_forked_stays_what_it_was() -> None:
    program = """
import os, threading
from zchat.threads import Flag, RealThread, awaited, awaited_by_callers, get_ident, is_own

end = Flag()
begun = [Flag() for _ in range(5)]
codes, seen = [], []

def new():
    seen.append((Flag().wait(0.001), is_own()))

def fork():
    forking = get_ident() in awaited, is_own()
    child = os.fork()
    if child == 0:
        seen.append((get_ident() in awaited, is_own()))
        for _ in range(20):
            thread = threading.Thread(target=new)
            thread.start()
            thread.join()
        os._exit(0 if seen == [forking] + [(False, False)] * 20 else 1)
    codes.append((forking, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])))

@awaited_by_callers()
def fork_once():
    fork()

@awaited_by_callers()
def stay(flag):
    flag.set()
    end.wait(None, anywhere=True)

for flag in begun:
    RealThread(lambda flag=flag: stay(flag), "stays").start()
for flag in begun:
    flag.wait(None)
fork()
forks = RealThread(fork_once, "forks")
forks.start()
forks.join()
end.set()
print(codes)
"""
    command = [sys.executable, *FORKING, "-c", program]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=DEADLINE)
    assert run.stdout == "[((False, False), 0), ((True, True), 0)]\n", run.stderr


def test_while_the_program_ends_nothing_waits_and_no_thread_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    bell = Bell()
    monkeypatch.setattr(threads, "is_finalizing", lambda: True)
    with pytest.raises(UsageError, match="the program is ending"):
        bell.wait(lambda: False, None)
    assert not bell.wait(lambda: False, 0)
    assert bell.wait(lambda: True, None)
    with pytest.raises(UsageError, match="the program is ending"):
        threads.start(RealThread(lambda: None, "its name"))


@pytest.fixture(params=["threading", "replaced"])
def replaced(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace what starts threads, as gevent does, or leave it."""

    def never(*arguments: Any) -> int:
        raise AssertionError("no thread, but something that only looks like one")

    if request.param == "replaced":
        for module in (_thread, threading):
            for name in ("start_new_thread", "_start_new_thread", "start_joinable_thread", "_start_joinable_thread"):
                if hasattr(module, name):
                    monkeypatch.setattr(module, name, never)


@pytest.mark.usefixtures("replaced")
def test_a_thread_is_a_real_one_whatever_replaces_those_of_the_library() -> None:
    go_on, seen = Flag(), []
    run: Callable[[], None] = lambda: seen.append((go_on.wait(DEADLINE), get_ident()))  # noqa: E731
    thread = RealThread(run, "its name")
    assert not thread.is_alive()
    thread.start()
    assert thread.is_alive()
    thread.join(0.01)
    assert thread.is_alive()
    go_on.set()
    thread.join()
    assert not thread.is_alive()
    assert seen == [(True, thread.ident)]
    assert thread.ident != get_ident()


def test_threading_knows_a_thread_by_its_name_until_a_join_returns() -> None:
    for _ in range(100):
        go_on = Flag()
        thread = waiting_for(go_on)
        eventually(lambda: "its name" in [each.name for each in threading.enumerate()], "it is known")
        go_on.set()
        thread.join(DEADLINE)
        assert "its name" not in [each.name for each in threading.enumerate()]


def waiting_for(flag: Flag) -> RealThread:
    def run() -> None:
        flag.wait(DEADLINE)

    thread = RealThread(run, "its name")
    thread.start()
    return thread


def test_the_last_thread_that_the_system_has_runs_without_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_more(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", no_more)
    ran: list[int] = []
    thread = RealThread(lambda: ran.append(get_ident()), "its name")
    thread.start()
    thread.join(DEADLINE)
    assert ran == [thread.ident]
    assert not thread.is_alive()


def test_to_join_a_thread_that_was_never_started_returns_at_once() -> None:
    RealThread(lambda: None, "its name").join(DEADLINE)


def test_a_join_that_is_broken_off_ends_nothing_and_one_after_it_waits() -> None:
    go_on = Flag()
    thread = waiting_for(go_on)
    with Timer() as timer:
        assert timer.interrupts(thread.join, 0.01, KeyboardInterrupt)
    assert thread.is_alive()
    thread.join(0.01)
    assert thread.is_alive()
    go_on.set()
    thread.join(DEADLINE)
    assert not thread.is_alive()


def test_a_start_that_is_broken_off_at_any_step_has_begun_a_thread_or_never_will() -> None:
    ran: list[int] = []

    def start(at: int) -> bool:
        """Start a thread, and return whether that was broken off."""
        thread = RealThread(lambda: ran.append(get_ident()), "its name")
        with interrupted_at(at, KeyboardInterrupt) as tracer, suppress(KeyboardInterrupt):
            thread.start()
        thread.join(DEADLINE)
        return bool(tracer.where)

    start(sys.maxsize)  # from 3.13 on a tracer sees the steps of a function from its second call on
    steps = 0
    while start(steps + 1):
        steps += 1
    eventually(lambda: 2 < len(ran) < steps + 2, "those have run that were begun, with the two not broken off")
    eventually(lambda: "its name" not in [each.name for each in threading.enumerate()], "they have ended")


@pytest.mark.usefixtures("replaced")
def test_how_many_threads_are_free_is_known_by_starting_them(monkeypatch: pytest.MonkeyPatch) -> None:
    assert threads.free(3) == (3, "")
    start, left = threads._start_new_thread, [2]

    def limited(*arguments: Any) -> int:
        left[0] -= 1
        if left[0] < 0:
            raise RuntimeError("can't start new thread")
        return start(*arguments)

    monkeypatch.setattr(threads, "_start_new_thread", limited)
    before = len(os.listdir("/proc/self/task")) if os.path.isdir("/proc/self/task") else 0
    assert threads.free(3) == (2, "raise the limit on processes (ulimit -u, or that of a container)")
    if before:
        eventually(lambda: len(os.listdir("/proc/self/task")) <= before, "those that were started have ended")
    with pytest.raises(ZchatError, match=r"no more threads can be started.*ulimit -u"):
        threads.check_free(1)


@pytest.mark.usefixtures("replaced")
@pytest.mark.parametrize("call", ["start", "check_free", "free"])
def test_a_thread_that_the_end_of_the_interpreter_prevents_is_told_so(
    monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    begin, left = threads._start_new_thread, [call != "start"]

    def ending(*arguments: Any) -> int:
        if left[0]:
            left[0] = False
            return begin(*arguments)
        raise RuntimeError("can't create new thread at interpreter shutdown")

    monkeypatch.setattr(threads, "_start_new_thread", ending)
    before = len(os.listdir("/proc/self/task")) if os.path.isdir("/proc/self/task") else 0
    with pytest.raises(UsageError, match=r"as the interpreter is ending .*make clients and brokers before") as told:
        getattr(threads, call)(RealThread(lambda: None, "its name") if call == "start" else 2)
    assert "ulimit" not in str(told.value)
    if before:
        eventually(lambda: len(os.listdir("/proc/self/task")) <= before, "those that were started have ended")


@pytest.mark.parametrize("call", ["start", "check_free", "free"])
def test_what_comes_from_elsewhere_while_a_thread_starts_comes_through(
    monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    error = RuntimeError("of a signal's handler")

    def interrupted(*arguments: Any) -> int:
        raise error

    monkeypatch.setattr(threads, "_start_new_thread", interrupted)
    with pytest.raises(RuntimeError) as raised:
        getattr(threads, call)(RealThread(lambda: None, "its name") if call == "start" else 2)
    assert raised.value is error


def test_where_memory_lacks_for_a_thread_that_is_the_limit_to_raise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "STACK_BYTES", 1 << 60)
    assert threads.raise_limit() == "raise the limit on memory (ulimit -v)"
