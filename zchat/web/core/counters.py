"""What the gateway counts."""

from __future__ import annotations

from collections import Counter


class Counters:
    """The gateway's counts since its start."""

    def __init__(self) -> None:
        self.accepted = 0
        """Connections of browsers accepted as WebSockets."""
        self.watching = 0
        """Connections accepted for server-sent events."""
        self.requests: Counter[int] = Counter()
        """Answers to other requests of HTTP, by their status."""
        self.turned_away: Counter[str] = Counter()
        """Requests and connections not let in, by the reason: origin, host, login, address, full, files, slow."""
        self.closed: Counter[int] = Counter()
        """Connections that the gateway has closed, by the code."""
        self.lost = 0
        """Connections that broke off, or were given up because nothing came."""
        self.cut = 0
        """Connections given up because much came of them after their end, or where nothing was to come."""
        self.commands = 0
        """Commands taken."""
        self.refused: Counter[str] = Counter()
        """Commands refused, by the code of the error."""
        self.dropped_acks = 0
        """Acknowledgements that changed nothing and came too fast."""
        self.messages_in = 0
        """Messages that pages sent and the broker stored."""
        self.repeated = 0
        """Messages asked for again, and not sent again."""
        self.frames = 0
        """Frames encoded for rooms."""
        self.rows = 0
        """Messages in them."""
        self.late = 0
        """How often a page could not keep up with a room."""
        self.caught_up_from_log = 0
        """Portions of the log that late pages were brought on with."""
        self.dropped_events = 0
        """Events that pages which could not keep up were not sent."""
        self.forgotten = 0
        """Sessions forgotten early, because there were too many."""
