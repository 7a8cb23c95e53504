"""The rooms that one is in: where text goes, where leaving leads, and what is new elsewhere."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

from zchat import Message, Room
from zchat.cli.chat.rooms import INVITED, Place, Rooms, Unread
from zchat.errors import UsageError


def room(name: str) -> Room:
    return cast(Room, SimpleNamespace(name=name))


def message(name: str, user: str = "bob", seq: int = 1) -> Message:
    return Message(name, seq, 0, user, "hi")


def test_text_goes_to_the_room_that_one_went_to_last_in_any_case() -> None:
    rooms, general, sports = Rooms(), room("General"), room("Sports")
    assert (rooms.current, rooms.current_name) == (None, "")
    for each in (general, sports):
        rooms.add(each)
        rooms.go_to(each)
    assert rooms.current is sports
    assert rooms.is_current("SPORTS")
    assert rooms.get("general") is general
    assert rooms.joined == {"general", "sports"}


def test_leaving_leads_to_the_room_joined_last_and_never_to_one_that_one_did_not_go_to() -> None:
    rooms = Rooms()
    general, sports, direct = room("General"), room("Sports"), room("@bob")
    rooms.add(general)
    rooms.add(sports)
    rooms.add_aside(direct)
    rooms.go_to(sports)
    assert rooms.left("Sports")
    assert rooms.current is None
    assert rooms.go_on() == (general, 0)
    assert rooms.left("general")
    assert rooms.go_on() == (None, 0)
    assert rooms.get("@bob") is direct


def test_a_direct_room_that_one_goes_to_is_one_like_the_others() -> None:
    rooms, general, direct = Rooms(), room("General"), room("@bob")
    rooms.add_aside(direct)
    rooms.add(general)
    rooms.add(direct)
    assert not rooms.left("General")
    assert rooms.go_on() == (direct, 0)


def counts(rooms: Rooms) -> dict[str, tuple[int, int]]:
    return {each.room: (each.number, each.first) for each in rooms.unread}


def test_what_is_not_shown_is_counted_until_one_goes_there() -> None:
    rooms, general, sports = Rooms(), room("General"), room("Sports")
    for each in (general, sports):
        rooms.add(each)
    assert rooms.go_to(general) == 0
    for seq, name in ((4, "Sports"), (5, "sports"), (1, "@bob")):
        rooms.count(message(name, seq=seq))
    assert counts(rooms) == {"sports": (2, 4), "@bob": (1, 1)}
    assert rooms.go_to(sports) == 4, "the first that was not shown"
    assert counts(rooms) == {"@bob": (1, 1)}
    rooms.go_to(general)
    assert counts(rooms) == {"sports": (2, 4), "@bob": (1, 1)}, "nothing of it was shown there"
    rooms.go_to(sports)
    rooms.read_upto("Sports", 5)
    rooms.go_to(general)
    assert counts(rooms) == {"@bob": (1, 1)}
    rooms.add_aside(room("@bob"))
    assert counts(rooms) == {}


def test_what_was_missed_before_one_came_is_counted_with_what_comes() -> None:
    rooms = Rooms()
    rooms.count(message("Sports", seq=8), mentions=True)
    assert rooms.add(room("Sports"), 0, Unread("Sports", 3, 5, 7))
    assert rooms.unread == (Unread("Sports", 4, 5, 8, 8),)


def test_what_was_read_elsewhere_no_longer_counts() -> None:
    rooms = Rooms()
    assert rooms.add(room("Sports"), 0, Unread("Sports", 3, 5, 8, 6))  # one of the four is one's own
    rooms.read_upto("Movies", 8)
    rooms.read_upto("sports", 4)
    assert rooms.unread == (Unread("Sports", 3, 5, 8, 6),)
    rooms.read_upto("sports", 6)
    assert rooms.unread == (Unread("Sports", 2, 7, 8, 0),)
    rooms.read_upto("sports", 8)
    assert not rooms.unread


def test_the_next_room_with_news_is_one_in_which_one_is_meant_if_there_is() -> None:
    rooms = Rooms()
    assert rooms.next_with_news() == ""
    rooms.count(message("Movies"))
    rooms.count(message("Sports"), mentions=True)
    assert rooms.next_with_news() == "Sports"


def test_the_rooms_that_one_went_to_are_those_of_the_next_time_the_current_one_first() -> None:
    rooms = Rooms()
    for name in ("General", "Sports", "@bob"):
        rooms.add(room(name))
    rooms.add_aside(room("@carol"))
    rooms.go_to(rooms.get("Sports"))
    assert rooms.visited == ["Sports", "@bob", "General"]


def test_the_current_room_direct_ones_and_those_that_are_watched_are_shown() -> None:
    rooms, general = Rooms(), room("General")
    rooms.add(general)
    rooms.go_to(general)
    names = ("general", "Sports", "@bob")
    assert [rooms.shows(name) for name in names] == [True, False, True]
    rooms.choose("SPORTS", shown=True)
    assert rooms.shows("Sports")
    rooms.choose("sports", shown=False)
    assert not rooms.shows("Sports")


def test_all_rooms_are_shown_if_that_is_asked_for_but_those_that_are_hidden() -> None:
    rooms = Rooms(all_shown=True)
    rooms.choose("Sports", shown=False)
    assert [rooms.shows(name) for name in ("General", "Sports")] == [True, False]


def test_who_writes_to_one_is_named_once_with_the_first_of_their_messages() -> None:
    rooms = Rooms()
    rooms.invited(room("@bob"), "Bob")
    assert rooms.inviter(message("@bob", "alice")) is None, "one's own, from elsewhere"
    assert rooms.inviter(message("@bob", "bob")) == "Bob"
    assert rooms.inviter(message("@bob", "bob")) is None
    assert "@bob" in rooms.joined


def test_of_too_many_rooms_by_invitation_the_quietest_is_taken_out_that_the_user_did_not_go_to() -> None:
    rooms = Rooms()
    rooms.invited(room("@zoe"), "zoe")
    rooms.add(room("@zoe"))
    for number in range(INVITED - 1):
        rooms.invited(room(f"@{number}"), f"{number}")
    rooms.spoken_in("@0")
    assert rooms.take_quiet() is None
    rooms.invited(room("@last"), "last")
    quiet = rooms.take_quiet()
    assert quiet is not None
    assert (quiet.name, rooms.get("@1"), rooms.take_quiet()) == ("@1", None, None)
    assert [rooms.is_invited(name) for name in ("@0", "@1", "@LAST", "@zoe")] == [True, False, True, True]


def test_a_room_that_was_left_has_nothing_new() -> None:
    rooms, general, sports = Rooms(), room("General"), room("Sports")
    for each in (general, sports):
        rooms.add(each)
    rooms.go_to(general)
    rooms.count(message("Sports"))
    assert not rooms.left("Sports")
    assert rooms.unread == ()


def here(rooms: Rooms, meant: Place | None) -> str:
    """Return the room that a line is about which is meant for a place, or why there is none."""
    rooms.begin_line(meant, None)
    try:
        return rooms.here().name
    except UsageError as error:
        return f"{type(error).__name__}: {error}"


def test_a_line_is_about_the_room_in_which_the_user_was_when_it_was_entered_or_about_none() -> None:
    rooms, general, sports = Rooms(), room("General"), room("Sports")
    for each in (general, sports):
        rooms.add(each)
    rooms.go_to(general)
    in_general = rooms.place
    assert here(rooms, in_general) == "General"
    rooms.go_to(sports)
    assert here(rooms, in_general) == "MeantElsewhere: you began it in General, and are in Sports now"
    rooms.go_to(general)
    assert here(rooms, in_general) == "MeantElsewhere: you began it in General, and are in General now"
    assert here(rooms, None) == "General", "a script's"
    rooms.removed("General")
    assert here(rooms, in_general) == "MeantElsewhere: you began it in General, and are in no room now"
    assert here(rooms, rooms.place) == "UsageError: you are not in a room: go to one with /join ROOM"


def test_what_follows_a_line_that_leads_elsewhere_is_meant_for_where_it_leads() -> None:
    rooms, general = Rooms(), room("General")
    rooms.add(general)
    begin, coming = rooms.place, rooms.coming()
    rooms.go_to(general, begin)
    assert here(rooms, begin) == "General"
    assert here(rooms, coming) == "MeantElsewhere: you were not in that room"
    rooms.go_to(general, coming)
    assert here(rooms, coming) == "General"


def test_what_follows_a_line_that_led_nowhere_is_meant_for_where_the_user_is_if_that_line_was() -> None:
    rooms, general, sports = Rooms(), room("General"), room("Sports")
    for each in (general, sports):
        rooms.add(each)
    rooms.go_to(general)
    first, second = rooms.coming(), rooms.coming()
    rooms.begin_line(rooms.place, first)
    rooms.stay()
    assert here(rooms, first) == "General"
    rooms.go_to(sports)
    rooms.begin_line(first, second)
    rooms.stay()
    assert here(rooms, second) == "MeantElsewhere: you were not in that room"


def test_leaving_a_room_leads_what_follows_to_no_other_room_than_was_known() -> None:
    for removed in (False, True):
        rooms, general, sports, movies = Rooms(), room("General"), room("Sports"), room("Movies")
        for each in (general, sports, movies):
            rooms.add(each)
        rooms.go_to(movies)
        coming = rooms.coming()
        if removed:
            rooms.removed("Sports")
        rooms.left("Movies")
        rooms.go_on(coming)
        assert here(rooms, coming) == ("MeantElsewhere: you were not in that room" if removed else "Sports")


def test_nobody_goes_to_a_room_from_which_they_were_removed_meanwhile() -> None:
    rooms, general = Rooms(), room("General")
    before = rooms.removals_from("General")
    rooms.removed("general")
    assert not rooms.add(general, before)
    assert rooms.add(general, rooms.removals_from("General"))
    rooms.removed("General")
    assert rooms.go_to(general) is None
    assert rooms.current is None
