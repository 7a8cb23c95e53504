"""Bytes: what the vectors say, and what any bytes at all may do."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from contextlib import nullcontext
from datetime import UTC, datetime
from typing import Any

import msgpack
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.vectors.load import frame_of, value_of, vectors
from zchat.errors import BadBlock, MessageTooLarge, ProtocolError, Refused, UsageError
from zchat.messages import Message
from zchat.wire import blocks, commands, limits, notices, values

MIB = 1 << 20
MULTIPLE = 192
"""What looking at a byte may take in bytes: two make a map or array of one element, some 200 bytes of Python's."""

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 64) - 1)
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
)
BODIES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(SCALARS, inner, max_size=5),
    max_leaves=20,
)
PRODUCER = bytes(range(16))


def name_of(entry: dict[str, Any]) -> str:
    return str(entry["name"])


def each(kind: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("entry", vectors(kind), ids=name_of)


def plain(value: Any) -> Any:
    """Return a value with arrays as lists, as they come out of MessagePack."""
    if isinstance(value, msgpack.ExtType):
        return value
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return value


def peak(run: Callable[[], object], error: type[Exception] | None = None) -> int:
    """Return the most bytes that a call held at once; it has to end with the error if one is named."""
    tracemalloc.start()
    try:
        with pytest.raises(error) if error else nullcontext():
            run()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


# -- the vectors -----------------------------------------------------------------------------------


@each("commands")
def test_a_command_is_decoded_as_its_vector_says(entry: dict[str, Any]) -> None:
    assert commands.decode_command(frame_of(entry)) == value_of(entry["value"])


def test_there_is_a_vector_for_each_command() -> None:
    assert {entry["value"][0] for entry in vectors("commands")} == set(commands.COMMANDS)


@each("refused_frames")
def test_a_frame_that_is_no_command_is_malformed_and_names_the_request_if_it_can(entry: dict[str, Any]) -> None:
    with pytest.raises(commands.MalformedCommand) as caught:
        commands.decode_command(frame_of(entry))
    assert (caught.value.code, caught.value.request) == (entry["code"], entry["request"])
    assert caught.value.retryable is False


@each("notices")
def test_a_notice_is_decoded_as_its_vector_says(entry: dict[str, Any]) -> None:
    assert notices.decode_notice(frame_of(entry)) == value_of(entry["value"])


@pytest.mark.parametrize("entry", [entry for entry in vectors("notices") if entry["value"][0] == "push"], ids=name_of)
def test_a_push_is_encoded_as_its_vector_says(entry: dict[str, Any]) -> None:
    _, room, epoch, after, upto, pushed = value_of(entry["value"])
    packed = [blocks.encode_block(*block) for block in pushed]
    assert notices.encode_push(room, epoch, after, upto, packed) == frame_of(entry)


@pytest.mark.parametrize("entry", [entry for entry in vectors("notices") if entry["value"][0] == "state"], ids=name_of)
def test_a_state_frame_is_encoded_as_its_vector_says(entry: dict[str, Any]) -> None:
    _, number, rooms, invitations = value_of(entry["value"])
    packed = [[values.pack(each) for each in some] for some in (rooms, invitations)]
    assert notices.encode_state(number, *packed) == frame_of(entry)


@pytest.mark.parametrize(
    "entry", [entry for entry in vectors("notices") if entry["name"].startswith("page-")], ids=name_of
)
def test_a_page_is_encoded_as_its_vector_says(entry: dict[str, Any]) -> None:
    _, request, *head, paged = value_of(entry["value"])
    assert notices.encode_page(request, tuple(head), [blocks.encode_block(*block) for block in paged]) == frame_of(
        entry
    )


@each("blocks")
def test_a_block_is_encoded_checked_and_read_as_its_vector_says(entry: dict[str, Any]) -> None:
    first, timestamp, user, producer, bodies = block = value_of(entry["value"])
    said = value_of(entry["bodies"])
    assert blocks.encode_block(first, timestamp, user, producer, bodies) == frame_of(entry)
    assert blocks.check_bodies(bodies, MIB) == len(said)
    for read in entry["reads"]:
        expected = [Message("General", seq, timestamp, user, said[seq - first]) for seq in read["seqs"]]
        assert blocks.messages_of("General", [block], read["after"], read["upto"]) == expected


@each("refused_bodies")
def test_bodies_that_are_not_what_they_say_are_refused(entry: dict[str, Any]) -> None:
    with pytest.raises(Refused) as caught:
        blocks.check_bodies(frame_of(entry), MIB)
    assert caught.value.code == entry["code"]


# -- any bytes at all ------------------------------------------------------------------------------


def near_messagepack() -> st.SearchStrategy[bytes]:
    """Make what MessagePack wrote, whole, or with one slice of it replaced."""
    whole = st.recursive(SCALARS, lambda inner: st.lists(inner), max_leaves=10).map(values.pack)

    def spoilt(packed: bytes) -> st.SearchStrategy[bytes]:
        cut = st.integers(0, len(packed))
        return st.builds(lambda a, b, new: packed[:a] + new + packed[b:], cut, cut, st.binary(max_size=6))

    return whole | whole.flatmap(spoilt)


BYTES = st.binary(max_size=2000) | near_messagepack()


def spoken() -> st.SearchStrategy[bytes]:
    return st.tuples(st.sampled_from(sorted(commands.COMMANDS)), st.lists(SCALARS | BODIES, max_size=8)).map(
        lambda made: values.pack([made[0], *made[1]])
    )


@given(BYTES | spoken())
def test_any_bytes_are_a_command_or_malformed(frame: bytes) -> None:
    try:
        command = commands.decode_command(frame)
    except commands.MalformedCommand:
        return
    assert len(command) == 1 + len(commands.COMMANDS[command[0]].fields)


@given(BYTES | st.lists(SCALARS).map(lambda rest: values.pack(["push", *rest])))
def test_any_bytes_are_a_notice_or_break_the_protocol(frame: bytes) -> None:
    try:
        notice = notices.decode_notice(frame)
    except ProtocolError:
        return
    assert notice[0] in {"ok", "error", "push", "gap", "pong", "end"}


@given(BYTES, st.integers(1, MIB))
@example(b"\x91\xd9", 1)
def test_any_bytes_are_bodies_that_every_reader_can_read_or_refused(bodies: bytes, max_message: int) -> None:
    try:
        count = blocks.check_bodies(bodies, max_message)
    except (BadBlock, MessageTooLarge):
        return
    messages = blocks.messages_of("General", [[1, 0, "alice", PRODUCER, bodies]], 0, count)
    assert [message.seq for message in messages] == list(range(1, count + 1))


@given(st.lists(BODIES, min_size=1, max_size=20), st.integers(0, 70_000))
def test_a_block_whose_count_lies_is_refused(bodies: list[Any], count: int) -> None:
    packed = b"".join(map(values.pack, bodies))
    if count == len(bodies):
        assert blocks.check_bodies(values.array_header(count) + packed, MIB) == count
    else:
        with pytest.raises(BadBlock):
            blocks.check_bodies(values.array_header(count) + packed, MIB)


# -- memory ----------------------------------------------------------------------------------------

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
    assert peak(lambda: commands.decode_command(frame), commands.MalformedCommand) < 4 * MIB


@pytest.mark.parametrize("header", FALSE_HEADERS, ids=bytes.hex)
def test_false_headers_beside_each_other_cost_no_memory(header: bytes) -> None:
    lies = b"\xdc\x03\xe8" + header * 1000 + b"\xc0" * 900_000
    assert peak(lambda: blocks.check_bodies(lies, MIB), BadBlock) < 16 * MIB


@pytest.mark.parametrize("value", [b"\x90", b"\x80", b"\xc0", b"\xa0", b"\x81\xc0\xc0", b"\x91\xc0"], ids=bytes.hex)
def test_true_headers_cost_a_bounded_multiple_of_their_bytes(value: bytes) -> None:
    count = 65_000 // len(value)
    packed = b"\x91\xdd" + count.to_bytes(4, "big") + value * count
    assert peak(lambda: blocks.check_bodies(packed, MIB)) < MULTIPLE * len(packed)


# -- bodies ----------------------------------------------------------------------------------------


@given(BODIES)
def test_any_body_comes_back_as_it_was_sent(body: Any) -> None:
    packed = blocks.encode_body(body)
    bodies = blocks.join_bodies([packed])
    assert blocks.check_bodies(bodies, MIB) == 1
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
    assert blocks.check_bodies(blocks.join_bodies([blocks.encode_body(body)]), MIB) == 1
    with pytest.raises(UsageError, match="64 levels"):
        blocks.encode_body(inner(body))


@pytest.mark.parametrize("limit", [1, 2, 500, 513, 70_000])
def test_a_message_may_have_as_many_bytes_as_the_limit_and_no_more(limit: int) -> None:
    def text_of(size: int) -> bytes:
        return next(packed for n in range(size, -1, -1) if len(packed := blocks.encode_body("x" * n)) <= size)

    fits = text_of(limit)
    assert len(fits) == limit
    assert blocks.check_bodies(blocks.join_bodies([fits]), limit) == 1
    assert blocks.check_bodies(blocks.join_bodies([fits, b"\xc0", fits]), limit) == 3
    with pytest.raises(MessageTooLarge, match=str(limit)):
        blocks.check_bodies(blocks.join_bodies([b"\xc0", values.pack("x" * limit)]), limit)


def test_a_block_may_have_a_thousand_messages_and_a_mebibyte() -> None:
    assert blocks.check_bodies(blocks.join_bodies([b"\xc0"] * 1000), MIB) == 1000
    half = values.pack(bytes(MIB // 2 - 5))
    assert blocks.check_bodies(blocks.join_bodies([half, half]), MIB) == 2


@given(st.dictionaries(st.text() | st.binary(), st.none()))
def test_text_and_binary_may_be_keys_without_number(keys: dict[Any, None]) -> None:
    body = {**dict.fromkeys(map(str, range(1500))), **keys, **dict.fromkeys(range(1000))}
    assert blocks.check_bodies(b"\x91" + values.pack(body), MIB) == 1


# -- headers ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("count", "header"),
    [
        (0, "90"),
        (1, "91"),
        (15, "9f"),
        (16, "dc0010"),
        (65_535, "dcffff"),
        (65_536, "dd00010000"),
    ],
)
def test_the_header_of_an_array_is_the_shortest(count: int, header: str) -> None:
    assert values.array_header(count).hex() == header
    assert blocks.join_bodies([b"\xc0"] * count) == values.pack([None] * count)


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


def test_elements_behind_the_last_of_a_block_are_ignored() -> None:
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
    "notice",
    [
        ["ok"],
        ["ok", None],
        ["error", 1, "busy", "wait"],
        ["error", "1", "busy", "wait", True, None],
        ["error", 1, "busy", "wait", True, "x"],
        ["push", "General", 1, 0, 1],
        ["push", "General", 1, 0, 1, None],
        ["push", "General", 1, -1, 1, []],
        ["gap", "General", 1, 0, 1],
        ["end", "closing", "bye"],
        ["hullo"],
        [["ok"]],
        {"ok": 1},
        "ok",
        [],
    ],
    ids=ascii,
)
def test_a_notice_of_another_shape_breaks_the_protocol(notice: Any) -> None:
    with pytest.raises(ProtocolError):
        notices.decode_notice(values.pack(notice))
