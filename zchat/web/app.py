"""The gateway as a part of a site: an application of ASGI, to be mounted beside others, with the site's own login."""

from __future__ import annotations

import asyncio
import inspect
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from http import HTTPStatus
from os import PathLike
from types import TracebackType
from typing import Any, Self, TypeAlias

from websockets.http11 import Response

from zchat.address import DEFAULT_URL
from zchat.checks import shown
from zchat.errors import UsageError, ZchatError
from zchat.transport.keys import Key
from zchat.web.brokers import Brokers
from zchat.web.core import frames, limits
from zchat.web.core.gateway import Gateway
from zchat.web.core.letting_in import Caller, LettingIn
from zchat.web.core.refusals import is_retryable
from zchat.web.core.session import Session
from zchat.web.core.watching import Watching
from zchat.web.doors import connections_of, origins_of, public_of
from zchat.web.pages import File, file_response, files_of, text_response
from zchat.web.server import TURN_SECONDS
from zchat.web.serving import running

Scope: TypeAlias = Mapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Mapping[str, Any]]]
Send: TypeAlias = Callable[[dict[str, Any]], Awaitable[None]]
Authenticate: TypeAlias = Callable[[Scope], "str | Awaitable[str | None] | None"]

_BEAT = frames.frame({"op": "beat"})


