"""Whatever a program passes to a public call, it gets an answer or an error of zchat's that says what is expected."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Timer
from typing import Any

import pytest

import zchat
from zchat.broker import Broker, Settings
from zchat.broker.metrics import Metrics
from zchat.transport import keys
from zchat.web import App

ANY = "tcp://127.0.0.1:*"
NAN, INF = float("nan"), float("inf")


class Odd:
    """Something that can't even be shown."""

    def __repr__(self) -> str:
        raise ValueError("no")


WRONG: list[Any] = [
    None, b"x", bytearray(b"x"), 5, -1, 0, True, False, 1.5, -0.5, NAN, INF, -INF, 1e300, 1 << 63, 1 << 64,
    10**400, -(10**400), 10**5000, "", "x", "\ud800", "\0", "a\nb", "x" * 10**6, [], ["x"], [None], [b"x"], (), (1, 2),
    {}, {"a": 1}, {"General": 1}, set(), object(), Odd(), Odd, lambda: None, range(3), 1 + 2j, zchat.START,
    memoryview(b"x"),
]  # fmt: skip


Call = Callable[[Any], object]


class Here:
    """A broker, a client and a room, and what a call needs that uses one of them up."""

    def __init__(self, broker: Broker, client: zchat.Client, page: Path) -> None:
        self.page = page
        self.broker = broker
        self.client = client
        self.room = client.join("General")
        self._rooms = 0

    def other(self, **arguments: Any) -> zchat.Client:
        """Make another client, which is closed soon."""
        arguments = dict(arguments)
        arguments.setdefault("user", "bob")
        client = zchat.Client(self.broker.url, **arguments)
        Timer(0.02, client.close).start()
        return client

    def app(self, **arguments: Any) -> App:
        """Make a gateway, as a part of a site, that is never run."""
        given: dict[str, Any] = {"authenticate": lambda scope: None, "page": self.page}
        return App(**given | arguments)

    def new_room(self, **arguments: Any) -> zchat.Room:
        """Join a room in which nobody is yet."""
        self._rooms += 1
        room = self.client.join(f"Room {self._rooms}", **arguments)
        room.leave()
        return room


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Here]:
    page = tmp_path_factory.mktemp("page")
    (page / "index.html").write_text("<p>a page</p>")
    with Broker(ANY) as broker, zchat.Client(broker.url, user="alice") as client:
        yield Here(broker, client, page)


def starts(*bind: Any, **arguments: Any) -> object:
    with Broker(*bind or (ANY,), **arguments) as broker:
        return broker.url


def settles(here: Here, seconds: Any) -> object:
    progress = zchat.Progress()
    here.room.send_many(["x"], progress=progress)
    return progress.settle(seconds)


KEY = keys.make("bob")
CLIENTS = "user timeout on_event high_water_mark invitations"
HISTORY = "after before limit timeout"
SANCTION = "user seconds reason timeout"
SETTINGS = "high_water_mark rooms fixed_rooms retain_messages retain_days max_message names"


def each(what: str, public: Callable[..., object], names: str) -> dict[str, Callable[[Here], Call]]:
    """Return a call for each of the arguments that are named."""

    def with_one(name: str) -> Callable[[Here], Call]:
        return lambda here: lambda wrong: public(here, **{name: wrong})

    return {f"{what} {name}": with_one(name) for name in names.split()}


