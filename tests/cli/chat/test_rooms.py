"""The rooms that one is in: where text goes, where leaving leads, and what is new elsewhere."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

from zchat import Message, Room
from zchat.cli.chat.rooms import Rooms


def room(name: str) -> Room:
    return cast(Room, SimpleNamespace(name=name))


def message(name: str, user: str = "bob") -> Message:
    return Message(name, 1, 0, user, "hi")


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
    assert rooms.remove(sports) is general
    assert rooms.remove(general) is None
    assert rooms.get("@bob") is direct


def test_a_direct_room_that_one_goes_to_is_one_like_the_others() -> None:
    rooms, general, direct = Rooms(), room("General"), room("@bob")
    rooms.add_aside(direct)
    rooms.add(general)
    rooms.add(direct)
    assert rooms.remove(general) is direct


def test_what_comes_elsewhere_is_counted_until_one_goes_there() -> None:
    rooms, general, sports = Rooms(), room("General"), room("Sports")
    for each in (general, sports):
        rooms.add(each)
    rooms.go_to(general)
    for name in ("General", "Sports", "sports", "@bob"):
        rooms.count(message(name))
    counts = [dict(rooms.unread)]
    rooms.go_to(sports)
    counts.append(dict(rooms.unread))
    rooms.add_aside(room("@bob"))
    counts.append(dict(rooms.unread))
    assert counts == [{"sports": 2, "@bob": 1}, {"@bob": 1}, {}]


def test_who_writes_to_one_is_told_of_once_with_the_first_of_his_messages() -> None:
    rooms = Rooms()
    rooms.invited("@bob", "Bob")
    assert rooms.inviter(message("@bob", "alice")) is None, "one's own, from elsewhere"
    assert rooms.inviter(message("@bob", "bob")) == "Bob"
    assert rooms.inviter(message("@bob", "bob")) is None
    assert "@bob" in rooms.joined


def test_a_room_that_was_left_has_nothing_new() -> None:
    rooms, general, sports = Rooms(), room("General"), room("Sports")
    for each in (general, sports):
        rooms.add(each)
    rooms.go_to(general)
    rooms.count(message("Sports"))
    rooms.remove(sports)
    assert rooms.unread == ()
