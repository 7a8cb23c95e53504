"""Bodies are checked in steps: with the same outcome as at once, none of them long, and nothing kept."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.vectors.load import frame_of
from tests.wire.driver import BODIES, BYTES, MIB, each
from zchat.errors import Refused
from zchat.wire import checking, hostile
from zchat.wire.checking import PLAIN_BYTES, STEP_BYTES, STEP_VALUES, check_bodies
from zchat.wire.limits import MAX_DEPTH, MAX_NESTED
from zchat.wire.values import array_header, pack

FILLER = pack("x" * STEP_BYTES)
"""A text after which bodies are too long to be checked at once."""


def outcome(check: Callable[[], int]) -> int | tuple[str, str]:
    try:
        return check()
    except Refused as error:
        return error.code, str(error)


def in_steps(bodies: bytes, max_message: int = MIB) -> int:
    """Check bodies in steps, however short they are."""
    steps = checking.checking(bodies, max_message)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            count: int = end.value
            return count


# -- the same outcome --------------------------------------------------------------------------------


@given(BYTES)
@example(b"\x91\xd9")
@example(b"\x91\xc0\xc0")
def test_any_bytes_are_taken_or_refused_as_they_are_at_once(bodies: bytes) -> None:
    at_once, later = outcome(lambda: check_bodies(bodies, MIB)), outcome(lambda: in_steps(bodies))
    assert at_once == later or (isinstance(at_once, tuple) and isinstance(later, tuple) and at_once[0] == later[0])


@given(st.lists(BODIES, min_size=1, max_size=5))
def test_any_bodies_that_are_taken_at_once_are_taken_in_steps(bodies: list[Any]) -> None:
    packed = b"".join(map(pack, bodies))
    assert in_steps(array_header(len(bodies)) + packed) == len(bodies)
    assert check_bodies(array_header(len(bodies) + 1) + FILLER + packed, MIB) == len(bodies) + 1


@each("accepted_bodies")
def test_the_good_side_of_every_limit(entry: dict[str, Any]) -> None:
    assert in_steps(frame_of(entry)) == entry["count"]


@each("refused_bodies")
def test_the_bad_side_of_every_limit(entry: dict[str, Any]) -> None:
    with pytest.raises(Refused) as caught:
        in_steps(frame_of(entry))
    assert caught.value.code == entry["code"]


@pytest.mark.parametrize("before", [0, 1, 5_000], ids=["alone", "after one", "after many"])
def test_sixty_four_levels_are_taken_and_one_more_is_not(before: int) -> None:
    beside = pack([0] * before)
    for depth, right in ((MAX_DEPTH, True), (MAX_DEPTH + 1, False)):
        bodies = b"\x93" + FILLER + beside + b"\x91" * depth + b"\xc0"
        assert outcome(lambda bodies=bodies: check_bodies(bodies, MIB)) == (  # type: ignore[misc]
            3 if right else ("bad_block", "a body nests more than 64 levels deep")
        )


def test_a_message_has_as_many_bytes_as_it_may() -> None:
    small = pack("x" * 100)
    bodies = b"\x93" + small + small + pack("x" * 5_000)
    assert check_bodies(bodies, 5_003) == 3
    assert outcome(lambda: check_bodies(bodies, 5_002))[0] == "message_too_large"  # type: ignore[index]


# -- no step is long ---------------------------------------------------------------------------------

SLOW = {
    "timestamps": b"\xd6\xff\0\0\0\1" * 60_000,
    "empty arrays": b"\x90" * 60_000,
    "maps": b"\x81\xa1a\0" * 30_000,
    "short texts": b"\xa2ab" * 300_000,
    "numbers": b"\x01" * 1_000_000,
}
COUNTS = {"timestamps": 60_000, "empty arrays": 60_000, "maps": 30_000, "short texts": 300_000, "numbers": 1_000_000}


def steps_of(bodies: bytes, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Yield how many bytes were decoded in each step."""
    decoded = 0

    class Counting(hostile.msgpack.Unpacker):  # type: ignore[misc, name-defined]
        def feed(self, part: memoryview) -> None:
            nonlocal decoded
            decoded += len(part)
            super().feed(part)

    monkeypatch.setattr("zchat.wire.checking.msgpack.Unpacker", Counting)
    steps = checking.checking(bodies, MIB)
    next(steps)
    decoded -= len(bodies)  # that they were walked
    yield decoded
    while True:
        decoded = 0
        try:
            next(steps)
        except StopIteration:
            return
        yield decoded


@pytest.mark.parametrize("kind", SLOW)
@pytest.mark.parametrize("before", [b"", pack("x") * 998], ids=["alone", "after plain ones"])
def test_no_step_decodes_much_of_what_is_slow(kind: str, before: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = b"\xdd" + COUNTS[kind].to_bytes(4, "big") + SLOW[kind]
    bodies = array_header(1 + len(before) // len(pack("x"))) + before + slow
    decoded = list(steps_of(bodies, monkeypatch))
    assert sum(decoded) == len(bodies) - len(array_header(bodies[0] & 15 if not before else 999))
    assert max(decoded[1:]) <= STEP_BYTES
    assert decoded[0] <= PLAIN_BYTES + STEP_BYTES + STEP_VALUES


@pytest.mark.parametrize(
    "bodies",
    [
        array_header(1000) + pack("x" * 80) * 1000,
        array_header(1000) + pack("x" * 1000) * 1000,
        array_header(1) + pack("x" * 1_000_000),
        array_header(2) + pack(bytes(500_000)) * 2,
        array_header(1000) + pack(1.5) * 1000,
    ],
    ids=["80 bytes", "1,000 bytes", "one text", "binary", "numbers"],
)
def test_what_people_and_programs_mostly_send_takes_one_step(bodies: bytes) -> None:
    with pytest.raises(StopIteration):
        next(checking.checking(bodies, MIB))


def test_as_many_containers_as_a_block_may_have_are_counted_over_all_steps() -> None:
    assert check_bodies(array_header(2) + FILLER + pack([[]] * (MAX_NESTED - 1)), MIB) == 2
    assert outcome(lambda: check_bodies(array_header(2) + FILLER + pack([[]] * MAX_NESTED), MIB)) == (
        "bad_block",
        f"the bodies are not one MessagePack array: more than {MAX_NESTED} arrays, maps, keys and ext values",
    )


def test_a_check_that_is_given_up_does_nothing_more() -> None:
    steps = checking.checking(array_header(1) + pack([0] * 100_000), MIB)
    next(steps)
    steps.close()
    with pytest.raises(StopIteration):
        next(steps)


@pytest.mark.parametrize("kind", ["empty arrays", "maps"])
@pytest.mark.parametrize("padding", [0, MAX_NESTED], ids=["short", "long"])
def test_what_is_under_check_costs_the_collector_nothing(kind: str, padding: int) -> None:
    slow = b"\xdd" + COUNTS[kind].to_bytes(4, "big") + SLOW[kind]
    steps = checking.checking(b"\x92" + slow + pack(bytes(padding)), MIB)
    gc.collect()
    before = len(gc.get_objects())
    for _ in range(len(SLOW[kind]) // STEP_BYTES):
        next(steps)
    gc.collect()
    assert len(gc.get_objects()) - before < 1_000
    steps.close()
