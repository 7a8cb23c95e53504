"""The lanes of all rooms, and whose turn it is to send."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable

from zchat.direct import shown_name
from zchat.errors import ZchatError
from zchat.names import fold
from zchat.protocol.send_queue import Batch, Block, Lane


class Sending:
    """Keep a lane for each room that something is sent to, and send blocks while there are places.

    `user` is whose they are. `transmit` is called with each block to send, and its lane; `free`
    tells whether there is a place for one.
    """

    def __init__(self, user: str, transmit: Callable[[Lane, Block], None], free: Callable[[], bool]) -> None:
        self._user = user
        self._transmit = transmit
        self._free = free
        self.lanes: dict[str, Lane] = {}
        self._ready: deque[Lane] = deque()

    @property
    def pending(self) -> bool:
        """Tell whether something waits to be sent or answered."""
        return any(lane.pending for lane in self.lanes.values())

    def lane(self, name: str) -> Lane | None:
        """Return the lane of a room, None if nothing was ever sent to it."""
        return self.lanes.get(fold(name))

    def offer(self, name: str, batch: Batch, *, shut: bool) -> None:
        """Put a batch in its room's lane; `shut` if the room is yet to be joined again."""
        lane = self.lanes.get(fold(name))
        if lane is None:
            lane = self.lanes[fold(name)] = Lane(name, shown_name(self._user, name))
            lane.shut = shut
        lane.add(batch)
        self.line_up(lane)

    def line_up(self, lane: Lane) -> None:
        """Have a lane sent from at the next `pump`, if it has something to send."""
        if lane.waiting and not lane.ready:
            lane.ready = True
            self._ready.append(lane)

    def pump(self) -> None:
        """Send what there is a place for, lane by lane."""
        for _ in range(len(self._ready)):
            if not self._free():
                break
            lane = self._ready.popleft()
            lane.ready = False
            if self._fill(lane):
                self.line_up(lane)

    def _fill(self, lane: Lane) -> bool:
        """Send a lane's blocks while there are places; True if something is left to send at once."""
        while self._free():
            block = lane.next()
            if block is None:
                return False  # an answer brings it here again
            self._transmit(lane, block)
        return lane.waiting

    def open(self, name: str) -> None:
        """Let a room's lane flow again."""
        lane = self.lane(name)
        if lane is not None and lane.shut:
            lane.shut = False
            lane.name = name
            self.line_up(lane)

    def resume(self) -> None:
        """Send again what the broker had put off."""
        for lane in self.lanes.values():
            lane.resume()
            self.line_up(lane)

    def opened(self) -> None:
        """Take note that there is a connection again."""
        for lane in self.lanes.values():
            self.line_up(lane)

    def lost(self, rooms: Iterable[str]) -> None:
        """Take note that the connection is lost; the lanes of `rooms` are shut until these are joined again."""
        for lane in self.lanes.values():
            lane.lost()
        for name in rooms:
            if (shut := self.lane(name)) is not None:
                shut.shut = True

    def fail(self, error: ZchatError) -> None:
        """Fail everything in all lanes."""
        for lane in self.lanes.values():
            lane.fail(error)
