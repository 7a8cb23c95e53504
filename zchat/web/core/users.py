"""A user of pages: one session with the broker, however many pages are open."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from types import TracebackType
from typing import Protocol

from zchat.errors import ConnectionLost, ZchatError
from zchat.events import Crowd, Disconnected, Event, Gap, Invited, Reconnected, Removed
from zchat.messages import Batch
from zchat.names import fold
from zchat.web.core import frames
from zchat.web.core.channel import Channel, Context, Member
from zchat.web.core.limits import CLOSING_SECONDS, IDLE_USER_SECONDS
from zchat.web.core.port import Client, Promise, Room
from zchat.web.core.timers import Timer


class Page(Protocol):
    """What a user's pages are sent beside what happens in their rooms."""

    def tell(self, frame: bytes, *, needed: bool) -> None:
        """Write a frame; unless it is needed, one is dropped that the page can't take now."""

    def invited(self, room: str, frame: bytes) -> None:
        """Write a frame that invites to a room, by its folded name, unless the page follows it or may not."""

    def user_ended(self, error: ZchatError | None) -> None:
        """Take it that the user's session with the broker has ended, and why."""


class Place:
    """A user's membership of a room, for all pages of theirs that follow it."""

    def __init__(self, user: User, room: Room, *, present: bool, own: Channel | None) -> None:
        self.user = user
        self.room = room
        self.present = present
        """False if the user is only watching."""
        self.own = own
        """The room as the user's session reads it, None if the gateway reads it for everybody."""
        self.members: set[Member] = set()
        """The pages that follow it."""
        self.unsent = 0
        """Messages of the user to it that wait for the broker."""
        self.idle: Timer | None = None
        """When the user leaves it, as no page follows it any more."""

    @property
    def up(self) -> bool:
        """See `zchat.web.core.channel.Presence`."""
        return self.user.up

    @property
    def sees_names(self) -> bool:
        """See `zchat.web.core.channel.Presence`."""
        return self.room.member_count > 0 and not self.room.crowded


class Turn:
    """What one task at a time may have, in the order in which they came or another. `promise`: `World.promise`."""

    def __init__(self, promise: Callable[[], Promise]) -> None:
        self._promise = promise
        self._taken = False
        self._waiting: list[Promise] = []

    async def __aenter__(self) -> None:
        while self._taken:
            promise = self._promise()
            self._waiting.append(promise)
            await promise
        self._taken = True

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._taken = False
        waiting, self._waiting = self._waiting, []
        for promise in waiting:  # all: the first may have been cancelled meanwhile
            promise.keep()


