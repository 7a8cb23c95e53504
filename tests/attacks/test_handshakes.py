"""Attacks by who has a broker's public key, on the way in: what each did before, and what is left of it."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from tests.attacks.curve import HandshakeRefusedError, Insider
from tests.attacks.place import Place, keyed_place, meanwhile
from tests.attacks.zmtp import COMMAND, Stranger, frame, greeting, prop, ready
from tests.running import eventually
from zchat.broker.guard import connections as guard
from zchat.broker.guard import gate
from zchat.broker.limits import HANDSHAKES_A_KEY_BURST
from zchat.transport import keys


def refusal(insider: Insider, *props: bytes) -> str:
    """Shake hands; return the status that the handshake was refused with."""
    with insider, pytest.raises(HandshakeRefusedError) as refused:
        insider.shake_hands(*props)
    return refused.value.status


# -- keys that aren't let in ---------------------------------------------------------------------------


def test_a_key_that_is_unknown_is_refused_and_counted(keyed: Place) -> None:
    """Everyone with the broker's public key got in: libzmq lets in any key unless a handler says no."""
    with keyed.talk() as talk:
        for number in range(5):
            assert refusal(keyed.insider(keys.make())) == "400"
            assert refusal(keyed.insider(keys.make()), prop(b"User-Id", b"alice"), prop(b"Connection", b"1")) == "400"
            assert keyed.count("turned_away_unknown_key") == 2 * number + 2
        talk.goes_on()
    assert keyed.count("greeted") == 2


def test_without_a_key_nobody_is_let_in_beside_keys(keyed: Place) -> None:
    """A peer without encryption, or with a password, was one like any other."""
    with keyed.talk() as talk:
        for begin in (
            greeting() + ready(),
            greeting(b"PLAIN") + frame(b"\x05HELLO\5alice\0", COMMAND),
            greeting(b"GSSAPI") + frame(b"\x08INITIATE" + bytes(100), COMMAND),
            greeting(b"CURVE") + ready(),
            b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" + bytes(100),
        ):
            with Stranger(keyed.url) as stranger:
                with suppress(ConnectionError):
                    stranger.say(begin)
                assert stranger.ended()
        talk.goes_on()
    assert keyed.count("greeted") == 2


def test_a_vouch_for_another_key_lets_nobody_in(keyed: Place) -> None:
    """A key is public: who shows alice's without its secret half is not alice."""
    stolen = keys.Key(keyed.pairs["alice"].public, keyed.pairs["mallory"].secret)
    with keyed.talk() as talk:
        with keyed.insider(stolen) as mallory, pytest.raises(ConnectionError):
            mallory.shake_hands()
        talk.goes_on()
    assert keyed.count("greeted") == 2


# -- floods --------------------------------------------------------------------------------------------


def test_a_flood_of_garbage_that_passes_for_a_handshake_disturbs_nobody(keyed: Place) -> None:
    """Each took 108 µs of the broker's processor without a key, and none was seen in its figures."""

    def attack() -> None:
        with ExitStack() as stack:
            strangers = [stack.enter_context(Stranger(keyed.url)) for _ in range(50)]
            for stranger in strangers:
                stranger.say(greeting(b"CURVE") + frame(b"\x05HELLO\x01\0" + os.urandom(192), COMMAND))
            assert all(stranger.ended() for stranger in strangers)

    with keyed.talk() as talk:
        with meanwhile(attack), keyed.client("carol") as carol:
            carol.join("Talk")
            talk.goes_on()
        eventually(lambda: keyed.count("lost_before_greeting") >= 50, "they are counted")


def test_handshakes_of_one_key_without_end_are_turned_away_and_counted(keyed: Place) -> None:
    """One key could take each moment of the broker with handshakes, and all of its places for newcomers."""
    admitted = 0
    refused: set[str] = set()

    def attack() -> None:
        nonlocal admitted
        with keyed.insider() as mallory:
            try:
                mallory.shake_hands()
                admitted += 1
            except HandshakeRefusedError as error:
                refused.add(error.status)

    with keyed.talk() as talk:
        with meanwhile(attack):
            eventually(lambda: keyed.count("turned_away_too_often") >= 20, "they are counted")
            with keyed.client("carol") as carol:
                carol.join("Talk")
            talk.goes_on()
        assert admitted >= HANDSHAKES_A_KEY_BURST
        assert refused == {"500"}


def test_handshakes_of_ever_new_keys_lock_out_nobody_who_is_let_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Strangers' handshakes beyond 500 a second had users turned away as well."""
    monkeypatch.setattr(gate, "HANDSHAKES_BURST", 3)
    monkeypatch.setattr(gate, "HANDSHAKES", 0.001)
    with keyed_place(tmp_path / "server") as keyed:

        def attack() -> None:
            assert refusal(keyed.insider(keys.make())) in ("400", "500")

        with meanwhile(attack):
            eventually(lambda: keyed.count("turned_away_too_many") >= 5, "they are counted")
            for user in ("alice", "bob", "carol"):
                with keyed.client(user) as client:
                    client.join("Talk").send("in")
        assert keyed.count("turned_away_unknown_key") == 3


# -- handshakes that stop ------------------------------------------------------------------------------

STOPPED: dict[str, Callable[[Insider], bytes]] = {
    "in HELLO": lambda insider: insider.hello()[:100],
    "before WELCOME": Insider.hello,
    "after WELCOME": lambda insider: b"",
    "in INITIATE": lambda insider: insider.initiate()[:-1],
    "before READY": Insider.initiate,
}
"""What is said last before an endless silence."""


@pytest.mark.parametrize("where", STOPPED)
def test_a_handshake_that_stops_anywhere_is_cut(keyed: Place, where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """5,000 that stopped after the greeting held up a newcomer for a second, and those who got through stayed."""
    with keyed.talk() as talk, ExitStack() as stack:
        monkeypatch.setattr(guard, "GREET_WITHIN", 0.5)  # those who talk have greeted
        insiders = [keyed.insider() for _ in range(10)]
        for insider in insiders:
            stack.enter_context(insider)
            with suppress(ConnectionError):  # cut before it got so far, on a busy machine
                if where in ("after WELCOME", "in INITIATE", "before READY"):
                    insider.ask_for_welcome()
                else:
                    insider.say(greeting(insider.mechanism))
                insider.say(STOPPED[where](insider))
        talk.goes_on()
        assert all(insider.ended() for insider in insiders)
        eventually(lambda: keyed.count("cut_before_greeting") == 10, "they are counted")
        talk.goes_on()
