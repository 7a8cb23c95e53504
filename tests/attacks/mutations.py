"""What a hostile peer sends a broker, by its seed: beginnings of connections, handshakes, and frames in a session.

Routing ids of the kind that a ROUTER makes itself are never claimed: `SECURITY.md` says why.
"""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from random import Random
from typing import Any

from tests.attacks.curve import ERROR, HELLO, INITIATE, MESSAGE, READY, Insider
from tests.attacks.lies import BODIES, NUMBERS, ODD, changed, damaged
from tests.attacks.place import Approach
from tests.attacks.zmtp import COMMAND, LONG, MORE, Stranger, frame, greeting, prop, ready
from zchat.transport import keys
from zchat.wire.blocks import join_bodies
from zchat.wire.values import pack

MECHANISMS = (b"NULL", b"PLAIN", b"CURVE", b"GSSAPI", b"curve", b"")

NAMES = (
    READY, HELLO, b"\x07WELCOME", INITIATE, MESSAGE, ERROR, b"\x04PING\0\1", b"\x04PONG", b"\x09SUBSCRIBE",
    b"\x06CANCEL", b"\x05JOIN", b"", b"\xff", b"\0",
)  # fmt: skip
"""How commands of ZMTP begin, and what is none."""

KINDS = (b"DEALER", b"REQ", b"ROUTER", b"SUB", b"XPUB", b"REP", b"dealer", b"", b"D" * 300)
"""Types of sockets, of which a ROUTER takes the first three."""

LENGTHS = (0, 1, 7, 8, 255, 1 << 16, 1 << 20, (1 << 20) + 1, 1 << 31, 1 << 32, 1 << 62, (1 << 63) - 1, (1 << 64) - 1)

ROOMS = ("Other", "General", "other", "@alice\nbob", "@mallory\nbob", "a room with a longer name")
"""Where commands are sent: few, for a broker keeps what rooms hold."""

PRODUCERS = 16
"""Producers of one hostile peer, which a broker remembers for a day."""

BATCH = 50
"""Frames that are sent at once."""

SEND_SECONDS = 5.0
"""Seconds that they may wait to be sent."""


def metadata(random: Random) -> bytes:
    """Return properties, of which some lie about their lengths."""
    props = []
    for _ in range(random.choice((0, 1, 1, 2, 5, 40))):
        name = random.choice((b"Socket-Type", b"Identity", b"User-Id", b"Connection", b"Resource", b"", b"x" * 255))
        value = random.choice((random.choice(KINDS), b"claimed!", random.randbytes(8), b"1", b"alice", b"x" * 1000))
        props.append(prop(name, value))
        if random.random() < 0.1:
            props.append(bytes((random.randrange(256),)) + name + random.choice(LENGTHS).to_bytes(8, "big")[4:] + value)
    return b"".join(props)


def part(random: Random) -> bytes:
    """Return a frame or a command of ZMTP, where it may not belong, with a length that may lie."""
    match random.randrange(5):
        case 0:
            body = random.choice(NAMES) + random.randbytes(random.choice((0, 1, 8, 100, 194, 300)))
        case 1:
            body = READY + prop(b"Socket-Type", random.choice(KINDS)) + metadata(random)
        case 2:
            body = HELLO + b"\x01\0" + random.randbytes(random.choice((191, 192, 192, 193)))
        case 3:
            body = command(random)
        case _:
            body = random.randbytes(random.choice((0, 1, 255, 256, 2000)))
    flags = random.choice((0, MORE, COMMAND, COMMAND, COMMAND | MORE, random.randrange(256)))
    if random.random() < 0.8:
        return frame(body, flags)
    return bytes((flags | LONG,)) + random.choice((*LENGTHS, len(body) + 1)).to_bytes(8, "big") + body


