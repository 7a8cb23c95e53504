"""A connection to the server, and what has to be true of the server for it to keep what the URL asks for."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, NoReturn, TypeAlias

from zchat.broker.store.redis.connections.url import DISK, RedisURL
from zchat.errors import StoreError, UsageError

try:
    import redis
    from hiredis import pack_command
    from redis import exceptions
    from redis.backoff import NoBackoff
    from redis.connection import DefaultParser
    from redis.retry import Retry
except ImportError:  # a store says so once it is made
    redis = None
    DefaultParser = object

SILENCE_SECONDS = 3.0
"""Seconds without an answer after which a connection is given up: a server that saves or is busy answers earlier."""

ANSWER_SECONDS = 6.0
"""Seconds that an answer may take from its first byte to its last: one in drops would hold the store for ever."""

OLDEST = (7, 0)
"""The oldest version of the server: those before run a script halfway and refuse the rest."""

PARTING_SECONDS = 0.5
"""Seconds for a server that has hung up to say why to a second connection, which asks it nothing."""

PARTING_BYTES = 2000
"""Bytes of that at most: Redis says in some 900 how to end its protected mode."""

TOLD = 1000
"""Notices that are taken from a connection at once at most."""

RIGHTS = "+@read +@write +@scripting +@connection +@pubsub +time +info +config|get"
"""What a user of the server has to be allowed, as its ACL has it."""

Command: TypeAlias = tuple[bytes | str | int, ...]


def check_installed() -> None:
    """See that what this requires is installed; raises UsageError."""
    if redis is None:
        raise UsageError("a store over Redis requires the package redis: pip install 'zchat-zmq[redis]'")


_FULL = "max number of clients"
_BY_TLS = " by TLS"
_HUNG_UP = ("Broken pipe", "reset by peer", "closed by server")

_ADVICE = {
    _FULL: "raise its maxclients, or end other connections to it",
    "CERTIFICATE_VERIFY_FAILED": "have its certificate trusted (SSL_CERT_FILE), or name another server",
    "Permission denied": "let the broker's user at its socket (unixsocketperm), or name another server",
    **dict.fromkeys(_HUNG_UP, "see its log, and whether it speaks TLS alone (rediss)"),
    **dict.fromkeys(
        ("WRONG_VERSION_NUMBER", _BY_TLS),
        "see whether it speaks TLS at that port, or name it by redis in place of rediss",
    ),
}
"""What to do, by what is said of a connection that can't be made or goes on."""


class Trouble(Exception):
    """The server can't be used now, and may be later; the text says why."""

    advice = "start it, or name another server"
    """What to do if it goes on, on one line."""

    def __init__(self, words: str) -> None:
        super().__init__(words)
        self.advice = next((advice for part, advice in _ADVICE.items() if part in words), type(self).advice)


class Loading(Trouble):
    """The server is there, and is still reading what it has kept."""


class Replaced(Trouble):
    """The master that the Sentinels name isn't there, or is none: another may be in its place soon."""

    advice = "see what the Sentinels say of the failover"

    def __init__(self, words: str, advice: str = "") -> None:
        super().__init__(words)
        self.advice = advice or self.advice


class Behind(Trouble):
    """What the server has is not yet at as many replicas as are asked for."""

    advice = "see that its replicas are there and keep up, or ask for fewer"


class Strange(Trouble):
    """What answers at the server's address is no Redis, now at least; made of what its answer led to."""

    advice = "check the address"

    def __init__(self, error: Exception) -> None:
        kind = "" if isinstance(error, exceptions.RedisError) else f"{type(error).__name__}: "
        super().__init__(f"it answers, but not as Redis does ({kind}{_words(error)})")


@contextmanager
def understanding() -> Iterator[None]:
    """Read answers in a block, or in a function as its decorator; raises Strange if they can't be made sense of."""
    try:
        yield
    except (Trouble, StoreError):
        raise
    except Exception as error:
        raise Strange(error) from error


