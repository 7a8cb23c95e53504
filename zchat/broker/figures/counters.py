"""What the broker counts."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass(slots=True)
class Counters:
    """Count what happened since the start; read by any thread, written by the loop thread.

    `frames`, `received_bytes`: taken from the socket, whatever they held; of a message of several
    frames the first. `answers`, `answer_bytes`: handed to the socket, beside notifications and state.
    `messages`, `blocks`: stored. `duplicates`: blocks that had been stored before. `pushes`,
    `push_bytes`: notifications handed to the socket. `deliveries`: the messages in them.
    `deferred`: a push found no credit.
    `retried`: a pipe was full (EAGAIN). `failed`: a peer was gone (EHOSTUNREACH). `gaps`: told to
    members. `fenced`: frames of connections whose session went on elsewhere. `stale_credit`: credit
    of an earlier join, or repeated. `reads`: pages asked of the store for members behind the tail.
    `unread`: those of them that it could not read. `untrimmed`: steps of retention that failed.
    `states`, `state_bytes`: state frames handed to the socket. `stale_seen`: a word that a state
    frame was seen which isn't out. `typing_dropped`: words of typing that came too early.
    `marks`: read marks stored. `uninvited`: invitations beyond what a session can have waiting.
    `commits`, `commit_bytes`: of the store, with the bytes of the blocks in them.
    `lagging`: members that were behind the log at the last look, every five seconds; `behind`: by how
    many messages, all of them together; `furthest`: the one that was most.
    `expired`: sessions that fell silent. `greeted`: greetings that were accepted. `turns`: of the
    loop. `refused`: by code.
    """

    frames: int = 0
    received_bytes: int = 0
    answers: int = 0
    answer_bytes: int = 0
    messages: int = 0
    blocks: int = 0
    duplicates: int = 0
    pushes: int = 0
    push_bytes: int = 0
    deliveries: int = 0
    deferred: int = 0
    retried: int = 0
    failed: int = 0
    gaps: int = 0
    fenced: int = 0
    stale_credit: int = 0
    reads: int = 0
    unread: int = 0
    untrimmed: int = 0
    states: int = 0
    state_bytes: int = 0
    stale_seen: int = 0
    typing_dropped: int = 0
    marks: int = 0
    uninvited: int = 0
    commits: int = 0
    commit_bytes: int = 0
    lagging: int = 0
    behind: int = 0
    furthest: int = 0
    expired: int = 0
    greeted: int = 0
    turns: int = 0
    refused: Counter[str] = field(default_factory=Counter)
