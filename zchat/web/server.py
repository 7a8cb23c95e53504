"""The gateway's server: connections of browsers in an event loop.

`websockets`' protocol without I/O reads what comes; frames go out as the core has made them, to the transport at once.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from ssl import SSLContext
from urllib.parse import parse_qs, unquote, urlsplit

from websockets.exceptions import InvalidMessage
from websockets.frames import Frame, Opcode
from websockets.http11 import Request, Response
from websockets.protocol import State
from websockets.server import ServerProtocol

from zchat.errors import ZchatError
from zchat.messages import Position
from zchat.web.core import frames, limits
from zchat.web.core.gateway import Gateway
from zchat.web.core.letting_in import Caller
from zchat.web.core.refusals import Turned, is_retryable
from zchat.web.core.session import Session
from zchat.web.core.timers import Timer
from zchat.web.core.watching import Watching
from zchat.web.descriptors import for_newcomers
from zchat.web.listening import Listener
from zchat.web.pages import File, file_response, text_response

TURN_SECONDS = 0.25
"""How often the timers are turned: none of their times is shorter than a second."""

STALL_SECONDS = 2 * TURN_SECONDS
"""A pause between two turns from which on this process stood still: nobody could be heard meanwhile."""

_BEAT = frames.frame({"op": "beat"}) + b"\x89\x00"  # and a ping, which a page doesn't see and its browser answers

_STREAM = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nCache-Control: no-store\r\n"
    b"X-Content-Type-Options: nosniff\r\nX-Accel-Buffering: no\r\nConnection: close\r\n"
)


class Browser(asyncio.Protocol):
    """One connection from an address: a request, and then a page's WebSocket, or events that it is sent."""

    def __init__(self, server: Server, address: str) -> None:
        self.paused = False
        self._server = server
        self._gateway = server.gateway
        self._address = address
        self._http = ServerProtocol(max_size=limits.MAX_COMMAND)
        self._session: Session | Watching | None = None
        self._command = bytearray()
        self._text = True
        self.heard = True
        """False once a beat has gone out, until something comes."""
        self._answered = False  # by something else than a WebSocket
        self._silent = False  # nothing more is written but what closes it
        self._reading = True
        self._held = False
        self._origin: str | None = None  # of the page that asks, if it may
        self._due: Timer | None = None
        self._paused_at = 0.0

    # -- asyncio.Protocol ----------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.set_write_buffer_limits(limits.BUFFER_BYTES)
        self._after(limits.GREETING_SECONDS, self._slow)

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self._silent = True
        self._server.gone(self, self._address)
        if self._due is not None:
            self._due.cancel()
        if self._session is not None:
            self._gateway.context.counters.lost += not self._http.close_expected()
            self._session.lost()

    def pause_writing(self) -> None:
        """See `asyncio.Protocol`."""
        self.paused = True
        self._paused_at = self._gateway.context.world.now()
        self._read_or_not()  # else answers to pings would pile up

    def resume_writing(self) -> None:
        """See `asyncio.Protocol`."""
        self.paused = False
        self._read_or_not()
        if self._session is not None:
            self._session.resumed()

    def eof_received(self) -> bool:
        """See `asyncio.Protocol`."""
        self._http.receive_eof()
        self._flush()
        return False

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        self.heard = True
        if isinstance(self._session, Watching) or self._answered:
            return
        http = self._http
        http.receive_data(data)
        for event in http.events_received():
            if isinstance(event, Request):
                self._request(event)
            elif isinstance(event, Frame):
                self._frame(event)
        if isinstance(http.handshake_exc, InvalidMessage) and not self._answered:
            self._answer(text_response(HTTPStatus.BAD_REQUEST, "this is no request of HTTP/1.1 without a body"))
        self._flush()

    # -- the core's connection -------------------------------------------------------------------------

    def write(self, *frames: bytes) -> None:
        """See `zchat.web.core.port.Connection`."""
        if not self._silent:
            self._transport.write(b"".join(frames))  # of one alone it is that itself

    def close(self, code: int, text: str) -> None:
        """See `zchat.web.core.port.Connection`."""
        if not self._silent and self._http.state is State.OPEN:
            self._http.send_close(code, text.encode()[:120].decode(errors="ignore"))
            self._flush()
            self._silent = True
            self._after(limits.CLOSING_SECONDS, self.give_up)

    def hold(self, held: bool) -> None:
        """See `zchat.web.core.port.Connection`."""
        self._held = held
        self._read_or_not()

    # -- requests ----------------------------------------------------------------------------------

    def _request(self, request: Request) -> None:
        self._server.asked(self, self._address)
        self._after(limits.REQUEST_SECONDS, self.give_up)
        try:
            self._route(request)
        except Turned as error:
            self._turn_away("login", HTTPStatus.FORBIDDEN, error.text)

    def _route(self, request: Request) -> None:
        server, gateway = self._server, self._gateway
        try:
            target = urlsplit(request.path)
        except ValueError:  # of brackets
            self._answer(text_response(HTTPStatus.BAD_REQUEST, "this is no path"), request)
            return
        path = target.path
        if path == "/healthz":
            up = gateway.up and not gateway.closing
            status = HTTPStatus.OK if up else HTTPStatus.SERVICE_UNAVAILABLE
            self._answer(text_response(status, "ok" if up else "the broker is away"), request)
            return
        hosts, origins = request.headers.get_all("Host"), request.headers.get_all("Origin")
        host = hosts[0] if len(hosts) == 1 else None
        origin = ",".join(origins) if origins else None
        refused = gateway.letting_in.place(host, origin)
        if refused is None and origin is not None:
            self._origin = origin
        if refused is not None:
            text = "this name is not served here" if refused == "host" else "this page may not connect here"
            self._turn_away(refused, HTTPStatus.FORBIDDEN, text)
        elif request.method not in ("GET", "HEAD"):
            error = text_response(HTTPStatus.METHOD_NOT_ALLOWED, "GET is all that is served", {"Allow": "GET, HEAD"})
            self._answer(error, request)
        elif path == "/ws":
            self._open(request)
        elif path.startswith("/rooms/") and path.endswith("/live") and path.count("/") == 3:
            self._live(request, unquote(path.split("/")[2]), parse_qs(target.query).get("after", []))
        elif (file := server.files.get(path.removeprefix("/"))) is not None:
            header = request.headers
            found = file_response(file, ",".join(header.get_all("Accept-Encoding")), header.get("If-None-Match", ""))
            self._answer(found, request)
        else:
            self._answer(text_response(HTTPStatus.NOT_FOUND, "there is nothing here"), request)

    def _caller(self, request: Request) -> Caller:
        return self._gateway.letting_in.caller(self._address, request.headers.get_all)

    def _open(self, request: Request) -> None:
        """Open a WebSocket."""
        caller = self._caller(request)
        if self._gateway.full_for(caller):
            self._full()
            return
        accepted = self._http.accept(request)
        if accepted.status_code != HTTPStatus.SWITCHING_PROTOCOLS:
            self._answer(accepted)
            return
        self._http.send_response(accepted)
        self._flush()
        self._begin(Session(self._gateway, self, caller))

    def _begin(self, session: Session | Watching) -> None:
        self._session = session
        self._after(limits.BEAT_SECONDS, self._beat)

    def _live(self, request: Request, room: str, after: list[str]) -> None:
        """Send a public room's messages as server-sent events."""
        known = request.headers.get("Last-Event-ID") or (after[0] if after else None)
        position = None if known is None else frames.position_of(known)
        caller = self._caller(request)
        if known is not None and position is None:
            self._answer(text_response(HTTPStatus.BAD_REQUEST, "the position is none: EPOCH:SEQ"), request)
        elif not self._gateway.is_public(room):
            self._answer(text_response(HTTPStatus.NOT_FOUND, "there is no such public room"), request)
        elif self._gateway.full_for(caller):
            self._full()
        elif request.method == "HEAD":
            self._answer(text_response(HTTPStatus.OK, ""), request)
        else:
            stream = EventStream(self, self._transport)
            watching = Watching(self._gateway, stream, caller)
            self._begin(watching)
            self._gateway.context.world.spawn(self._watch(watching, stream, room, position))

    async def _watch(self, watching: Watching, stream: EventStream, room: str, after: Position | None) -> None:
        try:
            await watching.begin(room, after, self._begin_stream)
        except ZchatError as error:
            watching.lost()
            self._session = None
            status = HTTPStatus.SERVICE_UNAVAILABLE if is_retryable(error) else HTTPStatus.NOT_FOUND
            self._answer(text_response(status, str(error)))

    def _begin_stream(self) -> None:
        allowed = "" if self._origin is None else f"Access-Control-Allow-Origin: {self._origin}\r\n"
        self.write(_STREAM + allowed.encode() + b"\r\nretry: 2000\n\n")

    def _turn_away(self, reason: str, status: HTTPStatus, text: str, headers: dict[str, str] | None = None) -> None:
        self._gateway.context.counters.turned_away[reason] += 1
        self._answer(text_response(status, text, headers))

    def _full(self) -> None:
        self._turn_away("full", HTTPStatus.SERVICE_UNAVAILABLE, "too many connections", {"Retry-After": "10"})

    def _answer(self, found: Response, request: Request | None = None) -> None:
        """Answer the request, after which the connection is closed."""
        self._gateway.context.counters.requests[found.status_code] += 1
        if request is not None and request.method == "HEAD":
            found.body = b""
        if self._origin is not None:
            found.headers["Access-Control-Allow-Origin"] = self._origin
        self._answered = self._silent = True
        self._transport.write(found.serialize())
        self._transport.close()

    # -- a WebSocket ---------------------------------------------------------------------------------

    def _frame(self, frame: Frame) -> None:
        if frame.opcode not in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            return
        if frame.opcode is not Opcode.CONT:
            self._text = frame.opcode is Opcode.TEXT
        self._command += frame.data
        if frame.fin and isinstance(self._session, Session):
            command = bytes(self._command)
            self._command.clear()
            self._session.receive(command if self._text else b"")

    def _flush(self) -> None:
        if self._answered:
            return
        for data in self._http.data_to_send():
            if data:
                self._transport.write(data)
            else:
                self._transport.close()

    def _read_or_not(self) -> None:
        reading = not (self.paused or self._held)
        if reading is not self._reading and not self._transport.is_closing():
            self._reading = reading
            if reading:
                self._transport.resume_reading()
            else:
                self._transport.pause_reading()

    # -- time ----------------------------------------------------------------------------------------

    def _after(self, seconds: float, call: Callable[[], None]) -> None:
        """Have something called, in place of what was to be called before."""
        if self._due is not None:
            self._due.cancel()
        context = self._gateway.context
        self._due = context.timers.at(context.world.now() + seconds, call)

    def _slow(self) -> None:
        self._turn_away("slow", HTTPStatus.REQUEST_TIMEOUT, "no request came")
        self._after(limits.CLOSING_SECONDS, self.give_up)

    def _beat(self) -> None:
        """See whether the other end is there, and say that this one is."""
        stalled = self.paused and self._gateway.context.world.now() - self._paused_at > limits.STALLED_SECONDS
        if stalled or (not self.heard and self._reading and isinstance(self._session, Session)):
            self.give_up()
            return
        self.heard = False
        if not self.paused:
            self.write(_BEAT if isinstance(self._session, Session) else b":\n\n")
        self._after(limits.BEAT_SECONDS, self._beat)

    def give_up(self) -> None:
        """End the connection at once."""
        self._transport.abort()


