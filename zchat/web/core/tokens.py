"""Tokens that say who a user is: JSON Web Tokens (RFC 7519), signed with HS256 (RFC 7518) and nothing else.

A site makes one for a user who has logged in there; the gateway has the same key. The algorithm is this code's choice
and never the token's: one that names another is refused.
"""

from __future__ import annotations

import hmac
import json
import re
from base64 import urlsafe_b64decode
from binascii import Error
from typing import Any, NamedTuple

from zchat.json_form import is_too_deep
from zchat.web.core.limits import MAX_TOKEN, TOKEN_KEY_BYTES
from zchat.web.core.refusals import not_let_in

_PART = re.compile(r"[A-Za-z0-9_-]*", re.ASCII)


class Claims(NamedTuple):
    """What a token says: who the user is, until when (seconds since 1970), and in which rooms (None: in all)."""

    user: str
    until: float
    rooms: list[str] | None


def weakness(key: bytes) -> str | None:
    """Return what is wrong with a key for tokens, None if it can be used."""
    if len(key) < TOKEN_KEY_BYTES:
        return f"a key for tokens has {TOKEN_KEY_BYTES} bytes or more, this has {len(key)}"
    return None


def claims(token: str, key: bytes, wall: float) -> Claims:
    """Return what a token says, once its signature and its times are found to be right.

    Raises:
        Turned: it isn't valid; the text says why.
    """
    parts = token.split(".")
    if len(token) > MAX_TOKEN or len(parts) != 3 or not all(map(_PART.fullmatch, parts)):
        raise not_let_in("the token is no JSON Web Token")
    header, payload = _object(parts[0]), parts[1]
    if header.get("alg") != "HS256":
        raise not_let_in("the token is signed with another algorithm than HS256")
    if "crit" in header:
        raise not_let_in("the token's header demands what is not known here")
    expected = hmac.digest(key, f"{parts[0]}.{payload}".encode("ascii"), "sha256")
    if not hmac.compare_digest(_bytes(parts[2]), expected):
        raise not_let_in("the token was not signed with this gateway's key")
    found = _object(payload)
    if "aud" in found:
        raise not_let_in("the token is for another service: it has an aud, and no gateway has a name to be found there")
    until = _time(found, "exp")
    if until is None:
        raise not_let_in("the token has no exp: it would be valid for ever")
    if until <= wall:
        raise not_let_in("the token has expired")
    if (_time(found, "nbf") or 0) > wall:
        raise not_let_in("the token is not valid yet")
    user = found.get("sub")
    if type(user) is not str or not user:
        raise not_let_in("the token has no sub, which is the user's name")
    return Claims(user, until, _rooms(found))


def _rooms(found: dict[str, Any]) -> list[str] | None:
    rooms = found.get("rooms")
    if rooms is None:
        return None
    if type(rooms) is not list or not all(type(each) is str for each in rooms):
        raise not_let_in("the token's rooms are no list of names")
    return list(rooms)


def _time(found: dict[str, Any], name: str) -> float | None:
    value = found.get(name)
    if value is None:
        return None
    if type(value) not in (int, float) or not 0 <= value < 1 << 53:
        raise not_let_in(f"the token's {name} is no time")
    return float(value)


def _bytes(part: str) -> bytes:
    try:
        return urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except (Error, ValueError):
        raise not_let_in("the token is no JSON Web Token") from None


def _object(part: str) -> dict[str, Any]:
    text = _bytes(part)
    try:
        found = None if is_too_deep(text) else json.loads(text)
    except ValueError:
        found = None
    if type(found) is not dict:
        raise not_let_in("the token is no JSON Web Token")
    return found
