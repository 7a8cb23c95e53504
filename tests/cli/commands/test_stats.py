"""`zchat stats`."""

from __future__ import annotations

import json
import re

import pytest

from tests.cli.driver import say
from tests.running import Zchat
from zchat.broker import Broker
from zchat.cli.commands.stats import explained, shown, shown_overall
from zchat.stats import BrokerStats, BusyRoom, Histogram, OverallStats, Stats


def test_stats_shows_what_the_broker_counts(zchat: Zchat, broker: Broker) -> None:
    say(broker, "Movies", "one", "two")
    zchat("members", "Nowhere")
    lines = zchat("stats").stdout.splitlines()
    assert any(re.fullmatch(r"messages +2", line) for line in lines)
    assert any(re.fullmatch(r"refused: no_such_room +1", line) for line in lines)
    (line,) = zchat("stats", "--json").stdout.splitlines()
    found = json.loads(line)
    assert found.keys() == {"counts", "refused", "lagging", "times", "busiest"}
    assert found["counts"]["messages"] == 2
    assert found["counts"]["sessions"] == 1
    assert found["refused"] == {"no_such_room": 1}
    assert found["lagging"] == []
    assert {room["room"] for room in found["busiest"]} <= {"Movies"}  # once it has compared two samples
    assert found["times"].keys() == {"turn", "commit", "commit_bytes"}
    turn = found["times"]["turn"]
    assert turn.keys() == {"bounds", "counts", "sum"}
    assert len(turn["counts"]) == len(turn["bounds"]) + 1
    assert sum(turn["counts"]) > 0, "the loop has turned"
    assert not sum(found["times"]["commit"]["counts"]), "memory needs no commit"


def test_stats_of_all_shows_what_all_brokers_have_and_each(zchat: Zchat, broker: Broker) -> None:
    say(broker, "Movies", "one", "two")
    lines = zchat("stats", "--all").stdout.splitlines()
    assert any(re.fullmatch(r"messages +2", line) for line in lines)
    assert [line.split() for line in lines[-2:]] == [
        ["BROKER", "SESSIONS", "USERS", "STORED", "SENT"],
        ["this", "one", "1", "1", "2", "0"],
    ]
    found = json.loads(zchat("stats", "--all", "--json").stdout)
    assert found["counts"]["messages"] == 2
    assert found["brokers"][0]["counts"]["messages"] == 2
    assert zchat("stats", "--all", "--explain").returncode == 2


@pytest.mark.parametrize("columns", [80, 40])
def test_stats_of_all_fit_the_terminal(columns: int) -> None:
    counts = {"sessions": 12_345, "users": 12_000, "messages": 1_234_567_890, "deliveries": 5}
    brokers = [BrokerStats("0123456789abcdef", 0.0, counts), BrokerStats("\x1b[2J", 1.0, {})]
    lines = shown_overall(OverallStats({"messages": 1_234_567_891}, brokers), columns)
    assert max(map(len, lines)) <= columns
    text = "\n".join(lines)
    assert re.search(r"^messages +1,234,567,891$", text, re.MULTILINE)
    assert "01234567" in text
    assert "\x1b" not in text


@pytest.mark.parametrize("columns", [80, 40])
def test_stats_fit_the_terminal(columns: int) -> None:
    times = {"turn": Histogram([100, 250_000], [3, 1, 0], 300_000), "commit_bytes": Histogram([256], [0, 1], 999)}
    figures = Stats(
        {"messages": 1_234_567_890, "started": 1_700_000_000_000_000, "uptime": 90_000_000, "interval": 5_000_000},
        {"no_such_room": 1},
        [("r" * 64, "u" * 64, 5)],
        times,
        [BusyRoom("\x1b[2Jhostile " + "r" * 50, 1_000, 50_000, 5_000_000), BusyRoom("General", 2, 1, 0)],
    )
    lines = shown(figures, columns)
    assert max(map(len, lines)) <= columns
    text = "\n".join(lines)
    assert re.search(r"^messages +1,234,567,890$", text, re.MULTILINE)
    assert re.search(r"^turn: 50% up to +100 µs$", text, re.MULTILINE)
    assert re.search(r"^commit bytes: 99% up to +over 256$", text, re.MULTILINE)
    assert re.search(r"^General +2 +0.2 +0.0$", text, re.MULTILINE)
    assert re.search(r"1,000 +10,000.0 +1,000,000.0$", text, re.MULTILINE)
    assert "\x1b" not in text
    assert any("r" * 64 in line for line in shown(figures, 0)), "nothing is cut where there is no terminal"


def test_every_figure_is_explained(zchat: Zchat, broker: Broker) -> None:
    say(broker, "Movies", "one", "two")
    zchat("members", "Nowhere")
    plain = zchat("stats").stdout.splitlines()
    done = zchat("stats", "--explain")
    assert (done.returncode, done.stderr) == (0, "")
    assert "newer broker" not in done.stdout
    lines = done.stdout.splitlines()
    figures = [line for line in lines if line and not line.startswith("    ")]
    assert [line.rsplit(" ", 1)[0].split("  ")[0] for line in figures][:30] == [
        line.rsplit(" ", 1)[0].split("  ")[0] for line in plain
    ][:30]
    assert lines[lines.index(figures[0]) + 1].startswith("    Frames received")
    assert zchat("stats", "--explain", "--json").returncode == 2


@pytest.mark.parametrize("columns", [80, 40])
def test_explanations_fit_the_terminal_and_know_all_kinds_of_lines(columns: int) -> None:
    times = {"turn": Histogram([100], [3, 1], 3), "commit": Histogram([1], [0, 0], 0)}
    times["commit_bytes"] = Histogram([256], [0, 1], 999)
    figures = Stats({"stale_seen": 1}, {"no_such_room": 1}, [("r" * 64, "u", 5)], times, [BusyRoom("General", 2, 1, 0)])
    lines = explained(figures, columns)
    assert max(map(len, lines)) <= columns
    assert "newer broker" not in "\n".join(lines)
    assert "A newer broker counts this." in "\n".join(explained(figures._replace(counts={"novel": 1}), columns))
