"""The gateway's figures, as Prometheus takes them: text over HTTP (exposition format 0.0.4)."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from http import HTTPStatus

from websockets.http11 import Response

from zchat.web.core.gateway import Gateway
from zchat.web.core.limits import GREETING_SECONDS
from zchat.web.descriptors import for_scrapes
from zchat.web.listening import Listener
from zchat.web.pages import text_response

MAX_REQUEST = 8 << 10
"""Bytes of a request for figures."""

MAX_SCRAPES = 16
"""Connections for figures at once: a few Prometheus servers and a curious person."""


class Metrics:
    """What answers requests for a gateway's figures, at an address of its own: they name no user and no room."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.scrapes: set[_Scrape] = set()
        """The connections that there are."""
        self._listener = Listener(for_scrapes(), self._arrive, lambda: None)

    async def listen(self, host: str, port: int) -> int:
        """Begin to answer; return the port.

        Raises:
            OSError: the address can't be had.
        """
        return await self._listener.listen(host, port, None)

    def close(self) -> None:
        """Answer no more."""
        self._listener.close()
        for scrape in self.scrapes:
            scrape.give_up()

    def _arrive(self, address: str) -> _Scrape | None:
        if len(self.scrapes) >= MAX_SCRAPES:
            return None
        scrape = _Scrape(self)
        self.scrapes.add(scrape)
        return scrape


class _Scrape(asyncio.Protocol):
    """One connection: a request, its answer, and the end, all within some seconds."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._head = b""
        self._transport: asyncio.Transport | None = None
        self._due: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._due = asyncio.get_running_loop().call_later(GREETING_SECONDS, self.give_up)

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self._metrics.scrapes.discard(self)
        if self._due is not None:
            self._due.cancel()

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        if self._transport is None or self._transport.is_closing():
            return
        self._head += data
        if b"\r\n\r\n" in self._head:
            self._transport.write(self._answer().serialize())
            self._transport.close()
        elif len(self._head) > MAX_REQUEST:
            self.give_up()

    def give_up(self) -> None:
        """End the connection at once."""
        if self._transport is not None:
            self._transport.abort()

    def _answer(self) -> Response:
        if b"\r\norigin:" in self._head.lower():
            return text_response(HTTPStatus.FORBIDDEN, "figures are not for pages")
        if not self._head.startswith(b"GET "):
            return text_response(HTTPStatus.METHOD_NOT_ALLOWED, "GET is all that is served", {"Allow": "GET"})
        kind = {"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}
        return text_response(HTTPStatus.OK, "\n".join(lines(self._metrics.gateway)), kind)


def lines(gateway: Gateway) -> Iterator[str]:
    """Yield the figures, a line each."""
    counters = gateway.context.counters
    yield from _gauge("connections", "Connections of pages.", len(gateway.connected))
    yield from _gauge("users", "Users with a session of their own.", len(gateway.users))
    yield from _gauge("rooms", "Rooms that are read for all.", len(gateway.channels))
    yield from _gauge("pending_bytes", "Bytes of messages that wait for the broker.", gateway.pending_bytes)
    yield from _gauge("up", "1 while the broker is there.", int(gateway.up))
    for name, text in _COUNTS.items():
        value = getattr(counters, name)
        full = f"zchat_web_{name}_total"
        yield f"# HELP {full} {text}"
        yield f"# TYPE {full} counter"
        if isinstance(value, Counter):
            for key, count in sorted(value.items()):
                yield f'{full}{{{_LABELS[name]}="{key}"}} {count}'
        else:
            yield f"{full} {value}"


def _gauge(name: str, text: str, value: int) -> Iterator[str]:
    yield f"# HELP zchat_web_{name} {text}"
    yield f"# TYPE zchat_web_{name} gauge"
    yield f"zchat_web_{name} {value}"


_COUNTS = {
    "accepted": "WebSockets accepted.",
    "watching": "Connections accepted for server-sent events.",
    "requests": "Answers to other requests, by status.",
    "turned_away": "Requests and connections not let in, by reason.",
    "closed": "Connections closed by the gateway, by code.",
    "lost": "Connections that broke off or were given up.",
    "cut": "Connections given up that sent much after their end.",
    "commands": "Commands taken.",
    "refused": "Commands refused, by code.",
    "dropped_acks": "Acknowledgements that changed nothing and came too fast.",
    "messages_in": "Messages from pages that were stored.",
    "repeated": "Messages asked for again, and not sent again.",
    "frames": "Frames encoded for rooms.",
    "rows": "Messages in them.",
    "late": "How often a page could not keep up with a room.",
    "caught_up_from_log": "Portions of the log that late pages were brought on with.",
    "dropped_events": "Events not sent to pages that could not keep up.",
    "forgotten": "Sessions forgotten early.",
}
"""The counts of `zchat.web.core.counters.Counters`, in words."""

_LABELS = {"requests": "status", "turned_away": "reason", "closed": "code", "refused": "code"}