class Patience(DefaultParser):  # type: ignore[misc]
    """Read answers, each of which has to be whole by a time; redis-py bounds only the wait for each part of one."""

    def on_connect(self, connection: Any, **options: Any) -> None:
        """Begin to read from a new connection."""
        super().on_connect(connection, **options)
        self.begin()

    def begin(self) -> None:
        """Give the next answer, or those of a greeting together, its time."""
        self._until = time.monotonic() + SILENCE_SECONDS + ANSWER_SECONDS

    def holds(self) -> bool:
        """Return whether some of what was read is left."""
        return self._reader is not None and bool(self._reader.has_data())

    def read_from_socket(self, *arguments: Any, **options: Any) -> Any:
        """Read a part; raises TimeoutError if the answer has not come in time."""
        if time.monotonic() > self._until:
            raise exceptions.TimeoutError(f"no whole answer within {SILENCE_SECONDS + ANSWER_SECONDS:g} seconds")
        return super().read_from_socket(*arguments, **options)


class Connection:
    """A connection to the server that `url` names, made at once. It belongs to one thread at a time.

    `silence`: seconds without an answer after which it is given up; None for `SILENCE_SECONDS`.

    Raises:
        Trouble: nobody answers, the server is still loading, or it is something else than a Redis.
        Replaced: the Sentinels of the URL have named it, and it is no master.
        StoreError: the server refuses who asks.
    """

    def __init__(self, url: RedisURL, silence: float | None = None) -> None:
        self.url = url
        silence = SILENCE_SECONDS if silence is None else silence
        kind = redis.UnixDomainSocketConnection if url.unix else redis.Connection
        self._raw: Any = (redis.SSLConnection if url.tls else kind)(
            **url.connect,
            protocol=2,
            parser_class=Patience,
            socket_timeout=silence,
            socket_connect_timeout=silence,
            retry=Retry(NoBackoff(), 0),
            client_name="zchat",
        )
        try:
            self._raw.connect()
        except exceptions.BusyLoadingError as error:
            raise Loading(_words(error)) from error
        except exceptions.AuthenticationError as error:
            mend = "name a user and a password, as in redis://USER:PASSWORD@HOST"
            if "without any password" in str(error):
                mend = "leave the password out of the URL, or have the server require it (requirepass)"
            raise StoreError(f"{url.place} does not let zchat in: {_words(error)}; {mend}") from error
        except (exceptions.ConnectionError, exceptions.TimeoutError, OSError) as error:
            words = _words(error)
            said = _parting_words(url) if any(part in words for part in _HUNG_UP) else ""
            if said.startswith("DENIED"):
                refuse(url, exceptions.ResponseError(said))
            if url.tls and isinstance(error, exceptions.TimeoutError):
                words += _BY_TLS
            raise Trouble(said or words) from error
        except exceptions.ResponseError as error:
            self.close()
            refuse(url, error)
        except Exception as error:
            self.close()
            raise Strange(error) from error
        if url.service:
            self._check_master()

    def _check_master(self) -> None:
        """See that the server that the Sentinels have named is a master, so that what is read is what it has."""
        try:
            (text,) = self.ask([("INFO", "replication")])
            if b"role:master" not in text:
                raise Replaced("it is a replica now")
        except BaseException:
            self.close()
            raise

    def send(self, commands: list[Command]) -> None:
        """Send commands, whose replies `receive` then returns; raises Trouble."""
        try:
            # redis-py's own packing takes three times as long.
            self._raw.send_packed_command([b"".join(map(pack_command, commands))])
        except (exceptions.ConnectionError, exceptions.TimeoutError, OSError) as error:
            raise Trouble(_words(error)) from error

    def receive(self) -> Any:
        """Return the next reply, which may be a `redis.exceptions.ResponseError`; raises Trouble."""
        try:
            self._raw._parser.begin()
            return self._raw.read_response()
        except exceptions.ResponseError as error:
            return error
        except (exceptions.ConnectionError, exceptions.TimeoutError, OSError) as error:
            raise Trouble(_words(error)) from error
        except Exception as error:
            raise Strange(error) from error

    def ask(self, commands: list[Command]) -> list[Any]:
        """Return the replies to commands.

        Raises:
            Trouble: the server does not answer, or can't do it now.
            StoreError: it refuses one.
        """
        self.send(commands)
        replies = [self.receive() for _ in commands]
        for reply in replies:
            if isinstance(reply, exceptions.ResponseError):
                if passes(reply):
                    raise Trouble(_words(reply))
                refuse(self.url, reply)
        return replies

    def subscribe(self, channels: list[bytes]) -> None:
        """Have what is told on channels come, for `told`; raises Trouble, StoreError."""
        self.send([("SSUBSCRIBE", channel) for channel in channels])
        missing = len(channels)
        while missing:
            reply = self.receive()
            if is_error(reply):
                refuse(self.url, reply)
            missing -= reply[0] == b"ssubscribe"

    def told(self, seconds: float) -> list[tuple[bytes, bytes]]:
        """Return what was told on channels, each with its channel: what is there, or comes first in so many seconds.

        Raises:
            Trouble: the connection is lost.
        """
        found: list[tuple[bytes, bytes]] = []
        try:
            while len(found) < TOLD and (self._raw._parser.holds() or (not found and self._waits(seconds))):
                self._raw._parser.begin()
                kind, channel, said = self._raw.read_response()
                if kind == b"smessage":
                    found.append((channel, said))
        except (exceptions.RedisError, OSError, ValueError) as error:
            raise Trouble(_words(error)) from error
        return found

    def _waits(self, seconds: float) -> bool:
        """Return whether something is to be read, or comes in so many seconds; redis-py asks the system four times."""
        descriptor = self._raw._sock
        if self.url.tls and descriptor.pending():
            return True
        readable = select.poll()
        readable.register(descriptor, select.POLLIN)
        return bool(readable.poll(seconds * 1000))

    def hang_up(self) -> None:
        """Have the thread to which this belongs find that it is lost. Any thread."""
        with suppress(Exception):  # it may be closed, or not made yet
            self._raw._sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Let go of it."""
        with suppress(Exception):  # it may be broken
            self._raw.disconnect()


def is_error(reply: object) -> bool:
    """Return whether a reply is an error."""
    return isinstance(reply, exceptions.ResponseError)


def is_full(error: object) -> bool:
    """Return whether an error says that the server has no memory left."""
    return isinstance(error, exceptions.OutOfMemoryError)


def passes(error: object) -> bool:
    """Return whether an error is of the server's state, so that the same command may be carried out later."""
    kinds = (
        exceptions.NoScriptError,
        exceptions.ReadOnlyError,
        exceptions.MasterDownError,
        exceptions.ClusterDownError,
        exceptions.TryAgainError,
    )
    return isinstance(error, kinds) or str(error).startswith(("BUSY ", "UNBLOCKED "))


