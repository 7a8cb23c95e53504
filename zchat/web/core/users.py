"""A user of pages: one session with the broker, however many pages are open."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Protocol

from zchat.errors import ConnectionLost, ZchatError
from zchat.events import Crowd, Disconnected, Event, Gap, Invited, Reconnected, Removed
from zchat.messages import Batch, Position
from zchat.names import fold
from zchat.web.core import frames
from zchat.web.core.channel import Channel, Context, Member
from zchat.web.core.limits import CLOSING_SECONDS, IDLE_USER_SECONDS, REJOINED_SECONDS
from zchat.web.core.port import Client, Room
from zchat.web.core.refusals import removal
from zchat.web.core.timers import Outcome, Timer, Turn


class Page(Protocol):
    """What a user's pages are sent beside what happens in their rooms."""

    def tell(self, frame: bytes, *, needed: bool) -> None:
        """Write a frame; unless it is needed, one is dropped that the page can't take now."""

    def invited(self, room: str, frame: bytes) -> None:
        """Write a frame that invites to a room, by its folded name, unless the page follows it or may not."""

    def user_ended(self, error: ZchatError | None) -> None:
        """Take it that the user's session with the broker has ended, and why."""


class Follower(Protocol):
    """A page in a room, or on its way in: then it has no `member` yet."""

    member: Member | None
    place: Place | None
    """Where it is counted, once `User.join` has done so."""
    present: bool
    """True if it takes part, False if it only watches."""

    def removed(self, event: Removed | None) -> None:
        """Take it that the user was put out of the room; None: the page comes again, and goes on there if it may."""

    def check(self) -> None:
        """Raise a ZchatError if the user was put out since the page asked to come in, or the page is gone again.

        Nobody comes in again unasked.
        """


class Place:
    """A user's membership of a room, for all pages of theirs that follow it, from before it is asked for to its end."""

    def __init__(self, user: User, key: str) -> None:
        self.user = user
        self.key = key
        """The room's folded name."""
        self.present = False
        """False if the user is only watching."""
        self.own: Channel | None = None
        """The room as the user's session reads it, None if the gateway reads it for everybody."""
        self.joined = False
        """True while the user is in the room, or watches it: not yet before, and not while that is changed."""
        self.followers: set[Follower] = set()
        """The pages that follow it, and those on their way in."""
        self.unsent = 0
        """Messages of the user to it that wait for the broker."""
        self.hurries = False
        """True if it is settled once nothing of that waits any more."""
        self.idle: Timer | None = None
        """When it is settled, as no page follows it any more, or none that takes part."""
        self._room: Room | None = None

    @property
    def room(self) -> Room:
        """Return the room, once the user was in it."""
        assert self._room is not None
        return self._room

    @property
    def up(self) -> bool:
        """See `zchat.web.core.channel.Presence`."""
        return self.user.up and self.joined and self.room.joined and self.began is not None

    @property
    def began(self) -> Position | None:
        """See `zchat.web.core.channel.Presence`."""
        return self.room.began

    @property
    def sees_names(self) -> bool:
        """See `zchat.web.core.channel.Presence`."""
        return self.room.member_count > 0 and not self.room.crowded

    @property
    def members(self) -> list[Member]:
        """Return the pages that have come in."""
        return [each.member for each in self.followers if each.member is not None]

    @property
    def takes_part(self) -> bool:
        """True while a page takes part in it, or comes in for that."""
        return any(each.present for each in self.followers)

    @property
    def settled(self) -> bool:
        """True unless the user is to leave it, as no page follows it, or to be seen there no longer, as all watch it.

        A room that the user's session reads can't be watched unseen.
        """
        return bool(self.followers) and (not self.present or self.takes_part or self.own is not None)

    def is_enough(self, *, present: bool, reads: bool) -> bool:
        """Return whether the user is there as somebody asks to be."""
        return self.joined and present <= self.present and reads <= (self.own is not None)

    def pause(self) -> None:
        """Write nothing more to the pages: the user is not in the room for a moment."""
        self.joined = False
        for member in self.members:
            member.stop()

    def begin(self, room: Room, own: Channel | None, *, present: bool) -> None:
        """Go on as the user is in the room now."""
        self._room, self.own, self.present, self.joined = room, own, present, True
        for member in self.members:
            member.go_on()

    def stay(self) -> None:
        """Wait no longer for the moment at which it is settled."""
        self.hurries = False
        if self.idle is not None:
            self.idle.cancel()
            self.idle = None


