"""What a program learns of its broker."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.faces import Face
from tests.running import eventually
from zchat import BusyRoom, Histogram, Stats, VersionRefused
from zchat.broker import Broker
from zchat.protocol.faces.steps import overall_of, stats_of
from zchat.wire.replies import decode_reply


def test_a_program_learns_what_the_broker_counts(face: Face) -> None:
    with Broker("tcp://127.0.0.1:*") as broker, face.client(broker.url, user="alice") as client:
        client.join("General").send_many(["one", "two"])
        found = client.stats()
        assert found.counts["messages"] == 2
        assert found.counts["received_bytes"] > 0
        assert found.counts["sent_bytes"] > 0
        turns = found.times["turn"]
        assert 0 < turns.total <= found.counts["turns"]
        assert turns.sum > 0


def test_commits_are_counted_with_their_time_and_size(face: Face, tmp_path: Path) -> None:
    with (
        Broker("tcp://127.0.0.1:*", store=f"sqlite:{tmp_path / 'chat.db'}") as broker,
        face.client(broker.url, user="alice") as client,
    ):
        room = client.join("General")
        for number in range(3):
            room.send("x" * 1_000 * (number + 1))
        found = client.stats()
    assert found.counts["commits"] == found.times["commit"].total == found.times["commit_bytes"].total == 3
    assert 6_000 < found.counts["commit_bytes"] == found.times["commit_bytes"].sum < 7_000
    assert found.times["commit"].sum > 0


def test_the_time_that_the_broker_sleeps_is_no_part_of_its_turns(face: Face) -> None:
    with Broker("tcp://127.0.0.1:*") as broker, face.client(broker.url, user="alice") as client:

        def idle() -> bool:
            found = client.stats()
            return found.counts["uptime"] > 500_000 and found.times["turn"].sum * 2 < found.counts["uptime"]

        eventually(idle, "a broker with next to nothing to do is busy for a small part of its time")


def told(result: list[Any]) -> Stats:
    return stats_of(decode_reply("stats", result))


def test_a_program_learns_what_all_brokers_have_where_there_is_one(face: Face) -> None:
    with Broker("tcp://127.0.0.1:*") as broker, face.client(broker.url, user="alice") as client:
        client.join("General").send_many(["one", "two"])
        found = client.overall_stats()
    assert (found.counts["messages"], found.counts["users"], found.counts["sessions"]) == (2, 1, 1)
    (alone,) = found.brokers
    assert (alone.id, alone.age, alone.counts["messages"]) == ("", 0.0, 2)


def test_a_broker_that_is_too_old_for_figures_of_all_is_named_so(face: Face, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zchat.broker.core.handlers.OVERALL", 0)
    with Broker("tcp://127.0.0.1:*") as broker, face.client(broker.url, user="alice") as client:
        with pytest.raises(VersionRefused, match="update it"):
            client.overall_stats()
        assert client.stats().counts["sessions"] == 1, "it goes on"


def test_ages_are_seconds_and_a_brokers_id_is_harmless() -> None:
    reply = decode_reply("stats", [{}, {}, [], {}, [], {"users": 1}, [["\x1b[2J" + "x" * 900, 1_500_000, {}, "more"]]])
    found = overall_of(reply)
    assert found is not None
    assert found.brokers[0].age == 1.5
    assert "\x1b" not in found.brokers[0].id
    assert len(found.brokers[0].id) < 900


def test_an_older_broker_tells_no_times_and_no_busiest_rooms() -> None:
    found = told([{"messages": 1}, {}, [["General", "bob", 2]]])
    assert found == ({"messages": 1}, {}, [("General", "bob", 2)], {}, [])


def test_what_a_later_broker_adds_is_passed_over() -> None:
    found = told([{}, {}, [], {"turn": [[10], [1, 2], 30, "more"]}, [["General", 1, 2, 3, 4]], "more"])
    assert found.times == {"turn": Histogram([10], [1, 2], 30)}
    assert found.busiest == [BusyRoom("General", 1, 2, 3)]


@pytest.mark.parametrize(
    ("counts", "share", "bound"),
    [
        ([0, 0, 0], 0.5, None),
        ([1, 0, 0], 0.5, 10),
        ([1, 1, 0], 0.5, 10),
        ([1, 2, 0], 0.5, 20),
        ([99, 0, 1], 0.99, 10),
        ([98, 0, 2], 0.99, None),
        ([0, 5, 0], 0.0, 20),
        ([4, 5, 0], 1.0, 20),
    ],
)
def test_a_histogram_tells_under_which_bound_a_share_of_the_values_lies(
    counts: list[int], share: float, bound: int | None
) -> None:
    assert Histogram([10, 20], counts, 0).quantile(share) == bound