@understanding()
def run_of(connection: Connection, url: RedisURL) -> bytes:
    """Return the id of the server's present run, once it is what the URL asks for.

    Raises:
        Trouble: it does not answer, or not as Redis does, or is loading.
        StoreError: it can't keep what it is asked for; the text says what to set.
    """
    info = _info(connection)

    def refuse(what: str) -> NoReturn:
        raise StoreError(f"{url.place} {what}, or name another server")

    version = info["redis_version"]
    if tuple(int(part) for part in version.split(".")[:2]) < OLDEST:
        refuse(f"is Redis {version}: run Redis {OLDEST[0]}.{OLDEST[1]} or newer, or Valkey")
    if info.get("loading") == "1":
        raise Loading("it is still loading what it has kept")
    if info.get("cluster_enabled") == "1":
        refuse("is part of a Redis Cluster, which is not supported: use a server of its own (cluster-enabled no)")
    if info.get("role") != "master":
        refuse("is a replica, which nothing can be written to: name its master")
    policy = info.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        refuse(f"throws records away when its memory is full: set maxmemory-policy noeviction in place of {policy}")
    if url.replicas:
        _check_replicas(url, info)
    if url.acknowledge == DISK:
        if info.get("aof_enabled") != "1":
            refuse("keeps nothing on its disk by itself: set appendonly yes, and appendfsync always" + _OR_MEMORY)
        _check_flushes(connection, url)
    return _run(info)


@understanding()
def present_run(connection: Connection) -> bytes:
    """Return the id of the run of the server that a connection is to; raises Trouble, StoreError."""
    return _run(_info(connection))


def _info(connection: Connection) -> dict[str, str]:
    (text,) = connection.ask([("INFO",)])
    return dict(line.split(":", 1) for line in text.decode(errors="replace").splitlines() if ":" in line)


def _run(info: dict[str, str]) -> bytes:
    # A master that was replaced and is it again has the same run, and may lack what it has acknowledged in between.
    return (info["run_id"] + info.get("master_replid", "")).encode()


