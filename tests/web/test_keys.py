"""A gateway with a key before a broker with keys and rules: who comes in, and what moderators and keys do to pages."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus

from tests.running import DEADLINE, eventually
from tests.web.core.test_tokens import KEY, token
from tests.web.driver import Page, Place
from tests.web.keyed import RULES, Keyed
from zchat import AsyncClient
from zchat.web import serving
from zchat.web.core.letting_in import LettingIn
from zchat.web.doors import letting_in


@pytest.fixture
def keyed(tmp_path: Path) -> Iterator[Keyed]:
    keyed = Keyed(tmp_path)
    with keyed.running():
        yield keyed


def recorded(keyed: Keyed, event: str) -> list[dict[str, Any]]:
    """Return the lines of an event in the audit log."""
    lines = map(json.loads, keyed.audit.read_text().splitlines())
    return [line for line in lines if line["event"] == event]


def of(user: str, **claims: Any) -> str:
    return token({"sub": user, "exp": int(time.time()) + 3600, **claims})


async def code(page: Page, op: str, **fields: Any) -> str:
    answer = await page.ask(op, **fields)
    return str(answer.get("code", answer["op"]))


def ends(frame: dict[str, Any], until: float | None) -> bool:
    """Return whether a frame has when something ends, which is in a second's fraction."""
    return until is not None and 0 <= frame["until"] - int(until) <= 1


# -- letting in ----------------------------------------------------------------------------------------


async def test_by_tokens_users_come_with_keys_and_without_and_operators_by_themselves_alone(keyed: Keyed) -> None:
    async with keyed.gateway(LettingIn(token_key=KEY)) as place, place.page() as alice, place.page() as eve:
        assert (await alice.ask("hello", version=1, token=of("ALICE")))["user"] == "alice", "as her key's file has it"
        assert (await eve.ask("hello", version=1, token=of("eve"), user="eve"))["user"] == "eve"
        for page in (alice, eve):
            assert await code(page, "join", room="open") == "ok"
        await eve.ask("send", room="open", body="hello", key="k")
        assert await alice.bodies(1) == ["hello"]
        for claims, user, answer, text in (
            (of("root"), None, "wrong_name", "root is an operator here, and no operator comes in through a gateway"),
            (of("web"), None, "not_let_in", "web is the gateway's own name"),
            (of("eve"), "alice", "not_let_in", "the user is another one than the login says"),
            (of("eve", exp=1), None, "not_let_in", "the token has expired"),
            (
                token({"sub": "alice", "exp": 1 << 40}, key=b"another key that is long enough..."),
                None,
                "not_let_in",
                "",
            ),
        ):
            async with place.page() as other:
                found = await other.ask("hello", version=1, token=claims, user=user)
                assert (found["code"], found["retryable"]) == (answer, False)
                assert text in found["text"]
                assert (await other.end())[0] == 4001
    eventually(lambda: len(recorded(keyed, "let_in")) == 3, "all is written")
    assert [(line["user"], line.get("via")) for line in recorded(keyed, "let_in")] == [
        ("web", None),
        ("alice", "web"),
        ("eve", "web"),
    ]


def behind(place: Place, user: str) -> AbstractAsyncContextManager[Page]:
    """Return a page as a proxy passes it on that has let in a user."""
    headers = {"X-Forwarded-User": user.encode().decode("latin-1"), "X-Forwarded-For": "192.0.2.1"}
    return place.page(additional_headers=headers)


async def test_by_a_trusted_proxys_header_users_come_as_it_says_and_by_nothing_else(keyed: Keyed) -> None:
    doors = letting_in(user_header="X-Forwarded-User", proxies=["127.0.0.1"])
    async with keyed.gateway(doors) as place:
        async with behind(place, "alice") as alice, behind(place, "bob") as bob:
            assert [(await page.ask("hello", version=1))["user"] for page in (alice, bob)] == ["alice", "bob"]
            assert await code(alice, "join", room="secret") == "ok"
            assert await code(bob, "join", room="secret") == "no_such_room"
            assert await code(bob, "join", room="open") == "ok"
            assert [each["user"] for each in (await bob.ask("members", room="open"))["members"]] == ["bob"]
        for user, claimed, refused in (
            ("root", None, "wrong_name"),
            ("WEB", None, "not_let_in"),
            ("alice", "bob", "not_let_in"),
        ):
            async with behind(place, user) as page:
                assert await code(page, "hello", version=1, user=claimed) == refused
                assert (await page.end())[0] == 4001
    async with keyed.gateway(doors._replace(proxies=(ip_network("192.0.2.0/24"),))) as place:
        with pytest.raises(InvalidStatus) as refused_by:
            async with behind(place, "alice"):
                pass
        assert refused_by.value.response.status_code == 403


