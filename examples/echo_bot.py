"""A bot: it repeats what is said to it, in direct rooms, and in its rooms to those who begin with its name.

Change `answer`, to whatever yours has to say, USER and ROOMS. `zchat client`, then `/msg echo hello`, is how to try it;
Ctrl-C ends it. The environment variable ZCHAT_URL names another broker.
"""

import asyncio
import os
import sys

import zchat

URL = os.environ.get("ZCHAT_URL", "tcp://127.0.0.1:5555")
USER = "echo"
ROOMS = ["General"]


def answer(message: zchat.Message) -> str | None:
    """Return what the bot answers, None for nothing. What takes long belongs into a task, or `asyncio.to_thread`."""
    words = str(message.body)
    if message.room.startswith("@"):
        return words
    name, colon, words = words.partition(":")
    return f"{message.user}: {words.strip()}" if colon and name == USER else None


async def main() -> None:
    async with zchat.AsyncClient(URL, user=USER) as client:
        rooms = [await client.join(name) for name in ROOMS]
        print("listening in", *(room.name for room in rooms), flush=True)
        async for event in client.events():  # direct rooms are joined by it
            match event:
                case zchat.Message() if words := answer(event):
                    room = await client.join(event.room)  # which it has joined already: this returns it
                    try:
                        await room.send(words)
                    except zchat.ZchatError as error:  # muted, too large, no broker for 5 seconds …
                        print(f"not sent to {room.name}: {error}", flush=True)
                case zchat.Removed() | zchat.Disconnected() | zchat.Gap():
                    print(event, flush=True)
                case _:  # who comes, goes and types
                    pass


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        print("bye")
    except zchat.ZchatError as error:
        sys.exit(f"the bot ends: {error}")
