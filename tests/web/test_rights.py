"""What a user may not see or read at a broker with rules comes to none of that user's pages."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.promises.faults.proxy import Proxy
from tests.web.driver import Page
from tests.web.keyed import RULES, Keyed


@pytest.fixture
def keyed(tmp_path: Path) -> Iterator[Keyed]:
    keyed = Keyed(tmp_path)
    with keyed.running():
        yield keyed


async def say(page: Page, room: str, *bodies: str) -> None:
    for body in bodies:
        assert (await page.ask("send", room=room, body=body, key=body))["op"] == "ok"


async def all_of(page: Page) -> str:
    """Return all that a page was sent, once what was on its way has come."""
    await page.ask("rooms")
    return json.dumps(page.came)


async def code(page: Page, op: str, **fields: Any) -> str:
    answer = await page.ask(op, **fields)
    return str(answer.get("code", answer["op"]))


@pytest.mark.parametrize("room", ["secret", "hush"])
async def test_of_a_room_that_a_user_may_not_see_there_is_nothing(keyed: Keyed, room: str) -> None:
    async with (
        keyed.gateway() as place,
        place.page("alice", room, "open") as alice,
        place.page("carol", room, "open") as carol,
        place.page("bob", "open") as bob,
    ):
        await say(alice, room, "one")
        for name in (room, room.upper()):
            for fields in ({}, {"watch": True}, {"after": "start", "history": 50}, {"create": False}):
                assert await code(bob, "join", room=name, **fields) == "no_such_room"
            assert await code(bob, "history", room=name, after=0) == "no_such_room"
            assert await code(bob, "history", room=name, limit=5) == "no_such_room"
            assert await code(bob, "members", room=name) == "no_such_room"
            assert await code(bob, "send", room=name, body="x", key=name) == "not_a_member"
            await bob.say(op="typing", room=name, active=True)
            await bob.say(op="mark", room=name, seq=1)
            await bob.say(op="ack", room=name, taken=1)
        await say(alice, room, "two")
        await carol.say(op="typing", room=room, active=True)
        await carol.say(op="mark", room=room, seq=2)
        while (await alice.until("event"))["room"] != room:
            pass
        await say(alice, "open", "end")
        assert await bob.bodies(1) == ["end"]
        listed = [each["name"] for each in (await bob.ask("rooms"))["rooms"]]
        assert listed == ["open"]
        assert room not in await all_of(bob)
        assert await carol.bodies(3) == ["one", "two", "end"]
        assert [each["user"] for each in (await alice.ask("members", room=room))["members"]] == ["alice", "carol"]


async def come_and_go(user: str, actor: Page, room: str, *witnesses: Page) -> None:
    """Have a user join, type and leave until each of some others was sent it: an event may come too early for them."""
    while not all(any(each.get("user") == user for each in witness.came) for witness in witnesses):
        await actor.ask("join", room=room)
        await actor.say(op="typing", room=room, active=True)
        await asyncio.sleep(0.05)  # what has been undone by the next report is never reported
        await actor.ask("leave", room=room)
        for witness in witnesses:
            await witness.ask("rooms")


async def test_who_may_not_see_names_is_sent_none_now_and_after_a_change(keyed: Keyed) -> None:
    async with (
        keyed.gateway() as place,
        place.page("alice", "quiet") as alice,
        place.page("bob", "quiet") as bob,
        place.page("carol", "quiet") as carol,
        place.page("dora") as dora,
    ):
        await come_and_go("dora", dora, "quiet", alice, carol)
        assert await code(bob, "members", room="quiet") == "not_allowed"
        found = await all_of(bob)
        assert "Crowd" in found
        assert not any(user in found for user in ("alice", "carol", "dora")), found
        keyed.rule(RULES.replace('members = ["alice", "carol", "web"]', 'members = ["bob", "carol", "web"]'))
        while (await alice.until("event"))["kind"] != "Crowd":
            pass
        for page in (alice, bob, carol):
            page.came.clear()
        await come_and_go("dora", dora, "quiet", bob, carol)
        assert "dora" not in await all_of(alice)
        assert await code(alice, "members", room="quiet") == "not_allowed"


async def test_who_may_not_read_has_what_is_said_while_there_and_nothing_before(keyed: Keyed) -> None:
    async with keyed.gateway() as place, place.page("alice", "news") as alice:
        await say(alice, "news", "before")
        async with place.page("bob") as bob:
            assert await code(bob, "history", room="news", after=0) == "not_allowed"
            assert await code(bob, "join", room="news", history=50) == "not_allowed"
            joined = await bob.ask("join", room="news", after="start")
            assert joined["op"] == "ok"
            gap = await bob.until("gap")
            assert (gap["reason"], gap["upto"]) == ("withheld", 1)
            await say(alice, "news", "now")
            assert await bob.bodies(1) == ["now"]
            assert "before" not in await all_of(bob)


async def test_who_is_kicked_while_the_link_is_lost_is_not_sent_what_was_said_until_they_are_back(keyed: Keyed) -> None:
    with Proxy(int(keyed.url.rpartition(":")[2])) as proxy:
        async with (
            keyed.client("root") as root,
            keyed.gateway(url=proxy.url) as place,
            place.page("alice", "news") as alice,
            place.page("bob", "news") as bob,
        ):
            room = await root.join("news")
            proxy.shut = True
            await asyncio.to_thread(proxy.cut)
            while (await bob.until("link"))["up"]:
                pass
            assert await room.kick("bob") == 1
            await room.send("two")
            await room.send("three")
            proxy.shut = False
            gap = await bob.until("gap")
            assert (gap["upto"], gap["reason"]) == (2, "withheld")
            assert await alice.bodies(2) == ["two", "three"]
            await room.send("four")
            assert await bob.bodies(1) == ["four"]
            assert "two" not in await all_of(bob)


async def test_direct_rooms_of_others_are_not_there(keyed: Keyed) -> None:
    async with (
        keyed.gateway() as place,
        place.page("alice", "@carol") as alice,
        place.page("carol", "@alice") as carol,
        place.page("bob") as bob,
    ):
        await say(alice, "@carol", "psst")
        assert await carol.bodies(1) == ["psst"]
        for name in ("@alice\ncarol", "@ALICE\nCAROL"):
            for op, fields in (("join", {}), ("join", {"watch": True}), ("history", {"after": 0}), ("members", {})):
                answer = await bob.ask(op, room=name, **fields)
                assert answer["op"] == "error", answer
        for name in ("@alice", "@carol"):
            assert await code(bob, "history", room=name, after=0) in ("ok", "no_such_room")
            assert (await bob.ask("join", room=name, history=50))["rows"] == []
        await say(alice, "@carol", "more")
        assert await carol.bodies(1) == ["more"]
        assert "psst" not in await all_of(bob)
        assert {each["name"] for each in (await bob.ask("rooms"))["rooms"]} == {"@alice", "@carol"}


async def test_rights_that_are_taken_end_the_log_for_that_user_and_no_other(keyed: Keyed) -> None:
    async with (
        keyed.gateway() as place,
        place.page("alice", "secret", "open") as alice,
        place.page("carol", "secret", "open") as carol,
    ):
        await say(alice, "secret", "one")
        assert await carol.bodies(1) == ["one"]
        keyed.rule(RULES.replace('see = ["alice", "carol", "web"]', 'see = ["alice", "web"]'))
        removed = await carol.until("removed")
        assert (removed["room"], removed["code"]) == ("secret", "not_allowed")
        await say(alice, "secret", "two")
        await say(alice, "open", "end")
        assert await carol.bodies(1) == ["end"]
        assert "two" not in await all_of(carol)
        assert [each["name"] for each in (await carol.ask("rooms"))["rooms"]] == ["open"]
        assert await alice.bodies(3) == ["one", "two", "end"]