# -- moderation ------------------------------------------------------------------------------------------


async def test_kicks_mutes_and_bans_reach_the_users_pages_with_their_reason_and_nobody_elses(keyed: Keyed) -> None:
    async with (
        keyed.gateway() as place,
        place.page("eve", "open") as eve,
        place.page("eve", "open") as tab,
        place.page("alice", "open") as alice,
        keyed.client("root") as root,
    ):
        room = await root.join("open")
        assert await room.kick("EVE", reason="calm down") == 1, "one session, however many tabs"
        for page in (eve, tab):
            removed = await page.until("removed")
            assert (removed["code"], removed["reason"], removed["by"]) == ("kicked", "calm down", "root")
        assert await code(eve, "join", room="open") == "ok"
        until = await room.mute("eve", seconds=600, reason="still loud")
        answer = await eve.ask("send", room="open", body="x", key="1")
        assert (answer["code"], ends(answer, until)) == ("muted", True)
        assert "still loud" in answer["text"]
        until = await room.ban("eve", seconds=600, reason="enough")
        removed = await eve.until("removed")
        assert (removed["code"], removed["reason"], ends(removed, until)) == ("banned", "enough", True)
        answer = await eve.ask("join", room="open")
        assert (answer["code"], ends(answer, until)) == ("banned", True)
        assert await code(alice, "send", room="open", body="fine", key="k") == "ok"
        until = await root.ban("eve", seconds=600, reason="go away")
        for page in (eve, tab):
            error = await page.until("error")
            assert (error["code"], ends(error, until)) == ("banned", True)
            assert "go away" in error["text"]
            assert (await page.end())[0] == 4001
        async with place.page() as again:
            answer = await again.ask("hello", version=1, user="Eve")
            assert (answer["code"], ends(answer, until)) == ("banned", True)
        assert await code(alice, "send", room="open", body="all well", key="l") == "ok"


async def test_a_page_that_joins_as_another_one_leaves_is_there_and_ends_with_a_ban(keyed: Keyed) -> None:
    async with (
        keyed.gateway() as place,
        place.page("eve") as stays,
        place.page("eve") as goes,
        keyed.client("root") as root,
    ):
        room = await root.join("open")
        for number in range(20):
            assert await code(goes, "join", room="open") == "ok"
            await stays.say(op="join", id=1000, room="open")
            await goes.say(op="leave", id=1000, room="open")
            assert (await stays.until("ok"))["id"] == 1000
            assert (await goes.until("ok"))["id"] == 1000
            assert await code(stays, "send", room="open", body=number, key=str(number)) == "ok", "the user is there"
            assert await code(stays, "leave", room="open") == "ok"
        assert await code(stays, "join", room="open") == "ok"
        stays.came.clear()
        await room.ban("eve", reason="enough")
        await room.send("after the ban")
        assert (await stays.until("removed"))["code"] == "banned"
        await stays.ask("rooms")
        assert not [frame for frame in stays.came if frame["op"] == "messages"]


async def test_a_page_that_may_not_take_part_in_a_room_leaves_none_behind_that_reads_on_there(keyed: Keyed) -> None:
    async with (
        keyed.gateway() as place,
        place.page("eve") as watches,
        place.page("eve") as other,
        keyed.client("root") as root,
    ):
        room = await root.join("open")
        assert await code(watches, "join", room="open", watch=True) == "ok"
        await room.close_room("quiet")
        assert await code(other, "join", room="open") == "room_closed"
        removed = await watches.until("removed")
        assert (removed["code"], "quiet" in removed["reason"]) == ("room_closed", True)
        await room.send("among us")
        await watches.ask("rooms")
        assert not [frame for frame in watches.came if frame["op"] == "messages"]