CALLS: dict[str, Callable[[Here], Call]] = {
    "Client url": lambda here: lambda wrong: zchat.Client(wrong, user="bob", timeout=0.05),
    **each("Client", lambda here, **wrong: here.other(**wrong).close(), CLIENTS),
    "Client key": lambda here: lambda wrong: here.other(key=wrong, server_key="x" * 40),
    "Client server_key": lambda here: lambda wrong: here.other(key=KEY, server_key=wrong),
    "Client server_key, one of them": lambda here: lambda wrong: here.other(key=KEY, server_key=[wrong]),
    "Client.join name": lambda here: lambda wrong: here.client.join(wrong, create=False),
    **each("Client.join", Here.new_room, "after create echo reads present timeout"),
    "Client.direct user": lambda here: lambda wrong: here.client.direct(wrong),
    "Client.direct timeout": lambda here: lambda wrong: here.client.direct("bob", timeout=wrong),
    "Client.leave room": lambda here: here.client.leave,
    "Client.leave timeout": lambda here: lambda wrong: here.client.leave(here.client.join("Here"), timeout=wrong),
    "Client.rooms timeout": lambda here: lambda wrong: here.client.rooms(timeout=wrong),
    "Client.stats timeout": lambda here: lambda wrong: here.client.stats(timeout=wrong),
    "Client.overall_stats timeout": lambda here: lambda wrong: here.client.overall_stats(timeout=wrong),
    "Client.members name": lambda here: lambda wrong: here.client.members(wrong),
    "Client.members timeout": lambda here: lambda wrong: here.client.members("General", timeout=wrong),
    "Client.mark_read name": lambda here: lambda wrong: here.client.mark_read(wrong, 1),
    "Client.mark_read seq": lambda here: lambda wrong: here.client.mark_read("General", wrong),
    "Client.mark_read timeout": lambda here: lambda wrong: here.client.mark_read("General", 0, timeout=wrong),
    "Client.history name": lambda here: lambda wrong: here.client.history(wrong),
    **each("Client.history", lambda here, **wrong: here.client.history("General", **wrong), HISTORY),
    "Client.history_batch name": lambda here: lambda wrong: here.client.history_batch(wrong),
    **each("Client.history_batch", lambda here, **wrong: here.client.history_batch("General", **wrong), HISTORY),
    **each("Room.history", lambda here, **wrong: here.room.history(**wrong), HISTORY),
    **each("Client.ban", lambda here, **wrong: here.client.ban(**{"user": "bob"} | wrong), SANCTION),
    **each("Client.unban", lambda here, **wrong: here.client.unban(**{"user": "bob"} | wrong), "user timeout"),
    "Client.sanctions timeout": lambda here: lambda wrong: here.client.sanctions(timeout=wrong),
    **each("Room.kick", lambda here, **wrong: here.room.kick(**{"user": "bob"} | wrong), "user reason timeout"),
    **each("Room.ban", lambda here, **wrong: here.room.ban(**{"user": "bob"} | wrong), SANCTION),
    **each("Room.unban", lambda here, **wrong: here.room.unban(**{"user": "bob"} | wrong), "user timeout"),
    **each("Room.mute", lambda here, **wrong: here.room.mute(**{"user": "bob"} | wrong), SANCTION),
    **each("Room.unmute", lambda here, **wrong: here.room.unmute(**{"user": "bob"} | wrong), "user timeout"),
    **each("Room.close_room", lambda here, **wrong: here.room.close_room(**wrong), "reason timeout"),
    "Room.open_room timeout": lambda here: lambda wrong: here.room.open_room(timeout=wrong),
    "Room.sanctions timeout": lambda here: lambda wrong: here.room.sanctions(timeout=wrong),
    "Client.events timeout": lambda here: lambda wrong: list(here.other().events(wrong)),
    "Client.events batches": lambda here: lambda wrong: list(here.other().events(0, batches=wrong)),
    "Client.wait timeout": lambda here: lambda wrong: here.other().wait(wrong),
    "Client.close timeout": lambda here: lambda wrong: here.other().close(wrong),
    "Room.send body": lambda here: lambda wrong: here.room.send(wrong),
    "Room.send timeout": lambda here: lambda wrong: here.room.send("x", timeout=wrong),
    "Room.send_many bodies": lambda here: lambda wrong: here.room.send_many(wrong),
    "Room.send_many body": lambda here: lambda wrong: here.room.send_many([wrong]),
    "Room.send_many timeout": lambda here: lambda wrong: here.room.send_many(["x"], timeout=wrong),
    "Room.send_many progress": lambda here: lambda wrong: here.room.send_many(["x"], progress=wrong),
    "Room.messages timeout": lambda here: lambda wrong: list(here.other().join("General").messages(wrong)),
    "Room.batches timeout": lambda here: lambda wrong: list(here.other().join("General").batches(wrong)),
    "Room.members timeout": lambda here: lambda wrong: here.room.members(timeout=wrong),
    "Room.leave timeout": lambda here: lambda wrong: here.client.join("Here").leave(timeout=wrong),
    "Room.typing active": lambda here: here.room.typing,
    "Room.mark_read seq": lambda here: here.room.mark_read,
    "Progress.settle timeout": lambda here: lambda wrong: settles(here, wrong),
    "Broker bind": lambda here: starts,
    "Broker bind, a second": lambda here: lambda wrong: starts(ANY, wrong),
    "Broker store": lambda here: lambda wrong: starts(store=wrong),
    **each("Broker", lambda here, **wrong: Broker(ANY, **wrong), SETTINGS),
    **each("Settings", lambda here, **wrong: Settings(**wrong), SETTINGS),
    **each("Broker", lambda here, **wrong: Broker(ANY, **wrong), "keys guests logins rules insecure audit"),
    "Broker keys, at the start": lambda here: lambda wrong: starts(keys=wrong),
    "Broker rules, at the start": lambda here: lambda wrong: starts("ipc://*", logins=True, rules=wrong),
    "Broker rooms, one of them": lambda here: lambda wrong: Broker(ANY, rooms=[wrong]),
    "Settings rooms, one of them": lambda here: lambda wrong: Settings(rooms=(wrong,)),
    "Broker.wait timeout": lambda here: lambda wrong: here.broker.wait(wrong) if waits_briefly(wrong) else None,
    **each("App", Here.app, "url authenticate public origins page max_connections"),
    "App key": lambda here: lambda wrong: here.app(key=wrong, server_key="x" * 40),
    "App server_key": lambda here: lambda wrong: here.app(key=KEY, server_key=wrong),
    "App public, one of them": lambda here: lambda wrong: here.app(public=[wrong]),
    "App origins, one of them": lambda here: lambda wrong: here.app(origins=[wrong]),
    "Metrics broker": lambda here: lambda wrong: Metrics(wrong, "127.0.0.1:*"),
    "Metrics place": lambda here: lambda wrong: Metrics(here.broker, wrong),
}  # fmt: skip
"""The public calls, each with one argument that is wrong."""

