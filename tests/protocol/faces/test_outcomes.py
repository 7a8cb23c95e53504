"""What a caller learns of a request, of one message and of many, whatever it waits by."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from zchat.errors import Busy, ConnectionLost, DeadlineExceeded, OutcomeUnknown
from zchat.protocol.faces.outcomes import BaseAnswer, BaseLetter, BaseStream, fresh


class Limit(NamedTuple):
    """A deadline that has come."""

    seconds: float | None = 5.0
    left: float | None = 0.0


class Woken:
    """Count the calls that wake a caller."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> None:
        self.count += 1


def test_an_answer_that_came_is_given_though_the_deadline_has_come() -> None:
    woken = Woken()
    answer = BaseAnswer(woken)
    assert answer.resolve("found")
    assert woken.count == 1
    assert not answer.withdraw()
    assert answer.late(Limit(), "the list of rooms") == "found"


def test_a_question_without_an_answer_is_given_up_and_its_answer_dropped() -> None:
    woken = Woken()
    answer = BaseAnswer(woken)
    with pytest.raises(DeadlineExceeded, match="the list of rooms: the broker did not answer within 5 s"):
        answer.late(Limit(), "the list of rooms")
    assert answer.withdrawn
    assert answer.withdraw()
    assert not answer.resolve("found")
    answer.fail(ConnectionLost("gone"))
    assert woken.count == 0


def test_what_a_question_failed_with_is_raised() -> None:
    answer = BaseAnswer(Woken())
    answer.fail(Busy("later"))
    with pytest.raises(Busy, match="later"):
        answer.verdict()


def test_a_message_that_waits_when_the_deadline_comes_is_never_sent() -> None:
    letter = BaseLetter(b"\xa1x", Woken())
    with pytest.raises(DeadlineExceeded, match="a message to 'General' could not be sent within 5 s"):
        letter.late(5.0, "General")
    assert not letter.bodies


def test_of_a_message_on_its_way_nobody_knows_what_becomes_of_it() -> None:
    letter = BaseLetter(b"\xa1x", Woken())
    letter.bodies.popleft()
    with pytest.raises(OutcomeUnknown, match="a message to 'General' was not acknowledged within 5 s"):
        letter.late(5.0, "General")


def test_a_message_that_is_stored_when_the_deadline_comes_is_stored() -> None:
    letter = BaseLetter(b"\xa1x", Woken())
    letter.bodies.popleft()
    letter.stored(1, 7, 1_000)
    letter.late(5.0, "General")
    assert (letter.seq, letter.timestamp) == (7, 1_000)


def test_many_messages_are_awaited_until_the_last_is_stored_or_one_fails() -> None:
    woken = Woken()
    stream = BaseStream(woken)
    stream.handed = 3
    stream.stored(2, 11, 1_000)
    assert (stream.stored_count, stream.last, stream.unanswered) == (2, 12, True)
    stream.fail(Busy("first"))
    stream.fail(Busy("second"))
    assert not stream.unanswered
    assert str(stream.error) == "first"
    assert woken.count == 3


def test_what_is_on_its_way_settles_unless_its_outcome_is_unknown() -> None:
    stream = BaseStream(Woken())
    stream.out = 2
    certain = [stream.certain]
    stream.fail(OutcomeUnknown("who knows"))
    certain.append(stream.certain)
    assert (certain, stream.out) == ([False, True], 2)


def test_each_caller_raises_an_error_of_its_own() -> None:
    error = ConnectionLost("gone")
    error.stored = 3
    error.__cause__ = OSError("why")
    copy = fresh(error)
    assert copy is not error
    assert (type(copy), str(copy), copy.__dict__, copy.__cause__) == (
        ConnectionLost,
        "gone",
        error.__dict__,
        error.__cause__,
    )
