"""What a client was given, checked, whatever its face."""

from __future__ import annotations

import getpass
from collections.abc import Sequence
from os import PathLike
from typing import Literal, NamedTuple

from zchat.address import check_urls
from zchat.checks import check_finite_timeout
from zchat.errors import UsageError
from zchat.protocol.faces.arguments import check_invitations, check_number, check_user
from zchat.transport.keys import Credentials, Key, credentials


class Settings(NamedTuple):
    """A client's own copy of what its constructor takes."""

    urls: list[str]
    user: str
    timeout: float
    window: int
    invitations: bool | Literal["report", "unmarked"]
    credentials: Credentials


def settings(
    url: str | Sequence[str],
    user: str | None,
    timeout: float,
    high_water_mark: int,
    invitations: bool | Literal["report", "unmarked"],
    key: Key | str | PathLike[str] | None,
    server_key: str | PathLike[str] | Sequence[str | PathLike[str]] | None,
) -> Settings:
    """Return what a client was given, with the files of its keys read and its user's name found. Any thread.

    Raises:
        UsageError: an argument is wrong; BadName: the user's name breaks the rules; BadKey: a key can't be used.
    """
    urls = check_urls(url)
    given = credentials(key, server_key)
    user = check_user(_name(given) if user is None else user)
    seconds = check_finite_timeout("connecting", timeout)
    check_number("high_water_mark", high_water_mark)
    check_invitations(invitations)
    return Settings(urls, user, seconds, high_water_mark, invitations, given)


def _name(given: Credentials) -> str:
    return _login() if given.key is None or not given.key.user else given.key.user


def _login() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError) as error:
        raise UsageError("the login name is unknown: give a user name") from error
