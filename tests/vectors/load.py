"""Read the vectors: what docs/protocol.md says of their form, in Python."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgpack

FOLDER = Path(__file__).parent


def vectors(kind: str) -> list[dict[str, Any]]:
    """Return the entries of one file."""
    entries: list[dict[str, Any]] = json.loads((FOLDER / f"{kind}.json").read_text(encoding="ascii"))
    return entries


def frame_of(entry: dict[str, Any]) -> bytes:
    """Return an entry's bytes."""
    if "hex" in entry:
        return bytes.fromhex(entry["hex"])
    return b"".join(bytes.fromhex(piece) * times for piece, times in entry["pieces"])


def value_of(form: Any) -> Any:
    """Return the value that JSON stands for."""
    if isinstance(form, list):
        return [value_of(each) for each in form]
    if isinstance(form, dict):
        ((kind, content),) = form.items()
        match kind:
            case "bin":
                return bytes.fromhex(content)
            case "float":
                return float(content)
            case "int":
                return int(content)
            case "time":
                return msgpack.Timestamp(*content)
            case "ext":
                return msgpack.ExtType(content[0], bytes.fromhex(content[1]))
            case "map":
                return {value_of(key): value_of(value) for key, value in content}
        raise ValueError(f"no form of a value: {kind}")
    return form
