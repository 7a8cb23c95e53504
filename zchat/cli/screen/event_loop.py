"""The event loop of a command that runs in one: those with a screen, and the gateway."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

from zchat.address import is_ip
from zchat.cli import ending
from zchat.cli.streams import HungUp
from zchat.threads import no_threads, starts_none
from zchat.transport.hosts import Lookup
from zchat.transport.loop_probes import look_up_beside

T = TypeVar("T")


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Return what a coroutine returns, or raise what it raises, run in an event loop of its own. The main thread's.

    Raises:
        ZchatError: the system has no thread for the loop. If asyncio's own threads were used, its end takes one too, to
            wait for those: without that the coroutine's own error is raised.
    """
    trouble: BaseException | None = None
    try:
        with asyncio.Runner(loop_factory=None if sys.platform == "win32" else ScreenLoop) as runner:
            try:
                return runner.run(coroutine)
            except BaseException as error:
                trouble = error
                raise
    except RuntimeError as error:
        if not starts_none(error):
            raise
        if trouble is None or isinstance(trouble, RuntimeError):
            raise no_threads(error) from error
        raise trouble from None


@contextmanager
def task_beside(coroutine: Coroutine[Any, Any, T]) -> Iterator[asyncio.Task[T]]:
    """Give a task that runs beside the block, which owns it: at its end the task is cancelled.

    What the block doesn't ask the task for is nobody's: asyncio would report an error that nobody asked for.
    """
    task = asyncio.create_task(coroutine)
    task.add_done_callback(lambda task: task.cancelled() or task.exception())
    try:
        yield task
    finally:
        task.cancel()


class ScreenLoop(asyncio.SelectorEventLoop):
    """An event loop that is notified of signals by the ending thread, and looks hosts up in zchat's own threads.

    asyncio's own takes the descriptor that signals are written to for a socket that the loop itself reads. While the
    loop draws on a terminal that nobody reads, that fills with other threads' calls, and no signal passes it. Its own
    threads are ended by one more, for which its end may wait for ever where there is too little memory.
    """

    async def getaddrinfo(  # type: ignore[override]
        self, host: str, port: int | None, *, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0
    ) -> list[Any]:
        """Return what the system's function returns for a host's addresses, or raise what it raises."""

        def each(address: str) -> list[Any]:
            return socket.getaddrinfo(address, port, family, type, proto, flags | socket.AI_NUMERICHOST)

        if is_ip(host):
            return each(host)
        over = asyncio.Event()
        lookup = Lookup("", lambda _: over.set(), host)
        look_up_beside(self, lookup)
        await over.wait()
        found: list[Any] = []
        for address in lookup.found:
            with suppress(socket.gaierror):  # it is of another family
                found += each(address)
        if not found:
            raise lookup.error or socket.gaierror(socket.EAI_NONAME, lookup.reason)
        return found

    def default_exception_handler(self, context: dict[str, Any]) -> None:
        """Log an error that nobody has caught, unless it is a terminal's that takes nothing at the end, or is gone."""
        if not isinstance(context.get("exception"), ending.Ended | HungUp):
            super().default_exception_handler(context)

    def add_signal_handler(self, sig: int, callback: Callable[..., object], *args: Any) -> None:  # type: ignore[override]
        """Have a signal that ends nothing call a function in the loop."""

        def call() -> None:
            with suppress(RuntimeError):  # the loop has ended
                self.call_soon_threadsafe(callback, *args)

        ending.at_signal(sig, call)

    def remove_signal_handler(self, sig: int) -> bool:
        """Have a signal call nothing; return True if it called something before."""
        return ending.at_signal(sig, None)
