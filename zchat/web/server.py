"""The gateway's server: connections of browsers in an event loop.

`websockets`' protocol without I/O reads what comes; frames go out as the core has made them, to the transport at once.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from ssl import SSLContext
from urllib.parse import unquote, urlsplit

from websockets.exceptions import InvalidMessage
from websockets.frames import Frame, Opcode
from websockets.http11 import Request, Response
from websockets.protocol import State
from websockets.server import ServerProtocol

from zchat.web.core import frames, limits
from zchat.web.core.gateway import Gateway
from zchat.web.core.letting_in import Caller
from zchat.web.core.refusals import Turned
from zchat.web.core.session import Session
from zchat.web.core.timers import Timer
from zchat.web.core.watching import Watching
from zchat.web.descriptors import for_newcomers
from zchat.web.listening import Listener
from zchat.web.pages import File, text_response
from zchat.web.requests import BEAT, RETRY, Asked, Live, Requests
from zchat.web.tls import is_closing

TURN_SECONDS = 0.25
"""How often the timers are turned: none of their times is shorter than a second."""

STALL_SECONDS = 2 * TURN_SECONDS
"""Time between two turns, but for that in which this thread worked, from which on it stood still: the process was
stopped, or its machine asleep, and nobody could be heard meanwhile."""

_BEAT = frames.frame({"op": "beat"}) + b"\x89\x00"  # and a ping, which a page doesn't see and its browser answers


_PONG = b"\x8a"
"""What a pong begins with."""


class Browser(asyncio.BufferedProtocol):
    """One connection from an address: a request, and then a page's WebSocket, or events that it is sent.

    Of what has come a portion is taken in a turn of the loop, whatever it is; then others have theirs.
    """

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
        self._ended = False  # all is said, and what comes is read to no purpose
        self._silent = False  # nothing more is written but what closes it
        self._reading = True
        self._held = False
        self._resting = False  # until the next turn of the loop
        self._cut = False  # nothing more is read
        self._late = 0  # frames, or bytes, that came when nothing was to come any more
        self._asked: Asked | None = None
        self._due: Timer | None = None
        self._paused_at = 0.0

    # -- asyncio.BufferedProtocol ----------------------------------------------------------------------------

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

    def get_buffer(self, sizehint: int) -> memoryview:
        """See `asyncio.BufferedProtocol`: all connections have the same, as it is read from at once."""
        return self._server.portion

    def buffer_updated(self, nbytes: int) -> None:
        """See `asyncio.BufferedProtocol`."""
        data = bytes(self._server.portion[:nbytes])
        if nbytes == len(self._server.portion):  # there is more, and with TLS all of it would be taken in this turn
            self._resting = True
            self._read_or_not()
            asyncio.get_running_loop().call_soon(self._rested)
        self.take(data)

    def _rested(self) -> None:
        self._resting = False
        self._read_or_not()

    def take(self, data: bytes) -> None:
        """Take a portion of what has come."""
        self.heard = True
        if self._ended and not self._resting:
            self._end()
        elif self._ended or isinstance(self._session, Watching):
            self._come_late(len(data), limits.LATE_BYTES)
        else:
            self._parse(data)

    def _parse(self, data: bytes) -> None:
        http = self._http
        http.receive_data(data)
        for event in http.events_received():
            if isinstance(event, Request):
                self._request(event)
            elif isinstance(event, Frame):
                self._frame(event)
        if isinstance(http.handshake_exc, InvalidMessage) and not self._ended:
            self._answer(text_response(HTTPStatus.BAD_REQUEST, "this is no request of HTTP/1.1 without a body"))
        self._flush()

    # -- the core's connection -------------------------------------------------------------------------

    def write(self, *frames: bytes) -> None:
        """See `zchat.web.core.port.Connection`."""
        if not self._silent:
            self._put(b"".join(frames))  # of one alone it is that itself

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
            target = urlsplit(request.path)
        except ValueError:  # of brackets
            self._answer(text_response(HTTPStatus.BAD_REQUEST, "this is no path"))
            return
        path = unquote(target.path.removeprefix("/"))
        asked = self._asked = Asked(request.method, path, target.query, request.headers.get_all)
        requests = self._server.requests
        found = requests.answer(asked)
        if isinstance(found, Response):
            self._answer(found)
            return
        try:
            caller = self._gateway.letting_in.caller(self._address, request.headers.get_all)
        except Turned as error:
            self._answer(requests.turned_away("login", HTTPStatus.FORBIDDEN, error.text))
            return
        full = requests.full_for(caller)
        if full is not None:
            self._answer(full)
        elif found is None:
            self._open(request, caller)
        elif asked.method == "HEAD":
            self._answer(requests.stream(asked))
        else:
            stream = EventStream(self, self._transport, partial(self._after, limits.CLOSING_SECONDS, self.give_up))
            watching = Watching(self._gateway, stream, caller)
            self._begin(watching)
            self._gateway.context.world.spawn(self._watch(watching, found, requests.stream(asked)))

    def _open(self, request: Request, caller: Caller) -> None:
        """Open a WebSocket."""
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

    async def _watch(self, watching: Watching, live: Live, head: Response) -> None:
        """Send a public room's messages as server-sent events."""
        refused = await self._server.requests.follow(watching, live, lambda: self.write(head.serialize() + RETRY))
        if refused is not None:
            self._session = None
            self._answer(refused)

    def _answer(self, found: Response) -> None:
        """Answer the request, after which the connection is closed."""
        found = self._server.requests.finished(self._asked, found)
        self._silent = True
        self._put(found.serialize())
        self._end()

    # -- a WebSocket ---------------------------------------------------------------------------------

    def _frame(self, frame: Frame) -> None:
        session = self._session
        if not isinstance(session, Session):
            return
        if session.over:
            self._come_late(1, limits.LATE_FRAMES)
        elif frame.opcode not in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            session.count_frame()
        else:
            if frame.opcode is not Opcode.CONT:
                self._text = frame.opcode is Opcode.TEXT
            self._command += frame.data
            if frame.fin:
                command = bytes(self._command)
                self._command.clear()
                session.receive(command if self._text else b"")
            else:
                session.count_frame()

    def _come_late(self, much: int, most: int) -> None:
        """Count what came when nothing was to come any more: of who goes on nothing is read, until it is given up."""
        self._late += much
        if self._late > most and not self._cut:
            self._cut = True
            self._gateway.context.counters.cut += 1
            self._read_or_not()
            self._after(limits.CUT_SECONDS, self.give_up)

    def _flush(self) -> None:
        """Send what the protocol has to say: of pongs the last one, as RFC 6455 (5.5.3) has it, all in one piece."""
        if self._ended:
            return
        said = self._http.data_to_send()
        last = max((index for index, each in enumerate(said) if each.startswith(_PONG)), default=None)
        joined = b"".join(each for index, each in enumerate(said) if index == last or not each.startswith(_PONG))
        if joined and not self._silent:
            self._put(joined)
        if b"" in said:
            self._end()

    def _end(self) -> None:
        """Close, but read before what has come: else the system resets the connection, and the last word is lost."""
        self._ended = True
        if self._resting:
            self._after(limits.REQUEST_SECONDS, self.give_up)
        elif not self._transport.is_closing():
            self._transport.close()

    def _put(self, data: bytes) -> None:
        """Write, unless the connection is lost: asyncio logs each write to such a one."""
        if not is_closing(self._transport):
            self._transport.write(data)

    def _read_or_not(self) -> None:
        reading = not (self.paused or self._held or self._resting or self._cut)
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
        self._answer(self._server.requests.turned_away("slow", HTTPStatus.REQUEST_TIMEOUT, "no request came"))
        self._after(limits.CLOSING_SECONDS, self.give_up)

    def _beat(self) -> None:
        """See whether the other end is there, and say that this one is."""
        stalled = self.paused and self._gateway.context.world.now() - self._paused_at > limits.STALLED_SECONDS
        if stalled or (not self.heard and self._reading and isinstance(self._session, Session)):
            self.give_up()
            return
        self.heard = False
        if not self.paused:
            self.write(_BEAT if isinstance(self._session, Session) else BEAT)
        self._after(limits.BEAT_SECONDS, self._beat)

    def give_up(self) -> None:
        """End the connection at once."""
        self._transport.abort()