def _check_replicas(url: RedisURL, info: dict[str, str]) -> None:
    """See that the server has as many replicas as the URL asks for, and does not empty them when it starts again."""
    if info.get("aof_enabled") != "1":
        raise StoreError(
            f"{url.place} keeps nothing on its disk by itself, so that its replicas lose all if it is started again "
            f"before one takes over: set appendonly yes{_OR_MEMORY}"
        )
    there = sum("state=online" in value for name, value in info.items() if name.startswith("slave"))
    if there < url.replicas:
        raise StoreError(
            f"{url.place} has {there} replicas, and {url.replicas} are to have what is acknowledged: start them, or "
            "ask for fewer"
        )


_OR_MEMORY = ", or ask for less with acknowledge=memory"


def _check_flushes(connection: Connection, url: RedisURL) -> None:
    """See that the server flushes its disk before it answers."""
    connection.send([("CONFIG", "GET", "appendfsync", "no-appendfsync-on-rewrite")])
    reply = connection.receive()
    if is_error(reply):
        raise StoreError(
            f"{url.place} doesn't say whether it flushes its disk before it answers ({_words(reply)}): "
            f"allow CONFIG GET{_OR_MEMORY}"
        )
    settings = dict(zip(reply[::2], reply[1::2], strict=True))
    for name, needed in ((b"appendfsync", b"always"), (b"no-appendfsync-on-rewrite", b"no")):
        if settings.get(name) != needed:
            raise StoreError(
                f"{url.place} answers before its disk has what it was given: set {name.decode()} {needed.decode()}"
                f"{_OR_MEMORY}"
            )


def refuse(url: RedisURL, error: Exception) -> NoReturn:
    """Raise the StoreError of what the server refuses; the text says what to set."""
    words = _words(error)
    if is_full(error):
        raise StoreError(f"{url.place} has no memory left: raise maxmemory, or remove what else is there") from error
    if isinstance(error, exceptions.NoPermissionError):
        user = url.connect.get("username", "default")
        rights = f"ACL SETUSER {user} {RIGHTS} ~{url.prefix}:* &{url.prefix}:*"
        raise StoreError(f"{url.place} does not allow {user} what a store needs ({words}): {rights}") from error
    if words.startswith("WRONGTYPE"):
        raise StoreError(
            f"{url.place}: there is something else under the prefix {url.prefix}: choose another"
        ) from error
    if words.startswith("DENIED"):
        raise StoreError(
            f"{url.place} lets in nobody from another machine without a password (protected mode): have it require one "
            "(requirepass, or ACL SETUSER), and name it, as in redis://USER:PASSWORD@HOST"
        ) from error
    if words.startswith("DB index"):
        raise StoreError(f"{url.place}: it has no such database ({words}): name another, or raise databases") from error
    if words.startswith("NOREPLICAS"):
        raise StoreError(
            f"{url.place} has too few replicas to be written to: start them, or lower min-replicas-to-write"
        ) from error
    if words.startswith("MISCONF"):
        raise StoreError(f"{url.place} can't save to its disk ({words}): see its log, and free its disk") from error
    raise StoreError(f"{url.place} can't be used as a store: {words}") from error


def _parting_words(url: RedisURL) -> str:
    """Return what the server says to who connects and asks nothing: why it lets nobody in; "" if that is nothing.

    One that hangs up at once may have done so before the first connection could read it.
    """
    if url.tls:
        return ""
    with suppress(OSError), _connected(url.connect) as plain:
        said = plain.recv(PARTING_BYTES).decode(errors="replace")
        if said.startswith("-"):
            return _words(said[1:].partition("\r\n")[0].removeprefix("ERR "))
    return ""


def _connected(where: dict[str, Any]) -> socket.socket:
    if "path" not in where:
        return socket.create_connection((where["host"], where["port"]), PARTING_SECONDS)
    plain = socket.socket(socket.AF_UNIX)
    try:
        plain.settimeout(PARTING_SECONDS)
        plain.connect(where["path"])
    except OSError:
        plain.close()
        raise
    return plain


def _words(error: object) -> str:
    """Return what an error says, on one line."""
    return " ".join(str(error).split()).rstrip(".")
