"""Running a gateway, from its first connection to the broker to its last word to the pages."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from os import PathLike
from ssl import SSLContext
from typing import NamedTuple

from zchat.errors import AddressError
from zchat.logs import web_log
from zchat.web.brokers import Brokers
from zchat.web.core.gateway import Gateway
from zchat.web.core.letting_in import LettingIn
from zchat.web.core.limits import MAX_CONNECTIONS
from zchat.web.metrics import Metrics
from zchat.web.pages import File
from zchat.web.server import Server
from zchat.web.world import LoopWorld

LAST_SECONDS = 1.0
"""Seconds for what is left once the pages have had theirs: goodbyes to the broker."""


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
    reading = asyncio.create_task(gateway.read())
    try:
        yield gateway, reading
    finally:
        await world.finish(LAST_SECONDS)
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        await reader.close(LAST_SECONDS)


async def serve(settings: Settings, started: Callable[[str, str | None], object], stop: asyncio.Event) -> None:
    """Run a gateway until `stop` is set; `started` is called with the page's address, and that of the figures.

    Raises:
        ZchatError: the broker can't be reached, an address can't be had, or the session with the broker has ended.
    """
    most = settings.max_connections
    brokers = Brokers(settings.urls, settings.key, settings.server_key)
    async with running(brokers, settings.letting_in, most) as (gateway, reading):
        server, figures = Server(gateway, settings.files, most), Metrics(gateway)
        stopping = asyncio.create_task(stop.wait())
        try:
            listen = partial(server.listen, tls=settings.tls)
            url = await _listening(listen, settings.host, settings.port, settings.tls)
            at = None if settings.metrics is None else await _listening(figures.listen, *settings.metrics, None)
            started(url, None if at is None else f"{at}metrics")
            web_log.info("pages are served at %s", url, event="serving", url=url)
            await asyncio.wait((reading, stopping), return_when=asyncio.FIRST_COMPLETED)
            if reading.done():
                await reading
        finally:
            stopping.cancel()
            figures.close()
            await server.close()


async def _listening(listen: Callable[..., object], host: str, port: int, tls: SSLContext | None) -> str:
    try:
        found = await listen(host, port)  # type: ignore[misc]
    except OSError as error:
        raise AddressError(f"{host}:{port} can't be listened on: {error.strerror or error}") from error
    shown = f"[{host}]" if ":" in host else host
    return f"{'https' if tls else 'http'}://{shown}:{found}/"