def opening(random: Random) -> bytes:
    """Return all that a connection says: ZMTP of any version and mechanism, and what is none."""
    mechanism = random.choice(MECHANISMS)
    match random.randrange(8):
        case 0:  # ZMTP 1: a length and flags before each frame
            begun = random.choice(
                (b"\x01\0", b"\x05\0abcd", b"\xff" + random.choice(LENGTHS).to_bytes(8, "big") + b"\0")
            )
        case 1:  # ZMTP 1 and 2 after the signature that all take
            begun = b"\xff" + bytes(7) + b"\x01\x7f" + bytes((random.randrange(3), random.randrange(12))) + b"\0\0"
        case 2:
            begun = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n"
        case 3:
            begun = random.randbytes(random.choice((0, 1, 10, 64, 500)))
        case 4:
            begun = greeting(mechanism)[: random.randrange(65)]
        case _:
            begun = greeting(mechanism, random.choice((0, 1, 2, 255))) + random.choice((b"", ready()))
    said = begun + b"".join(part(random) for _ in range(random.randrange(6)))
    return said if random.random() < 0.7 or not said else damaged(said, random)


def valid(random: Random) -> list[Any]:
    """Return a command that a session may send."""
    room, number = random.choice(ROOMS), random.randrange(1, 1000)
    block = join_bodies([pack("x" * random.randrange(100))] * random.randrange(1, 5))
    return random.choice(
        (
            ["join", number, room, random.randrange(1, 4), None, random.randrange(11), True, 0],
            ["join", number, room, random.randrange(1, 4), [7, random.choice(NUMBERS)], 0, False],
            ["leave", number, room, random.randrange(1, 4)],
            ["send", number, room, random.randrange(1, 50), block],
            ["history", number, room, random.choice((None, *NUMBERS)), None, random.randrange(1, 50)],
            ["rooms", number, None, 10],
            ["credit", room, random.randrange(1, 4), random.choice(NUMBERS)],
            ["typing", room, True],
            ["mark", number, room, random.choice(NUMBERS)],
            ["members", number, room, None, 10],
            ["stats", number],
            ["seen", random.choice(NUMBERS)],
            ["ping"],
        )
    )


def command(random: Random) -> bytes:
    """Return a command with something wrong in it, or none at all."""
    dice = random.random()
    if dice < 0.02:
        return bytes(pack(random.choice(ODD)))
    if dice < 0.04:
        return random.randbytes(random.randrange(300))
    if dice < 0.06:
        body = random.choice(BODIES)
        return bytes(pack(["send", 1, random.choice(ROOMS), 1, body if isinstance(body, bytes) else b""]))
    if dice < 0.07:
        return bytes(pack(changed(["hello", 1, 1, 1, "mallory", b"p" * 16, b"t" * 16, 0, 1], random)))
    value = valid(random)
    packed = bytes(pack(changed(value, random) if dice < 0.8 else value))
    return damaged(packed, random) if dice > 0.9 and packed else packed


