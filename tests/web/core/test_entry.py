"""A page in a room: what may have changed while it comes in, while others of its user do, and what it reads."""

from __future__ import annotations

from typing import Any

import pytest

from tests.web.core.harness import EPOCH, Broker, Browser, Client, House, World, batch_of
from zchat.errors import DeadlineExceeded, NotAllowed, RoomClosed
from zchat.events import Disconnected, Invited, MemberJoined, Reconnected, Removed
from zchat.messages import START, Batch, Position
from zchat.web.core import limits
from zchat.web.core.entry import newest, same_log


@pytest.fixture(params=[False, True], ids=["", "eager"])
def house(request: pytest.FixtureRequest) -> House:
    return House(eager=request.param)


def code(page: Browser, number: int) -> str:
    """Return what a command was answered with: "ok", or the error's code."""
    found = page.answer(number)
    assert found is not None
    return str(found.get("code", "ok"))


def is_in(house: House, user: str, room: str = "general") -> bool:
    return room in house.client(user).joined


# -- another page leaves -----------------------------------------------------------------------------


def test_a_page_that_comes_in_keeps_the_user_there_while_another_one_leaves(house: House) -> None:
    one, two = house.page("eve", "General"), house.page("eve")
    house.shut("eve", "history General")
    coming = two.begin("join", room="General", history=1)
    assert one.ask("leave", room="General")["op"] == "ok"
    house.open("eve", "history General")
    assert code(two, coming) == "ok"
    assert is_in(house, "eve")
    assert two.ask("send", room="General", body="here", key="k")["op"] == "ok"
    house.put_out("eve", "General", "banned")
    house.say("General", "root", "after the ban")
    assert [frame["code"] for frame in two.take("removed")] == ["banned"]
    assert two.bodies() == ["here"]


def test_a_leave_right_behind_another_pages_join_leaves_nobody_reading_without_a_membership(house: House) -> None:
    one, two = house.page("eve", "General"), house.page("eve")
    house.shut("zchat web", "join General")
    two.session.receive(b'{"op":"join","id":90,"room":"General"}')
    one.session.receive(b'{"op":"leave","id":91,"room":"General"}')
    house.world.run()
    house.open("zchat web", "join General")
    assert code(two, 90) == "ok"
    assert is_in(house, "eve")
    house.put_out("eve", "General", "banned")
    house.say("General", "root", "after the ban")
    assert two.bodies() == []


def test_a_page_that_comes_back_as_the_users_time_there_runs_out_keeps_them_there(house: House) -> None:
    other, page = house.page("eve"), house.page("eve", "General")
    page.drop()
    house.passes(limits.IDLE_USER_SECONDS - 1)
    again = house.page("eve")
    house.shut("zchat web", "join General")
    coming = again.begin("join", room="General")
    house.passes(2)
    house.open("zchat web", "join General")
    assert code(again, coming) == "ok"
    assert is_in(house, "eve")
    assert again.ask("send", room="General", body="hi", key="k")["op"] == "ok"
    assert other.closed is None


def test_a_users_time_in_a_room_runs_from_the_last_page_alone(house: House) -> None:
    other, page = house.page("eve"), house.page("eve")
    house.shut("eve", "history General")
    page.begin("join", room="General", history=1)
    page.drop()  # from here on nobody is there
    house.passes(limits.IDLE_USER_SECONDS - 2)
    house.open("eve", "history General")
    other.ask("join", room="General")
    house.shut("eve", "enter General")
    other.drop()
    again = house.page("eve")
    house.passes(3)
    assert is_in(house, "eve"), "the first page's time is over, and not the second one's"
    house.passes(limits.IDLE_USER_SECONDS - 2)
    assert not is_in(house, "eve")
    assert again.closed is None


# -- put out on the way in ---------------------------------------------------------------------------


@pytest.mark.parametrize("call", ["joined General", "history General"])
def test_a_user_who_is_put_out_while_a_page_comes_in_is_answered_so_and_reads_nothing(house: House, call: str) -> None:
    house.say("General", "bob", "before")
    page = house.page("eve")
    house.shut("eve", call)
    coming = page.begin("join", room="General", history=1)
    house.put_out("eve", "General")
    house.open("eve", call)
    answer = page.answer(coming)
    assert answer is not None
    assert (answer["op"], answer["code"]) == ("error", "kicked")
    assert answer["text"] == "you are not in General any more: calm down"
    house.say("General", "root", "after the kick")
    house.passes(1)
    assert page.frames == []
    assert page.ask("send", room="General", body="x", key="k")["code"] == "not_a_member"
    assert house.gateway.users["eve"].places == {}
    assert page.ask("join", room="General")["op"] == "ok", "asked to, it comes in again"
    house.say("General", "root", "again")
    assert page.bodies() == ["again"]