class User:
    """A user with pages: their session with the broker.

    `begin` begins it, once; `over` is called when it has ended. `read` returns whether what is said in the rooms that
    the gateway reads comes.
    """

    def __init__(self, context: Context, name: str, over: Callable[[User], None], read: Callable[[], bool]) -> None:
        self.name = name
        self.pages: set[Page] = set()
        self.places: dict[str, Place] = {}
        """Where the user is, by the rooms' folded names."""
        self.up = True
        """False while there is no connection to the broker."""
        self._context = context
        self._over = over
        self._read = read
        self._told = read()  # what pages were told of the link; those that greet learn how it is by then
        self._client: Client | None = None
        self._error: ZchatError | None = None
        self._begun = self._closed = self._ended = False
        self._ready = Outcome(context.world.promise)
        self._turn = Turn(context.world.promise)
        self._idle: Timer | None = None
        self._going_on: Timer | None = None

    def begin(self) -> None:
        """Connect, and take what comes until the session ends: that may be before this returns."""
        self._context.world.spawn(self._run())

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
        await self._ready.wait()
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
        if not self.pages and self._idle is None and not self._ended:
            self._idle = self._later(self._end_if_idle)

    # -- rooms -------------------------------------------------------------------------------------

    async def join(self, follower: Follower, name: str, *, create: bool, reads: bool) -> Place:
        """Return the user's place in a room, where they are from now on, or watch unseen if all of their pages do.

        The page is counted in it before anything is waited for in the room: whoever ends the place tells it. A task of
        its own does this to its end, whatever becomes of the page meanwhile: other pages may be there, too.
        `reads`: the user's session reads the room, as the gateway can't.

        Raises:
            ZchatError: the broker's reasons.
        """
        joined = Outcome(self._context.world.promise)
        self._context.world.spawn(self._join_in_turn(joined, follower, name, create=create, reads=reads))
        await joined.wait()
        follower.check()
        assert follower.place is not None, "it is counted there"
        return follower.place

    async def _join_in_turn(self, joined: Outcome, follower: Follower, name: str, *, create: bool, reads: bool) -> None:
        error: Exception | None = ConnectionLost("the gateway has ended")
        try:
            async with self._turn:
                follower.check()
                key = fold(name)
                place = self.places.get(key)
                if place is None:
                    place = self.places[key] = Place(self, key)
                place.followers.add(follower)
                follower.place = place
                if place.settled:
                    place.stay()
                try:
                    if not place.is_enough(present=follower.present, reads=reads):
                        await self._change(place, follower, name, create=create, reads=reads)
                finally:
                    self._wait_for_pages(place)  # it may be gone again
            error = None
        except Exception as raised:
            error = raised
            if not isinstance(raised, ZchatError):
                raise
        finally:
            joined.settle(error)

    def unfollow(self, place: Place, follower: Follower, *, at_once: bool) -> None:
        """Have a page follow a room no longer.

        Without others the user leaves it, and watches it if all others do: `at_once`, or some time later.
        """
        place.followers.discard(follower)
        if at_once:
            self._settle(place)
        else:
            self._wait_for_pages(place)

    def stored(self, place: Place) -> None:
        """Take it that a message of the user's to a room waits no longer for the broker."""
        place.unsent -= 1
        if place.hurries and not place.unsent:
            self._settle(place)

    def _wait_for_pages(self, place: Place) -> None:
        if not place.settled and place.idle is None and self._is_place(place) and not self._ended:
            place.idle = self._later(partial(self._settle, place))

    def _is_place(self, place: Place) -> bool:
        """Return whether a place has not ended."""
        return self.places.get(place.key) is place

    def _settle(self, place: Place) -> None:
        """Have the user be in a room as the pages that are there want it now, once all that they sent is stored."""
        place.stay()
        if not place.settled and self._is_place(place) and not self._ended:
            self._context.world.spawn(self._settle_in_turn(place))

    async def _settle_in_turn(self, place: Place) -> None:
        async with self._turn:
            if place.settled or not self._is_place(place):
                return
            if place.unsent:
                place.hurries = True
            elif place.followers:
                place.present = False  # first: nothing can be sent any more
                place.pause()
                await self._leave(place.room)
                await self._restore(place, place.room.name)
            else:
                self._end_place(place, None)
                await self._leave(place.room)

    async def _change(self, place: Place, follower: Follower, name: str, *, create: bool, reads: bool) -> None:
        """Have the user be in a room in another way, or come in. What can't be done changes nothing for other pages.

        A membership can't be changed: it ends, and another one begins, and between the two no page is sent anything.
        """
        try:
            if place.joined:
                place.pause()
                await self._leave(place.room)
                follower.check()
            await self._enter(place, name, create=create, reads=reads)
        except ZchatError:
            place.followers.discard(follower)
            await self._restore(place, name)
            raise

    async def _enter(self, place: Place, name: str, *, create: bool, reads: bool) -> None:
        """Join a room in a place of the user's, as those want it who are counted there."""
        present = reads or place.takes_part
        room = await self.client.join(name, create=create, echo=reads, reads=reads, present=present)
        if not self._is_place(place):  # put out already, as all who were counted there know
            await self._leave(room)
            return
        own = place.own
        if reads and own is None:
            own = Channel(self._context, room, self.client)
            for each in tuple(place.followers):  # who has come in reads it by the gateway's session, which may not
                if each.member is not None:
                    each.removed(None)
        place.begin(room, own, present=present)
        self._look_again()  # the link may have been lost, and be back, since the broker has answered

    async def _restore(self, place: Place, name: str) -> None:
        """Have the user be in a room for the pages that are there; if that can't be, they are told why."""
        if not (place.followers and self._is_place(place)):
            self._end_place(place, None)
            return
        try:
            await self._enter(place, name, create=True, reads=place.own is not None)
        except ZchatError as error:
            self._end_place(place, removal(name, error))

    def _end_place(self, place: Place, event: Removed | None) -> None:
        """End a place, and tell all pages that are counted there why; None: they come again, and go on if they may."""
        if self._is_place(place):
            del self.places[place.key]
        place.joined = False
        place.stay()
        followers, place.followers = place.followers, set()
        for follower in followers:
            follower.removed(event)

    # -- the session -------------------------------------------------------------------------------

    async def _run(self) -> None:
        error: ZchatError | None = None
        try:
            if self._closed:
                return
            client = self._client = self._context.world.client(self.name)
            await client.connect()
            self._begun = True
            self._ready.settle()
            async for event in client.events(batches=True):
                self._take(event)
        except ZchatError as raised:
            error = raised
        finally:
            self._end(error)

    def _end(self, error: ZchatError | None) -> None:
        self._ended = True
        self._error = error
        self._over(self)
        self._ready.settle()
        for page in tuple(self.pages) if self._begun else ():  # else they wait in `ready`
            page.user_ended(error)
        for timer in (self._idle, self._going_on, *(place.idle for place in self.places.values())):
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
        """End the session: what was accepted is sent before. One that has yet to begin never does."""
        self._closed = True
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

    def tell_link(self) -> None:
        """Tell all pages whether what is said comes, if that has changed; the user's session alone doesn't bring it."""
        up = self.up and self._read()
        if up is not self._told:
            self._told = up
            frame = frames.link(up)
            for page in tuple(self.pages):
                page.tell(frame, needed=True)

    def _link(self, up: bool) -> None:
        self.up = up
        self.tell_link()
        if up:
            self._go_on()
        else:
            for place in self.places.values():
                for member in place.members:
                    member.stop()

    def _go_on(self) -> None:
        """Have the pages go on in each room that the user is in again; where the broker has yet to say so, later."""
        if self._going_on is not None:
            self._going_on.cancel()
            self._going_on = None
        for place in self.places.values():
            for member in place.members:
                member.go_on()
        self._look_again()

    def _look_again(self) -> None:
        """Have it looked again later whether the user is in a room again, if there is one where that isn't so."""
        if self._going_on is None and self.up and any(place.joined and not place.up for place in self.places.values()):
            when = self._context.world.now() + REJOINED_SECONDS
            self._going_on = self._context.timers.at(when, self._go_on)

    def _take_in_room(self, place: Place, event: Event | Batch) -> None:
        own = place.own
        match event:
            case Removed():
                self._end_place(place, event)
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

    async def _leave(self, room: Room) -> None:
        with suppress(ZchatError):  # it is left all the same
            await room.leave(timeout=CLOSING_SECONDS)

    def _later(self, call: Callable[[], None]) -> Timer:
        return self._context.timers.at(self._context.world.now() + IDLE_USER_SECONDS, call)
