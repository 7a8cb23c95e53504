"""The brokers of a gateway: by what clients it reads there, and has its users talk."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike

from zchat.address import check_address, check_urls
from zchat.aio import AsyncClient
from zchat.errors import ConnectionLost
from zchat.transport.keys import Key
from zchat.web.descriptors import for_sessions

READER = "zchat web"
"""The name under which the gateway reads rooms; nobody sees it there. With keys it is the key's user."""

READER_WINDOW = 4
"""Notifications of a room on their way to the gateway: while it has much to do, fewer and larger ones come, each of
which is written once to every page."""

CONNECT_SECONDS = 2.0
"""Seconds for a broker to answer the gateway: a wrong address is soon reported."""


class Brokers:
    """The brokers at one or several addresses. `key`, `server_key`: as in `zchat.Client`.

    Raises:
        UsageError: an argument is wrong; AddressError: an address is; BadKey: a key can't be used.
    """

    def __init__(
        self,
        url: str | Sequence[str],
        key: Key | str | PathLike[str] | None,
        server_key: str | PathLike[str] | Sequence[str | PathLike[str]] | None,
    ) -> None:
        self._urls = check_urls(url)
        for each in self._urls:
            check_address(each)
        self._key = key
        self._server_key = server_key
        self._user = READER if key is None else None
        self._share = for_sessions()
        self._reader = self.reader()  # which reads the files of keys now

    def reader(self) -> AsyncClient:
        """Return a client by which the gateway reads, which has yet to connect; the files of keys are read again.

        Raises:
            BadKey: one of them can't be used any more.
        """
        self._reader = AsyncClient(
            self._urls,
            user=self._user,
            timeout=CONNECT_SECONDS,
            high_water_mark=READER_WINDOW,
            invitations=False,
            key=self._key,
            server_key=self._server_key,
        )
        return self._reader

    def client(self, user: str) -> AsyncClient:
        """Return a user's client, which tries the broker first that the gateway reads.

        Raises:
            ConnectionLost: there are no descriptors for it.
        """
        if self._share.is_used_up():
            raise ConnectionLost("the gateway has no more open files: try again later")
        read = self._reader.url
        turn = [read, *(url for url in self._urls if url != read)]
        return AsyncClient(turn, user=user, invitations="report", key=self._key, server_key=self._server_key)
