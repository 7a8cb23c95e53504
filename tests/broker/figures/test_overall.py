"""The figures over all brokers that share a store."""

from __future__ import annotations

from typing import Any

import pytest

from tests.broker.driver import Peer, World
from tests.broker.shared import SharedStore
from zchat.broker.figures.overall import ADDED, LARGEST, SHARED, BrokerFigures
from zchat.broker.figures.stats import METRICS
from zchat.broker.guard.rules import Rules
from zchat.broker.limits import BROKERS_COUNTED, COUNTED_FOR
from zchat.broker.store.contract import Present
from zchat.broker.store.memory import MemoryStore
from zchat.broker.store.news import Counted, News
from zchat.wire.limits import OVERALL
from zchat.wire.notices import ERROR, OK
from zchat.wire.values import pack

NONE = dict.fromkeys(SHARED, 0)


def figures(store: Any, own: dict[str, int], repeated: int = 0) -> BrokerFigures:
    return BrokerFigures(store, lambda now: {**NONE, "turns": 7, **own}, lambda: repeated)


def test_each_figure_that_is_told_is_one_that_stats_has() -> None:
    assert set(SHARED) <= set(METRICS)
    assert len(set(SHARED)) == len(SHARED) == len(ADDED) + len(LARGEST) + 1


def test_figures_are_added_up_and_those_of_each_broker_are_there_with_their_age() -> None:
    found = figures(SharedStore(), {"messages": 3, "rooms": 5, "users": 2, "uptime": 9})
    found.told(Counted({"messages": 4, "rooms": 4, "users": 1, "uptime": 8}), b"b", 10.0)
    counts, brokers = found.read(10.5)
    assert (counts["messages"], counts["rooms"], counts["users"], counts["sessions"]) == (7, 5, 3, 0)
    assert counts.keys() == {*ADDED, *LARGEST}, "nobody has the sum of the times for which they run"
    assert brokers[0] == (b"here".hex(), 0, {**NONE, "messages": 3, "rooms": 5, "users": 2, "uptime": 9})
    assert brokers[1:] == [(b"b".hex(), 500_000, {"messages": 4, "rooms": 4, "users": 1, "uptime": 8})]
    found.told(Counted({"messages": 6}), b"b", 11.0)
    assert found.read(11.0).counts["messages"] == 9, "it counts from its start, and the last word is what counts"


@pytest.mark.parametrize(("repeated", "users"), [(0, 5), (1, 4), (2, 3), (3, 3), (9, 3)])
def test_who_is_at_several_brokers_is_one_user_and_there_are_no_fewer_than_at_one(repeated: int, users: int) -> None:
    found = figures(SharedStore(), {"users": 2}, repeated)
    found.told(Counted({"users": 3}), b"b", 0.0)
    assert found.read(0.0).counts["users"] == users


def test_a_broker_that_has_ended_is_left_out_at_once_and_one_that_is_silent_after_a_while() -> None:
    found = figures(SharedStore(), {})
    for broker in (b"b", b"c"):
        found.told(Counted({"messages": 1}), broker, 0.0)
    found.told(Counted({}), b"c", 1.0)
    found.told(Counted({}), b"d", 1.0)
    assert [row.id for row in found.read(COUNTED_FOR).brokers[1:]] == [b"b".hex()]
    counts, brokers = found.read(COUNTED_FOR + 0.1)
    assert (counts["messages"], len(brokers)) == (0, 1)


def test_a_bounded_number_of_brokers_is_counted_and_those_that_are_go_on_being() -> None:
    found = figures(SharedStore(), {})
    large = dict.fromkeys(SHARED, 1 << 40)
    for number in range(BROKERS_COUNTED + 5):
        found.told(Counted({**large, "messages": 1}), b"%08d" % number, 0.0)
    found.told(Counted({**large, "messages": 2}), b"%08d" % 0, 5.0)
    counts, brokers = found.read(5.0)
    assert (counts["messages"], len(brokers)) == (BROKERS_COUNTED, BROKERS_COUNTED)
    assert 70_000 < len(pack([counts, brokers])) < 80_000
    found.tell(COUNTED_FOR + 1)
    found.told(Counted({"messages": 1}), b"new", COUNTED_FOR + 1)
    assert len(found.read(COUNTED_FOR + 1).brokers) == 3, "what has been silent gives its place up without a question"


def test_a_broker_tells_its_figures_once_a_second_and_at_its_end_that_it_has_none() -> None:
    store = SharedStore()
    world = World(store=store)
    Peer(world, "alice").join("General")
    store.news.clear()
    for _ in range(3):
        world.pass_time(1)
    told = [news.counts for news in store.news if isinstance(news, Counted)]
    assert [counts["users"] for counts in told] == [1, 1, 1]
    assert all(tuple(counts) == SHARED for counts in told), "counts alone, and no more than these"
    world.core.dismiss()
    assert store.news[-1] == Counted({})


def test_a_broker_whose_store_nobody_shares_tells_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[News] = []
    monkeypatch.setattr(MemoryStore, "tell", lambda self, news: told.append(news))
    world = World()
    world.pass_time(2)
    world.core.dismiss()
    assert told == []


def test_who_asks_for_them_is_sent_the_figures_over_all_brokers_too_and_nobody_else() -> None:
    store = SharedStore()
    world = World(store=store)
    alice, bob = Peer(world, "alice"), Peer(world, "bob")
    alice.join("General")
    bob.join("General")
    alice.send("General", "a", "b")
    others = Counted({"messages": 5, "users": 2})
    store.reports.append(lambda watcher: watcher.came(Present("General", "", "Alice", 1), b"b"))
    store.reports.append(lambda watcher: watcher.came(Present("General", "", "zoe", 1), b"b"))
    store.reports.append(lambda watcher: watcher.came(Present("General", "", "alice", 2), b"b"))  # spelt otherwise
    store.reports.append(lambda watcher: watcher.told(others, b"b"))
    world.run()
    assert len(alice.do("stats")) == len(alice.do("stats", 0)) == 7
    *plain, overall, brokers = alice.do("stats", OVERALL)[2:]
    assert [type(each) for each in plain] == [dict, dict, list, dict, list]
    assert (overall["messages"], overall["users"]) == (7, 3)
    assert [row[0] for row in brokers] == [b"here".hex(), b"b".hex()]
    assert brokers[1][2] == others.counts
    store.reports.append(lambda watcher: watcher.went("general", "alice", b"b"))
    world.run()
    assert alice.do("stats", OVERALL)[-2]["users"] == 4
    assert alice.do("stats", OVERALL | 6)[0] == OK, "what a later version asks for beside is passed over"


def test_a_broker_alone_is_all_there_is() -> None:
    alice = Peer(World(), "alice")
    alice.join("General")
    overall, brokers = alice.do("stats", OVERALL)[-2:]
    assert (overall["users"], overall["sessions"], len(brokers)) == (1, 1, 1)
    assert brokers[0][0] == ""


def test_who_may_not_ask_for_figures_may_not_ask_for_those_of_all() -> None:
    alice = Peer(World(rules=Rules()), "alice")
    answer = alice.do("stats", OVERALL)
    assert (answer[0], answer[2]) == (ERROR, "not_allowed")