def test_a_user_who_is_put_out_while_the_gateway_is_asked_to_read_the_room_is_answered_so(house: House) -> None:
    page = house.page("eve")
    house.broker.log("General")
    house.shut("zchat web", "join General")
    coming = page.begin("join", room="General")
    house.tell("eve", Removed("General", "", "root", 1_800_000_000.5, "banned"))
    house.client("eve").joined.clear()
    house.open("zchat web", "join General")
    answer = page.answer(coming)
    assert answer is not None
    assert (answer["code"], answer["until"]) == ("banned", 1_800_000_001)
    assert answer["text"] == "you are not in General any more"
    house.say("General", "root", "after the ban")
    assert page.frames == []


def test_nobody_comes_in_again_unasked_as_the_gateway_may_not_read_the_room(house: House) -> None:
    page = house.page("eve")
    house.broker.log("Secret")
    house.broker.refusals["zchat web", "join Secret"] = NotAllowed("not for you")
    house.shut("zchat web", "join Secret")
    coming = page.begin("join", room="Secret")
    house.put_out("eve", "Secret")
    house.open("zchat web", "join Secret")
    assert code(page, coming) == "kicked"
    assert house.broker.asked.count("eve join Secret") == 1
    assert not is_in(house, "eve", "secret")


def test_every_page_that_comes_in_is_told_and_what_the_broker_says_first_does_not_matter(house: House) -> None:
    pages = [house.page("eve") for _ in range(3)]
    house.shut("eve", "history General")
    coming = [page.begin("join", room="General", history=1) for page in pages]
    house.put_out("eve", "General", "banned")
    house.open("eve", "history General")
    assert [code(page, number) for page, number in zip(pages, coming, strict=True)] == ["banned"] * 3
    house.say("General", "root", "after the ban")
    assert [page.bodies() for page in pages] == [[]] * 3
    assert house.gateway.channels["general"].members == set()


def test_a_room_from_which_the_gateway_was_put_out_while_it_came_in_is_asked_for_again(house: House) -> None:
    page = house.page("eve")
    house.shut("zchat web", "joined General")
    coming = page.begin("join", room="General")
    house.put_out("zchat web", "General")
    house.open("zchat web", "joined General")
    assert code(page, coming) == "ok"
    house.say("General", "bob", "hi")
    assert page.bodies() == ["hi"]
    assert house.broker.asked.count("zchat web join General") == 2


# -- another page takes part -------------------------------------------------------------------------


def test_a_page_that_watches_goes_on_if_another_one_may_not_take_part(house: House) -> None:
    watches, other = house.page("eve", "General", watch=True), house.page("eve")
    house.broker.refusals["eve", "enter General"] = NotAllowed("you may watch alone")
    assert other.ask("join", room="General")["code"] == "not_allowed"
    house.say("General", "bob", "hi")
    assert (watches.bodies(), other.frames) == (["hi"], [])
    assert not house.client("eve").joined["general"].present
    house.put_out("eve", "General", "banned")
    house.say("General", "root", "after the ban")
    assert [frame["code"] for frame in watches.take("removed")] == ["banned"]
    assert watches.bodies() == []


def test_a_page_that_watches_is_told_if_it_may_not_watch_again(house: House) -> None:
    watches, other = house.page("eve", "General", watch=True), house.page("eve")
    house.broker.refusals["eve", "join General"] = RoomClosed("'General' is closed: quiet")
    assert other.ask("join", room="General")["code"] == "room_closed"
    house.say("General", "root", "within")
    assert watches.frames == [
        {
            "op": "removed", "room": "General", "code": "room_closed", "reason": "'General' is closed: quiet",
            "by": "", "until": None,
        }
    ]  # fmt: skip
    assert house.gateway.users["eve"].places == {}
    assert watches.closed is None


def test_a_page_that_watches_comes_again_if_it_is_not_known_whether_it_may_watch_on(house: House) -> None:
    watches, other = house.page("eve", "General", watch=True), house.page("eve")
    house.broker.refusals["eve", "join General"] = DeadlineExceeded("no answer came")
    assert other.ask("join", room="General")["code"] == "deadline_exceeded"
    house.say("General", "root", "within")
    assert (watches.closed or (0,))[0] == 1012
    assert watches.bodies() == []
    assert other.closed is None