async def test_an_act_of_a_user_through_the_gateway_is_recorded_with_the_gateway(keyed: Keyed) -> None:
    async with (
        keyed.gateway() as place,
        place.page("eve", "open"),
        AsyncClient(keyed.url, user="Anna", **keyed.given("web")) as anna,
    ):
        room = await anna.join("open")
        assert await room.kick("eve", reason="an owner's") == 1
    eventually(lambda: len(recorded(keyed, "session_ended")) == 3, "all is written")
    [kick] = recorded(keyed, "kick")
    assert (kick["by"], kick["via"], kick["user"], kick["reason"]) == ("Anna", "web", "eve", "an owner's")
    ended = {line["user"]: line.get("via") for line in recorded(keyed, "session_ended")}
    assert ended == {"Anna": "web", "eve": "web", "web": None}


# -- keys and rules that change --------------------------------------------------------------------------


async def test_a_key_that_is_no_gateways_any_more_ends_the_users_sessions_and_says_what_is_missing(
    keyed: Keyed,
) -> None:
    async with keyed.gateway() as place, place.page("eve", "open") as eve, keyed.client("alice") as alice:
        file = keyed.file("web")
        file.write_text(file.read_text().replace("    gateway = true\n", ""))
        keyed.broker.read_again()
        assert (await eve.until("bye"))["text"] == "the session with the broker has ended"
        assert (await eve.end())[0] == 1012
        async with place.page() as again:
            answer = await again.ask("hello", version=1, user="eve")
            assert answer["code"] == "wrong_name"
            assert "its file at the broker must say gateway = true" in answer["text"]
        async with place.page() as watcher:
            assert (await watcher.ask("hello", version=1))["op"] == "ok"
            assert await code(watcher, "join", room="open") == "ok", "the gateway itself reads on"
        assert [member.user for member in await alice.members("open")] == []


async def test_a_key_that_is_taken_out_ends_the_gateways_sessions_in_two_seconds_and_it_goes_on_once_it_is_back(
    keyed: Keyed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "RETRY_MAX", 1.0)
    async with keyed.gateway() as place, place.page("eve", "open") as eve, place.page() as watcher:
        await watcher.ask("hello", version=1)
        assert await code(watcher, "join", room="open") == "ok"
        file = keyed.file("web")
        key = file.read_text()
        file.unlink()
        began = time.monotonic()
        await eve.until("bye")
        assert time.monotonic() - began < 2 + DEADLINE / 10, "and what a busy machine adds"
        assert (await watcher.until("link"))["up"] is False
        async with place.page() as again:
            answer = await again.ask("hello", version=1, user="eve")
            assert (answer["code"], answer["retryable"]) == ("connection_lost", True)
            assert (await again.end())[0] == 1012, "it may come again"
        file.write_text(key)
        assert (await watcher.end())[0] == 1012
        async with place.page("eve", "open") as eve, place.page("alice", "open") as alice:
            await eve.ask("send", room="open", body="back", key="k")
            assert await alice.bodies(1) == ["back"]


async def test_a_ban_of_the_gateways_own_user_ends_and_nothing_is_lost(keyed: Keyed) -> None:
    async with keyed.gateway() as place, keyed.client("root") as root:
        room = await root.join("open")
        async with place.page("eve", "open") as eve:
            await root.ban("web", seconds=1)
            assert (await eve.until("link"))["up"] is False
            await room.send("meanwhile")
            answer = await eve.ask("send", room="open", body="by eve", key="k")
            assert answer["op"] == "ok", "users' own sessions are there"
            assert (await place.get("/healthz"))[0] == 503
            assert (await eve.end())[0] == 1012
        async with place.page("eve") as eve:
            assert await code(eve, "join", room="open", after="0:0") == "ok"
            assert await eve.bodies(2) == ["meanwhile", "by eve"]
        assert (await place.get("/healthz"))[0] == 200


async def test_who_becomes_an_operator_is_out_with_what_to_do(keyed: Keyed) -> None:
    async with keyed.gateway() as place, place.page("eve", "open") as eve:
        keyed.rule(RULES.replace('["root"]', '["root", "eve"]'))
        error = await eve.until("error")
        assert error["code"] == "wrong_name"
        assert "use a client with a key of eve's own" in error["text"]
        assert (await eve.end())[0] == 4001
