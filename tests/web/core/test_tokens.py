"""Tokens: what they say, and every way in which one isn't valid, named."""

from __future__ import annotations

import hmac
import json
import random
from base64 import urlsafe_b64encode
from typing import Any

import pytest

from zchat.web.core.refusals import Turned
from zchat.web.core.tokens import claims, weakness

KEY = b"k" * 32
NOW = 1_700_000_000.0
HEADER = {"alg": "HS256", "typ": "JWT"}
GOOD = {"sub": "alice", "exp": NOW + 60}


def part(value: Any) -> str:
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def token(payload: Any = GOOD, header: Any = HEADER, key: bytes = KEY, digest: str = "sha256") -> str:
    signed = f"{part(header)}.{part(payload)}"
    return f"{signed}.{part(hmac.digest(key, signed.encode(), digest))}"


def test_a_token_says_who_the_user_is_until_when_and_where() -> None:
    found = claims(token(GOOD | {"rooms": ["Support-*", "@bob"]}), KEY, NOW)
    assert found == ("alice", NOW + 60, ["Support-*", "@bob"])
    assert claims(token(), KEY, NOW).rooms is None


def test_the_example_of_rfc_7515_is_read_as_it_says() -> None:
    """Appendix A.1: another issuer's token, whose signature is right and which has expired."""
    key = bytes.fromhex(
        "0323354b2b0fa5bc837e0665777ba68f5ab328e6f054c928a90f84b2d2502ebf"
        "d3fb5a92d20647ef968ab4c377623d223d2e2172052e4f08c0cd9af567d080a3"
    )
    text = (
        "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFt"
        "cGxlLmNvbS9pc19yb290Ijp0cnVlfQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
    )
    with pytest.raises(Turned, match="has no sub"):
        claims(text, key, 1_300_819_379)
    with pytest.raises(Turned, match="has expired"):
        claims(text, key, NOW)
    with pytest.raises(Turned, match="not signed with this gateway's key"):
        claims(text, KEY, NOW)


BAD: dict[str, tuple[str, str]] = {
    "nothing": ("", "no JSON Web Token"),
    "two parts": ("a.b", "no JSON Web Token"),
    "four parts": (token() + ".x", "no JSON Web Token"),
    "other characters": (token().replace(".", ".+", 1), "no JSON Web Token"),
    "padded": (token() + "=", "no JSON Web Token"),
    "no JSON": (f"{part(b'x')}.{part(GOOD)}.x", "no JSON Web Token"),
    "deep": (token(b"[" * 3000), "no JSON Web Token"),
    "an array": (token([]), "no JSON Web Token"),
    "too long": (token(GOOD | {"x": "y" * 9000}), "no JSON Web Token"),
    "none": (token(header={"alg": "none"}), "another algorithm"),
    "no signature": (token(header={"alg": "none"}).rpartition(".")[0] + ".", "another algorithm"),
    "RS256": (token(header={"alg": "RS256"}), "another algorithm"),
    "HS512": (token(header={"alg": "HS512"}, digest="sha512"), "another algorithm"),
    "small letters": (token(header={"alg": "hs256"}), "another algorithm"),
    "crit": (token(header=HEADER | {"crit": ["x"]}), "demands"),
    "another key": (token(key=b"x" * 32), "not signed"),
    "an empty signature": (token().rpartition(".")[0] + ".", "not signed"),
    "half a signature": (token()[:-20], "not signed"),
    "another payload": (
        ".".join((token().split(".")[0], part(GOOD | {"sub": "eve"}), token().split(".")[2])),
        "not signed",
    ),
    "for another service": (token(GOOD | {"aud": "https://other.example"}), "another service"),
    "for other services": (token(GOOD | {"aud": ["https://other.example"]}), "another service"),
    "no exp": (token({"sub": "alice"}), "no exp"),
    "exp is text": (token(GOOD | {"exp": "9999999999"}), "exp is no time"),
    "exp is true": (token(GOOD | {"exp": True}), "exp is no time"),
    "exp is infinite": (token(b'{"sub":"alice","exp":1e999}'), "exp is no time"),
    "exp is not a number": (token(b'{"sub":"alice","exp":NaN}'), "exp is no time"),
    "expired": (token(GOOD | {"exp": NOW}), "has expired"),
    "not yet": (token(GOOD | {"nbf": NOW + 1}), "not valid yet"),
    "no sub": (token({"exp": NOW + 60}), "no sub"),
    "an empty sub": (token(GOOD | {"sub": ""}), "no sub"),
    "sub is a number": (token(GOOD | {"sub": 7}), "no sub"),
    "rooms is text": (token(GOOD | {"rooms": "General"}), "rooms are no list"),
    "rooms of numbers": (token(GOOD | {"rooms": [1]}), "rooms are no list"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_token_that_is_not_valid_is_refused_and_the_reason_named(name: str) -> None:
    text, reason = BAD[name]
    with pytest.raises(Turned, match=reason) as caught:
        claims(text, KEY, NOW)
    assert (caught.value.code, caught.value.retryable) == ("not_let_in", False)


def test_no_change_of_a_token_is_valid() -> None:
    good = token()
    chance = random.Random(16)
    for _ in range(2000):
        index = chance.randrange(len(good))
        changed = good[:index] + chance.choice("AZaz09-_.") + good[index + 1 :]
        if chance.random() < 0.2:
            changed = good[:index] + good[index + 1 :]
        same = changed.rpartition(".")[0] == good.rpartition(".")[0]  # the last character has bits that count nothing
        if changed != good and not (same and changed[:-1] == good[:-1]):
            with pytest.raises(Turned):
                claims(changed, KEY, NOW)


def test_a_key_that_can_be_guessed_is_weak() -> None:
    assert weakness(b"x" * 31) == "a key for tokens has 32 bytes or more, this has 31"
    assert weakness(KEY) is None