@pytest.mark.parametrize("call", ["left General", "join General", "joined General"])
def test_a_page_that_watches_goes_on_if_the_page_that_takes_part_is_lost_on_its_way(house: House, call: str) -> None:
    watches, other = house.page("eve", "General", watch=True), house.page("eve")
    house.shut("eve", call)
    other.begin("join", room="General")
    other.drop()
    house.say("General", "root", "within")
    house.open("eve", call)
    assert watches.closed is None
    assert watches.bodies() == ["within"]
    house.passes(limits.IDLE_USER_SECONDS + 1)
    assert not house.client("eve").joined["general"].present
    house.say("General", "root", "then")
    assert watches.bodies() == ["then"]


def test_a_page_that_is_gone_before_its_turn_has_come_is_counted_nowhere(house: House) -> None:
    one, two, three = (house.page("eve") for _ in range(3))
    house.shut("eve", "join Ops")
    one.begin("join", room="Ops")
    two.begin("join", room="General")
    two.drop()
    house.open("eve", "join Ops")
    assert list(house.gateway.users["eve"].places) == ["ops"]
    assert three.ask("members", room="General")["members"] == []


def test_between_two_memberships_pages_are_sent_nothing_and_then_what_the_user_may_read(house: House) -> None:
    watches, other = house.page("eve", "General", watch=True), house.page("eve")
    house.say("General", "bob", "before")
    house.shut("eve", "left General")
    coming = other.begin("join", room="General")
    house.say("General", "bob", "between")
    house.tell("zchat web", Disconnected("lost"))
    house.tell("zchat web", Reconnected())
    assert watches.bodies() == ["before"]
    house.open("eve", "left General")
    assert code(other, coming) == "ok"
    assert watches.bodies() == ["between"], "the log was asked by the user's own right"
    assert "eve history General" in house.broker.asked
    house.say("General", "bob", "after")
    assert (watches.bodies(), other.bodies()) == (["after"], ["after"])
    assert house.client("eve").joined["general"].present


def test_what_was_said_between_two_memberships_is_withheld_from_who_may_not_read_it(house: House) -> None:
    watches, other = house.page("eve", "General", watch=True), house.page("eve")
    house.broker.refusals["eve", "history General"] = NotAllowed("you may not read that")
    house.shut("eve", "left General")
    coming = other.begin("join", room="General")
    house.say("General", "bob", "between")
    house.open("eve", "left General")
    assert code(other, coming) == "ok"
    assert [gap["reason"] for gap in watches.take("gap")] == ["withheld"]
    assert watches.bodies() == []


def test_a_ban_between_two_memberships_ends_all_pages(house: House) -> None:
    watches, other = house.page("eve", "General", watch=True), house.page("eve")
    house.shut("eve", "joined General")
    coming = other.begin("join", room="General")
    house.put_out("eve", "General", "banned")
    house.open("eve", "joined General")
    assert code(other, coming) == "banned"
    assert [frame["code"] for frame in watches.take("removed")] == ["banned"]
    house.say("General", "root", "after the ban")
    assert (watches.bodies(), other.bodies()) == ([], [])
    assert not is_in(house, "eve")


def test_pages_that_come_in_together_where_the_gateway_may_not_read_all_come_in(house: House) -> None:
    pages = [house.page("eve") for _ in range(3)]
    house.broker.log("Secret")
    house.broker.refusals["zchat web", "join Secret"] = NotAllowed("not for you")
    house.shut("zchat web", "join Secret")
    coming = [page.begin("join", room="Secret") for page in pages]
    house.open("zchat web", "join Secret")
    assert [code(page, number) for page, number in zip(pages, coming, strict=True)] == ["ok"] * 3
    house.say("Secret", "bob", "psst")
    assert [page.bodies() for page in pages] == [["psst"]] * 3
    assert house.broker.asked.count("zchat web join Secret") == 1, "asked once for all who wait"


# -- the link ----------------------------------------------------------------------------------------


def test_a_user_who_was_put_out_while_the_link_was_lost_reads_nothing_once_it_is_back(house: House) -> None:
    page = house.page("eve", "General")
    room = house.client("eve").joined["general"]
    room.away = True
    house.tell("eve", Disconnected("lost"))
    house.say("General", "root", "after the ban")
    house.tell("eve", Reconnected())  # and the broker has yet to say whether the room may be joined again
    house.say("General", "root", "and more")
    house.passes(limits.REJOINED_SECONDS)
    assert page.bodies() == []
    house.put_out("eve", "General", "banned")
    house.passes(1)
    assert page.bodies() == []
    assert [frame["code"] for frame in page.take("removed")] == ["banned"]


