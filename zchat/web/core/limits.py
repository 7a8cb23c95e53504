"""The gateway's bounds, each with its reason. What they have cost whom, `zchat.web.core.counters` counts."""

from __future__ import annotations

VERSION = 1
"""The version of the protocol between a page and the gateway (docs/web.md)."""

WINDOW = 64
"""Frames of a room that a page may have unacknowledged: what is on its way and being drawn, and no more. Half of them
are a hundred messages a second over a connection whose answers take 0.3 s."""

BUFFER_BYTES = 64 << 10
"""Bytes that wait in a connection before it counts as slow: the system's own buffer as much again."""

RING_BYTES = 1 << 20
"""Of the newest frames kept a room, for those who are a little late; one frame at least."""

MAX_HAPPENED = 500
"""Events of a room that wait to be shown together, a quarter of a second at most."""

CATCH_UP_ROWS = 500
"""Messages of the log that bring a late page on at a time: the broker's answer has 256 KiB at most."""

BEAT_SECONDS = 20.0
"""How often a connection is asked whether it is there: less than proxies allow to be silent, mostly 60 s."""

REQUEST_SECONDS = 30.0
"""Seconds for a page's file to be taken: a slow phone."""

STALLED_SECONDS = 120.0
"""How long a connection may take nothing of what waits in it: a page that stands still for a while comes back."""

SPARE_SOCKETS = 256
"""Connections beside those of pages: requests for files, and those that have yet to ask."""

GREETING_SECONDS = 5.0
"""Seconds for a request, and then for the first command."""

MAX_COMMAND = 64 << 10
"""Bytes of a command: a body with its escapes, and little else."""

MAX_BODY = 16 << 10
"""Bytes of MessagePack in a body: what people type. A broker may have less."""

COMMANDS_A_SECOND = 20.0
"""Commands of a connection: a page that shows several rooms needs some at once, and then few."""

COMMANDS_BURST = 120.0
"""Those at once: a page that comes back joins its 50 rooms, and asks for what is older in each."""

MESSAGES_A_SECOND = 5.0
"""Messages of a connection: faster than people type."""

MESSAGES_BURST = 20.0
"""Those at once: what was typed while the connection was away."""

REFUSALS_A_SECOND = 5.0
"""Commands that are refused as too many before their connection is closed: each costs as much as a taken one."""

REFUSALS_BURST = 200.0
"""Those at once."""

FRAMES_A_SECOND = 20.0
"""Frames of a connection that are no commands: pings, pongs, and parts of commands, as some proxies divide them."""

FRAMES_BURST = 200.0
"""Those at once."""

STRANGER_FRAMES = 20.0
"""Those at once of one who has yet to say hello: a token in parts."""

LATE_FRAMES = 120
"""Frames taken from a connection that was closed, until it says goodbye: what a page had on its way."""

CUT_SECONDS = 1.0
"""Seconds for why it was closed to reach one who doesn't stop; nothing is read of it meanwhile."""

PORTION = 1 << 10
"""Bytes that are taken of a connection in a turn of the loop: some 170 frames, the smallest there are. Each takes
10 µs to read, whatever it is worth, and all connections have their turns one after the other."""

LATE_BYTES = 256 << 10
"""Bytes taken, and not looked at, from a connection that has nothing more to say: after its end, or for server-sent
events."""

TOO_FAST_AGAIN = 10_000
"""Milliseconds after which a page may come again whose connection was closed for that."""

MAX_UNANSWERED = 100
"""Commands of a connection that wait for their answers."""

MAX_QUEUED_BYTES = 128 << 10
"""Bytes of commands of a connection that wait to be carried out: with more, nothing is read."""

MAX_ROOMS = 50
"""Rooms of a connection: more than a person follows."""

MAX_LISTED = 500
"""Rooms or members in one answer."""

MAX_ROWS = 200
"""Messages of history in one answer."""

CONNECTIONS_A_USER = 20
"""Connections with one user's name: tabs of several devices."""

CONNECTIONS_AN_ADDRESS = 50
"""Connections from one address; those of loopback and of trusted proxies, which stand for many, don't count."""

SILENT_AN_ADDRESS = 50
"""Connections from one address that have yet to ask for something: a browser has six at a time."""

MAX_CONNECTIONS = 8_000
"""Connections in all, unless it is said otherwise: each takes a descriptor and some 12 KiB."""

MAX_KEYS = 200
"""Keys of messages remembered a session, so that one that is asked for again is stored once."""

SESSION_SECONDS = 300.0
"""How long a session is remembered after its connection was lost: a tunnel, a lid that was closed for a moment."""

MAX_LOST_SESSIONS = 10_000
"""Sessions remembered that have no connection; the oldest is forgotten first."""

MAX_PENDING_BYTES = 64 << 20
"""Bytes of messages that wait for a broker in all: some thousand full ones, while it is away."""

SEND_SECONDS = 5.0
"""How long a page waits for the answer to a message before it is notified that the outcome is open."""

ASK_SECONDS = 5.0
"""Seconds for the broker to answer anything else."""

IDLE_USER_SECONDS = 30.0
"""How long a user stays there after the last page that takes part was lost: a reload is no farewell."""

REJOINED_SECONDS = 0.1
"""After what time it is looked again whether a user is in a room again, once there is a connection to the broker."""

IDLE_CHANNEL_SECONDS = 60.0
"""How long a room is read on after the last page has gone."""

RETRY_SECONDS = 5.0
"""Within what time pages come back that are asked to, each at a moment of its own."""

AGAIN_SECONDS = 1.0
"""After what time a late page's history is asked for again if the broker could not answer."""

CLOSING_SECONDS = 5.0
"""Seconds for pages to take what was said when the gateway ends."""

TOKEN_SECONDS = 5.0
"""How often it is looked at whether a token is valid: the wall clock may have been set, or the machine have slept."""

TOKEN_KEY_BYTES = 32
"""Bytes of a key for tokens at least: HS256 is as good as its key, and one that can be guessed makes users."""

MAX_TOKEN = 8 << 10
"""Bytes of a token."""

HISTORY_TRIES = 8
"""How often history is asked for with fewer messages until the newest fit into one answer."""
