"""The long form's second: brokers in processes of their own, and everything at once."""

from __future__ import annotations

from pathlib import Path

from tests.attacks.long import attack


def test_brokers_live_and_honest_clients_have_all_of_each_other_whatever_comes_at_once(tmp_path: Path) -> None:
    for side in attack(tmp_path, seed=1, seconds=0.5, rounds=1):
        assert side.sent["frames"]
        assert side.sent["connections"]
        assert [heard.number > 0 for heard in side.heard] == [True]
