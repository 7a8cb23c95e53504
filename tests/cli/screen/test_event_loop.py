"""The event loop of a command with a screen is notified of signals, and stands in the way of none."""

from __future__ import annotations

import asyncio
import gc
import sys

import pytest

from tests.running import output_of
from zchat.cli.ending import Ended
from zchat.cli.screen.event_loop import ScreenLoop, task_beside
from zchat.cli.streams import HungUp

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there are no such signals")

BEFORE = """
import asyncio, os, signal, threading
from zchat.cli import ending
from zchat.cli.screen import event_loop

ending.install()
"""


def test_a_signal_calls_what_the_loop_was_given_until_that_is_removed() -> None:
    found = output_of(
        BEFORE + "async def use():\n"
        " loop, come = asyncio.get_running_loop(), asyncio.Event()\n"
        " loop.add_signal_handler(signal.SIGWINCH, come.set)\n"
        " os.kill(os.getpid(), signal.SIGWINCH)\n"
        " await asyncio.wait_for(come.wait(), 30)\n"
        " print(loop.remove_signal_handler(signal.SIGWINCH), loop.remove_signal_handler(signal.SIGWINCH))\n"
        " print(signal.getsignal(signal.SIGWINCH) is signal.SIG_DFL, ending.asked())\n"
        "event_loop.run(use())"
    )
    assert found.split() == ["True", "False", "True", "0"]


def test_a_signal_is_noticed_while_the_loop_stands_and_more_is_handed_to_it_than_it_can_hold() -> None:
    found = output_of(
        BEFORE + "noticed = threading.Event()\n"
        "def other(): signal.pthread_kill(threading.get_ident(), signal.SIGTERM)\n"
        "async def use():\n"
        " loop = asyncio.get_running_loop()\n"
        " loop.add_signal_handler(signal.SIGWINCH, int)\n"
        " for _ in range(5000): loop.call_soon_threadsafe(int)\n"
        " with ending.notifying(noticed.set):\n"
        "  threading.Timer(0.1, other).start()  # nothing shows when the loop stands\n"
        "  print(noticed.wait(30), ending.asked())\n"
        "event_loop.run(use())"
    )
    assert found.split() == ["True", "143"]


def test_an_error_that_nobody_has_caught_is_logged_unless_the_terminal_takes_nothing_at_the_end(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """What was to be drawn then was printed on the terminal as an error, after the end, with a pending task."""

    def fail(error: Exception) -> None:
        raise error

    async def use() -> None:
        for error in (Ended(), HungUp("standard output"), RuntimeError("a fault")):
            asyncio.get_running_loop().call_soon(fail, error)
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    with asyncio.Runner(loop_factory=ScreenLoop) as runner:
        runner.run(use())
    (record,) = caplog.records
    assert "a fault" in caplog.text
    assert record.name == "asyncio"


def test_a_task_beside_a_block_ends_with_it_and_what_it_raised_is_raised_where_it_is_asked_for_alone() -> None:
    unasked: list[object] = []

    async def fails() -> None:
        raise OSError("gone")

    async def fails_at_its_end() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            await fails()

    async def use() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: unasked.append(context))
        with task_beside(fails()) as failing, task_beside(asyncio.sleep(60)) as sleeping:
            await asyncio.wait((failing,))
            with pytest.raises(OSError, match="gone"):
                failing.result()
        await asyncio.wait((sleeping,))
        assert sleeping.cancelled()
        with task_beside(fails_at_its_end()) as failing:
            await asyncio.sleep(0)
        await asyncio.wait((failing,))
        del failing
        gc.collect()

    asyncio.run(use())
    assert unasked == []


def test_a_loop_that_gets_no_thread_says_so_and_its_end_hides_no_other_error() -> None:
    found = output_of(
        BEFORE + "from zchat.errors import AddressError, ZchatError\n"
        'def none_left(thread): raise RuntimeError("can\'t start new thread")\n'
        "async def use(error, threads):\n"
        " if threads: await asyncio.to_thread(int)\n"
        " threading.Thread.start = none_left\n"
        " if error: raise error\n"
        " if not threads: await asyncio.to_thread(int)\n"
        "start = threading.Thread.start\n"
        "for error, threads in ((AddressError('in use'), True), (None, True), (None, False)):\n"
        " threading.Thread.start = start\n"
        " try: event_loop.run(use(error, threads))\n"
        " except ZchatError as trouble: print(type(trouble).__name__, str(trouble)[:40])"
    )
    said = "ZchatError no more threads can be started (can't st"
    assert found.splitlines() == ["AddressError in use", said, said]


def test_hosts_are_looked_up_as_the_system_does() -> None:
    found = output_of(
        BEFORE + "import socket\n"
        "entries = {'two.example': ['127.0.0.1', '::1'], 'none.example': []}\n"
        "real = socket.getaddrinfo\n"
        "def answer(host, port, *more, **named):\n"
        " if host not in entries: return real(host, port, *more, **named)\n"
        " if host == 'none.example': raise socket.gaierror(socket.EAI_NONAME, 'Name or service not known')\n"
        " return [entry for each in entries[host] for entry in real(each, port, *more, **named)]\n"
        "socket.getaddrinfo = answer\n"
        "async def use():\n"
        " loop = asyncio.get_running_loop()\n"
        " for host in ('127.0.0.1', '::1', 'two.example'):\n"
        "  for family in (0, socket.AF_INET):\n"
        "   named = {'family': family, 'type': socket.SOCK_STREAM, 'flags': socket.AI_PASSIVE}\n"
        "   if (host, family) != ('::1', socket.AF_INET):\n"
        "    try: right = real(host, 80, **named)\n"
        "    except OSError: right = [entry for each in entries[host] if '.' in each or not family"
        " for entry in real(each, 80, **named)]\n"
        "    print(await loop.getaddrinfo(host, 80, **named) == right, len(right))\n"
        " for host, family in (('none.example', 0), ('::1', socket.AF_INET)):\n"
        "  try: await loop.getaddrinfo(host, 80, family=family)\n"
        "  except socket.gaierror as error: print(error.errno in (socket.EAI_NONAME, socket.EAI_ADDRFAMILY))\n"
        "event_loop.run(use())"
    )
    assert found.split() == ["True", "1", "True", "1", "True", "1", "True", "2", "True", "1", "True", "True"]


def test_a_loop_that_has_looked_hosts_up_takes_no_thread_to_end_nor_waits_for_one_that_still_does() -> None:
    found = output_of(
        BEFORE + "import socket\n"
        "real, hang = socket.getaddrinfo, threading.Event()\n"
        "def answer(host, *more, **named):\n"
        " if host == 'slow.example': hang.wait(60)\n"
        " return real('127.0.0.1' if host.endswith('.example') else host, *more, **named)\n"
        "socket.getaddrinfo = answer\n"
        "def start(thread): raise SystemError('another thread')\n"
        "async def use():\n"
        " loop = asyncio.get_running_loop()\n"
        " print((await loop.getaddrinfo('fast.example', 80, type=socket.SOCK_STREAM))[0][4])\n"
        " slow = asyncio.create_task(loop.getaddrinfo('slow.example', 80))\n"
        " while not any(each.name == 'zchat-lookup' for each in threading.enumerate()): await asyncio.sleep(0.01)\n"
        " threading.Thread.start = start\n"
        "event_loop.run(use())\n"
        "print(hang.is_set())"
    )
    assert found.splitlines() == ["('127.0.0.1', 80)", "False"]