class User:
    """A user with pages: their session with the broker.

    `run` is its task; `over` is called once it has ended.
    """

    def __init__(self, context: Context, name: str, over: Callable[[User], None]) -> None:
        self.name = name
        self.pages: set[Page] = set()
        self.places: dict[str, Place] = {}
        """Where the user is, by the rooms' folded names."""
        self.up = True
        """False while there is no connection to the broker."""
        self._context = context
        self._over = over
        self._client: Client | None = None
        self._error: ZchatError | None = None
        self._begun = self._ended = False
        self._waiting: list[Promise] = []
        self._turn = Turn(context.world.promise)
        self._idle: Timer | None = None
        context.world.spawn(self._run())

    @property
    def client(self) -> Client:
        """Return the user's client, once `ready` has returned."""
        assert self._client is not None
        return self._client

    # -- pages -------------------------------------------------------------------------------------

    async def ready(self) -> None:
        """Wait until there is a session with the broker.

        Raises:
            ZchatError: there is none, and why.
        """
        while not (self._begun or self._ended):
            promise = self._context.world.promise()
            self._waiting.append(promise)
            await promise
        if self._ended:
            raise self._error or ConnectionLost("the session with the broker has ended")

    def come(self, page: Page) -> None:
        """Take a page in."""
        self.pages.add(page)
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None

    def go(self, page: Page) -> None:
        """Let a page go; the session ends some time after the last one."""
        self.pages.discard(page)
        if not self.pages and self._idle is None:
            self._idle = self._later(self._end_if_idle)

    # -- rooms -------------------------------------------------------------------------------------

    async def join(self, name: str, *, create: bool, present: bool, reads: bool) -> Place:
        """Return the user's place in a room, where they are from now on, or (not `present`) watch unseen.

        `reads`: the user's session reads the room, as the gateway can't.

        Raises:
            ZchatError: the broker's reasons.
        """
        async with self._turn:
            key = fold(name)
            place = self.places.get(key)
            if place is not None and present <= place.present and reads <= (place.own is not None):
                self._wait_for_pages(place)
                return place
            if place is not None:
                present |= place.present
                await self._leave(key, place)
            room = await self.client.join(name, create=create, echo=reads, reads=reads, present=present or reads)
            if place is None or reads:
                for member in () if place is None else tuple(place.members):
                    member.removed(member, None)
                place = Place(self, room, present=present or reads, own=Channel(self._context, room) if reads else None)
            place.room, place.present = room, present or reads
            self.places[key] = place
            self._wait_for_pages(place)
            return place

    def follow(self, place: Place, member: Member) -> None:
        """Have a page follow a room where the user is."""
        place.members.add(member)
        if place.idle is not None:
            place.idle.cancel()
            place.idle = None

    def unfollow(self, place: Place, member: Member, *, at_once: bool) -> None:
        """Have a page follow it no longer; without others, the user leaves the room, `at_once` or some time later."""
        place.members.discard(member)
        if at_once and not place.members:
            self._leave_if_idle(place)
        else:
            self._wait_for_pages(place)

    def _wait_for_pages(self, place: Place) -> None:
        if not place.members and place.idle is None and not self._ended:
            place.idle = self._later(partial(self._leave_if_idle, place))

    # -- the session -------------------------------------------------------------------------------

    async def _run(self) -> None:
        error: ZchatError | None = None
        try:
            client = self._context.world.client(self.name)
            await client.connect()
            self._client = client
            self._begun = True
            self._wake()
            async for event in client.events(batches=True):
                self._take(event)
        except ZchatError as raised:
            error = raised
        finally:
            self._end(error)

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for promise in waiting:
            promise.keep()

    def _end(self, error: ZchatError | None) -> None:
        self._ended = True
        self._error = error
        self._over(self)
        self._wake()
        for page in tuple(self.pages) if self._begun else ():  # else they wait in `ready`
            page.user_ended(error)
        for timer in (self._idle, *(place.idle for place in self.places.values())):
            if timer is not None:
                timer.cancel()

    def _end_if_idle(self) -> None:
        self._idle = None
        if self.pages or self._ended:
            return
        if any(place.unsent for place in self.places.values()):
            self._idle = self._later(self._end_if_idle)
            return
        self.close()

    def close(self) -> None:
        """End the session: what was accepted is sent before."""
        self._over(self)
        if self._client is not None:
            self._context.world.spawn(self._close(self._client))

    async def _close(self, client: Client) -> None:
        try:
            await client.close(CLOSING_SECONDS)
        except ZchatError as error:
            self._context.world.failed(f"closing the session of {self.name}", error)

    # -- what comes --------------------------------------------------------------------------------

    def _take(self, event: Event | Batch) -> None:
        match event:
            case Disconnected() | Reconnected():
                self._link(isinstance(event, Reconnected))
            case Invited(room=room):
                frame = frames.frame({"op": "invited", "room": room, "user": event.user})
                for page in tuple(self.pages):
                    page.invited(fold(room), frame)
            case _:
                place = self.places.get(fold(event.room))
                if place is not None:
                    self._take_in_room(place, event)

    def _link(self, up: bool) -> None:
        self.up = up
        for page in tuple(self.pages):
            page.tell(frames.frame({"op": "link", "up": up}), needed=True)
        for place in self.places.values():
            for member in tuple(place.members):
                if up:
                    member.go_on()
                else:
                    member.stop()

    def _take_in_room(self, place: Place, event: Event | Batch) -> None:
        own = place.own
        match event:
            case Removed():
                self.places.pop(fold(event.room), None)
                for member in tuple(place.members):
                    member.removed(member, event)
            case Batch() if own is not None:
                own.batch(event)
            case Gap() if own is not None:
                own.gap(event, place.room.position)
            case Crowd() if own is None:
                self._counted(place, event)
            case _ if isinstance(event, frames.EVENTS) and own is not None:
                own.event(event)

    def _counted(self, place: Place, event: Crowd) -> None:
        """Take it that the broker tells the user no names in a room, in which it may tell others."""
        for member in place.members:
            if not member.channel.crowded:  # else all are sent the same
                member.show([frames.event(event.room, event)])

    # -- within ------------------------------------------------------------------------------------

    async def _leave(self, key: str, place: Place) -> None:
        self.places.pop(key, None)
        with suppress(ZchatError):  # it is left all the same
            await place.room.leave(timeout=CLOSING_SECONDS)

    def _leave_if_idle(self, place: Place) -> None:
        place.idle = None
        if place.unsent:
            self._wait_for_pages(place)
        elif not place.members and self.places.get(fold(place.room.name)) is place:
            self._context.world.spawn(self._leave_in_turn(place))

    async def _leave_in_turn(self, place: Place) -> None:
        async with self._turn:
            key = fold(place.room.name)
            if not place.members and self.places.get(key) is place:
                await self._leave(key, place)

    def _later(self, call: Callable[[], None]) -> Timer:
        return self._context.timers.at(self._context.world.now() + IDLE_USER_SECONDS, call)
