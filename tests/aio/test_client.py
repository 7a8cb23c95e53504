"""A client in an event loop: connecting, closing, and what is left when either is broken off."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

import zchat
from tests.loop import run, until
from tests.mortal import Mortal
from tests.running import DEADLINE, OWN_HOST, ROOT, eventually
from zchat.broker import Broker
from zchat.transport import keys


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


async def test_a_client_talks_and_closes(broker: Broker, name: str) -> None:
    client = zchat.AsyncClient(broker.url, user="alice")
    assert await client.connect() is client
    room = await client.join(name)
    assert await client.join(name.upper()) is room
    assert repr(room) == f"<AsyncRoom {name!r}>"
    assert name in [each.name for each in await client.rooms()]
    assert [each.user for each in await client.members(name)] == ["alice"]
    assert (await client.stats()).counts["sessions"] >= 1
    assert client.max_message == 1 << 20
    assert not await client.wait(0)
    with pytest.raises(zchat.UsageError, match="an AsyncRoom"):
        await client.leave(name)  # type: ignore[arg-type]
    await client.leave(room)
    await client.close()
    await client.aclose()
    assert await client.wait()
    with pytest.raises(zchat.UsageError, match="closed"):
        await client.rooms()


async def test_an_invited_room_is_joined_and_read(broker: Broker) -> None:
    async with zchat.AsyncClient(broker.url, user="carol") as carol, zchat.AsyncClient(broker.url, user="dave") as dave:
        events = carol.events(DEADLINE)
        room = await dave.direct("carol")
        sent = await room.send("psst")
        assert await anext(events) == zchat.Invited("@dave", "dave")
        heard = await anext(events)
        assert isinstance(heard, zchat.Message)
        assert (heard.seq, heard.body) == (sent.seq, "psst")


async def test_a_gateway_reads_in_batches_unseen_and_sends_where_it_does_not_read(broker: Broker, name: str) -> None:
    async with (
        zchat.AsyncClient(broker.url, user="reader", invitations="report") as reader,
        zchat.AsyncClient(broker.url, user="bob") as bob,
    ):
        said = await bob.join(name, reads=False)
        await reader.join(name, present=False)
        await said.send_many(range(100))
        found: list[object] = []
        async for event in reader.events(DEADLINE, batches=True):
            assert not isinstance(event, zchat.Message)
            found += event.bodies if isinstance(event, zchat.Batch) else []
            if len(found) == 100:
                break
        assert found == list(range(100))
        batch = await reader.history_batch(name, after=90)
        assert batch is not None
        assert batch.bodies == list(range(90, 100))
        await (await bob.direct("reader")).send("hi")
        async for event in reader.events(DEADLINE):
            if isinstance(event, zchat.Invited):
                break


async def test_what_was_accepted_is_sent_before_a_client_is_closed(broker: Broker, name: str) -> None:
    async with zchat.AsyncClient(broker.url, user="alice") as client:
        room = await client.join(name)
        sending = [asyncio.create_task(room.send(number)) for number in range(100)]
        await asyncio.sleep(0)
    assert [message.body for message in await asyncio.gather(*sending)] == list(range(100))


async def test_without_a_broker_the_client_says_so_and_leaves_nothing() -> None:
    with Broker(f"tcp://{OWN_HOST}:*") as gone:
        url = gone.url
    with pytest.raises(zchat.ConnectionLost, match="no broker answered at tcp://127"):
        await zchat.AsyncClient(url, user="alice", timeout=0.1).connect()
    with pytest.raises(zchat.AddressError):
        await zchat.AsyncClient("nonsense", user="alice").connect()
    with pytest.raises(zchat.UsageError):
        zchat.AsyncClient(url, user="alice", timeout=-1)


async def test_a_host_is_looked_up_and_the_next_broker_tried(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    async def getaddrinfo(host: object, *arguments: object, **options: object) -> object:
        asked.append(host)
        if host == "nowhere.example":
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(2, 1, 6, "", (address, 0)) for address in ("127.0.0.2", "127.0.0.1")]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
    url = broker.url.replace("127.0.0.1", "chat.example")
    async with zchat.AsyncClient(["tcp://nowhere.example:9", url], user="alice", timeout=DEADLINE) as client:
        assert client.url == url
        assert await client.rooms()
    assert asked[0] == "nowhere.example"
    assert "chat.example" in asked


async def test_a_door_that_stays_shut_says_why(tmp_path: Path, broker: Broker) -> None:
    keys.make_server(tmp_path / "server")
    key = keys.make("alice")
    with Broker("tcp://127.0.0.1:*", keys=tmp_path / "server") as keyed:
        with pytest.raises(zchat.KeyNeeded):
            await zchat.AsyncClient(keyed.url, user="alice", timeout=DEADLINE).connect()
        server = tmp_path / "server" / "server.key"
        with pytest.raises(zchat.KeyRefused):
            await zchat.AsyncClient(keyed.url, key=key, server_key=server, timeout=DEADLINE).connect()
    with pytest.raises(zchat.NoKeysThere):
        await zchat.AsyncClient(broker.url, key=key, server_key=keys.make().public, timeout=DEADLINE).connect()


async def test_a_lost_connection_is_an_event_and_a_call_waits_for_the_next(tmp_path: Path) -> None:
    with Mortal(f"sqlite:{tmp_path / 'z.db'}") as mortal:
        async with zchat.AsyncClient(mortal.url, user="alice", timeout=DEADLINE) as client:
            events = client.events(DEADLINE)
            room = await client.join("General")
            await room.send("before")
            mortal.kill()
            assert isinstance(await anext(events), zchat.Disconnected)
            sending = asyncio.create_task(room.send("while it is away", timeout=DEADLINE))
            mortal.start()
            assert (await sending).seq == 2
            assert isinstance(await anext(events), zchat.Reconnected)


# -- cancelling --------------------------------------------------------------------------------------------


async def test_a_connect_that_is_cancelled_at_any_moment_leaves_nothing(broker: Broker) -> None:
    async with zchat.AsyncClient(broker.url, user="watcher"):  # the context has its descriptors
        before = descriptors()
        for turns in range(60):
            client = zchat.AsyncClient(broker.url, user="alice")
            connecting = asyncio.create_task(client.connect())
            for _ in range(turns // 2):
                await asyncio.sleep(0)
            if turns % 2:
                await asyncio.sleep(0.0005 * (turns % 7))
            connecting.cancel()
            await asyncio.gather(connecting, return_exceptions=True)
            if connecting.cancelled():
                assert client._lease.receiver is None or client._lease.receiver._dealer is None
            else:
                await client.close()
        await until(lambda: descriptors() <= before, "all sockets are closed")
        await until(lambda: broker.figures.counts["sessions"] == 1, "all sessions have ended")


async def test_a_join_that_is_cancelled_at_any_moment_leaves_no_membership(broker: Broker, name: str) -> None:
    async with zchat.AsyncClient(broker.url, user="alice") as client:
        for turns in range(60):
            joining = asyncio.create_task(client.join(name))
            for _ in range(turns // 4):
                await asyncio.sleep(0)
            if turns % 3 == 0:
                await asyncio.sleep(0.0002 * (turns % 9))
            joining.cancel()
            await asyncio.gather(joining, return_exceptions=True)
            if not joining.cancelled():
                await joining.result().leave()
            await until(lambda: not client._link.core._memberships.rooms, "it is in no room")
        await until(lambda: client._link.events.inboxes == [], "nothing is kept of it")
        assert (await client.join(name)).name == name


async def test_a_close_that_is_cancelled_has_said_goodbye_and_closed_the_sockets_before_that_goes_on() -> None:
    with Mortal() as mortal:
        client = await zchat.AsyncClient(mortal.url, user="alice", timeout=DEADLINE).connect()
        room = await client.join("General")
        mortal.freeze()
        sending = asyncio.create_task(room.send("x"))
        await asyncio.sleep(0.01)

        async def close() -> None:
            try:
                await client.close(DEADLINE)
            finally:
                assert client._link.receiver._dealer is None, "nothing may be awaited any more"

        closing = asyncio.create_task(close())
        await asyncio.sleep(0.01)
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        with pytest.raises(zchat.OutcomeUnknown):
            await sending
        mortal.thaw()
        async with zchat.AsyncClient(mortal.url, user="watcher", timeout=DEADLINE) as watcher:
            users = [member.user for member in await watcher.members("General")]
            while "alice" in users:
                users = [member.user for member in await watcher.members("General")]


async def test_a_scope_that_is_left_by_cancelling_closes_the_client(broker: Broker) -> None:
    clients: list[zchat.AsyncClient] = []

    async def work() -> None:
        async with zchat.AsyncClient(broker.url, user="alice") as client:
            clients.append(client)
            await asyncio.Event().wait()

    working = asyncio.create_task(work())
    await until(lambda: clients and clients[0]._link.connected, "it has connected")
    while not working.done():  # as anyio does, at each further wait
        working.cancel()
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await working
    assert await clients[0].wait()


# -- forgetting --------------------------------------------------------------------------------------------


async def test_a_client_that_is_dropped_warns_and_its_session_ends(broker: Broker) -> None:
    client = await zchat.AsyncClient(broker.url, user="alice").connect()
    receiver = client._link.receiver
    room = await client.join("General")
    del client
    assert await room.send("the room keeps it")
    with pytest.warns(ResourceWarning, match="a client of 'alice' .* was dropped without close"):
        del room
    assert await receiver.when_over(DEADLINE)


def test_a_program_that_forgets_to_close_ends_by_itself(broker: Broker) -> None:
    program = f"""
