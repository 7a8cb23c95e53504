"""Play the conversations of tests/vectors/conversations: what docs/protocol.md says of their form, in Python."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Protocol

from tests.vectors.load import value_of
from zchat.wire.values import pack, unpack

FOLDER = Path(__file__).parent / "conversations"
NAMES = sorted(path.stem for path in FOLDER.glob("*.json"))


class Player(Protocol):
    """A client that can be played with: what its application does, and what its broker and its network do."""

    def join(self, room: str, position: list[int] | None, flags: int | None) -> None: ...
    def leave(self, room: str) -> None: ...
    def send(self, room: str, bodies: list[Any]) -> None: ...
    def ask(self, word: str, fields: list[Any]) -> None: ...
    def close(self) -> None: ...
    def take(self, room: str, count: int) -> list[list[Any]]: ...
    def take_gap(self, room: str) -> dict[str, Any]: ...
    def position(self, room: str) -> list[int]: ...
    def outcome(self) -> list[int] | tuple[str, bool]: ...
    def answer(self) -> list[Any]: ...
    def unjoined(self) -> str: ...
    def left(self) -> bool: ...
    def over(self, room: str) -> str: ...
    def said(self) -> list[Any] | None: ...
    def say(self, frame: bytes) -> None: ...
    def lose(self) -> None: ...
    def ended(self) -> str: ...


class Conversation:
    """One conversation, step by step."""

    def __init__(self, name: str) -> None:
        self._script = json.loads((FOLDER / f"{name}.json").read_text(encoding="ascii"))
        self._bound: dict[str, Any] = {}

    def play(self, client: Player) -> None:
        """Play it with a client; an assertion fails where it says or does something else."""
        for number, step in enumerate(self._script["steps"]):
            ((kind, what),) = step.items()
            where = f"step {number}: {step}"
            match kind:
                case "client":
                    self._hear(what, client.said(), where)
                case "broker":
                    client.say(pack(self._filled(what)))
                case "join":
                    client.join(what["room"], what["position"], what.get("flags"))
                case "leave":
                    client.leave(what)
                case "ask":
                    client.ask(what[0], value_of(what[1:]))
                case "close":
                    client.close()
                case "send":
                    client.send(what["room"], what["bodies"])
                case "take":
                    taken = client.take(what["room"], len(what["messages"]))
                    assert taken == what["messages"], where
                case "gap":
                    assert client.take_gap(what["room"]) == what, where
                case "position":
                    assert client.position(what["room"]) == what["is"], where
                case "stored":
                    assert client.outcome() == what, where
                case "refused":
                    assert client.outcome() == (what["code"], what.get("unknown", False)), where
                case "answer":
                    assert client.answer() == self._filled(what), where
                case "unjoined":
                    assert client.unjoined() == what, where
                case "left":
                    assert client.left() is what, where
                case "over":
                    assert client.over(what["room"]) == what["code"], where
                case "lost":
                    client.lose()
                case "ended":
                    assert client.ended() == what, where
                case _:
                    raise ValueError(where)
        assert client.said() is None, "the client says more"

    def _hear(self, expected: list[Any], said: list[Any] | None, where: str) -> None:
        assert said is not None, f"the client says nothing; {where}"
        assert len(said) >= len(expected), f"{said}; {where}"
        for form, value in zip(expected, said, strict=False):
            assert self._fits(form, value), f"{said}; {where}"

    def _fits(self, form: Any, value: Any) -> bool:
        if not isinstance(form, dict):
            return bool(value == value_of(form))
        ((kind, name),) = form.items()
        match kind:
            case "any":
                self._bound[name] = value
            case "same":
                return bool(self._bound.setdefault(name, value) == value)
            case "is":
                return bool(self._bound[name] == value)
            case "above":
                if value <= self._bound.get(name, 0):
                    return False
                self._bound[name] = value
            case "bodies":
                return bool(unpack(value) == value_of(name))
            case _:
                return bool(value == value_of(form))
        return True

    def _filled(self, form: Any) -> Any:
        if isinstance(form, list):
            return [self._filled(each) for each in form]
        if isinstance(form, dict) and "is" in form:
            return self._bound[form["is"]]
        if isinstance(form, dict) and "bodies" in form:
            return pack(value_of(form["bodies"]))
        return value_of(form)
