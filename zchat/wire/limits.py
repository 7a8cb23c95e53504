"""The protocol's version, and the sizes and times that both ends agree on (docs/protocol.md)."""

from __future__ import annotations

VERSION = 2
"""The newest version of the protocol that this code speaks."""

OLDEST_VERSION = 1
"""The oldest version that it speaks with those that know no newer one."""

MAX_BLOCK_MESSAGES = 1000
"""So that a block is decoded in well under a millisecond, and a reader's cut costs little."""

MAX_BLOCK_BYTES = 1 << 20
"""Of the bodies in a block, without the array's header; also the default limit of a message."""

FRAME_OVERHEAD = 4096
"""What a frame may have around one block: command, names, numbers, MessagePack headers."""

MAX_FRAME = MAX_BLOCK_BYTES + FRAME_OVERHEAD
"""What the transport lets through; a longer one costs its sender the connection."""

MAX_WINDOW = 10_000
"""Notifications of a room that a client may have unanswered at most: with more it could hold 640 MB."""

MAX_DEPTH = 64
"""How deep arrays and maps in a body may nest: deeper than data, shallower than any stack."""

MAX_NUMBER_KEYS = 1000
"""Keys of a map in a body that are neither text nor binary. Python's hashes of numbers are no secret:
90,000 keys chosen to meet in its table cost 0.9 s, and a full block of such ones over ten."""

MAX_NESTED = 1 << 16
"""Arrays, maps, keys of maps and ext values in a block's bodies, or elsewhere in a frame: a mebibyte of nothing else
takes most of a second to decode, this many a thirtieth of one."""

ID_BYTES = 16
"""The size of a producer id and of a resume token: 128 random bits."""

MAX_INT = (1 << 63) - 1

OVERALL = 1
"""In `stats`'s flags: the answer is to end with the figures over all brokers."""

DIGEST = 1
"""In `hello`'s flags: the welcome is to end with the digest of the producer."""

LOG = 1
"""In `join`'s flags: the member is to be sent the log."""

PRESENT = 2
"""In `join`'s flags: the user is to be counted among those who are in the room."""

OWN = 4
"""In `join`'s flags: the member is to be sent its session's own messages too."""

JOIN_FLAGS = LOG | PRESENT
"""What a join asks for that has no flags."""

MAX_SANCTION = 100 * 365 * 24 * 60 * 60
"""Seconds for which a ban or a mute may last, unless it is for ever: a hundred years of 365 days."""

TYPING_EVERY = 3.0
"""Seconds between two words of a user that they are typing in a room: what IRCv3's typing tag asks for."""

TYPING_FOR = 6.0
"""Seconds after which who has said so once types no longer: one such word may be lost."""
