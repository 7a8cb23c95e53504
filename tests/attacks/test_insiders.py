"""Attacks by who is let in with a key, over the encrypted connection: what each did before, and what is left of it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack, suppress

import pytest

from tests.attacks.curve import MESSAGE, Insider
from tests.attacks.place import Place
from tests.attacks.zmtp import COMMAND, MORE, frame
from tests.running import eventually
from zchat.wire.blocks import join_bodies
from zchat.wire.values import pack


def test_no_key_speaks_under_another_name(keyed: Place) -> None:
    """Without keys a name is a claim; with them the first insider could have claimed any."""
    names = ["alice", "ALICE", "alice ", "nobody", "guest-01234567", "\u0430lice", "mallory\0", ""]
    said = join_bodies([pack("I am alice")])
    with keyed.talk() as talk, ExitStack() as stack:
        for name in names:
            mallory = stack.enter_context(keyed.insider())
            mallory.shake_hands()
            assert mallory.greet(name)[2] in ("wrong_name", "bad_name")
            assert mallory.ask("send", 2, "Talk", 1, said)[:3] == ["error", 2, "no_session"]
        eventually(lambda: keyed.count("cut_no_greeting") == len(names), "they are cut")
        refused = keyed.broker.figures.refused
        assert refused["wrong_name"] + refused["bad_name"] == len(names)
        talk.goes_on()
    assert keyed.count("greeted") == 2


def test_no_key_goes_on_with_anothers_session(keyed: Place) -> None:
    """A peer that knew the token of a session went on with it, under its name."""
    with keyed.insider(keyed.pairs["alice"]) as alice, keyed.insider() as mallory:
        alice.shake_hands()
        assert alice.greet("alice", 7)[0] == "ok"
        mallory.shake_hands()
        assert mallory.ask("hello", 1, 1, 1, "alice", b"\7" * 16, b"\7" * 16, 0, 2)[2] == "wrong_name"
        assert mallory.ask("hello", 2, 1, 1, "mallory", b"\7" * 16, b"\7" * 16, 0, 2)[0] == "error"
        assert alice.ask("rooms", 2, None, 1)[0] == "ok"
    assert keyed.broker.figures.refused["wrong_name"] >= 1


def in_the_clear(insider: Insider) -> bytes:
    return frame(pack(("rooms", 2, None, 1)))


def twice(insider: Insider) -> bytes:
    return insider.framed(pack(("seen", 1))) * 2


def changed(insider: Insider) -> bytes:
    sealed = insider.framed(pack(("rooms", 2, None, 1)))
    return sealed[:-1] + bytes((sealed[-1] ^ 1,))


def too_short(insider: Insider) -> bytes:
    return frame(MESSAGE + bytes(8) + bytes(15))


def without_flags(insider: Insider) -> bytes:
    return insider.encrypted(b"")


def handshake_again(insider: Insider) -> bytes:
    return insider.hello()


@pytest.mark.parametrize("make", [in_the_clear, twice, changed, too_short, without_flags, handshake_again])
def test_a_frame_that_is_not_sealed_as_it_must_be_ends_its_connection_alone(
    keyed: Place, make: Callable[[Insider], bytes]
) -> None:
    """What is changed, repeated or in the clear on the way in would be another's words under this name."""
    with keyed.talk() as talk, keyed.insider() as mallory:
        mallory.shake_hands()
        assert mallory.greet("mallory")[0] == "ok"
        mallory.say(make(mallory))
        assert mallory.ended()
        talk.goes_on()
        with keyed.insider() as again:
            again.shake_hands()
            assert again.ask("hello", 1, 1, 1, "mallory", b"\1" * 16, b"\1" * 16, 0, 2)[0] == "ok"


def test_frames_after_the_first_of_a_message_are_refused_once_and_counted(keyed: Place) -> None:
    """Each frame of a message was kept until its last, 64 bytes for one that is empty."""
    with keyed.talk() as talk, keyed.insider() as mallory:
        mallory.shake_hands()
        assert mallory.greet("mallory")[0] == "ok"
        for _ in range(10):
            mallory.say(b"".join(mallory.framed(b"", MORE) for _ in range(200)) + mallory.framed(b""))
            assert mallory.hear()[:3] == ["error", None, "malformed"]
        assert keyed.broker.figures.refused["malformed"] == 10
        talk.goes_on()


def test_commands_of_the_transport_in_a_session_disturb_nobody(keyed: Place) -> None:
    """What libzmq takes for itself never reaches the broker, and is not for members to use against others."""
    commands = [b"\x05READY" + bytes(20), b"\x05ERROR\3400", b"\x04PING", b"\x04PING\0\0" + bytes(200), b"\x04PONG"]
    commands += [b"\x09SUBSCRIBE", b"\x06CANCELx", b"\xff" * 30, b"", b"\x05HELLO\x01\0" + bytes(192)]
    with keyed.talk() as talk:
        for number, command in enumerate(commands):
            with keyed.insider() as mallory:
                mallory.shake_hands()
                assert mallory.greet("mallory", number)[0] == "ok"
                with suppress(ConnectionError):
                    mallory.send(command, COMMAND)
                    mallory.ask("rooms", 2, None, 1)
        talk.goes_on()
