"""Blocks and bodies: the vectors, any bytes at all, limits, and reading."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.vectors.load import frame_of, value_of
from tests.wire.driver import BODIES, BYTES, MIB, PRODUCER, each, plain
from zchat.errors import BadBlock, MessageTooLarge, ProtocolError, Refused, UsageError
from zchat.messages import Message
from zchat.wire import blocks, checking, limits, notices, values

# -- the vectors -----------------------------------------------------------------------------------


@each("blocks")
def test_a_block_is_encoded_checked_and_read_as_its_vector_says(entry: dict[str, Any]) -> None:
    first, timestamp, user, producer, bodies = block = value_of(entry["value"])
    said = value_of(entry["bodies"])
    assert blocks.encode_block(first, timestamp, user, producer, bodies) == frame_of(entry)
    assert checking.check_bodies(bodies, MIB) == len(said)
    for read in entry["reads"]:
        expected = [Message("General", seq, timestamp, user, said[seq - first]) for seq in read["seqs"]]
        assert blocks.messages_of("General", [block], read["after"], read["upto"]) == expected


@each("accepted_bodies")
def test_bodies_at_the_good_side_of_every_limit_are_taken(entry: dict[str, Any]) -> None:
    assert checking.check_bodies(frame_of(entry), MIB) == entry["count"]


@each("refused_bodies")
def test_bodies_that_are_not_what_they_say_are_refused(entry: dict[str, Any]) -> None:
    with pytest.raises(Refused) as caught:
        checking.check_bodies(frame_of(entry), MIB)
    assert caught.value.code == entry["code"]


# -- any bytes at all ------------------------------------------------------------------------------


@given(BYTES, st.integers(1, MIB))
@example(b"\x91\xd9", 1)
def test_any_bytes_are_bodies_that_every_reader_can_read_or_refused(bodies: bytes, max_message: int) -> None:
    try:
        count = checking.check_bodies(bodies, max_message)
    except (BadBlock, MessageTooLarge):
        return
    messages = blocks.messages_of("General", [[1, 0, "alice", PRODUCER, bodies]], 0, count)
    assert [message.seq for message in messages] == list(range(1, count + 1))


@given(st.lists(BODIES, min_size=1, max_size=20), st.integers(0, 70_000))
def test_a_block_whose_count_lies_is_refused(bodies: list[Any], count: int) -> None:
    packed = b"".join(map(values.pack, bodies))
    if count == len(bodies):
        assert checking.check_bodies(values.array_header(count) + packed, MIB) == count
    else:
        with pytest.raises(BadBlock):
            checking.check_bodies(values.array_header(count) + packed, MIB)


# -- bodies ----------------------------------------------------------------------------------------


@given(BODIES)
def test_any_body_comes_back_as_it_was_sent(body: Any) -> None:
    packed = blocks.encode_body(body)
    bodies = blocks.join_bodies([packed])
    assert checking.check_bodies(bodies, MIB) == 1
    (message,) = blocks.messages_of("General", [[7, 5, "alice", PRODUCER, bodies]], 6, 7)
    assert message == Message("General", 7, 5, "alice", plain(body))


@pytest.mark.parametrize(
    "body",
    [
        object(),
        {1, 2},
        datetime(2026, 1, 1, tzinfo=UTC),
        1 << 64,
        -(1 << 63) - 1,
        "half \ud800",
        ["half \ud800"],
        {(1, 2): 3},
        {frozenset(): 1},
        dict.fromkeys(range(1001)),
        1j,
    ],
    ids=lambda body: type(body).__name__,  # an object's own text has its address
)
def test_what_messagepack_cannot_hold_is_a_usage_error_that_names_its_type(body: Any) -> None:
    with pytest.raises(UsageError, match=type(body).__name__):
        blocks.encode_body(body)


def test_a_body_that_holds_itself_is_a_usage_error() -> None:
    body: list[Any] = []
    body.append(body)
    with pytest.raises(UsageError, match="list"):
        blocks.encode_body(body)


@pytest.mark.parametrize("inner", [lambda body: [body], lambda body: {"k": body}], ids=["arrays", "maps"])
def test_a_body_has_sixty_four_levels_at_most(inner: Callable[[Any], Any]) -> None:
    body: Any = "the innermost"
    for _ in range(limits.MAX_DEPTH):
        body = inner(body)
    assert checking.check_bodies(blocks.join_bodies([blocks.encode_body(body)]), MIB) == 1
    with pytest.raises(UsageError, match="64 levels"):
        blocks.encode_body(inner(body))


@pytest.mark.parametrize("limit", [1, 2, 500, 513, 70_000])
def test_a_message_may_have_as_many_bytes_as_the_limit_and_no_more(limit: int) -> None:
    def text_of(size: int) -> bytes:
        return next(packed for n in range(size, -1, -1) if len(packed := blocks.encode_body("x" * n)) <= size)

    fits = text_of(limit)
    assert len(fits) == limit
    assert checking.check_bodies(blocks.join_bodies([fits]), limit) == 1
    assert checking.check_bodies(blocks.join_bodies([fits, b"\xc0", fits]), limit) == 3
    with pytest.raises(MessageTooLarge, match=str(limit)):
        checking.check_bodies(blocks.join_bodies([b"\xc0", values.pack("x" * limit)]), limit)


def test_a_block_may_have_a_thousand_messages_and_a_mebibyte() -> None:
    assert checking.check_bodies(blocks.join_bodies([b"\xc0"] * 1000), MIB) == 1000
    half = values.pack(bytes(MIB // 2 - 5))
    assert checking.check_bodies(blocks.join_bodies([half, half]), MIB) == 2


@given(st.dictionaries(st.text() | st.binary(), st.none()))
def test_text_and_binary_may_be_keys_without_number(keys: dict[Any, None]) -> None:
    body = {**dict.fromkeys(map(str, range(1500))), **keys, **dict.fromkeys(range(1000))}
    assert checking.check_bodies(b"\x91" + values.pack(body), MIB) == 1


# -- reading ---------------------------------------------------------------------------------------


@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(1, 20)), max_size=5),
    st.integers(0, 120),
    st.integers(0, 120),
)
def test_a_reader_drops_what_lies_outside_its_range(runs: list[tuple[int, int]], after: int, upto: int) -> None:
    read: list[list[Any]] = []
    there: list[int] = []
    last = 0
    for skipped, count in runs:
        first = last + skipped + 1
        last = first + count - 1
        read.append([first, 9, "alice", PRODUCER, values.pack([f"m{seq}" for seq in range(first, last + 1)])])
        there += range(first, last + 1)
    messages = blocks.messages_of("General", read, after, upto)
    expected = [Message("General", seq, 9, "alice", f"m{seq}") for seq in there if after < seq <= upto]
    assert messages == expected


def test_elements_after_the_last_of_a_block_are_ignored() -> None:
    block = [1, 2, "alice", PRODUCER, b"\x91\xc0", "from a later version"]
    assert blocks.messages_of("General", [block], 0, 1) == [Message("General", 1, 2, "alice", None)]


@pytest.mark.parametrize(
    "block",
    [
        [],
        None,
        [1, 2, "alice", PRODUCER],
        [1, 2, "alice", PRODUCER, None],
        [1, 2, "alice", PRODUCER, b""],
        [1, 2, "alice", PRODUCER, b"\xa2hi"],
        [1, 2, "alice", PRODUCER, b"\x81\x01\x02"],
        [1, 2, "alice", PRODUCER, b"\x91\xc1"],
        [1, 2, b"alice", PRODUCER, b"\x91\xc0"],
        [1, None, "alice", PRODUCER, b"\x91\xc0"],
        [1.0, 2, "alice", PRODUCER, b"\x91\xc0"],
        [-1, 2, "alice", PRODUCER, b"\x91\xc0"],
    ],
    ids=ascii,
)
def test_a_block_that_is_none_breaks_the_protocol(block: Any) -> None:
    with pytest.raises(ProtocolError, match="General"):
        blocks.messages_of("General", [block], 0, 10)


@pytest.mark.parametrize(
    ("bodies", "count"),
    [
        (b"\x93\xc0\xc0\xc0", 3),
        (b"\xdc\x03\xe8" + b"\xc0" * 1000, 1000),
        (b"\xdd\0\0\0\2\xc0\xc0", 2),
        (b"\xdd\xff\xff\xff\xff", 1000),
        (b"\xdc\3", 3),
        (b"\xc0", 0),
        (b"", 0),
    ],
)
def test_how_many_messages_a_block_claims_to_have_is_read_from_its_first_bytes(bodies: bytes, count: int) -> None:
    assert blocks.claimed_count(bodies) == count


def at_every_depth(call: Callable[[], object]) -> list[BaseException | None]:
    """Return what a call raises where fewer and fewer calls are left to its caller; None where it returns."""
    outcomes: list[BaseException | None] = []

    def deeper() -> None:
        error: BaseException | None = None
        try:
            call()
        except Exception as found:
            error = found
        outcomes.append(error)
        deeper()

    with pytest.raises(RecursionError):
        deeper()
    return outcomes


@pytest.mark.parametrize(
    "call",
    [
        lambda: blocks.encode_body(1),
        lambda: blocks.encode_body({"a": [{"b": 1}]}),
        lambda: blocks.messages_of("General", [[1, 1, "alice", PRODUCER, values.pack([{"a": 1}])]], 0, 1),
        lambda: notices.decode_notice(values.pack(["ok", 1, {"a": [1]}])),
    ],
    ids=["number", "map", "block", "notice"],
)
def test_who_has_no_stack_left_learns_that_and_nothing_of_the_bytes(call: Callable[[], object]) -> None:
    outcomes = at_every_depth(call)
    assert outcomes[0] is None
    assert {type(error) for error in outcomes} == {type(None), RecursionError}


def test_who_has_no_memory_left_learns_that(monkeypatch: pytest.MonkeyPatch) -> None:
    def exhausted(packed: bytes) -> object:
        raise MemoryError

    monkeypatch.setattr(checking, "unpack_hostile", exhausted)
    with pytest.raises(MemoryError):
        blocks.encode_body(1)