import asyncio, zchat
async def main():
    client = await zchat.AsyncClient({broker.url!r}, user="alice").connect()
    room = await client.join("General")
    asyncio.create_task(anext(room.messages()))
    await room.send("x")
asyncio.run(main())
asyncio.run(main())
print("over")
"""
    ran = subprocess.run(
        [sys.executable, "-W", "always", "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=DEADLINE
    )
    assert (ran.returncode, ran.stdout) == (0, "over\n")
    assert ran.stderr.count("was dropped without close()") == 2, ran.stderr


@pytest.mark.parametrize("how", ["dropped", "held"])
def test_a_client_that_is_forgotten_has_said_goodbye_when_its_loop_is_closed(how: str) -> None:
    kept: list[zchat.AsyncClient] = []

    async def main() -> None:
        client = await zchat.AsyncClient(broker.url, user="alice").connect()
        await client.join("General")
        if how == "held":
            kept.append(client)

    def forget() -> None:
        run(main())
        kept.clear()
        gc.collect()

    with Broker("tcp://127.0.0.1:*") as broker, zchat.Client(broker.url, user="bob") as bob:
        bob.join("General")
        with pytest.warns(ResourceWarning, match="a client of 'alice' .* was dropped without close"):
            forget()
        eventually(lambda: [member.user for member in bob.members("General")] == ["bob"], "alice has left")
        assert bob.stats().counts["expired"] == 0


def test_nothing_of_a_client_that_was_closed_is_warned_of(broker: Broker) -> None:
    program = f"""