class EventStream:
    """A connection that server-sent events go out of; `give_up_later` has it end though the rest isn't taken."""

    def __init__(self, browser: Browser, transport: asyncio.Transport, give_up_later: Callable[[], None]) -> None:
        self._browser = browser
        self._transport = transport
        self._give_up_later = give_up_later

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
        self._give_up_later()


class Server:
    """The gateway at its addresses, for as long as a `with` block lasts."""

    def __init__(self, gateway: Gateway, files: dict[str, File], max_connections: int) -> None:
        self.gateway = gateway
        self.requests = Requests(gateway, files)
        self.sockets: set[Browser] = set()
        """All connections, whatever they are for."""
        self.max_sockets = max_connections + limits.SPARE_SOCKETS
        self._quiet: set[Browser] = set()  # those that have yet to ask
        self._quiet_from: Counter[str] = Counter()  # how many these are, by their addresses
        self._listener = Listener(for_newcomers(), self.arrive, partial(self._turn_away, "files"))
        self._turning: asyncio.TimerHandle | None = None
        self.portion = memoryview(bytearray(limits.PORTION))
        """Where what comes is read to."""
        self._turned = gateway.context.world.now()
        self._worked = time.thread_time()

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
        """Accept no more, say bye to all, and give those who have asked for something some seconds to take it."""
        self._listener.close()
        self.gateway.close()
        now = asyncio.get_running_loop().time
        deadline = now() + limits.CLOSING_SECONDS
        while self.sockets and now() < deadline:
            await asyncio.sleep(0.02)
            for browser in tuple(self._quiet):
                browser.give_up()
        for browser in tuple(self.sockets):
            browser.give_up()
        if self._turning is not None:
            self._turning.cancel()

    def _turn_away(self, reason: str) -> None:
        self.gateway.context.counters.turned_away[reason] += 1

    def _turn(self) -> None:
        self._turning = asyncio.get_running_loop().call_later(TURN_SECONDS, self._turn)
        self.turn(self.gateway.context.world.now(), time.thread_time())

    def turn(self, now: float, worked: float) -> None:
        """Call what is due; what nobody said while this process stood still is held against nobody.

        `worked`: seconds of a processor that this thread has had. Who gave it much to do has not made it stand still:
        all have been heard before this is called.
        """
        if (now - self._turned) - (worked - self._worked) > STALL_SECONDS:
            for browser in self.sockets:
                browser.heard = True
        self._turned, self._worked = now, worked
        self.gateway.turn()
