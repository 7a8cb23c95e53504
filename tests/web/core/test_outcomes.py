"""What is remembered of messages."""

from __future__ import annotations

from typing import Any

from zchat.web.core.limits import MAX_KEYS
from zchat.web.core.outcomes import Asked, Remembered, Submission
from zchat.web.core.timers import Timers


def test_the_latest_two_hundred_keys_are_remembered_and_none_that_is_on_its_way_is_forgotten() -> None:
    remembered = Remembered("s", "alice")
    waiting = Submission(1)
    assert remembered.add("waiting", waiting)
    for number in range(MAX_KEYS + 10):
        submission = Submission(1)
        submission.settle({"seq": number})
        assert remembered.add(f"k{number}", submission)
    assert len(remembered.submissions) == MAX_KEYS
    assert remembered.submissions["waiting"] is waiting
    assert "k10" not in remembered.submissions
    assert "k11" in remembered.submissions


def test_there_is_no_place_if_all_are_on_their_way() -> None:
    remembered = Remembered("s", "alice")
    assert all(remembered.add(f"k{number}", Submission(1)) for number in range(MAX_KEYS))
    assert not remembered.add("one more", Submission(1))


def test_only_the_message_itself_is_dropped() -> None:
    remembered, one, other = Remembered("s", "alice"), Submission(1), Submission(1)
    remembered.add("k", one)
    remembered.drop("k", other)
    assert remembered.submissions == {"k": one}
    remembered.drop("k", one)
    assert remembered.submissions == {}


def test_who_asks_is_answered_once_in_time_or_late() -> None:
    timers, answers = Timers(), list[Any]()
    submission = Submission(1)
    submission.waiting.append(Asked(answers.append, timers, 5).answer)
    timers.turn(6)
    submission.settle({"seq": 1})
    assert [getattr(answer, "code", None) for answer in answers] == ["outcome_unknown"]
    submission.waiting.append(Asked(answers.append, timers, 9).answer)
    submission.settle({"seq": 1})
    timers.turn(10)
    assert answers[1:] == [{"seq": 1}]
