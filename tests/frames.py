"""Frames as the tests compare them: plain lists, once the decoders of both ends have taken them."""

from __future__ import annotations

from typing import Any

from zchat.wire import commands, notices
from zchat.wire.values import unpack


def decode_notice(frame: bytes) -> list[Any]:
    """Return what a broker sent as a list, its word first; raises ProtocolError as the client's decoder does."""
    notices.decode_notice(frame)
    fields: list[Any] = unpack(frame)
    return fields


def decode_command(frame: bytes) -> list[Any]:
    """Return what a client sent as a list, its word first; raises MalformedCommand as the broker's decoder does."""
    command = commands.decode_command(frame)
    fields = [list(field) if isinstance(field, tuple) else field for field in command.fields]
    return [command.word, *([command.request] if command.spec.answered else []), *fields]
