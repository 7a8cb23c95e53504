"""A web page that shows a room live, by server-sent events: fastapi 0.135 or newer, and `uvicorn live_page:app`.

Change ROOM, and PAGE to what yours looks like. All pages share one client, and the log is their queue: each is sent
what comes after its own last message, at its own speed, and goes on there after a cut. ZCHAT_URL names another broker.
"""

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import FastAPI, Header
from fastapi.responses import HTMLResponse
from fastapi.sse import EventSourceResponse, ServerSentEvent

import zchat

URL = os.environ.get("ZCHAT_URL", "tcp://127.0.0.1:5555")
ROOM = "General"
PAGE = """<!doctype html><meta charset="utf-8"><title>Live</title><ul></ul><script>
// As text, never as HTML: it is what anyone has said.
const show = text => document.querySelector("ul").appendChild(document.createElement("li")).textContent = text
new EventSource("messages").onmessage = event => show(JSON.parse(event.data).join(": "))</script>"""

room: zchat.AsyncRoom
grown = asyncio.Condition()


async def follow(client: zchat.AsyncClient) -> None:
    async for _ in client.events():  # the room's position is after each message that comes here
        async with grown:
            grown.notify_all()


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
    global room
    async with asyncio.TaskGroup() as tasks, zchat.AsyncClient(URL, user="page") as client:
        room = await client.join(ROOM, echo=True)  # what this client sends is shown, too, if you let it send
        tasks.create_task(follow(client))  # which ends with the client
        yield


app = FastAPI(lifespan=lifespan)
app.get("/", response_class=HTMLResponse)(lambda: PAGE)


@app.get("/messages", response_class=EventSourceResponse)
async def messages(last_event_id: Annotated[int | None, Header()] = None) -> AsyncIterator[ServerSentEvent]:
    seq = room.position.seq - 20 if last_event_id is None else last_event_id
    while True:
        newest = room.position.seq
        seq = 0 if newest < seq else max(seq, newest - 500, 0)  # 0: the broker has lost its log, and begun another
        for message in await room.history(after=seq, before=newest + 1, limit=500):
            yield ServerSentEvent(id=str(message.seq), retry=500, data=[message.user, str(message.body)])
        seq = newest
        async with grown:
            while room.position.seq == seq:
                await grown.wait()
