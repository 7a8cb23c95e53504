"""What the broker counts: each count with what it means and how it is named outside."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, fields
from enum import Enum
from typing import Any, NamedTuple


class Kind(Enum):
    """How a number behaves over time."""

    COUNTER = "counter"
    """It only rises, from 0 at the start."""

    GAUGE = "gauge"
    """It rises and falls."""

    ELSEWHERE = "elsewhere"
    """As either, but metrics show it in another way: as a histogram, or as the time of the start."""


class Metric(NamedTuple):
    """What a number means, and its metric: `zchat_NAME`, for a counter with `_total` after it."""

    kind: Kind
    help: str
    name: str


def _counter(help: str) -> Any:
    return field(default=0, metadata={"metric": (Kind.COUNTER, help, "")})


def _gauge(name: str, help: str) -> Any:
    return field(default=0, metadata={"metric": (Kind.GAUGE, help, name)})


def _elsewhere(help: str) -> Any:
    return field(default=0, metadata={"metric": (Kind.ELSEWHERE, help, "")})


@dataclass(slots=True)
class Counters:
    """What happened since the start; written by the loop thread, read by any.

    Another counter is one more line here, and one in the reference, which a test demands.
    """

    frames: int = _counter("Frames received, whatever they held; of a message of several frames the first.")
    received_bytes: int = _counter("Bytes of the frames received.")
    answers: int = _counter("Answers and other frames sent, except notifications and state.")
    answer_bytes: int = _counter("Bytes of the answers and other frames sent.")
    messages: int = _counter("Messages stored.")
    blocks: int = _counter("Blocks stored.")
    duplicates: int = _counter("Blocks that had been stored before.")
    pushes: int = _counter("Notifications sent to members.")
    push_bytes: int = _counter("Bytes of the notifications sent to members.")
    deliveries: int = _counter("Messages in the notifications sent to members.")
    deferred: int = _counter("Pushes that found no credit.")
    retried: int = _counter("Pushes that found a full pipe.")
    failed: int = _counter("Pushes and answers whose peer was gone.")
    gaps: int = _counter("Gaps that members were notified of.")
    stale_credit: int = _counter("Credit of an earlier join, or credit repeated.")
    reads: int = _counter("Pages requested from the store for members far behind.")
    unread: int = _counter("Pages that the store could not read.")
    untrimmed: int = _counter("Steps of retention that failed.")
    states: int = _counter("Frames with the state of rooms sent.")
    state_bytes: int = _counter("Bytes of the frames with the state of rooms.")
    stale_seen: int = _counter("Acknowledgements of state that no longer mattered.")
    typing_dropped: int = _counter("Typing notices that came too early.")
    marks: int = _counter("Read marks stored.")
    slowed_messages: int = _counter("Blocks refused because of the messages a second that the rules allow.")
    slowed_bytes: int = _counter("Blocks refused because of the bytes a second that the rules allow.")
    frames_waited: int = _counter("Frames that waited because their users had used up their shares of the loop.")
    reads_waited: int = _counter("Requests for pages that waited until their clients had read earlier ones.")
    producers_forgotten: int = _counter("Producers forgotten because their users had too many others.")
    read_marks_forgotten: int = _counter("Read marks forgotten because their users had too many others.")
    rooms_lost_messages: int = _counter("Times that the store's server had lost messages of a room.")
    uninvited: int = _counter("Invitations beyond what a session can have waiting.")
    log_dropped: int = _counter("Lines of the log dropped: they could not be written, or a handler raised an error.")
    audit_left_out: int = _counter("Lines left out of the audit log: too many at once, or they could not be written.")
    commits: int = _elsewhere("Commits of the store.")
    commit_bytes: int = _elsewhere("Bytes of the blocks in the commits of the store.")
    lagging: int = _gauge("lagging_members", "Members behind the log in the latest sample, every five seconds.")
    behind: int = _gauge("behind_messages", "Messages by which all members together were behind in the latest sample.")
    furthest: int = _gauge("max_lag_messages", "Messages by which the furthest member was behind in the latest sample.")
    expired: int = _counter("Sessions that fell silent.")
    greeted: int = _counter("Greetings accepted.")
    turned_away: int = _counter("Connections closed at once because file descriptors were scarce.")
    turned_away_unknown_key: int = _counter("Handshakes with a key that is not let in.")
    turned_away_too_often: int = _counter("Handshakes beyond what one key may have a second.")
    turned_away_too_many: int = _counter("Handshakes beyond what all users, or all others, may have a second.")
    lost_before_greeting: int = _counter("Connections that ended before they had greeted, by their own doing.")
    cut_before_greeting: int = _counter("Connections closed because they had not greeted in time.")
    cut_too_many_newcomers: int = _counter(
        "Connections closed because too many had not greeted, or file descriptors were scarce."
    )
    cut_too_many_bytes: int = _counter("Connections closed because of the bytes that they sent before a greeting.")
    cut_no_greeting: int = _counter("Connections closed because they began with something other than a greeting.")
    cut_endless_message: int = _counter(
        "Connections closed because of a message without an end, or more than can be read."
    )
    cut_foreign_session: int = _counter("Connections closed because they claimed the routing id of another's session.")
    cut_after_end: int = _counter("Connections closed after their session had ended, or gone on elsewhere.")
    turns: int = _elsewhere("Turns of the loop.")
    refused: Counter[str] = field(default_factory=Counter)
    """Commands and sessions refused, by the error's code."""

    def count(self, name: str) -> None:
        """Add one to a counter by its name."""
        setattr(self, name, getattr(self, name) + 1)


def _metrics() -> dict[str, Metric]:
    metrics = {}
    for each in fields(Counters):
        if each.name != "refused":
            kind, help, name = each.metadata["metric"]
            metrics[each.name] = Metric(kind, help, name or each.name)
    return metrics


COUNTED: dict[str, Metric] = _metrics()
"""The counters that are one number, with what they mean."""
