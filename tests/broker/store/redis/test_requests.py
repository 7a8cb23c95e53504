"""What is asked of the scripts: each request is a command that they take."""

from __future__ import annotations

from typing import Any

import pytest

from tests.broker.store.driver import ALICE, block
from tests.broker.store.redis.twin import Twin
from zchat.broker.store.contract import Places, Sanction
from zchat.broker.store.redis import scripts
from zchat.broker.store.redis.forms import pack_sanction
from zchat.broker.store.redis.partitions import Keys, partition_of
from zchat.broker.store.redis.requests import Call, Fence, Forget, Impose, Lift, Request, SetReadMark, Unmark, Write

KEYS = Keys("t")
NOW = 1_700_000_000_000_000
BY_SHA = {script.sha: script for script in scripts.ALL}


class Asked:
    """A twin that is attached to in all partitions, and asked by requests."""

    def __init__(self) -> None:
        self._twin = Twin()
        for shelf in KEYS.shelves:
            self._twin.call(scripts.ATTACH, [shelf.info, shelf.feed], b"run", b"broker", 7)

    def __call__(self, request: Request) -> Any:
        word, sha, count, *rest = request.command(KEYS, Fence(b"run", b"broker", 1), str(NOW))
        assert word == "EVALSHA"
        assert isinstance(count, int)
        keys = [key for key in rest[:count] if isinstance(key, bytes)]
        return self._twin.call(BY_SHA[str(sha)], keys, *rest[count:])


@pytest.fixture
def ask() -> Asked:
    return Asked()


def test_a_block_is_stored_once_and_its_producer_forgotten(ask: Asked) -> None:
    write = Write("general", block(1, "a", "b"), False)
    assert ask(write) == [b"stored", 1, NOW, 7, 1]
    assert ask(write) == [b"duplicate", 1, 2, NOW, 7]
    assert ask(Forget("general", ALICE, "alice", NOW - 1)) == [b"none"]
    assert ask(Forget("general", ALICE, "alice", NOW)) == [b"gone"]
    assert ask(Write("general", block(2, "c"), False)) == [b"forgotten"]
    assert ask(Write("general", block(1, "c"), True)) == [b"crowded"]
    assert write.size == len(write.append.bodies)


def test_a_read_mark_is_moved_and_removed(ask: Asked) -> None:
    assert ask(SetReadMark("general", "bob", 5, False)) == [b"none"]
    ask(Write("general", block(1, "a", "b"), False))
    assert ask(SetReadMark("general", "bob", 5, True)) == [b"crowded"]
    assert ask(SetReadMark("general", "bob", 5, False)) == [b"marked", 2, NOW, 1]
    assert ask(Unmark("general", "bob", NOW - 1)) == [b"none"]
    assert ask(Unmark("general", "bob", NOW)) == [b"gone", 2]


def test_a_sanction_is_imposed_and_lifted_whatever_the_case_of_its_names(ask: Asked) -> None:
    sanction = Sanction("General", "Bob", "ban", 0, "Alice", NOW, "spam")
    places = Places(1, 1, 1)
    assert ask(Impose("general", sanction, places)) == [b"imposed", 1, None, 1]
    kept = (1).to_bytes(8, "big") + b"alice\0" + pack_sanction(sanction)
    again = sanction._replace(user="BOB", by="ALICE")
    assert ask(Impose("general", again, places)) == [b"imposed", 2, kept, 2]
    assert ask(Impose("general", sanction._replace(kind="mute"), places)) == [b"crowded", b"room", 1]
    assert ask(Lift("general", "bob", "ban", 1)) == [b"none"]
    assert ask(Lift("general", "bob", "ban", 2))[0] == b"lifted"


def test_a_call_knows_its_partition() -> None:
    assert Call(Write("general", block(1, "a"), False)).partition == partition_of("general")
    assert Call(SetReadMark("other", "bob", 1, False)).partition == partition_of("other")
    assert Call(Lift("general", "bob", "ban", 0)).partition == 0
