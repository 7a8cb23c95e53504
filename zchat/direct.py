"""The names of direct rooms: the application's, `@` and the other user, and the protocol's, which holds both."""

from __future__ import annotations

from zchat.names import DIRECT, check_name, direct_name, fold


def wire_name(user: str, name: str) -> str:
    """Return what the protocol calls the room that `user` calls `name`. Any thread.

    Raises:
        BadName: `name` is neither a room's name nor `@` and another user's.
    """
    return direct_name(user, name[1:]) if name[:1] == DIRECT else check_name("room", name)


def shown_name(user: str, name: str) -> str:
    """Return what `user` calls the room that the protocol calls `name`. Any thread."""
    if name[:1] != DIRECT:
        return name
    one, _, other = name[1:].partition("\n")
    return DIRECT + (other if fold(one) == fold(user) else one)
