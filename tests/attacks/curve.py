"""A CurveZMQ client without libzmq, which may stop, lie or repeat itself wherever it likes.

The format: https://rfc.zeromq.org/spec/26/. The cryptography is PyNaCl's.
"""

from __future__ import annotations

import os

from nacl.bindings import (
    crypto_box,
    crypto_box_afternm,
    crypto_box_beforenm,
    crypto_box_keypair,
    crypto_box_open,
    crypto_box_open_afternm,
)
from zmq.utils import z85

from tests.attacks.zmtp import COMMAND, MORE, Stranger, frame, greeting, prop
from zchat.transport.keys import Key

HELLO, WELCOME, INITIATE = b"\x05HELLO", b"\x07WELCOME", b"\x08INITIATE"
READY, ERROR, MESSAGE = b"\x05READY", b"\x05ERROR", b"\x07MESSAGE"

_ENCRYPTED_MORE, _ENCRYPTED_COMMAND = 1, 2


class HandshakeRefusedError(ConnectionError):
    """The broker has answered a handshake with ERROR; `status` is what it says, as "400"."""

    def __init__(self, status: str) -> None:
        super().__init__(status)
        self.status = status


class Insider(Stranger):
    """A connection to a broker with keys, for who has the broker's public key and a pair of keys, let in or not."""

    mechanism = b"CURVE"

    def __init__(self, url: str, server: str, key: Key) -> None:
        super().__init__(url)
        self._server = z85.decode(server)
        self._public, self._secret = z85.decode(key.public), z85.decode(key.secret)
        self._short, self._short_secret = crypto_box_keypair()
        self._nonce = 0
        self._cookie = b""
        self._shared = b""

    def shake_hands(self, *props: bytes) -> None:
        """Become a peer; raises HandshakeRefusedError if the key isn't let in. `props` are more metadata."""
        self.ask_for_welcome()
        self.say(self.initiate(*props))
        _, body = self.frame()
        if body.startswith(ERROR):
            raise HandshakeRefusedError(body[len(ERROR) + 1 :].decode())
        assert body.startswith(READY), body

    def hello(self) -> bytes:
        """Return the first command, which asks for the broker's short-term key."""
        nonce = self._next_nonce()
        box = crypto_box(bytes(64), b"CurveZMQHELLO---" + nonce, self._server, self._short_secret)
        return frame(HELLO + b"\x01\x00" + bytes(72) + self._short + nonce + box, COMMAND)

    def ask_for_welcome(self) -> None:
        """Say all up to HELLO, and read the answer; ConnectionError if there is none."""
        self.say(greeting(self.mechanism))
        self.read(64)
        self.say(self.hello())
        _, body = self.frame()
        assert body.startswith(WELCOME), body
        box = body[len(WELCOME) :]
        plain = crypto_box_open(box[16:], b"WELCOME-" + box[:16], self._server, self._short_secret)
        self._shared = crypto_box_beforenm(plain[:32], self._short_secret)
        self._broker_short, self._cookie = plain[:32], plain[32:]

    def initiate(self, *props: bytes) -> bytes:
        """Return the second command, which shows the key; `props` are metadata beside the socket's type."""
        vouched = os.urandom(16)
        vouch = crypto_box(self._short + self._server, b"VOUCH---" + vouched, self._broker_short, self._secret)
        nonce = self._next_nonce()
        shown = self._public + vouched + vouch + prop(b"Socket-Type", b"DEALER") + b"".join(props)
        box = crypto_box_afternm(shown, b"CurveZMQINITIATE" + nonce, self._shared)
        return frame(INITIATE + self._cookie + nonce + box, COMMAND)

    def framed(self, body: bytes, flags: int = 0) -> bytes:
        """Return a frame in which a frame, or a command, is encrypted."""
        inner = (_ENCRYPTED_MORE if flags & MORE else 0) | (_ENCRYPTED_COMMAND if flags & COMMAND else 0)
        return self.encrypted(bytes((inner,)) + body)

    def encrypted(self, plain: bytes) -> bytes:
        """Return a frame with encrypted bytes: flags first, then a body, if they are as they should be."""
        nonce = self._next_nonce()
        return frame(MESSAGE + nonce + crypto_box_afternm(plain, b"CurveZMQMESSAGEC" + nonce, self._shared))

    def next_frame(self) -> tuple[int, bytes]:
        """Return the flags and the body of the next frame, decrypted."""
        _, body = self.frame()
        assert body.startswith(MESSAGE), body
        box = body[len(MESSAGE) :]
        plain = crypto_box_open_afternm(box[8:], b"CurveZMQMESSAGES" + box[:8], self._shared)
        return (COMMAND if plain[0] & _ENCRYPTED_COMMAND else 0) | (plain[0] & _ENCRYPTED_MORE), plain[1:]

    def _next_nonce(self) -> bytes:
        self._nonce += 1
        return self._nonce.to_bytes(8, "big")
