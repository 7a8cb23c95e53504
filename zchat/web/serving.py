"""Running a gateway, from its first connection to the broker to its last word to the pages."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from os import PathLike
from ssl import SSLContext
from typing import NamedTuple

from zchat.errors import AddressError, ZchatError
from zchat.logs import web_log
from zchat.web.brokers import Brokers
from zchat.web.core.gateway import Gateway
from zchat.web.core.letting_in import LettingIn
from zchat.web.core.limits import MAX_CONNECTIONS
from zchat.web.metrics import Metrics
from zchat.web.pages import File
from zchat.web.server import Server
from zchat.web.world import LoopWorld

RETRY_FIRST = 1.0
"""Seconds until another session is begun after one that has ended for good: a ban may be for two."""

RETRY_MAX = 30.0
"""Seconds to which that wait grows, doubled each time: a key that was taken out may be put back the day after."""

LAST_SECONDS = 1.0
"""Seconds for what is left once the pages have had theirs: goodbyes to the broker."""


SESSION = "the gateway's session with the broker"
"""What fails and recovers, in the log."""


class Settings(NamedTuple):
    """What a gateway is run with: where the broker is, where to listen, how users are let in, which files to serve."""

    urls: list[str]
    host: str
    port: int
    letting_in: LettingIn
    files: dict[str, File]
    key: str | PathLike[str] | None = None
    server_key: tuple[str, ...] | None = None
    tls: SSLContext | None = None
    metrics: tuple[str, int] | None = None
    max_connections: int = MAX_CONNECTIONS


@asynccontextmanager
async def running(
    brokers: Brokers, letting_in: LettingIn, max_connections: int
) -> AsyncIterator[tuple[Gateway, asyncio.Task[None]]]:
    """Give a gateway that has connected to its broker, and the task that reads for it, as long as the block lasts.

    What has not ended when the block does is given a second; pages are notified by `Gateway.close` before.

    Raises:
        ZchatError: the broker can't be reached.
    """
    reader = brokers.reader()
    world = LoopWorld(brokers.client)
    await reader.connect()
    gateway = Gateway(world, reader, letting_in, max_connections)
    reading = asyncio.create_task(_read(gateway, brokers))
    try:
        yield gateway, reading
    finally:
        await world.finish(LAST_SECONDS)
        reading.cancel()
        (ended,) = await asyncio.gather(reading, return_exceptions=True)
        await gateway.reader.close(LAST_SECONDS)
    if isinstance(ended, Exception):
        raise ended


async def _read(gateway: Gateway, brokers: Brokers) -> None:
    """Read for a gateway as long as it runs: if its session with the broker ends for good, another one is begun.

    A ban of the gateway's user ends, its key is put back, another broker is started in the place of one that can't be
    spoken with. Until then pages are notified that there is no connection.
    """
    now = asyncio.get_running_loop().time
    wait = RETRY_FIRST
    try:
        while True:
            began = now()
            reason = await _end(gateway)
            gateway.lose_reader()
            _trouble(reason)
            with suppress(ZchatError):
                await gateway.reader.close(LAST_SECONDS)
            if now() - began > RETRY_MAX:
                wait = RETRY_FIRST
            while not gateway.reading:
                await asyncio.sleep(wait)
                wait = min(2 * wait, RETRY_MAX)
                try:
                    gateway.read_by(await brokers.reader().connect())
                except Exception as error:
                    if (text := _text(error)) != reason:
                        reason = text
                        _trouble(reason)
            web_log.info("%s has recovered", SESSION, event="well", what=SESSION)
    finally:
        gateway.lose_reader()


async def _end(gateway: Gateway) -> str:
    """Read until that ends for good, and return why it has."""
    try:
        await gateway.read()
    except Exception as error:  # a fault of the gateway's own, too
        return _text(error)
    return "it was closed"


def _text(error: Exception) -> str:
    return str(error) if isinstance(error, ZchatError) else f"{type(error).__name__}: {error}"


def _trouble(reason: str) -> None:
    web_log.error("%s fails: %s", SESSION, reason, event="trouble", what=SESSION, reason=reason)


async def serve(settings: Settings, started: Callable[[str, str | None], object], stop: asyncio.Event) -> None:
    """Run a gateway until `stop` is set; `started` is called with the page's address, and that of the figures.

    Nothing is started if `stop` is set before the broker has answered.

    Raises:
        ZchatError: the broker can't be reached at the start, or an address can't be had.
    """
    most = settings.max_connections
    brokers = Brokers(settings.urls, settings.key, settings.server_key)
    stopping = asyncio.create_task(stop.wait())
    async with AsyncExitStack() as stack:
        stack.callback(stopping.cancel)
        entering = asyncio.create_task(stack.enter_async_context(running(brokers, settings.letting_in, most)))
        stack.callback(entering.cancel)
        await asyncio.wait((entering, stopping), return_when=asyncio.FIRST_COMPLETED)
        if not entering.done():
            entering.cancel()
            await asyncio.wait((entering,))
            return
        gateway, reading = entering.result()
        server, figures = Server(gateway, settings.files, most), Metrics(gateway)
        stack.push_async_callback(server.close)
        stack.callback(figures.close)
        listen = partial(server.listen, tls=settings.tls)
        url = await _listening(listen, settings.host, settings.port, settings.tls)
        at = None if settings.metrics is None else await _listening(figures.listen, *settings.metrics, None)
        started(url, None if at is None else f"{at}metrics")
        web_log.info("pages are served at %s", url, event="serving", url=url)
        await asyncio.wait((reading, stopping), return_when=asyncio.FIRST_COMPLETED)
        if reading.done():
            await reading


async def _listening(listen: Callable[..., object], host: str, port: int, tls: SSLContext | None) -> str:
    try:
        found = await listen(host, port)  # type: ignore[misc]
    except OSError as error:
        raise AddressError(f"{host}:{port} can't be listened on: {error.strerror or error}") from error
    shown = f"[{host}]" if ":" in host else host
    return f"{'https' if tls else 'http'}://{shown}:{found}/"
