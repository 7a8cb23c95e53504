"""What a reader is given: tuples whose fields have names, and whose order programs rely on."""

from __future__ import annotations

import pickle

from zchat import messages, stats
from zchat.messages import START, Batch, GapReason, Member, Message, Position, RoomInfo


def test_the_fields_of_what_is_given_stay_in_their_order() -> None:
    assert Message._fields == ("room", "seq", "timestamp", "user", "body")
    assert Position._fields == ("epoch", "seq")
    assert RoomInfo._fields == ("name", "members", "first", "last", "unread")
    assert Member._fields == ("user", "since", "mark", "typing")


def test_positions_can_be_kept_and_compared() -> None:
    assert START == Position(0, 0) == (0, 0)
    assert pickle.loads(pickle.dumps(Position(7, 3))) == Position(7, 3)


def test_a_room_that_was_never_marked_has_no_count_of_what_is_unread() -> None:
    assert RoomInfo("General", 1, 1, 3).unread is None


def test_the_reasons_of_gaps_are_words() -> None:
    assert (GapReason.TRIMMED, GapReason.RESET, GapReason.TAIL_LOST) == ("trimmed", "reset", "tail_lost")


def test_figures_that_a_program_of_version_0_1_pickled_can_be_read() -> None:
    old = pickle.dumps(stats.Stats({}, {}, [], {}, []), protocol=0).replace(b"zchat.stats", b"zchat.messages")
    assert messages.Stats is stats.Stats
    assert isinstance(pickle.loads(old), stats.Stats)


def batch(*bodies: object) -> Batch:
    """Return the last messages, with these bodies, of a notification that had the seqs 5 to 9."""
    return Batch("General", Position(7, 12), range(5, 10), [1, 2, 3, 4, 5], list("abcde"), list(bodies))


def test_a_batch_gives_its_messages_as_often_as_it_is_asked() -> None:
    given = batch("x", ["y"])
    assert len(given) == 2
    assert list(given) == list(given) == [Message("General", 8, 4, "d", "x"), Message("General", 9, 5, "e", ["y"])]
    assert all(type(message) is Message for message in given)


def test_a_batch_has_columns_that_are_lists_and_the_same_ones_each_time() -> None:
    given = batch("x", "y", "z")
    assert (given.room, given.position, given.first, given.last) == ("General", (7, 12), 7, 9)
    for column, expected in (("seqs", [7, 8, 9]), ("timestamps", [3, 4, 5]), ("users", ["c", "d", "e"])):
        assert getattr(given, column) == expected
        assert getattr(given, column) is getattr(given, column)
    assert type(given.bodies) is list
    assert given.bodies is given.bodies == ["x", "y", "z"]


def test_who_changes_a_column_does_not_change_the_batch() -> None:
    given = batch("x", "y")
    before = list(given)
    for column in (given.bodies, given.seqs, given.users, given.timestamps):
        column.clear()
    assert (list(given), len(given), given.first, given.last) == (before, 2, 8, 9)


def test_a_batch_is_shown_by_its_room_and_seqs_and_can_be_passed_to_another_process() -> None:
    given = batch("x", "y")
    assert repr(given) == "<Batch of 'General': 8 to 9>"
    other = pickle.loads(pickle.dumps(given))
    assert (list(other), other.position, other.bodies) == (list(given), given.position, given.bodies)
