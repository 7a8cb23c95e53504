"""How far a `send_many` has come can be followed, and is true when it is cut short."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread

import pytest

import zchat
from tests.faces import Face
from tests.mortal import Mortal
from tests.running import DEADLINE, eventually
from zchat.broker import Broker


def test_what_is_stored_can_be_seen_while_it_goes_on_and_after_which_seq(face: Face) -> None:
    seen = []
    with Broker("tcp://127.0.0.1:*", store="memory:") as broker, face.client(broker.url, user="alice") as alice:
        room = alice.join("General")
        room.send("before")
        progress = face.progress()
        assert (progress.stored, progress.last, progress.unanswered, progress.settle(0)) == (0, 0, 0, True)

        def source() -> Iterator[str]:
            yield "one"
            eventually(lambda: progress.stored == 1, "the first is stored")
            seen.append(progress.last)
            yield from map(str, range(2_999))

        assert room.send_many(source(), progress=progress) == 3_000
        assert seen == [2]
        assert (progress.stored, progress.last, progress.unanswered) == (3_000, 3_001, 0)


def test_one_that_is_cut_short_tells_exactly_what_is_stored_once_its_answers_have_come(
    face: Face, tmp_path: Path
) -> None:
    with Mortal(f"sqlite:{tmp_path / 'z.db'}") as mortal, face.client(mortal.url, user="alice") as alice:
        room = alice.join("General")
        progress = face.progress()

        def source() -> Iterator[str]:
            yield from map(str, range(500))
            eventually(lambda: progress.stored == 500, "they are stored")
            mortal.freeze()
            yield from map(str, range(500, 6_000))
            eventually(lambda: progress.unanswered, "some are on their way")
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            room.send_many(source(), progress=progress)
        assert progress.stored == 500
        assert not progress.settle(0.2)
        sent = progress.unanswered
        assert 0 < sent <= 4_000, "four blocks are in flight"
        mortal.thaw()
        assert progress.settle(DEADLINE)
        assert (progress.stored, progress.last, progress.unanswered) == (500 + sent, 500 + sent, 0)
        bodies = [message.body for message in room.history(limit=30_000)]
        assert bodies == list(map(str, range(500 + sent))), "and nothing else ever is"


def test_one_that_fails_tells_what_is_stored_and_what_nobody_knows(face: Face, tmp_path: Path) -> None:
    with Mortal(f"sqlite:{tmp_path / 'z.db'}") as mortal:
        alice = face.client(mortal.url, user="alice")
        room = alice.join("General")
        progress = face.progress()
        told = Event()

        def source() -> Iterator[str]:
            yield from map(str, range(500))
            eventually(lambda: progress.stored == 500, "they are stored")
            mortal.freeze()
            yield "on its way"
            eventually(lambda: progress.unanswered, "it is sent")
            told.set()

        def close() -> None:
            assert told.wait(DEADLINE)
            alice.close(0.1)

        closing = Thread(target=close)
        closing.start()
        with pytest.raises(zchat.OutcomeUnknown) as failed:
            room.send_many(source(), timeout=DEADLINE, progress=progress)
        closing.join(DEADLINE)
        assert failed.value.stored == progress.stored == 500
        assert progress.unanswered == 1
        assert not progress.settle(None), "no answer can come any more"
        mortal.thaw()


def undecodable() -> UnicodeError:
    try:
        b"\xff".decode()
    except UnicodeError as error:
        return error
    raise AssertionError


class Own(UnicodeError):
    """The program's own."""


@pytest.mark.parametrize(
    "error",
    [
        undecodable(),
        Own("of the program"),
        zchat.DeadlineExceeded("not sent, and never will be"),
        zchat.OutcomeUnknown("perhaps"),
        zchat.ConnectionLost("of another client"),
        zchat.MessageTooLarge("of another broker"),
        zchat.NotAMember("of another room"),
        zchat.UsageError("of another call"),
        zchat.GapError("another", 1, 2, "trimmed"),
        KeyError("k"),
    ],
    ids=repr,
)
def test_what_the_bodies_raise_comes_through_as_it_is(
    face: Face, pair: tuple[zchat.Room, zchat.Room], error: BaseException
) -> None:
    alice, _ = pair
    cause = LookupError("why")
    error.__cause__ = cause
    if isinstance(error, zchat.ZchatError):
        error.stored = 7_000
    before = (error.args, vars(error).copy())

    class Bodies:  # no iterator: a task goes through it itself
        def __iter__(self) -> Iterator[str]:
            yield from map(str, range(5_000))
            raise error

    progress = face.progress()
    with pytest.raises(type(error)) as raised:
        alice.send_many(Bodies(), progress=progress)
    assert raised.value is error
    assert (error.args, vars(error), error.__cause__) == (*before, cause)
    assert progress.settle(DEADLINE)
    assert progress.unanswered == 0
    said = alice.send("after it")
    assert [message.body for message in alice.history(limit=6_000)] == [*map(str, range(progress.stored)), "after it"]
    assert said.seq == progress.stored + 1, "what was not on its way never is stored"
