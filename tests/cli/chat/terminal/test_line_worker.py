"""What is typed in a chat is said and done where it was meant for, or reported, once, whatever happens."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Iterator
from threading import Event
from typing import Any, cast

import pytest
from prompt_toolkit.application.current import set_app
from prompt_toolkit.completion import DummyCompleter
from prompt_toolkit.history import InMemoryHistory
from prompt_toolkit.input import DummyInput
from prompt_toolkit.key_binding import KeyPress
from prompt_toolkit.keys import Keys
from prompt_toolkit.output import DummyOutput

from tests.cli.chat.driver import half, keeping
from tests.cli.chat.terminal.test_screen import Written
from tests.cli.driver import bodies, say
from tests.running import DEADLINE
from zchat import Client, Message
from zchat.broker import Broker
from zchat.cli.chat.conversation import Conversation
from zchat.cli.chat.news import News
from zchat.cli.chat.people import People
from zchat.cli.chat.rooms import Rooms
from zchat.cli.chat.terminal import line_worker
from zchat.cli.chat.terminal.editor import Editor
from zchat.cli.chat.terminal.line_worker import LineWorker
from zchat.cli.chat.terminal.outbox import Outbox
from zchat.cli.chat.terminal.screen import Screen
from zchat.cli.chat.transcript import Show, Transcript
from zchat.cli.screen.loop_threads import LoopThreads
from zchat.cli.screen.typed_ahead import TypedAhead
from zchat.client.room import Room
from zchat.errors import Banned, ConnectionLost, DeadlineExceeded
from zchat.events import Removed


class Typist:
    """A chat on a terminal that shows nothing, and the keys that are pressed in it.

    `show`: called with each text; None to keep it in `shown`.
    """

    def __init__(self, client: Client, show: Show | None = None) -> None:
        self.client = client
        self.shown: list[str] = []
        self.rooms, people = Rooms(), People(client.user)
        transcript = Transcript(show or keeping(self.shown), self.rooms, people)
        self.outbox = Outbox(transcript, lambda: None)
        self.conversation = Conversation(
            client, self.rooms, people, transcript, self.outbox.put, news=News(lambda: None), fits=half
        )
        self.editor = Editor(
            self.conversation,
            self.outbox,
            DummyCompleter(),
            InMemoryHistory(),
            DummyInput(),
            TypedAhead(lambda: self.editor.room()),
            DummyOutput(),
        )
        self.worker = LineWorker(self.conversation, self.outbox, self.editor.lines, LoopThreads(2))

    def press(self, *keys: Keys | str) -> None:
        with set_app(self.editor.app):
            for key in keys:
                self.editor.app.key_processor.feed(KeyPress(cast(Keys, key), ""))
                self.editor.app.key_processor.process_keys()

    def write(self, text: str) -> None:
        buffer = self.editor.app.layout.current_buffer
        assert buffer is not None
        buffer.insert_text(text)

    def enter(self, *lines: str) -> None:
        for line in lines:
            self.write(line)
            self.press(Keys.Enter)

    def removed(self, room: str) -> None:
        """Have it happen that the user is put out of a room."""
        self.conversation.take(Removed(room, "", "carol", None, "kicked"))

    def begin(self, *names: str, kept: tuple[str, ...] = ()) -> asyncio.Task[None]:
        """Begin to chat in rooms, and to do what is typed."""
        return asyncio.create_task(self.worker.run(lambda: self.conversation.begin(names, kept)))

    async def end(self, running: asyncio.Task[None]) -> list[str]:
        """Wait until all is done that was typed; return what was reported as wrong."""
        self.editor.lines.end()
        await running
        for wait in (self.outbox.drain, self.outbox.end):
            await asyncio.to_thread(wait, DEADLINE)
        return [text for text in self.shown if text.startswith("!")]


class Held:
    """A method that has to wait before it does what it does, or raises an error, while the block runs."""

    def __init__(self, owner: Any, name: str, error: Exception | None = None) -> None:
        self._owner = owner
        self._name = name
        self._error = error
        self._begun = Event()
        self.go = Event()
        """What it waits for."""

    def __enter__(self) -> Held:
        before: Callable[..., Any] = getattr(self._owner, self._name)

        def waiting(*arguments: Any, **named: Any) -> Any:
            self._begun.set()
            assert self.go.wait(DEADLINE)
            if self._error is not None:
                raise self._error
            return before(*arguments, **named)

        setattr(self._owner, self._name, waiting)
        return self

    def __exit__(self, *raised: object) -> None:
        delattr(self._owner, self._name)
        self.go.set()

    async def begun(self) -> None:
        """Wait until it is called."""
        assert await asyncio.to_thread(self._begun.wait, DEADLINE)


def forbid(monkeypatch: pytest.MonkeyPatch, client: Client, room: str) -> None:
    """Have a client be banned from a room."""
    join = client.join

    def joined(name: str, **options: Any) -> Room:
        if name == room:
            raise Banned(f"you are banned from {name}", detail=0)
        return join(name, **options)

    monkeypatch.setattr(client, "join", joined)


@pytest.fixture
def alice(broker: Broker) -> Iterator[Client]:
    with Client(broker.url, user="alice") as client:
        yield client


@pytest.mark.parametrize("kept", [(), ("Ops", "Sports")], ids=["named", "of before"])
@pytest.mark.parametrize("banned", [False, True])
def test_what_is_typed_while_a_chat_begins_is_for_its_first_room_or_for_none(
    broker: Broker, alice: Client, monkeypatch: pytest.MonkeyPatch, kept: tuple[str, ...], banned: bool
) -> None:
    for room in ("Ops", "Sports", "General"):
        say(broker, room, "welcome")
    if banned:
        forbid(monkeypatch, alice, "Ops")

    async def scenario() -> list[str]:
        typist = Typist(alice)
        typist.enter("for Ops", "/me waves", "/leave Sports" if kept else "/leave General", "for Ops too")
        typist.enter("/join Sports", "for Sports")
        return await typist.end(typist.begin("Ops", "General", kept=kept))

    refused = asyncio.run(scenario())
    assert bodies(broker, "Ops") == ["welcome", *([] if banned else ["for Ops", "/me waves", "for Ops too"])]
    assert bodies(broker, "Sports") == ["welcome", "for Sports"]
    assert bodies(broker, "General") == ["welcome"]
    if banned:
        assert [text.partition(" (")[0] for text in refused if text.startswith("! not")] == [
            "! not sent: for Ops",
            "! not sent: /me waves",
            "! not sent: for Ops too",
        ]


def test_what_was_entered_or_begun_in_a_room_that_the_user_was_put_out_of_is_reported_once_and_said_nowhere(
    broker: Broker, alice: Client
) -> None:
    async def scenario() -> list[str]:
        typist = Typist(alice)
        with Held(typist.conversation.lists, "rooms") as held:
            running = typist.begin("Ops", "General", "Third")
            typist.enter("/list", "for Ops")
            await held.begun()
            typist.enter("for Ops again")
            typist.write("draft")
            say(broker, "General", "news for alice")
            typist.rooms.count(Message("General", 1, 0, "bob", "news for alice"))
            typist.removed("Ops")
            typist.press(Keys.PageUp, Keys.Escape, "a", Keys.Enter)
            typist.enter("for General")
        return await typist.end(running)

    elsewhere = "(you began it in Ops, and are in Third now)"
    assert asyncio.run(scenario()) == [
        "! carol has put you out of Ops",
        f"! not sent: for Ops {elsewhere}",
        f"! not sent: for Ops again {elsewhere}",
        f"! not sent: draft {elsewhere}",
    ]
    assert bodies(broker, "Ops") == bodies(broker, "Third") == []
    assert bodies(broker, "General") == ["news for alice", "for General"]


def test_what_was_entered_after_leave_is_said_in_no_other_room_than_the_one_it_led_to_then(
    broker: Broker, alice: Client
) -> None:
    async def scenario() -> list[str]:
        typist = Typist(alice)
        running = typist.begin("Ops", "Third", "General")
        typist.enter("/next", "for what is new")
        while typist.editor.lines.waiting:
            await asyncio.sleep(0.01)
        ops = typist.rooms.get("Ops")
        with Held(typist.rooms, "left") as held:
            typist.enter("/leave", "for General")
            await held.begun()
            typist.removed("General")
        assert ops is not None
        return await typist.end(running)

    assert asyncio.run(scenario()) == [
        "! nothing is new in your other rooms",
        "! not sent: for what is new (you were not in that room)",
        "! carol has put you out of General",
        "! not sent: for General (you were not in that room)",
    ]
    assert all(not bodies(broker, room) for room in ("Third", "General"))


@pytest.mark.parametrize("error", [DeadlineExceeded("no answer"), ConnectionLost("the client was closed")])
def test_a_line_that_nobody_waits_for_any_more_fails_without_a_word(alice: Client, error: Exception) -> None:
    unasked: list[dict[str, Any]] = []

    async def scenario() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: unasked.append(context))
        typist = Typist(alice)
        with Held(typist.conversation.lists, "rooms", error) as held:
            running = typist.begin("General")
            typist.enter("/list")
            await held.begun()
            running.cancel()
            await asyncio.wait((running,))
        await asyncio.to_thread(typist.outbox.end, DEADLINE)

    asyncio.run(scenario())
    gc.collect()
    assert unasked == []


def test_once_no_more_is_typed_a_line_may_take_so_long_and_is_then_reported_with_those_after_it(
    alice: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line_worker, "LAST_LINE_SECONDS", 0.05)

    async def scenario() -> list[str]:
        typist = Typist(alice)
        with Held(alice, "rooms") as held:
            running = typist.begin("General")
            typist.enter("hello", "/list", "/quit")
            await held.begun()
            return await typist.end(running)

    left = "(you left before the broker answered)"
    assert asyncio.run(scenario()) == [f"! not sent: hello {left}", f"! not done: /list {left}"]


@pytest.mark.parametrize("how", ["too late", "cancelled"])
def test_a_beginning_that_nobody_waits_for_any_more_shows_nothing_after_what_is_said_at_the_end(
    alice: Client, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr(line_worker, "LAST_LINE_SECONDS", 0.05)
    output, ended = Written(columns=200), Event()

    async def scenario() -> None:
        screen = Screen(output)
        typist = Typist(alice, screen.show)

        def begin() -> None:
            try:
                typist.conversation.begin(["General"])
            finally:
                ended.set()

        with Held(alice, "rooms") as held:
            running = asyncio.create_task(typist.worker.run(begin))
            typist.enter("hello")
            await held.begun()
            if how == "cancelled":
                running.cancel()
                await asyncio.wait((running,))
                await asyncio.to_thread(typist.outbox.leave, typist.editor.lines.withdraw())
            else:
                typist.enter("/quit")
                await running
        assert await asyncio.to_thread(ended.wait, DEADLINE)
        assert typist.rooms.current_name == "General"
        await asyncio.to_thread(typist.outbox.end, DEADLINE)
        screen.end()
        await screen.draw()

    asyncio.run(scenario())
    assert output.text.splitlines()[1:] == [f"! not sent: hello ({LEFT[how]})"]


LEFT = {"too late": "you left before the broker answered", "cancelled": "you left before it was sent"}
"""What is said of a text that waits when a chat ends that has yet to begin."""
