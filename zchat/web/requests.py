"""What is asked of a gateway over HTTP, and what answers it, whichever server has read the request. It does no I/O."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import NamedTuple
from urllib.parse import parse_qs

from websockets.datastructures import Headers
from websockets.http11 import Response

from zchat.errors import ZchatError
from zchat.messages import Position
from zchat.web.core import frames
from zchat.web.core.gateway import Gateway
from zchat.web.core.letting_in import Caller
from zchat.web.core.refusals import is_retryable
from zchat.web.core.watching import Watching
from zchat.web.pages import File, file_response, text_response

RETRY = b"retry: 2000\n\n"
"""What server-sent events begin with: after how many milliseconds a browser comes again whose connection was lost."""

BEAT = b":\n\n"
"""A comment among them, which shows that the connection is there."""

_LIVE = re.compile(r"rooms/(.+)/live", re.DOTALL)

_STREAM = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "X-Accel-Buffering": "no",
    "Connection": "close",
}


class Asked(NamedTuple):
    """A request, as a server has read it."""

    method: str
    path: str
    """The path below where the gateway is, without its first slash and without percent signs."""
    query: str
    header: Callable[[str], Sequence[str]]
    """Returns the values of a header: none, one, or several if it was repeated."""


class Live(NamedTuple):
    """A public room is asked for as server-sent events, after a position, None for from now on."""

    room: str
    after: Position | None


class Requests:
    """What answers requests to one gateway, with a page's files."""

    def __init__(self, gateway: Gateway, files: dict[str, File]) -> None:
        self.gateway = gateway
        self._files = files

    def answer(self, asked: Asked) -> Response | Live | None:
        """Return what answers a request; a room's events are still to be begun, and so is a WebSocket (None)."""
        path = asked.path
        if path == "healthz":
            up = self.gateway.up and not self.gateway.closing
            status = HTTPStatus.OK if up else HTTPStatus.SERVICE_UNAVAILABLE
            return text_response(status, "ok" if up else "the broker is away")
        refused = self._refused(asked)
        if refused is not None:
            text = "this name is not served here" if refused == "host" else "this page may not connect here"
            return self.turned_away(refused, HTTPStatus.FORBIDDEN, text)
        if asked.method not in ("GET", "HEAD"):
            return text_response(HTTPStatus.METHOD_NOT_ALLOWED, "GET is all that is served", {"Allow": "GET, HEAD"})
        if path == "ws":
            return None
        if (live := _LIVE.fullmatch(path)) is not None:
            return self._live(live[1], asked)
        if (file := self._files.get(path)) is not None:
            accepted, known = (",".join(asked.header(name)) for name in ("Accept-Encoding", "If-None-Match"))
            return file_response(file, accepted, known)
        return text_response(HTTPStatus.NOT_FOUND, "there is nothing here")

    def full_for(self, caller: Caller) -> Response | None:
        """Return what answers one for whose connection there is no place, None if there is one."""
        if not self.gateway.full_for(caller):
            return None
        return self.turned_away("full", HTTPStatus.SERVICE_UNAVAILABLE, "too many connections", {"Retry-After": "10"})

    def turned_away(
        self, reason: str, status: HTTPStatus, text: str, headers: dict[str, str] | None = None
    ) -> Response:
        """Return what answers one who is not let in, and count it by the reason."""
        self.gateway.context.counters.turned_away[reason] += 1
        return text_response(status, text, headers)

    def finished(self, asked: Asked | None, found: Response) -> Response:
        """Return an answer as it goes out, and count it; `asked` is None if the request could not be read."""
        self.gateway.context.counters.requests[found.status_code] += 1
        if asked is None:
            return found
        if asked.method == "HEAD":
            found.body = b""
        return self._allowed(asked, found)

    def stream(self, asked: Asked) -> Response:
        """Return the head of the answer that server-sent events follow, `RETRY` the first of them."""
        return self._allowed(asked, Response(HTTPStatus.OK, HTTPStatus.OK.phrase, Headers(_STREAM), b""))

    async def follow(self, watching: Watching, live: Live, begun: Callable[[], None]) -> Response | None:
        """Begin to send a room's events, `begun` first; return the answer in their place if they can't be had."""
        try:
            await watching.begin(live.room, live.after, begun)
        except ZchatError as error:
            watching.lost()
            later = is_retryable(error)
            status = HTTPStatus.SERVICE_UNAVAILABLE if later else HTTPStatus.NOT_FOUND
            return text_response(status, str(error), {"Retry-After": "10"} if later else None)
        return None

    def _refused(self, asked: Asked) -> str | None:
        hosts, origins = asked.header("Host"), asked.header("Origin")
        host = hosts[0] if len(hosts) == 1 else None
        return self.gateway.letting_in.place(host, ",".join(origins) if origins else None)

    def _live(self, room: str, asked: Asked) -> Response | Live:
        known = [each for each in asked.header("Last-Event-ID") if each] or parse_qs(asked.query).get("after", [])
        after = frames.position_of(known[0]) if known else None
        if known and (after is None or len(set(known)) > 1):
            return text_response(HTTPStatus.BAD_REQUEST, "the position is none: EPOCH:SEQ")
        if not self.gateway.is_public(room):
            return text_response(HTTPStatus.NOT_FOUND, "there is no such public room")
        return Live(room, after)

    def _allowed(self, asked: Asked, found: Response) -> Response:
        """Have the page that asks read the answer, if it may connect, and no cache give it to another one."""
        name = "Access-Control-Allow-Origin"
        vary = found.headers.get("Vary")
        if vary is None:
            found.headers["Vary"] = "Origin"
        elif "Origin" not in vary:
            del found.headers["Vary"]
            found.headers["Vary"] = f"{vary}, Origin"
        origins = asked.header("Origin")
        if origins and name not in found.headers and self._refused(asked) is None:
            found.headers[name] = origins[0]
        return found
