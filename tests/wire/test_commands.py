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
    assert len(command) == 1 + len(commands.COMMANDS[command[0]].fields)
