"""How far `zchat tail` has really written: what could not be written comes again, what was written does not."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from tests.cli.tail.driver import Resting, kept, say, seqs, zchat_client
from tests.mortal import Mortal
from tests.running import Start, Zchat, eventually
from zchat.broker import Broker


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_follower_that_is_ended_by_a_signal_goes_on_after_its_last_line(
    start: Start, zchat: Zchat, broker: Broker, file: Path, number: int, code: int
) -> None:
    say(broker.url, *map(str, range(5)))
    tail = ("tail", "--json", "--resume", str(file), "General")
    running = start(*tail, "-f", traced=False)
    running.until('"seq": 5,')
    say(broker.url, *map(str, range(3_000)))
    running.until('"seq": 3005,')
    eventually(Resting(running.process.pid), "it waits for more, all being written")
    running.process.send_signal(number)
    assert running.end() == code
    assert running.errors == ""
    assert kept(file) == 3_005
    say(broker.url, "more")
    assert seqs(zchat(*tail)) == [3_006]


def test_a_signal_amid_a_stream_leaves_nothing_out(start: Start, zchat: Zchat, broker: Broker, file: Path) -> None:
    say(broker.url, *map(str, range(100_000)))
    running = start("tail", "--json", "-f", "--after", "0", "--resume", str(file), "General", traced=False)
    running.until('"seq": 30000,')
    running.process.send_signal(signal.SIGTERM)
    assert running.end() == 143
    written = [json.loads(line)["seq"] for line in running.text.splitlines()[:-1]]  # the last may be cut
    rest = seqs(zchat("tail", "--json", "--resume", str(file), "General"))
    assert written == list(range(1, len(written) + 1))
    assert not rest or rest == list(range(rest[0], 100_001))
    assert not rest or rest[0] <= len(written) + 2


def test_a_follower_that_is_killed_may_repeat_and_never_leaves_out(
    start: Start, zchat: Zchat, tmp_path: Path, file: Path
) -> None:
    with Mortal(f"sqlite:{tmp_path / 'z.db'}") as mortal:
        say(mortal.url, "first")
        tail = ("tail", "--json", "--resume", str(file), "General")
        running = start(*tail, "-f", ZCHAT_URL=mortal.url)
        running.until('"seq": 1,')
        eventually(lambda: kept(file) == 1, "the position is kept")
        say(mortal.url, *map(str, range(2_000)))
        running.until('"seq": 2001,')
        running.process.kill()
        running.end()
        mortal.kill()
        mortal.start()
        say(mortal.url, "after it")
        rest = seqs(zchat(*tail, ZCHAT_URL=mortal.url))
        assert rest == list(range(rest[0], 2_003))
        assert rest[0] <= 2_002


def test_what_could_not_be_written_comes_again(start: Start, zchat: Zchat, broker: Broker, file: Path) -> None:
    say(broker.url, "one")
    tail = ("tail", "--json", "--resume", str(file), "General")
    assert seqs(zchat(*tail)) == [1]
    say(broker.url, "two")
    assert start(shell=f'"$@" {" ".join(tail)} >/dev/full').end() == 1
    assert start(shell=f'"$@" {" ".join(tail)} | true; exit ${{PIPESTATUS[0]}}').end() == 0
    assert kept(file) <= 2
    with zchat_client(broker.url) as client:
        assert client.history("General")[-1].seq == 2
    if kept(file) == 1:
        assert seqs(zchat(*tail)) == [2]