def test_a_page_goes_on_once_its_user_is_in_the_room_again(house: House) -> None:
    page = house.page("eve", "General")
    room = house.client("eve").joined["general"]
    room.away = True
    house.tell("eve", Disconnected("lost"))
    house.say("General", "bob", "meanwhile")
    house.tell("eve", Reconnected())
    for _ in range(3):
        house.passes(limits.REJOINED_SECONDS)
    assert page.bodies() == []
    room.away = False
    house.passes(limits.REJOINED_SECONDS)
    assert page.bodies() == ["meanwhile"]
    house.say("General", "bob", "now")
    assert page.bodies() == ["now"]
    assert len(house.gateway.context.timers) <= 2


def test_a_page_goes_on_in_a_room_whose_link_was_lost_and_came_back_while_it_came_in(house: House) -> None:
    page = house.page("eve")
    house.shut("eve", "joined General")
    coming = page.begin("join", room="General")
    room = house.client("eve").joined["general"]
    room.away = True
    house.tell("eve", Disconnected("lost"))
    house.tell("eve", Reconnected())
    house.open("eve", "joined General")
    assert code(page, coming) == "ok"
    house.say("General", "bob", "hi")
    assert page.bodies() == []
    room.away = False
    house.passes(limits.REJOINED_SECONDS)
    assert page.bodies() == ["hi"]


def test_nothing_of_a_room_comes_before_its_join_is_answered(house: House) -> None:
    page = house.page("eve")
    house.shut("eve", "history General")
    page.begin("join", room="General", history=1)
    house.tell("zchat web", MemberJoined("General", "bob"))
    house.say("General", "bob", "hi")
    house.passes(1)
    assert page.frames == []
    house.open("eve", "history General")
    assert [frame["op"] for frame in page.frames] == ["ok", "messages"]
    assert page.frames[0]["position"] == "0:0"


def test_an_invitation_shows_on_a_page_whose_way_into_the_room_comes_to_nothing(house: House) -> None:
    page = house.page("eve")
    house.shut("eve", "join @bob")
    coming = page.begin("join", room="@bob")
    house.tell("eve", Invited("@bob", "bob"))
    house.broker.refusals["eve", "join @bob"] = DeadlineExceeded("no answer came")
    house.open("eve", "join @bob")
    assert code(page, coming) == "deadline_exceeded"
    assert [frame["user"] for frame in page.take("invited")] == ["bob"]


# -- what is read ----------------------------------------------------------------------------------


class Full(Client):
    """A client to whom the broker's answers have three messages at most, the oldest of what was asked for."""

    async def history_batch(
        self, name: str, *, after: int | None = None, before: int | None = None, limit: int
    ) -> Batch | None:
        found = await super().history_batch(name, after=after, before=before, limit=limit)
        return None if found is None else batch_of(name, list(found)[:3], EPOCH)


def result(world: World, work: Any) -> Any:
    found: list[Any] = []

    async def wait() -> None:
        found.append(await work)

    world.spawn(wait())
    world.run()
    return found[0]


@pytest.mark.parametrize(("before", "expected"), [(None, [18, 19, 20]), (21, [18, 19, 20]), (11, [8, 9, 10]), (2, [1])])
def test_the_newest_messages_are_returned_though_an_answer_has_not_all(before: int | None, expected: list[int]) -> None:
    broker = Broker()
    world = World(broker)
    broker.say("General", "bob", *range(1, 21))
    found = result(world, newest(Full(world, "alice"), "General", before, 10))
    assert found.seqs == expected
    assert result(world, newest(Client(world, "alice"), "General", before, 3)).seqs == expected
    assert result(world, newest(Full(world, "alice"), "empty", before, 3)) is None


def test_a_position_is_judged_by_the_message_that_it_ends_at() -> None:
    broker = Broker()
    world = World(broker)
    broker.say("General", "bob", *range(1, 11))
    client, end = Client(world, "alice"), Position(7, 10)

    def same(epoch: int, seq: int) -> bool:
        found: bool = result(world, same_log(client, "General", Position(epoch, seq), end))
        return found

    assert same(*START)
    assert same(7, 99), "another gateway may be faster"
    assert same(EPOCH, 4), "an earlier epoch of the same log"
    assert not same(EPOCH + 1, 4)
    assert not same(EPOCH, 11)
    broker.first["General"] = 6
    assert same(3, 2), "removed, and so is what came before"
    broker.refusals["alice", "history General"] = NotAllowed("no")
    assert same(3, 8), "withheld in any case"