class App:
    """A gateway for browsers, as an application of ASGI: `app.mount("/chat", zchat.web.App(...))`.

    It serves the page, its WebSocket at `ws`, and public rooms as server-sent events, all below where it is mounted.
    It is connected to the broker in an `async with` block, which a site has in its lifespan, as no server calls that of
    what is mounted; where it is the whole site, the server's own lifespan does it.

    `url`: the broker's address, or several. `authenticate`: called with each connection's scope (its headers, its
    session), returns the user's name, or None for nobody; it may be asynchronous. `public`: patterns of the rooms that
    nobody in particular may watch. `origins`: pages of other places that may connect. `page`: the folder of a page of
    one's own, None for zchat's. `key`, `server_key`: as in `zchat.Client`. `max_connections`: browsers at once.

    It is made anywhere, and belongs to the event loop in which it is entered; after its end it may be entered again.

    Raises:
        UsageError: an argument is wrong; AddressError: an address is; BadKey: a key can't be used.
    """

    def __init__(
        self,
        url: str | Sequence[str] = DEFAULT_URL,
        *,
        authenticate: Authenticate,
        public: Sequence[str] = (),
        origins: Sequence[str] = (),
        page: str | PathLike[str] | None = None,
        key: Key | str | PathLike[str] | None = None,
        server_key: str | PathLike[str] | Sequence[str | PathLike[str]] | None = None,
        max_connections: int = limits.MAX_CONNECTIONS,
    ) -> None:
        if not callable(authenticate):
            raise UsageError(
                f"authenticate is a function that is given a scope and returns a user's name, not {shown(authenticate)}"
            )
        self._authenticate = authenticate
        letting_in = LettingIn(public=public_of(public), hosts=None, origins=origins_of(origins))
        self._given = (Brokers(url, key, server_key), letting_in, connections_of(max_connections))
        self._files: dict[str, File] = files_of(page)
        self._gateway: Gateway | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Connect to the broker.

        Raises:
            UsageError: it runs already, or is about to.
            ZchatError: the broker can't be reached.
        """
        if self._loop is not None:
            raise UsageError("this application runs already: have one `async with` it, in one place")
        self._loop = asyncio.get_running_loop()
        try:
            gateway, _ = await self._stack.enter_async_context(running(*self._given))
        except BaseException:
            self._loop = None
            raise
        self._gateway = gateway
        turning = asyncio.create_task(self._turn(gateway))
        self._stack.callback(turning.cancel)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Say bye to the pages, and end the connections to the broker; what doesn't run is left as it is.

        Raises:
            UsageError: this is another loop than the one in which it was entered; it runs on there.
        """
        gateway = self._gateway
        if gateway is None:
            return
        self._check_loop()  # first: a call that is refused changes nothing
        self._gateway = None
        gateway.close()
        try:
            await self._stack.aclose()
        finally:
            self._loop = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a connection, as ASGI 3 says."""
        kind = scope["type"]
        if kind == "lifespan":
            await self._lifespan(receive, send)
            return
        if self._gateway is None:
            raise UsageError("the gateway is not connected: have `async with` it in your application's lifespan")
        self._check_loop()
        if kind == "websocket":
            await self._websocket(self._gateway, scope, receive, send)
        else:
            await self._request(self._gateway, scope, receive, send)

    # -- within ------------------------------------------------------------------------------------

    def _check_loop(self) -> None:
        if asyncio.get_running_loop() is not self._loop:
            raise UsageError("this application runs in another event loop: one loop serves it from its beginning on")

    async def _turn(self, gateway: Gateway) -> None:
        while True:
            gateway.turn()
            await asyncio.sleep(TURN_SECONDS)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            await self.__aenter__()
        except ZchatError as error:
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self.__aexit__(None, None, None)
        await send({"type": "lifespan.shutdown.complete"})

    async def _caller(self, scope: Scope) -> Caller:
        user = self._authenticate(scope)
        if inspect.isawaitable(user):
            user = await user
        if user is not None and not isinstance(user, str):
            raise UsageError(f"authenticate returns a user's name, or None for nobody, not {shown(user)}")
        client = scope.get("client")
        return Caller(client[0] if client else "", False, user)

    async def _websocket(self, gateway: Gateway, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        caller = await self._caller(scope)
        wrong = _route(scope) != "ws" or _refusal(gateway, scope) is not None
        if wrong or gateway.full_for(caller) or (caller.user is None and not gateway.letting_in.public):
            await send({"type": "websocket.close", "code": 1008})  # not accepted: the server answers with 403
            return
        await send({"type": "websocket.accept"})
        connection = _Connection()
        session = Session(gateway, connection, caller)
        sending = asyncio.create_task(connection.send_all(gateway, session, send))
        try:
            while (message := await receive())["type"] != "websocket.disconnect":
                text = message.get("text") or ""
                if len(text) > limits.MAX_COMMAND:
                    session.end(1009, "a command is too long")
                session.receive(text.encode("utf-8", "surrogatepass"))
                await connection.readable.wait()
        finally:
            session.lost()
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)

    async def _request(self, gateway: Gateway, scope: Scope, receive: Receive, send: Send) -> None:
        path = _route(scope)
        refused = _refusal(gateway, scope)
        if refused is not None:
            await _answer(send, scope, text_response(HTTPStatus.FORBIDDEN, "this page may not connect here"))
        elif scope["method"] not in ("GET", "HEAD"):
            await _answer(send, scope, text_response(HTTPStatus.METHOD_NOT_ALLOWED, "GET is all that is here"))
        elif path.startswith("rooms/") and path.endswith("/live") and path.count("/") == 2:
            await self._live(gateway, path.split("/")[1], scope, receive, send)
        elif (file := self._files.get(path)) is not None:
            found = file_response(file, _header(scope, b"accept-encoding"), _header(scope, b"if-none-match"))
            await _answer(send, scope, found)
        else:
            await _answer(send, scope, text_response(HTTPStatus.NOT_FOUND, "there is nothing here"))

    async def _live(self, gateway: Gateway, room: str, scope: Scope, receive: Receive, send: Send) -> None:
        known = _header(scope, b"last-event-id")
        position = frames.position_of(known) if known else None
        caller = await self._caller(scope)
        if not gateway.is_public(room) or (known and position is None) or gateway.full_for(caller):
            await _answer(send, scope, text_response(HTTPStatus.NOT_FOUND, "there is no such public room"))
            return
        connection = _Events()
        watching = Watching(gateway, connection, caller)
        sending: asyncio.Task[None] | None = None
        try:
            await watching.begin(room, position, lambda: None)
            headers = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-store")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            sending = asyncio.create_task(connection.send_all(gateway, watching, send))
            while (await receive())["type"] != "http.disconnect":
                pass
        except ZchatError as error:
            status = HTTPStatus.SERVICE_UNAVAILABLE if is_retryable(error) else HTTPStatus.NOT_FOUND
            await _answer(send, scope, text_response(status, str(error)))
        finally:
            watching.lost()
            if sending is not None:
                sending.cancel()
                await asyncio.gather(sending, return_exceptions=True)


class _Connection:
    """A browser's connection, see `zchat.web.core.port.Connection`: what is to be sent, until a task has sent it."""

    def __init__(self) -> None:
        self.paused = False
        self.readable = asyncio.Event()
        """Set while commands are to be read."""
        self.readable.set()
        self._ready = asyncio.Event()  # there is something to send
        self._frames: deque[bytes] = deque()
        self._size = 0
        self._closed: tuple[int, str] | None = None

    def write(self, *frames: bytes) -> None:
        """See `zchat.web.core.port.Connection`."""
        if self._closed is None:
            self._frames += frames
            self._size += sum(map(len, frames))
            self.paused = self._size > limits.BUFFER_BYTES
            self._ready.set()

    def hold(self, held: bool) -> None:
        """See `zchat.web.core.port.Connection`."""
        (self.readable.clear if held else self.readable.set)()

    def close(self, code: int, text: str) -> None:
        """See `zchat.web.core.port.Connection`."""
        self._closed = (code, text)
        self._ready.set()
        self.readable.set()

    async def send_all(self, gateway: Gateway, session: Session | Watching, send: Send) -> None:
        """Send what is written, and a beat now and then, until the connection is closed."""
        try:
            await self._send_all(gateway, session, send)
        finally:
            self.readable.set()  # it is noticed there that the other end is gone

    async def _send_all(self, gateway: Gateway, session: Session | Watching, send: Send) -> None:
        world = gateway.context.world
        beat = world.now() + limits.BEAT_SECONDS
        while True:
            while self._frames:
                frame = self._frames.popleft()
                await send(self._message(frame))
                self._size -= len(frame)
                if self.paused and self._size < limits.BUFFER_BYTES // 2:
                    self.paused = False
                    session.resumed()
            if self._closed is not None:
                await send(self._end(*self._closed))
                return
            if world.now() >= beat:
                beat = world.now() + limits.BEAT_SECONDS
                await send(self._beat())
            elif not self._frames:
                self._ready.clear()
                with suppress(TimeoutError):
                    async with asyncio.timeout(beat - world.now()):
                        await self._ready.wait()

    def _message(self, frame: bytes) -> dict[str, Any]:
        return {"type": "websocket.send", "text": frames.text_of(frame).decode()}

    def _beat(self) -> dict[str, Any]:
        return self._message(_BEAT)

    def _end(self, code: int, text: str) -> dict[str, Any]:
        return {"type": "websocket.close", "code": int(code), "reason": text[:100]}


class _Events(_Connection):
    """The same for server-sent events."""

    def _message(self, frame: bytes) -> dict[str, Any]:
        return {"type": "http.response.body", "body": frames.server_event(frame), "more_body": True}

    def _beat(self) -> dict[str, Any]:
        return {"type": "http.response.body", "body": b":\n\n", "more_body": True}

    def _end(self, code: int, text: str) -> dict[str, Any]:
        return {"type": "http.response.body", "body": b"", "more_body": False}


def _route(scope: Scope) -> str:
    """Return the path below where the application is mounted."""
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", "")).removeprefix("/")


def _header(scope: Scope, name: bytes) -> str:
    return ",".join(value.decode("latin-1") for key, value in scope["headers"] if key == name)


def _refusal(gateway: Gateway, scope: Scope) -> str | None:
    origin = _header(scope, b"origin")
    return gateway.letting_in.place(_header(scope, b"host") or None, origin or None)


async def _answer(send: Send, scope: Scope, found: Response) -> None:
    headers = [
        (key.lower().encode("latin-1"), value.encode("latin-1"))
        for key, value in found.headers.raw_items()
        if key not in ("Connection", "Date")
    ]
    await send({"type": "http.response.start", "status": found.status_code, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else found.body})
