"""What a typed name may mean: a slip makes no lasting room."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.cli.driver import say
from zchat import Client
from zchat.broker import Broker
from zchat.cli.chat.lookup import Lookup, NobodySeen
from zchat.cli.chat.people import People
from zchat.cli.chat.rooms import Rooms
from zchat.errors import BadName, NotAllowed


@pytest.fixture
def lookup(broker: Broker) -> Iterator[Lookup]:
    rooms, people = Rooms(), People("alice")
    say(broker, "General", "I was here", user="carol")
    with Client(broker.url, user="bob") as bob, Client(broker.url, user="alice") as alice:
        bob.join("General")
        rooms.add(alice.join("General"))

        def seen(user: str) -> None:
            people.saw(user)

        yield Lookup(alice, rooms, people, seen)


def test_who_is_in_a_room_or_has_spoken_there_or_to_one_is_known(lookup: Lookup, broker: Broker) -> None:
    with Client(broker.url, user="dave") as dave:
        dave.direct("alice").send("psst")
    assert [lookup.user_meant(name) for name in ("BOB", "carol", "dave")] == ["BOB", "carol", "dave"]
    assert lookup.user_meant("alice") == "alice", "that is refused elsewhere"


def test_punctuation_after_a_name_is_no_part_of_it_unless_it_is(lookup: Lookup, broker: Broker) -> None:
    assert lookup.user_meant("bob,") == "bob"
    assert lookup.user_meant("bob:") == "bob"
    say(broker, "General", "hi", user="bob!")
    assert lookup.user_meant("bob!") == "bob!"


def test_a_name_of_nobody_is_reported_with_who_may_be_meant_and_how_to_write_all_the_same(
    lookup: Lookup, broker: Broker
) -> None:
    with pytest.raises(NobodySeen, match=r"^no user bbo was seen here; did you mean bob\? /msg! bbo writes"):
        lookup.user_meant("bbo")
    with pytest.raises(NobodySeen, match=r"^no user “zoe x” was seen here; /msg! \"zoe x\" writes all the same"):
        lookup.user_meant("zoe x")
    with pytest.raises(NobodySeen) as caught:
        lookup.user_meant("bbo")
    assert caught.value.what == "no user bbo was seen here; did you mean bob?"
    with pytest.raises(NobodySeen):
        lookup.user_meant(",")
    with pytest.raises(BadName):
        lookup.user_meant("#x")
    with Client(broker.url, user="alice") as alice:
        assert not [room for room in alice.rooms() if room.name.startswith("@")], "no room was made"


def test_a_new_room_is_compared_with_those_there_are(lookup: Lookup) -> None:
    assert lookup.room_like("Genral") == "General"
    assert lookup.room_like("xyz") == ""


def test_a_room_that_names_nobody_to_the_user_hides_nobody_of_the_others(
    lookup: Lookup, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = lookup._client

    def refusing(ask: Callable[..., Any]) -> Callable[..., Any]:
        def refuse(room: str, **options: Any) -> Any:
            if room == "Sports":
                raise NotAllowed(f"you may not ask who is in {room!r}")
            return ask(room, **options)

        return refuse

    lookup._rooms.add(client.join("General"))
    lookup._rooms.go_on()
    lookup._rooms.add(client.join("Sports"))
    lookup._rooms.add(client.join("Movies"))
    monkeypatch.setattr(client, "members", refusing(client.members))
    monkeypatch.setattr(client, "history", refusing(client.history))
    with Client(client.url, user="erin") as erin:
        erin.join("Movies").send("hi")
        erin.join("Movies").leave()
    assert lookup.user_meant("erin") == "erin"
    with pytest.raises(NobodySeen, match="did you mean bob"):
        lookup.user_meant("bbo")


def test_who_is_in_a_room_that_the_user_is_not_in_is_known_if_all_rooms_are_asked(lookup: Lookup) -> None:
    with Client(lookup._client.url, user="erin") as erin:
        erin.join("Sports")
        with pytest.raises(NobodySeen):
            lookup.user_meant("erin")
        assert lookup.user_meant("erin", everywhere=True) == "erin"
