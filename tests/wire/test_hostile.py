"""What decoding costs, whatever comes."""

from __future__ import annotations

import pytest

from tests.frames import decode_command
from tests.wire.driver import MIB, MULTIPLE, peak
from zchat.errors import BadBlock, MessageTooLarge
from zchat.wire import blocks, commands

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
    assert peak(lambda: blocks.check_bodies(b"\x91" + lies, MIB), BadBlock) < 4 * MIB
    frame = b"\x92\xa4ping" + lies
    assert peak(lambda: decode_command(frame), commands.MalformedCommand) < 4 * MIB


@pytest.mark.parametrize("header", FALSE_HEADERS, ids=bytes.hex)
def test_false_headers_beside_each_other_cost_no_memory(header: bytes) -> None:
    lies = b"\xdc\x03\xe8" + header * 1000 + b"\xc0" * 900_000
    assert peak(lambda: blocks.check_bodies(lies, MIB), BadBlock) < 16 * MIB


@pytest.mark.parametrize("value", [b"\x90", b"\x80", b"\xc0", b"\xa0", b"\x81\xc0\xc0", b"\x91\xc0"], ids=bytes.hex)
def test_true_headers_cost_a_bounded_multiple_of_their_bytes(value: bytes) -> None:
    count = 65_000 // len(value)
    packed = b"\x91\xdd" + count.to_bytes(4, "big") + value * count
    assert peak(lambda: blocks.check_bodies(packed, MIB)) < MULTIPLE * len(packed)


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
        blocks.check_bodies(b"\x91" + value, MIB)
    with pytest.raises(commands.MalformedCommand, match=f": {reason}; see"):
        decode_command(b"\x92\xa4ping" + value)


def test_the_bytes_of_a_block_that_is_too_large_are_counted_as_their_limit_is() -> None:
    bodies = b"\xdd\x00\x00\x00\x01\xc6\x00\x10\x00\x00" + b"x" * (MIB - 4)
    with pytest.raises(MessageTooLarge, match=r"have 1048581 bytes at most, header included, these have 1048582$"):
        blocks.check_bodies(bodies, MIB)
