"""A broker is polled at a steady pace, and what keeps it from answering is reported in a few words."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.cli.top.driver import told
from zchat import Busy, Client, ConnectionLost, DeadlineExceeded, Disconnected, Event, Reconnected, Stats, errors
from zchat.cli.top import polling
from zchat.cli.top.polling import LOST, samples

ANSWER = told(10)


class Polled:
    """A client whose events and answers a test has laid out; time passes where it waits for events."""

    def __init__(self, *script: Event | None, answers: Callable[[], Stats] = lambda: ANSWER) -> None:
        self.now = 0.0
        self._script = list(script)
        self._answers = answers
        self.asked: list[float] = []

    def wait(self, timeout: float) -> bool:
        return not self._script

    def events(self, timeout: float) -> Iterator[Event]:
        event = self._script.pop(0)
        if event is None:  # none comes until it is time
            self.now += timeout
            return iter(())
        return iter([event])

    def stats(self, timeout: float) -> Stats:
        self.asked.append(self.now)
        return self._answers()


def polled(client: Polled, monkeypatch: pytest.MonkeyPatch, every: float = 5.0) -> list[Any]:
    monkeypatch.setattr(polling, "time", SimpleNamespace(monotonic=lambda: client.now))
    monkeypatch.setattr(polling, "READER_SECONDS", every)
    return list(islice(samples(cast(Client, client), every), 10))


def test_samples_are_taken_at_once_and_then_at_the_pace_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    client = Polled(None, None, None)
    assert polled(client, monkeypatch) == [ANSWER] * 3
    assert client.asked == [0, 5, 10]


def test_a_lost_connection_is_reported_at_once_and_the_first_sample_after_it_comes_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    client = Polled(None, Disconnected("cut"), None, Reconnected(), None)
    assert polled(client, monkeypatch) == [ANSWER, LOST, LOST, ANSWER]
    assert client.asked == [0, 5], "the broker is not asked while there is no connection"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (DeadlineExceeded("late"), "no answer within 2 s"),
        (ConnectionLost("gone"), "no answer within 2 s"),
        (Busy("later"), "refused: busy"),
    ],
)
def test_a_broker_that_does_not_answer_now_is_asked_again(
    error: Exception, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails() -> Stats:
        raise error

    assert polled(Polled(None, None, answers=fails), monkeypatch) == [words] * 2


def test_a_broker_that_does_not_know_the_request_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails() -> Stats:
        raise errors.Malformed("there is no command stats")

    with pytest.raises(errors.Malformed):
        polled(Polled(None, answers=fails), monkeypatch)


def test_between_samples_it_is_checked_whether_anybody_reads_them(monkeypatch: pytest.MonkeyPatch) -> None:
    checked: list[float] = []
    client = Polled(*[None] * 12)
    monkeypatch.setattr(polling, "time", SimpleNamespace(monotonic=lambda: client.now))
    assert list(samples(cast(Client, client), 5.0, lambda: checked.append(client.now))) == [ANSWER] * 3
    assert client.asked == [0, 5, 10]
    assert checked == [1, 2, 3, 4, 6, 7, 8, 9, 11]