class EventStream:
    """A connection that server-sent events go out of."""

    def __init__(self, browser: Browser, transport: asyncio.Transport) -> None:
        self._browser = browser
        self._transport = transport

    @property
    def paused(self) -> bool:
        """See `zchat.web.core.port.Connection`."""
        return self._browser.paused

    def write(self, *found: bytes) -> None:
        """See `zchat.web.core.port.Connection`."""
        self._browser.write(*map(frames.server_event, found))

    def hold(self, held: bool) -> None:
        """Do nothing: nothing is read."""

    def close(self, code: int, text: str) -> None:
        """See `zchat.web.core.port.Connection`."""
        self._transport.close()


class Server:
    """The gateway at its addresses, for as long as a `with` block lasts."""

    def __init__(self, gateway: Gateway, files: dict[str, File], max_connections: int) -> None:
        self.gateway = gateway
        self.files = files
        self.sockets: set[Browser] = set()
        """All connections, whatever they are for."""
        self.max_sockets = max_connections + limits.SPARE_SOCKETS
        self._quiet: set[Browser] = set()  # those that have yet to ask
        self._quiet_from: Counter[str] = Counter()  # how many these are, by their addresses
        self._listener = Listener(for_newcomers(), self.arrive, partial(self._turn_away, "files"))
        self._turning: asyncio.TimerHandle | None = None
        self._turned = gateway.context.world.now()

    async def listen(self, host: str, port: int, tls: SSLContext | None) -> int:
        """Begin to accept connections; return the port.

        Raises:
            OSError: the address can't be had.
        """
        found = await self._listener.listen(host, port, tls)
        self._turn()
        return found

    def arrive(self, address: str) -> Browser | None:
        """Return the protocol of a newcomer from an address, None if there is no place."""
        if len(self.sockets) >= self.max_sockets:
            self._turn_away("full")
            return None
        if self._quiet_from[address] >= limits.SILENT_AN_ADDRESS and self.gateway.letting_in.counts(address):
            self._turn_away("address")
            return None
        browser = Browser(self, address)
        self.sockets.add(browser)
        self._quiet.add(browser)
        self._quiet_from[address] += 1
        return browser

    def asked(self, browser: Browser, address: str) -> None:
        """Take it that a connection from an address has asked for something."""
        if browser in self._quiet:
            self._quiet.discard(browser)
            self._quiet_from[address] -= 1
            if not self._quiet_from[address]:
                del self._quiet_from[address]

    def gone(self, browser: Browser, address: str) -> None:
        """Take it that a connection from an address has ended."""
        self.asked(browser, address)
        self.sockets.discard(browser)

    async def close(self) -> None:
        """Accept no more, say bye to all, and give them some seconds to take it."""
        self._listener.close()
        self.gateway.close()
        now = asyncio.get_running_loop().time
        deadline = now() + limits.CLOSING_SECONDS
        while self.sockets and now() < deadline:
            await asyncio.sleep(0.02)
        for browser in tuple(self.sockets):
            browser.give_up()
        if self._turning is not None:
            self._turning.cancel()

    def _turn_away(self, reason: str) -> None:
        self.gateway.context.counters.turned_away[reason] += 1

    def _turn(self) -> None:
        self._turning = asyncio.get_running_loop().call_later(TURN_SECONDS, self._turn)
        self.turn(self.gateway.context.world.now())

    def turn(self, now: float) -> None:
        """Call what is due; what nobody said while this process stood still is held against nobody."""
        if now - self._turned > STALL_SECONDS:
            for browser in self.sockets:
                browser.heard = True
        self._turned = now
        self.gateway.turn()
