"""Bodies of messages as JSON, without loss; and how deep the JSON of strangers nests."""

from __future__ import annotations

import json
import math
import re
from base64 import b64encode
from collections.abc import Mapping
from itertools import accumulate
from typing import Any

import msgpack

_AS_THEY_ARE = frozenset((str, int, bool, type(None)))
"""Types of values that are the same in JSON: a long list of such is common."""


LEVELS = 100
"""Arrays and maps in each other that are written, or read from strangers: more than a broker takes, and fewer than
calls may nest."""

_TEXTS = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"?', re.DOTALL)
_BRACKETS = b"[]{}"
_OTHERS = bytes(set(range(256)) - set(_BRACKETS))
_STEPS = dict(zip(_BRACKETS, (1, -1, 1, -1), strict=True))


def plain(value: Any, levels: int = LEVELS) -> Any:
    """Return a body in a form that JSON can hold without loss. Any thread.

    What JSON lacks becomes an object with one key that begins with `$`: `$bytes`
    (base64), `$float` (NaN, Infinity, -Infinity), `$timestamp` (nanoseconds since 1970),
    `$ext` (type and base64), `$map` (pairs, for keys that aren't text or begin with `$`).
    Arrays and maps `levels` deep, which only a hostile broker sends, become `$deep` (true).
    """
    if not levels and isinstance(value, list | tuple | dict):
        return {"$deep": True}
    match value:
        case bytes():
            return {"$bytes": b64encode(value).decode()}
        case float() if not math.isfinite(value):
            return {"$float": json.dumps(value)}
        case msgpack.Timestamp():
            return {"$timestamp": value.to_unix_nano()}
        case msgpack.ExtType(code=code, data=data):
            return {"$ext": [code, b64encode(data).decode()]}
        case list() | tuple():
            return [each if type(each) in _AS_THEY_ARE else plain(each, levels - 1) for each in value]
        case dict():
            if all(isinstance(key, str) and not key.startswith("$") for key in value):
                return {
                    key: each if type(each) in _AS_THEY_ARE else plain(each, levels - 1) for key, each in value.items()
                }
            return {"$map": [[plain(key), plain(each, levels - 1)] for key, each in value.items()]}
        case _:
            return value


def json_line(fields: Mapping[str, Any]) -> str:
    """Return an object as one line of JSON in ASCII, which no character can break out of. Any thread."""
    return json.dumps({key: plain(value) for key, value in fields.items()}, allow_nan=False)


def is_too_deep(text: bytes) -> bool:
    """Return whether a JSON text nests deeper than `LEVELS`, found without going down into it. Any thread.

    A decoder that goes down until the stack is used up fails by itself, and so does what the interpreter does just
    then: finalizers, for instance, of objects that have nothing to do with it.
    """
    if text.count(b"[") + text.count(b"{") <= LEVELS:
        return False
    brackets = _TEXTS.sub(b"", text).translate(None, _OTHERS)
    return max(accumulate(map(_STEPS.__getitem__, brackets)), default=0) > LEVELS
