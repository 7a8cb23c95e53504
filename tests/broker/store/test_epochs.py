from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zchat.broker.store.epochs import MAX_EPOCHS, Epoch, Epochs
from zchat.messages import START, GapReason, Position


def test_there_is_no_epoch_before_the_first_message() -> None:
    epochs = Epochs()
    assert epochs.current == 0
    assert epochs.at(1) == 0
    assert list(epochs) == []


def test_an_epoch_that_has_begun_does_not_begin_again() -> None:
    epochs = Epochs()
    epochs.begin(7, 1)
    epochs.begin(7, 5)
    epochs.begin(8, 9)
    assert list(epochs) == [Epoch(7, 1), Epoch(8, 9)]
    assert epochs.current == 8


def test_each_seq_lies_in_the_epoch_that_began_last_before_it() -> None:
    epochs = Epochs([Epoch(7, 3), Epoch(8, 9)])
    assert [epochs.at(seq) for seq in (1, 2, 3, 8, 9, 1000)] == [0, 0, 7, 7, 8, 8]


def test_the_oldest_epochs_are_given_up() -> None:
    epochs = Epochs()
    for number in range(1, MAX_EPOCHS + 3):
        epochs.begin(number, number)
    assert len(list(epochs)) == MAX_EPOCHS
    assert epochs.parted(Position(2, 2), 5000) == (GapReason.RESET, 5000)
    assert epochs.parted(Position(3, 3), 5000) is None


@pytest.mark.parametrize(
    ("position", "parted"),
    [
        (START, None),
        (Position(7, 0), None),
        (Position(7, 4), None),
        (Position(7, 5), (GapReason.TAIL_LOST, 4)),
        (Position(8, 4), None),
        (Position(8, 9), None),
        (Position(8, 10), (GapReason.TAIL_LOST, 9)),
        (Position(9, 3), (GapReason.RESET, 9)),
        (Position(0, 3), (GapReason.RESET, 9)),
    ],
)
def test_a_position_that_the_log_never_had_is_answered_with_why(
    position: Position, parted: tuple[str, int] | None
) -> None:
    epochs = Epochs([Epoch(7, 1), Epoch(8, 5)])
    assert epochs.parted(position, 9) == parted


def test_a_log_without_a_message_has_parted_from_every_position_but_the_start() -> None:
    assert Epochs().parted(START, 0) is None
    assert Epochs().parted(Position(7, 1), 0) == (GapReason.RESET, 0)


@given(st.lists(st.integers(1, 50), min_size=1, max_size=20))
def test_no_position_that_was_given_out_has_parted(lengths: list[int]) -> None:
    epochs = Epochs()
    last = 0
    given_out = []
    for epoch, length in enumerate(lengths, 1):
        epochs.begin(epoch, last + 1)
        given_out += [Position(epoch, seq) for seq in range(last, last + length + 1)]
        last += length
    assert all(epochs.parted(position, last) is None for position in given_out)
    assert epochs.parted(Position(len(lengths), last + 1), last) == (GapReason.TAIL_LOST, last)
