"""What decoding costs, whatever comes."""

from __future__ import annotations

import pytest

from tests.frames import decode_command
from tests.wire.driver import MIB, MULTIPLE, peak
from zchat.errors import BadBlock, MessageTooLarge
from zchat.wire import checking, commands
from zchat.wire.hostile import TIMESTAMP, unpack_hostile
from zchat.wire.values import unpack

FALSE_HEADERS = [
    b"\xdc\xff\xff",
    b"\xdd\x00\x0f\xff\xff",
    b"\xdd\xff\xff\xff\xff",
    b"\xde\xff\xff",
    b"\xdf\xff\xff\xff\xff",
]


@pytest.mark.parametrize("header", FALSE_HEADERS, ids=bytes.hex)
@pytest.mark.parametrize("size", [400, 600, MIB], ids=str)
def test_false_headers_cost_no_memory(header: bytes, size: int) -> None:
    lies = header * (size // len(header))
    assert peak(lambda: checking.check_bodies(b"\x91" + lies, MIB), BadBlock) < 4 * MIB
    frame = b"\x92\xa4ping" + lies
    assert peak(lambda: decode_command(frame), commands.MalformedCommand) < 4 * MIB


@pytest.mark.parametrize("header", FALSE_HEADERS, ids=bytes.hex)
def test_false_headers_beside_each_other_cost_no_memory(header: bytes) -> None:
    lies = b"\xdc\x03\xe8" + header * 1000 + b"\xc0" * 900_000
    assert peak(lambda: checking.check_bodies(lies, MIB), BadBlock) < 16 * MIB


@pytest.mark.parametrize("value", [b"\x90", b"\x80", b"\xc0", b"\xa0", b"\x81\xc0\xc0", b"\x91\xc0"], ids=bytes.hex)
def test_true_headers_cost_a_bounded_multiple_of_their_bytes(value: bytes) -> None:
    count = 65_000 // len(value)
    packed = b"\x91\xdd" + count.to_bytes(4, "big") + value * count
    assert peak(lambda: checking.check_bodies(packed, MIB)) < MULTIPLE * len(packed)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"\x91" * 10_000 + b"\xc0", "it nests too deep"),
        (b"\xc1", "a byte that MessagePack doesn't use"),
        (b"\xd4\xfe\x00", "an ext type from -2 to -128, which MessagePack keeps for itself"),
    ],
    ids=["depth", "byte", "ext"],
)
def test_what_is_wrong_is_said_in_words(value: bytes, reason: str) -> None:
    with pytest.raises(BadBlock, match=f": {reason}$"):
        checking.check_bodies(b"\x91" + value, MIB)
    with pytest.raises(commands.MalformedCommand, match=f": {reason}; see"):
        decode_command(b"\x92\xa4ping" + value)


def test_the_bytes_of_a_block_that_is_too_large_are_counted_as_their_limit_is() -> None:
    bodies = b"\xdd\x00\x00\x00\x01\xc6\x00\x10\x00\x00" + b"x" * (MIB - 4)
    with pytest.raises(MessageTooLarge, match=r"have 1048581 bytes at most, header included, these have 1048582$"):
        checking.check_bodies(bodies, MIB)


@pytest.mark.parametrize("padding", [0, 70_000], ids=["short", "counted"])
@pytest.mark.parametrize(
    ("packed", "readable"),
    [
        (b"\xd6\xff\0\0\0\1", True),
        (b"\xd7\xff" + ((999_999_999 << 34) | 5).to_bytes(8, "big"), True),
        (b"\xd7\xff" + ((1_000_000_000 << 34) | 5).to_bytes(8, "big"), False),
        (b"\xc7\x0c\xff" + b"\x7f" * 12, False),
        (b"\xc7\x0c\xff" + (7).to_bytes(4, "big") + b"\x80" + b"\0" * 7, True),
        (b"\xd4\xff\0", False),
        (b"\xd4\0\0", True),
        (b"\xd4\x7f\0", True),
        (b"\xd4\xfe\0", False),
        (b"\xd4\x80\0", False),
    ],
    ids=lambda value: value.hex() if isinstance(value, bytes) else "",
)
def test_what_is_looked_at_cheaply_can_be_decoded_by_readers(packed: bytes, readable: bool, padding: int) -> None:
    bodies = b"\x92" + packed + b"\xc6" + padding.to_bytes(4, "big") + bytes(padding)
    if readable:
        unpack_hostile(bodies)
        unpack(bodies)
    else:
        with pytest.raises(ValueError):  # noqa: PT011  # msgpack's own
            unpack_hostile(bodies)


def test_everything_comes_as_what_is_made_fastest() -> None:
    packed = b"\x95\x91\x01\x81\xa1a\x02\xd6\xff\0\0\0\7\xd4\5\0\xc0"
    time = unpack(packed)[2] if not TIMESTAMP else 7.0
    assert unpack_hostile(packed) == ((1,), [2], time, None, None)
