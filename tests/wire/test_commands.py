"""What a client may ask: the vectors, and any bytes at all."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.frames import decode_command
from tests.vectors.load import frame_of, value_of, vectors
from tests.wire.driver import BODIES, BYTES, SCALARS, each
from zchat.wire import commands, values

# -- the vectors -----------------------------------------------------------------------------------


@each("commands")
def test_a_command_is_decoded_as_its_vector_says(entry: dict[str, Any]) -> None:
    assert decode_command(frame_of(entry)) == value_of(entry["value"])


def test_there_is_a_vector_for_each_command() -> None:
    assert {entry["value"][0] for entry in vectors("commands")} == set(commands.COMMANDS)


@each("refused_frames")
def test_a_frame_that_is_no_command_is_malformed_and_names_the_request_if_it_can(entry: dict[str, Any]) -> None:
    with pytest.raises(commands.MalformedCommand) as caught:
        decode_command(frame_of(entry))
    assert (caught.value.code, caught.value.request) == (entry["code"], entry["request"])
    assert caught.value.retryable is False
    lacking = entry["name"] in ("fields-missing", "no-field-at-all")
    assert (" fields, " in str(caught.value)) is lacking, "it is refused for what it is to show"


# -- any bytes at all ------------------------------------------------------------------------------


def spoken() -> st.SearchStrategy[bytes]:
    return st.tuples(st.sampled_from(sorted(commands.COMMANDS)), st.lists(SCALARS | BODIES, max_size=8)).map(
        lambda made: values.pack([made[0], *made[1]])
    )


@given(BYTES | spoken())
def test_any_bytes_are_a_command_or_malformed(frame: bytes) -> None:
    try:
        command = decode_command(frame)
    except commands.MalformedCommand:
        return
    spec = commands.COMMANDS[command[0]]
    assert spec.shape.needed <= len(command) - 1 <= len(spec.fields)


def test_a_long_frame_has_little_in_it_beside_binary_and_is_refused_with_its_requests_number() -> None:
    large = ("send", 1, "General", 1, bytes(1 << 20))
    assert decode_command(values.pack(large))[-1] == large[-1]
    assert decode_command(values.pack((*large, "x" * 4_000, bytes(100))))[-1] == large[-1]
    for wrong, words, request in (
        ((*large, "x" * 4_096), "4096 bytes at most beside binary", 1),
        ((*large, [bytes(5_000)]), "4096 bytes at most beside binary", 1),
        ((*large, *[None] * 28), "32 elements at most", 1),
        (("join", 7, "x" * 5_000, 1, None, 0, True), "4096 bytes at most beside binary", 7),
        (("ping", *[[]] * 500_000), "32 elements at most", None),
        (("seen", 5, "x" * 5_000), "4096 bytes at most beside binary", None),
        (("x" * 5_000, 5), "4096 bytes at most beside binary", None),
        (([bytes(5_000)], 5), "4096 bytes at most beside binary", None),
    ):
        with pytest.raises(commands.MalformedCommand, match=words) as caught:
            decode_command(values.pack(wrong))
        assert caught.value.request == request
