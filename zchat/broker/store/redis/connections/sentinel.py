"""Where the master is, of a server and its replicas that Sentinels watch: they are asked, and a failover is followed.

Sentinels may differ for some seconds, and one that is cut off keeps the master that it knew. So all are asked, and the
one counts that has seen the latest failover.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from zchat.broker.store.redis.connections.server import Connection, Replaced, Trouble, is_error, understanding
from zchat.broker.store.redis.connections.url import RedisURL, shown_place
from zchat.errors import StoreError
from zchat.threads import RealThread, allocate_lock, awaited_by_callers, start

SENTINEL_SECONDS = 1.0
"""Seconds without an answer after which a Sentinel is given up, and the next one is asked."""

WATCH_EVERY = 1.0
"""Seconds from one time that the Sentinels are asked whether the master is still the same to the next."""


class Master(NamedTuple):
    """The master, as a Sentinel knows it."""

    failovers: int
    """The number of the failover that has made it the master: the greatest counts."""
    host: str
    port: int
    advice: str
    """What to do if it is not there and no other one takes its place."""


class Silent(Trouble):
    """No Sentinel says where the master is."""

    advice = "start them, or name those that there are"


class Attached(Protocol):
    """What is attached to a master, and has to leave it once another has taken its place."""

    @property
    def place(self) -> RedisURL | None:
        """The URL of that master; None while it is looked for."""

    def leave(self, place: RedisURL) -> None:
        """Leave the master at `place`, if it is still that one."""


def connect(url: RedisURL) -> Connection:
    """Return a connection to the server that a URL names: with Sentinels, to the master that they name.

    Raises:
        Trouble: nobody answers, no Sentinel or not the server, or not as a Redis does.
        Replaced: the master that they name is not there, or is none.
        StoreError: the server refuses who asks, or no Sentinel watches what the URL calls it.
    """
    if not url.sentinels:
        return Connection(url)
    master = find(url)
    try:
        return Connection(url.at(master.host, master.port))
    except Trouble as trouble:
        where = shown_place(master.host, master.port)
        advice = master.advice if trouble.advice == Trouble.advice else trouble.advice
        raise Replaced(f"the Sentinels name {where} as the master, and {trouble}", advice) from trouble


def find(url: RedisURL) -> Master:
    """Return the master that the Sentinels of a URL name. Takes a second for each that is silent.

    Raises:
        Trouble: none answers as a Sentinel does.
        StoreError: those that answer watch nothing of that name.
    """
    masters: list[Master] = []
    silent: list[str] = []
    watched: set[str] = set()
    for host, port in url.sentinels:
        try:
            answer = _ask(url, host, port)
        except (Trouble, StoreError) as trouble:
            silent.append(f"{shown_place(host, port)} ({trouble})")
        else:
            if isinstance(answer, Master):
                masters.append(answer)
            else:
                watched.update(answer)
    if masters:
        return max(masters)
    if len(silent) < len(url.sentinels):
        names = f"they watch {', '.join(sorted(watched))}" if watched else "they watch none"
        raise StoreError(
            f"{url.place}: the Sentinels watch no master {url.service}: {names}; name one of these, or tell them of it "
            f"with SENTINEL MONITOR {url.service} HOST PORT QUORUM"
        )
    raise Silent(f"no Sentinel answers: {', '.join(silent)}")


def _ask(url: RedisURL, host: str, port: int) -> Master | list[str]:
    """Return what one Sentinel says of the master, or what else it watches if not this; raises Trouble, StoreError."""
    try:
        connection = Connection(url.sentinel(host, port, named=False), SENTINEL_SECONDS)
    except StoreError:
        if "password" not in url.connect:
            raise
        connection = Connection(url.sentinel(host, port, named=True), SENTINEL_SECONDS)
    try:
        return _asked(connection, url.service)
    finally:
        connection.close()


@understanding()
def _asked(connection: Connection, service: str) -> Master | list[str]:
    connection.send([("SENTINEL", "MASTER", service), ("SENTINEL", "CKQUORUM", service)])
    said, quorum = connection.receive(), connection.receive()
    if is_error(said):
        if "No such master" not in str(said):
            raise Trouble(f"it is no Sentinel, or refuses to be asked: {said}")
        (masters,) = connection.ask([("SENTINEL", "MASTERS")])
        return [_fields(each)["name"] for each in masters]
    fields = _fields(said)
    advice = "start it, or see why the Sentinels choose no other one"
    if is_error(quorum):
        advice = f"start the other Sentinels: they are too few to choose another master ({quorum})"
    return Master(int(fields["config-epoch"]), fields["ip"], int(fields["port"]), advice)


def _fields(said: list[bytes]) -> dict[str, str]:
    words = [word.decode() for word in said]
    return dict(zip(words[::2], words[1::2], strict=True))


class Watch:
    """The thread that asks the Sentinels of `url` for the master, and has `attached` leave one that is it no more.

    A master that was cut off, or stood still, does not say so itself: it goes on answering whoever is connected.
    `failure` is what ended the thread before its time.
    """

    def __init__(self, url: RedisURL, attached: Attached) -> None:
        self._url = url
        self._attached = attached
        self.failure: BaseException | None = None
        self._going = allocate_lock()
        """Taken for as long as this is not to end: so it can be waited for."""
        self._going.acquire()
        self._thread = RealThread(self._run, "zchat store sentinels")
        start(self._thread)

    def stop(self) -> None:
        """End soon; returns at once. To be called once. Any thread."""
        self._going.release()

    def join(self, timeout: float) -> bool:
        """Wait `timeout` seconds at most for the end; return whether it has come."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    @awaited_by_callers()
    def _run(self) -> None:
        try:
            while not self._going.acquire(timeout=WATCH_EVERY):
                self._look()
        except BaseException as error:
            self.failure = error

    def _look(self) -> None:
        place = self._attached.place
        if place is None:  # it asks them itself
            return
        try:
            master = find(self._url)
        except (Trouble, StoreError):  # nobody knows of another master
            return
        if self._url.at(master.host, master.port) != place:
            self._attached.leave(place)
