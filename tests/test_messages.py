"""What a reader is given: tuples whose fields have names, and whose order programs rely on."""

from __future__ import annotations

import pickle

from zchat import messages, stats
from zchat.messages import START, GapReason, Member, Message, Position, RoomInfo


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