class Mallory:
    """One hostile peer at a broker. What it sends is settled by its seed, and counted by kind in `sent`."""

    def __init__(self, approach: Approach, seed: int, user: str = "mallory", kept: int = 100) -> None:
        self._approach = approach
        self._random = Random(seed)
        self._user = user
        self._kept: deque[Stranger] = deque()  # what was begun and not ended
        self._most = kept
        self._session: Stranger | None = None
        self._token, self._connections = b"", 0
        self._unknown = keys.make()
        self.sent = dict.fromkeys(("connections", "handshakes", "frames", "floods"), 0)
        """How many inputs were sent: connections with all that they said, handshakes, frames in a session, and floods,
        of which each counts as one, however much it is."""

    def connect(self) -> None:
        """Begin a connection with anything."""
        stranger = Stranger(self._approach.url)
        self._keep(stranger)
        self.sent["connections"] += 1
        with suppress(ConnectionError):
            stranger.say(opening(self._random))

    def shake_hands(self) -> None:
        """Begin a handshake with encryption, and go wrong somewhere; the key is let in or not."""
        random = self._random
        insider = self._approach.insider(self._unknown if random.random() < 0.9 else self._approach.pairs[self._user])
        self._keep(insider)
        self.sent["handshakes"] += 1
        with suppress(ConnectionError):
            if random.random() < 0.2:
                hello = insider.hello()
                insider.say(
                    greeting(b"CURVE") + random.choice((damaged(hello, random), hello * 2, hello[:-1], part(random)))
                )
                return
            insider.ask_for_welcome()
            initiate = insider.initiate(metadata(random))
            wrong = (initiate, initiate, damaged(initiate, random), initiate * 2, initiate[:-1], insider.hello())
            insider.say(random.choice(wrong) + random.choice((b"", part(random), insider.framed(command(random)))))

    def speak(self) -> None:
        """Send a batch of frames in a session, whichever way they are wrong; begin one if there is none."""
        session = self._session
        if session is None:
            session = self._session = self._greet()
            if session is None:
                return
        batch = [self._frame(session) for _ in range(BATCH)]
        self.sent["frames"] += len(batch)
        try:
            session.say(b"".join(batch))
            _read_away(session)
        except OSError:
            self.end_session()

    def flood(self) -> None:
        """Send much at once, with a key that is let in if there are keys, and hang up in the middle of it."""
        random = self._random
        stranger = self._approach.stranger(self._user)
        self.sent["floods"] += 1
        try:
            stranger.shake_hands(*random.choice(([], [prop(b"X", b"x" * 60_000)] * 10)))
            if random.random() < 0.5:
                stranger.greet(self._user, random.randrange(256))
            flags = random.choice((0, 0, 0, MORE))
            for _ in range(random.choice((1, 1, 1, 20))):
                flood = b"".join(stranger.framed(random.choice((b"", command(random))), flags) for _ in range(200))
                stranger.say(flood + stranger.framed(b"\x04PING\0\0", COMMAND))
        except (ConnectionError, TimeoutError):
            pass
        stranger.reset()

    def end_session(self) -> None:
        """Hang up where there is a session."""
        if self._session is not None:
            self._session.socket.close()
            self._session = None

    def close(self) -> None:
        """End all connections."""
        self.end_session()
        while self._kept:
            self._kept.popleft().socket.close()

    def _keep(self, stranger: Stranger) -> None:
        self._kept.append(stranger)
        if len(self._kept) > self._most:
            self._kept.popleft().socket.close()

    def _greet(self) -> Stranger | None:
        stranger = self._approach.stranger(self._user)
        random = self._random
        if self._connections and random.random() < 0.5:  # the session goes on, if it has not ended
            self._connections += 1
        else:
            self._token, self._connections = random.randbytes(16), 1
        producer = bytes((random.randrange(PRODUCERS),)) * 16
        try:
            stranger.shake_hands()
            greeted = stranger.ask("hello", 1, 1, 1, self._user, producer, self._token, 0, self._connections)
        except OSError:
            greeted = ["refused"]
        if greeted[0] != "ok":
            stranger.socket.close()
            self._connections = 0
            return None
        stranger.socket.settimeout(SEND_SECONDS)
        return stranger

    def _frame(self, session: Stranger) -> bytes:
        random = self._random
        dice = random.random()
        if dice < 0.9:
            return session.framed(command(random))
        if dice < 0.96:
            return b"".join(session.framed(command(random)[:100], MORE) for _ in range(3)) + session.framed(b"")
        if dice < 0.98:
            return session.framed(random.choice((b"\x04PING\0\1", b"\x04PONG", b"\x04PING\0\1hello")), COMMAND)
        if dice < 0.998:
            return session.framed(random.randbytes(random.randrange(100)))
        if isinstance(session, Insider) and dice < 0.999:
            return session.encrypted(random.randbytes(random.randrange(20)))
        return part(random)


def _read_away(stranger: Stranger) -> None:
    """Take what has come; raises ConnectionError once the broker has hung up."""
    stranger.socket.setblocking(False)
    try:
        while stranger.socket.recv(1 << 20):
            pass
    except BlockingIOError:
        stranger.socket.settimeout(SEND_SECONDS)
    else:
        raise ConnectionError("the broker has closed the connection")