FOR_EVER = "no limit"


async def asynchronous(event: zchat.Event) -> None:
    """Do nothing by being called."""


def waits_briefly(seconds: object) -> bool:
    """Return whether a wait for what doesn't happen would soon be over."""
    number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
    return not (seconds is None or (number and seconds > 0))  # type: ignore[operator]


@pytest.mark.parametrize("call", CALLS)
def test_a_wrong_argument_is_an_error_of_zchats(here: Here, call: str) -> None:
    public = CALLS[call](here)
    wrong = []
    for value in WRONG:
        try:
            public(value)
        except zchat.ZchatError as error:
            text = str(error)
            assert text
            assert len(text) < 1000, call
        except Exception as error:
            wrong.append((type(value).__name__, repr(error)[:200]))
    assert wrong == []
    assert here.room.send("still here").seq, "the client lives"


@pytest.mark.parametrize(
    "url", ["sqlite:/dev/null/a\0b", "sqlite:/dev/null/\ud800", f"sqlite:{'x' * 5000}", "sqlite:/dev/null/z"]
)
def test_a_path_that_no_file_can_have_is_no_store(url: str) -> None:
    with pytest.raises(zchat.ZchatError):
        starts(store=url)


@pytest.mark.parametrize(
    ("call", "wrong", "says"),
    [
        ("Client url", None, "is given the address of a broker, or several, not None"),
        ("Client url", b"tcp://127.0.0.1:1", "is given the address of a broker, or several, not b'tcp"),
        ("Client on_event", 5, "on_event is a function that is called with each event, not 5"),
        ("Client on_event", asynchronous, "on_event is an ordinary function, neither async nor a generator, not <func"),
        ("Client invitations", None, "invitations is True or False, not None"),
        ("Client timeout", None, "connecting takes a timeout in seconds, not None"),
        ("Client.join create", 10**400, "create is True or False, not 1000"),
        ("Client.join after", 5, "after is a Position, as Room.position gives it, not 5"),
        ("Client.leave room", "General", "leave is given a Room, as join returns it, not 'General'"),
        ("Room.send_many bodies", "hello", "a list of bodies, or another iterable, not one str"),
        ("Room.send_many bodies", memoryview(b"abc"), "a list of bodies, or another iterable, not one memoryview"),
        ("Room.send_many bodies", {"a": 1}, "a list of bodies, or another iterable, not one dict"),
        ("Client.join create", "no", "create is True or False, not 'no'"),
        ("Client.join echo", 0, "echo is True or False, not 0"),
        ("Room.typing active", "no", "active is True or False, not 'no'"),
        ("Room.send_many progress", 5, "progress is a Progress, not 5"),
        ("Room.ban user", None, "the name of a user is text, not None"),
        ("Room.ban seconds", 1.5, "seconds is a whole number from 0 (for ever) to 3153600000, not 1.5"),
        ("Client.ban reason", "a\nb", "the reason contains a control character (U+000A): leave it out"),
        ("Room.close_room reason", "x" * 201, "a reason has at most 200 characters, this one has 201: shorten it"),
        ("Room.typing active", 1, "active is True or False, not 1"),
        ("Room.send timeout", True, "a timeout is a number of seconds from 0, or None for ever, not True"),
        ("Broker bind", None, "a broker's address is text, not None"),
        ("Broker store", None, "a store is named by text, memory: or sqlite:PATH or redis://HOST, not None"),
        ("Broker keys", "a\0b", r"keys is the path of a folder, not 'a\x00b'"),
        ("Broker rules", b"x", "rules is the path of a file, not b'x'"),
        ("Broker audit", 5, "audit is the path of a file, or a bool, not 5"),
        ("Broker store", "sqlite:a\0b", r"the PATH of sqlite:PATH is that of a file, not 'a\x00b'"),
        ("Client key", "a\0b", r"key is a pair of keys, or the path of its file, not 'a\x00b'"),
        ("Client server_key", 5, "a broker's key is its 40 characters, or the path of its file, not 5"),
        ("Broker rooms", "General", "rooms is a list of names, not 'General'"),
        ("Broker rooms, one of them", None, "the name of a room is text, not None"),
        ("Broker high_water_mark", 1.5, "high_water_mark is 1 to 10,000 notifications, not 1.5"),
        ("Broker names", True, "names is 0 to 1,000 members, not True"),
        ("Broker fixed_rooms", 1, "fixed_rooms is True or False, not 1"),
        ("Broker.wait timeout", NAN, "a timeout is a number of seconds from 0"),
        ("App url", 5, "is given the address of a broker, or several, not 5"),
        ("App url", "x", "'x' is not an address: use tcp://HOST:PORT"),
        (
            "App authenticate",
            "alice",
            "authenticate is a function that is given a scope and returns a user's name",
        ),
        ("App public", "news*", "public is a list of patterns, not 'news*'"),
        ("App public, one of them", b"x", "each of the patterns is text, not b'x'"),
        ("App origins", "https://a.b", "origins is a list of origins, not 'https://a.b'"),
        ("App origins, one of them", 5, "each of the origins is text, not 5"),
        ("App page", 5, "page is the path of a folder, not 5"),
        ("App key", 5, "key is a pair of keys, or the path of its file, not 5"),
        ("App server_key", 5, "a broker's key is its 40 characters, or the path of its file, not 5"),
        ("App max_connections", -1, "max_connections is a whole number of browsers from 1, not -1"),
        ("Metrics broker", None, "metrics are those of a Broker, not of None"),
        ("Metrics place", None, "a place is text, not None"),
    ],
)
def test_it_says_what_is_expected(here: Here, call: str, wrong: object, says: str) -> None:
    with pytest.raises(zchat.UsageError) as caught:
        CALLS[call](here)(wrong)
    assert says in str(caught.value)