import asyncio, zchat
async def main():
    async with zchat.AsyncClient({broker.url!r}, user="alice") as client:
        room = await client.join("General")
        await room.send("x")
asyncio.run(main(), debug=True)
asyncio.run(main())
"""
    command = [sys.executable, "-X", "dev", "-W", "error", "-c", program]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=DEADLINE)
    warnings = [line for line in ran.stderr.splitlines() if "Warning" in line]
    assert (ran.returncode, warnings) == (0, [])


def test_importing_zchat_does_not_bring_asyncio() -> None:
    program = """
import sys, zchat
zchat.Client, zchat.Room, zchat.Progress, zchat.Message
assert "asyncio" not in sys.modules
assert {"AsyncClient", "AsyncRoom"} <= set(dir(zchat))
zchat.AsyncClient
assert "asyncio" in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, timeout=DEADLINE)


def test_a_loop_that_is_used_again_may_have_a_client_each_time(broker: Broker) -> None:
    async def main() -> int:
        async with zchat.AsyncClient(broker.url, user="alice") as client:
            return (await (await client.join("General")).send("x")).seq

    first = run(main())
    with asyncio.Runner() as runner:
        assert [runner.run(main()), runner.run(main())] == [first + 1, first + 2]


async def test_it_is_closed_by_aclosing(broker: Broker) -> None:
    async with contextlib.aclosing(await zchat.AsyncClient(broker.url, user="alice").connect()) as client:
        assert await client.rooms()
    assert await client.wait()
