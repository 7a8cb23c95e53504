"""A client's core at the mercy of a hostile broker, with an application that uses it: without sockets and threads."""

from __future__ import annotations

from itertools import islice
from math import isfinite
from random import Random
from typing import Any

from tests.attacks import lies
from tests.frames import decode_command
from tests.protocol.driver import FakeCall, FakeSubmission
from zchat import errors
from zchat.deadline import Deadline
from zchat.messages import Position
from zchat.protocol.core import ClientCore
from zchat.protocol.faces import moderation, steps
from zchat.protocol.faces.inbox import Inbox, LastChunk
from zchat.protocol.faces.outcomes import BaseAnswer
from zchat.protocol.rooms.membership import Membership
from zchat.protocol.rooms.roster import MAX_PEOPLE
from zchat.threads import Bell
from zchat.wire.commands import COMMANDS
from zchat.wire.hostile import MAX_TEXT
from zchat.wire.limits import MAX_BLOCK_MESSAGES
from zchat.wire.replies import Welcome
from zchat.wire.values import pack

WINDOW = 5
WELCOME = ["alice", WINDOW, 1 << 20, 1 << 20, 1000, 16, 1000, 3000, 15_000]
ROOMS = ("General", "Other", "@bob")
OWN_WORDS = 300
"""Characters that an error's text has at most beside what the broker has said."""


