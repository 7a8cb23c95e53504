"""`zchat tail --resume` goes on where it ended: nothing is left out, and after an orderly end nothing comes twice."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

import zchat
from tests.mortal import Mortal
from tests.running import Start, Zchat, eventually
from zchat.broker import Broker
from zchat.cli.tail.resume import ResumeError, ResumeFile
from zchat.messages import Position


def say(url: str, *texts: str, room: str = "General", user: str = "bob") -> None:
    with zchat.Client(url, user=user) as client:
        client.join(room).send_many(texts)


def seqs(done: subprocess.CompletedProcess[str]) -> list[int]:
    assert done.returncode == 0, done.stderr
    return [json.loads(line)["seq"] for line in done.stdout.splitlines()]


def kept(file: Path) -> int:
    return int(json.loads(file.read_text())["seq"]) if file.exists() and file.stat().st_size else 0


class Resting:
    """True if a process's main thread has been asleep since the call before, not waiting for Python's lock."""

    def __init__(self, pid: int) -> None:
        self._status = Path(f"/proc/{pid}/status")
        self._before = ""

    def __call__(self) -> bool:
        state, switches = re.findall(
            r"^(?:State|voluntary_ctxt_switches):\t(.*)$", self._status.read_text(), re.MULTILINE
        )
        before, self._before = self._before, switches  # who waits for the lock wakes every 5 ms
        return bool(state.startswith("S") and switches == before)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "seen"


def test_the_first_time_it_begins_as_without_a_file_and_then_where_it_ended(
    zchat: Zchat, broker: Broker, file: Path
) -> None:
    say(broker.url, *map(str, range(30)))
    tail = ("tail", "--json", "--resume", str(file), "General")
    assert seqs(zchat(*tail)) == list(range(21, 31))
    assert seqs(zchat(*tail)) == []
    say(broker.url, *map(str, range(5_000)))
    assert seqs(zchat(*tail, "-n", "3")) == list(range(31, 5_031)), "-n is for the first time"
    file.unlink()
    assert seqs(zchat(*tail, "-n", "0")) == []
    say(broker.url, "new")
    assert seqs(zchat(*tail)) == [5_031]
    file.write_text("")
    assert seqs(zchat(*tail, "--after", "5029")) == [5_030, 5_031], "an empty file is a new one"


def test_an_empty_room_is_begun_at_its_start(zchat: Zchat, broker: Broker, file: Path) -> None:
    tail = ("tail", "--json", "--resume", str(file), "General")
    assert seqs(zchat(*tail)) == []
    say(broker.url, *map(str, range(20)))
    assert seqs(zchat(*tail)) == list(range(1, 21))


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_follower_that_is_ended_by_a_signal_goes_on_behind_its_last_line(
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
        say(mortal.url, "behind it")
        rest = seqs(zchat(*tail, ZCHAT_URL=mortal.url))
        assert rest == list(range(rest[0], 2_003))
        assert rest[0] <= 2_002


def test_a_killed_broker_is_waited_for_and_the_position_holds(
    start: Start, zchat: Zchat, tmp_path: Path, file: Path
) -> None:
    with Mortal(f"sqlite:{tmp_path / 'z.db'}") as mortal:
        say(mortal.url, "first")
        tail = ("tail", "--json", "--resume", str(file), "General")
        running = start(*tail, "-f", traced=False, ZCHAT_URL=mortal.url)
        running.until('"seq": 1,')
        mortal.kill()
        mortal.start()
        say(mortal.url, "second")
        running.until('"seq": 2,')
        eventually(Resting(running.process.pid), "it waits for more, all being written")
        running.process.send_signal(signal.SIGINT)
        assert running.end() == 130
        assert "reconnected" in running.errors
        assert seqs(zchat(*tail, ZCHAT_URL=mortal.url)) == []
        say(mortal.url, "third")
        assert seqs(zchat(*tail, ZCHAT_URL=mortal.url)) == [3]


def test_another_log_is_told_as_a_gap_and_it_goes_on(zchat: Zchat, file: Path) -> None:
    tail = ("tail", "--json", "--resume", str(file), "General")
    with Mortal("memory:") as mortal:
        say(mortal.url, *map(str, range(5)))
        assert seqs(zchat(*tail, ZCHAT_URL=mortal.url)) == [1, 2, 3, 4, 5]
        for before in (2, 9):  # a log that ends before the position, and one that ends after it
            mortal.kill()
            mortal.start()
            say(mortal.url, *map(str, range(before)))
            done = zchat(*tail, ZCHAT_URL=mortal.url)
            assert seqs(done) == []
            told = f"zchat: General: the room's log was replaced; reading continues after message {before}\n"
            assert done.stderr == told
            say(mortal.url, "new")
            done = zchat(*tail, ZCHAT_URL=mortal.url)
            assert (seqs(done), done.stderr) == ([before + 1], "")


def test_what_was_trimmed_meanwhile_is_told(zchat: Zchat, tmp_path: Path, file: Path) -> None:
    store = f"sqlite:{tmp_path / 'z.db'}"
    tail = ("tail", "--json", "--resume", str(file), "General")
    with Broker("tcp://127.0.0.1:*", store=store) as first:
        say(first.url, "one", "two")
        assert seqs(zchat(*tail, ZCHAT_URL=first.url)) == [1, 2]
        for number in range(40):
            say(first.url, *[str(number)] * 100)
    with Broker("tcp://127.0.0.1:*", store=store, retain_messages=10) as second:
        with zchat_client(second.url) as looker:
            eventually(lambda: looker.history("General", after=0, limit=1)[0].seq > 3, "the log is trimmed")
        done = zchat(*tail, ZCHAT_URL=second.url)
        shown = seqs(done)
        assert shown == list(range(shown[0], 4_003))
        assert done.stderr == f"zchat: General: messages 3 to {shown[0] - 1} are no longer kept\n"


def zchat_client(url: str) -> zchat.Client:
    return zchat.Client(url, user="looker")


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


@pytest.mark.parametrize(
    "content",
    [
        *("{", "[]", "null", "7", "\x80\xff", '{"zchat": "position"}', "x" * 10_000, "[" * 4_000),
        '{"zchat": "position", "room": "General", "epoch": -1, "seq": 1}',
        '{"zchat": "position", "room": "General", "epoch": 1, "seq": true}',
    ],
)
def test_a_damaged_file_is_refused_with_what_to_do(zchat: Zchat, file: Path, content: str) -> None:
    file.write_text(content, encoding="latin-1")
    done = zchat("tail", "--resume", str(file), "General")
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr == (
        f"zchat: {file} is damaged or not a file of zchat tail --resume: "
        "delete it, and set with -n or --after where to begin\n"
    )
    assert file.read_text(encoding="latin-1") == content, "it is left alone"


def test_a_file_of_another_room_is_refused(zchat: Zchat, broker: Broker, file: Path) -> None:
    say(broker.url, "one", room="Builds")
    assert zchat("tail", "--resume", str(file), "Builds").returncode == 0
    assert zchat("tail", "--resume", str(file), "BUILDS").returncode == 0
    done = zchat("tail", "--resume", str(file), "General")
    assert done.returncode == 1
    assert done.stderr == f"zchat: {file} belongs to the room 'Builds', not 'General'; name another file\n"


def test_a_direct_room_is_another_one_for_everybody(zchat: Zchat, broker: Broker, file: Path) -> None:
    say(broker.url, "psst", room="@alice")
    say(broker.url, "psst", room="@carol")
    assert "psst" in zchat("tail", "--resume", str(file), "@bob").stdout
    done = zchat("tail", "--resume", str(file), "--user", "carol", "@bob")
    assert done.returncode == 1
    assert done.stderr == f"zchat: {file} belongs to a direct room of 'alice', not of 'carol'; name another file\n"


def test_two_at_once_with_one_file_are_refused(start: Start, zchat: Zchat, broker: Broker, file: Path) -> None:
    say(broker.url, "one")
    running = start("tail", "-f", "--resume", str(file), "General", traced=False)
    running.until("one")
    eventually(lambda: kept(file) == 1, "the file was replaced")
    done = zchat("tail", "--resume", str(file), "General")
    assert done.returncode == 1
    assert done.stderr == f"zchat: {file} is in use by another zchat tail; end it, or name another\n"
    running.process.send_signal(signal.SIGINT)
    assert running.end() == 130
    assert zchat("tail", "--resume", str(file), "General").returncode == 0


def test_what_is_no_file_is_refused(zchat: Zchat, tmp_path: Path) -> None:
    done = zchat("tail", "--resume", "/dev/null", "General")
    assert done.returncode == 1
    assert done.stderr == "zchat: /dev/null is not a regular file; name another with --resume\n"
    assert zchat("tail", "--resume", str(tmp_path), "General").returncode == 1
    assert zchat("tail", "--resume", str(tmp_path / "no" / "folder"), "General").returncode == 1


def test_a_link_is_followed_and_the_files_permissions_stay(file: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.touch()
    target.chmod(0o640)
    file.symlink_to(target)
    with ResumeFile(str(file), "General", "alice") as resume:
        resume.keep(Position(7, 8))
    assert file.is_symlink()
    assert target.stat().st_mode & 0o777 == 0o640
    with ResumeFile(str(file), "general", "bob") as resume:
        assert resume.position == Position(7, 8)
        with pytest.raises(ResumeError, match="in use"):
            ResumeFile(str(target), "General", "alice")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["seen", "target"]


def test_no_file_beside_it_is_overwritten_and_nothing_is_left_there(
    zchat: Zchat, broker: Broker, file: Path, tmp_path: Path
) -> None:
    mine = {f"seen{end}": f"mine {end}" for end in (".new", ".tmp", "~", ".zchat-0123456789abcdeg")}
    for name, content in mine.items():
        (tmp_path / name).write_text(content)
    leftover = tmp_path / ".seen.zchat-0123456789abcdef"
    leftover.write_text("of a process that was killed")
    for number in (1, 2):
        say(broker.url, str(number))
        assert seqs(zchat("tail", "--json", "--resume", str(file), "General")) == [number]
    assert {name: (tmp_path / name).read_text() for name in mine} == mine
    assert {path.name for path in tmp_path.iterdir() if path.is_file()} == {*mine, "seen"}
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_file_that_cant_be_replaced_is_refused_before_anything_is_shown(
    start: Start, broker: Broker, tmp_path: Path, needs: Callable[[str], str]
) -> None:
    needs("unshare")
    say(broker.url, "one")
    folder = tmp_path / "readonly"
    folder.mkdir()
    (folder / "seen").touch()
    tail = f'"$@" tail --resume {folder / "seen"} General'
    mount = f"mount -t tmpfs none {folder} && touch {folder}/seen && mount -o remount,ro {folder}"
    running = start(shell=f"""unshare -Urm bash -c '{mount} && {tail}' bash "$@" """)
    assert running.end() == 1
    assert running.text == ""
    assert re.fullmatch(
        r"zchat: \S+/readonly/seen can't be read and replaced \(Read-only file system\); .*\n", running.errors
    )


def test_a_link_that_leads_nowhere_is_refused(zchat: Zchat, broker: Broker, file: Path, tmp_path: Path) -> None:
    say(broker.url, "one")
    file.symlink_to(file)
    done = zchat("tail", "--resume", str(file), "General")
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(rf"zchat: {file} can't be read and replaced \(.*\); name another with --resume\n", done.stderr)
    file.unlink()
    file.symlink_to(tmp_path / "no" / "folder")
    done = zchat("tail", "--resume", str(file), "General")
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(rf"zchat: {file} can't be read and replaced \(No such.*\); .*\n", done.stderr)


def test_it_excludes_unread(zchat: Zchat, file: Path) -> None:
    done = zchat("tail", "--resume", str(file), "--unread", "General")
    assert done.returncode == 2
    assert "use only one of --resume and --unread" in done.stderr
    assert not file.exists()
