"""The gateway as a part of a site: an application of ASGI, to be mounted beside others, with the site's own login."""

from __future__ import annotations

import asyncio
import inspect
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
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
from zchat.web.core.port import World
from zchat.web.core.refusals import Close
from zchat.web.core.session import Session
from zchat.web.core.watching import Watching
from zchat.web.doors import connections_of, origins_of, public_of
from zchat.web.pages import File, files_of, text_response
from zchat.web.requests import BEAT, RETRY, Asked, Live, Requests
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
        self._requests: Requests | None = None  # None unless it runs
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
        self._requests = Requests(gateway, self._files)
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
        requests = self._requests
        if requests is None:
            return
        self._check_loop()  # first: a call that is refused changes nothing
        self._requests = None
        requests.gateway.close()
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
        if self._requests is None:
            raise UsageError("the gateway is not connected: have `async with` it in your application's lifespan")
        self._check_loop()
        serve = self._websocket if kind == "websocket" else self._request
        await serve(self._requests, scope, receive, send)

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

    async def _websocket(self, requests: Requests, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        gateway = requests.gateway
        caller = await self._caller(scope) if requests.answer(_asked(scope)) is None else None
        nobody = caller is None or (caller.user is None and not gateway.letting_in.public)
        if caller is None or nobody or requests.full_for(caller) is not None:
            await send({"type": "websocket.close", "code": 1008})  # not accepted: the server answers with 403
            return
        await send({"type": "websocket.accept"})
        connection = _Connection()
        session = Session(gateway, connection, caller)

        async def take() -> None:
            while (message := await receive())["type"] != "websocket.disconnect":
                command = (message.get("text") or "").encode("utf-8", "surrogatepass")
                if len(command) > limits.MAX_COMMAND:
                    session.end(Close.TOO_LARGE, "a command is too long")
                session.receive(command)
                if session.over:
                    await asyncio.Event().wait()  # nothing more is taken, and this ends once all is sent
                await asyncio.sleep(0)  # a server may have thousands more ready, and others have their turns between
                await connection.readable.wait()

        await _until_over(take(), connection.send_all(gateway, session, send), session)

    async def _request(self, requests: Requests, scope: Scope, receive: Receive, send: Send) -> None:
        asked = _asked(scope)
        found = requests.answer(asked)
        if found is None:
            found = text_response(HTTPStatus.NOT_FOUND, "there is a WebSocket here, and nothing else")
        elif isinstance(found, Live):
            live, caller = found, await self._caller(scope)
            found = requests.full_for(caller) or requests.stream(asked)
            if found.status_code == HTTPStatus.OK and asked.method == "GET":
                await self._stream(requests, asked, live, caller, receive, send)
                return
        await _answer(send, requests.finished(asked, found))

    async def _stream(
        self, requests: Requests, asked: Asked, live: Live, caller: Caller, receive: Receive, send: Send
    ) -> None:
        """Send a public room's messages as server-sent events."""
        connection = _Events()
        watching = Watching(requests.gateway, connection, caller)

        async def take() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass

        async def give() -> None:
            await send(_head(requests.stream(asked)))
            await send({"type": "http.response.body", "body": RETRY, "more_body": True})
            await connection.send_all(requests.gateway, watching, send)

        try:
            refused = await requests.follow(watching, live, lambda: None)
            if refused is None:
                await _until_over(take(), give(), watching)
            else:
                await _answer(send, requests.finished(asked, refused))
        finally:
            watching.lost()


async def _until_over(
    taking: Coroutine[Any, Any, None], sending: Coroutine[Any, Any, None], session: Session | Watching
) -> None:
    """Carry out both until one of them ends: the other end is gone then, or all is sent, or nothing is taken."""
    tasks = [asyncio.create_task(taking), asyncio.create_task(sending)]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        session.lost()
        for task in tasks:
            task.cancel()
        taken, _ = await asyncio.gather(*tasks, return_exceptions=True)
    if isinstance(taken, Exception):
        raise taken


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
        """Send what is written, and a beat now and then, until the connection is closed, or takes nothing for long."""

        async def send_soon(message: dict[str, Any]) -> None:
            async with asyncio.timeout(limits.STALLED_SECONDS):
                await send(message)

        try:
            await self._send_all(gateway.context.world, session, send_soon)
        except TimeoutError:
            gateway.context.counters.lost += 1

    async def _send_all(self, world: World, session: Session | Watching, send: Send) -> None:
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
        return {"type": "websocket.close", "code": int(code), "reason": text.encode()[:120].decode(errors="ignore")}


class _Events(_Connection):
    """The same for server-sent events."""

    def _message(self, frame: bytes) -> dict[str, Any]:
        return {"type": "http.response.body", "body": frames.server_event(frame), "more_body": True}

    def _beat(self) -> dict[str, Any]:
        return {"type": "http.response.body", "body": BEAT, "more_body": True}

    def _end(self, code: int, text: str) -> dict[str, Any]:
        return {"type": "http.response.body", "body": b"", "more_body": False}


def _asked(scope: Scope) -> Asked:
    """Return what is asked for below where the application is mounted."""
    path, root = str(scope["path"]), str(scope.get("root_path", "")).rstrip("/")
    if root and f"{path}/".startswith(f"{root}/"):  # some servers, and frameworks, leave it out
        path = path.removeprefix(root)

    def header(name: str) -> list[str]:
        wanted = name.lower().encode()
        return [value.decode("latin-1") for key, value in scope["headers"] if key.lower() == wanted]

    query = scope.get("query_string", b"").decode("latin-1")
    return Asked(scope.get("method", "GET"), path.removeprefix("/"), query, header)


async def _answer(send: Send, found: Response) -> None:
    await send(_head(found))
    await send({"type": "http.response.body", "body": found.body})


def _head(found: Response) -> dict[str, Any]:
    """Return the beginning of a response; the server's own headers are its own."""
    headers = [
        (key.lower().encode("latin-1"), value.encode("latin-1"))
        for key, value in found.headers.raw_items()
        if key not in ("Connection", "Date")
    ]
    return {"type": "http.response.start", "status": int(found.status_code), "headers": headers}