class Victim:
    """A client that an application uses at random while a broker says what it likes.

    It is its core's port, and the link of the steps that it asks questions by. `seed` decides all that happens.
    """

    user = "alice"

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.broken = self.random.choice((0.0, 0.0, 0.02, 0.2))  # how many of the broker's frames are malformed
        self.now = 100.0
        self.unanswered: list[list[Any]] = []
        self.ends = 0
        self.texts: list[str] = []  # that the application was given, and has not looked at
        self.inboxes: list[Inbox[Bell]] = []
        self.joins: list[FakeCall] = []
        self.asked: list[tuple[Any, BaseAnswer]] = []
        self.waits: Any = self
        self.core = ClientCore(self, self.user, b"p" * 16, b"t" * 16, WINDOW, Random(seed))
        self.core.start(self.now)

    def turn(self) -> None:
        """Let one thing happen."""
        what = self.random.random()
        if what < 0.4:
            self._act()
        elif what < 0.9:
            self._hear()
        else:
            self._pass_time()
        self._go_on()
        self._check()

    def close(self) -> None:
        """End the client, which nobody answers any more."""
        self.core.close(self.now)
        self.core.tick(self.now + 1)
        self._go_on()
        assert self.core.over
        assert self.ends == 1
        assert not self.asked
        assert all(call.done for call in self.joins), "nobody is left waiting"

    @property
    def rooms(self) -> list[Membership]:
        """The rooms that were joined."""
        return [call.result for call in self.joins if isinstance(call.result, Membership)]

    # -- the core's port -----------------------------------------------------------------------------

    def send(self, frame: bytes) -> None:
        command = decode_command(frame)  # an honest broker would take it
        if COMMANDS[command[0]].answered:
            self.unanswered.append(command)

    def opened(self, welcome: Welcome) -> None: ...

    def invited(self, room: str, user: str, position: Position) -> None:
        self.texts.append(user)

    def mark_refused(self, room: str, error: errors.Refused) -> None:
        self.texts.append(str(error))

    def lost(self, error: errors.ZchatError, was_open: bool) -> None:
        self.texts.append(str(error))
        self.unanswered.clear()

    def connect(self) -> None: ...

    def ended(self, error: errors.ZchatError | None) -> None:
        self.ends += 1
        self.texts.append(str(error))

    # -- the link of its steps -------------------------------------------------------------------------

    def do(self, *work: Any) -> None:
        work[0](*work[1:])

    def check(self) -> None: ...

    def answer(self) -> BaseAnswer:
        return BaseAnswer(lambda: None)

    # -- the application ---------------------------------------------------------------------------------

    def _act(self) -> None:
        core, random, link = self.core, self.random, self
        limit = Deadline(None)
        ask: Any = None
        match random.randrange(16):
            case 0 | 1:
                self._join()
            case 2 | 3:
                core.offer(random.choice(ROOMS[:2]), FakeSubmission(*range(random.choice((1, 3, 1500)))))
            case 4:
                ask = steps.rooms(link, limit)  # type: ignore[arg-type]
            case 5:
                ask = steps.members(link, "General", limit)  # type: ignore[arg-type]
            case 6:
                after, most = random.choice((None, 0)), random.choice((1, 10, 2000))
                ask = steps.history(link, "General", after, None, most, limit)  # type: ignore[arg-type]
            case 7:
                ask = steps.stats(link, limit)  # type: ignore[arg-type]
            case 8 if self.rooms:
                core.mark_read(random.choice(self.rooms), random.choice((1, 5, lies.MAX_INT)))
            case 9 if self.rooms:
                core.typing(random.choice(self.rooms), random.random() < 0.7, self.now)
            case 10 if self.rooms and random.random() < 0.3:
                core.leave(random.choice(self.rooms), FakeCall())
            case 11:
                ask = moderation.sanctions(link, random.choice(("General", None)), limit)  # type: ignore[arg-type]
            case 12:
                ask = random.choice(
                    (
                        moderation.kick(link, "General", "bob", "", limit),  # type: ignore[arg-type]
                        moderation.sanction(link, "ban", None, "bob", 60, "spam", limit),  # type: ignore[arg-type]
                        moderation.lift(link, "unmute", "General", "bob", limit),  # type: ignore[arg-type]
                        moderation.close_room(link, "General", "", limit),  # type: ignore[arg-type]
                    )
                )
            case _ if self.inboxes:
                self._read(random.choice(self.inboxes))
        if ask is not None:
            self.asked.append((ask, next(ask).func.__self__))

    def _join(self) -> None:
        core, random = self.core, self.random
        call, inbox = FakeCall(), Inbox(Bell(), lambda _: None, core.credit, core.mark_read)
        inbox.keeps_mark = random.random() < 0.2
        self.inboxes.append(inbox)
        self.joins.append(call)
        core.join(
            random.choice(ROOMS[:2]), random.choice((None, Position(7, 5))), True, call, inbox, random.choice((3, 7))
        )

    def _go_on(self) -> None:
        for generator, answer in self.asked.copy():
            if answer._undecided:
                continue
            self.asked.remove((generator, answer))
            try:
                try:
                    result = answer.verdict()
                except errors.ZchatError as error:
                    wait = generator.throw(error)
                else:
                    wait = generator.send(result)
                self.asked.append((generator, wait.func.__self__))
            except StopIteration:
                pass
            except errors.ZchatError as error:
                self.texts.append(str(error))

    def _read(self, inbox: Inbox[Bell]) -> None:
        try:
            chunk = inbox.take()
            if chunk is not None:
                taken: list[Any] = list(islice(chunk.messages, self.random.choice((1, 3, 10_000))))
                if isinstance(chunk, LastChunk):
                    self.texts += [str(chunk.error), *(text for event in taken for text in (event.reason, event.by))]
                assert len(taken) <= MAX_BLOCK_MESSAGES * len(lies.BODIES)
                inbox.finish(chunk)
        except errors.ZchatError as error:
            self.texts.append(str(error))
        assert len(list(inbox.roster.take())) < 10 * MAX_PEOPLE
        assert inbox.position.seq >= 0

    def _check(self) -> None:
        for text in self.texts:
            assert len(text) <= MAX_TEXT + OWN_WORDS
            assert text.isprintable()
        self.texts.clear()
        for room in self.rooms:
            cursor, roster = room.cursor, room.feed.roster
            assert cursor.received - cursor.taken_now <= WINDOW + cursor.every
            assert len(roster._people) <= MAX_PEOPLE

    # -- the broker ----------------------------------------------------------------------------------------

    def _hear(self) -> None:
        random = self.random
        if random.random() < self.broken:
            honest = random.choice(lies.NOTICES)
            frame = (
                lies.damaged(pack(honest), random) if random.random() < 0.3 else packed(lies.changed(honest, random))
            )
        else:
            frame = packed(self._said())
        self.core.receive(frame, self.now)

    def _said(self) -> list[Any]:
        random = self.random
        room = random.choice(self.rooms) if self.rooms else None
        where, after = (room.name, room.cursor.upto) if room else ("General", 0)
        match random.randrange(17):
            case 0:
                return random.choice(lies.NOTICES[:10])
            case 1:
                return ["pong", random.choice(lies.NUMBERS)]
            case 2:
                return lies.refusal(random.choice([*(each[1] for each in self.unanswered), 999]), random)
            case 3:
                return lies.state(where, random)
            case 4 if random.random() < 0.1:
                return random.choice(
                    (lies.refusal(None, random), ["end", lies.NASTY, lies.NASTY * 100, random.random() < 0.9])
                )
            case 5 | 6 | 7 | 8:
                return lies.notification(where, after, random)
            case 9 if random.random() < 0.2:
                return lies.removal(where, room.join if room else 1, random)
        if not self.unanswered:
            return ["ok", 12345]
        command = random.choice(self.unanswered) if random.random() < 0.01 else self.unanswered[0]
        word, request, *fields = command
        if random.random() < 0.98:  # else it is answered again
            self.unanswered.remove(command)
        if word == "hello" and random.random() < 0.95:
            return ["ok", request, random.choice((1, 2, 2, 2)), *WELCOME]
        result = lies.answer(word, fields, random)
        return ["ok", request, *result]

    # -- time ------------------------------------------------------------------------------------------------

    def _pass_time(self) -> None:
        self.now += self.random.choice((0.0, 0.001, 0.1, 1.0))
        due = self.core.tick(self.now)
        assert isfinite(due), "something is always due"
        assert due - self.now < 1e6, "what waits in libzmq takes milliseconds, in 31 bits"


def packed(value: Any) -> bytes:
    """Return a value as MessagePack; numbers that it can't hold are 0."""
    try:
        frame: bytes = pack(value)
    except (OverflowError, ValueError):
        return packed(["pong", 0])
    return frame
