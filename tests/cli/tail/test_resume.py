"""`zchat tail --resume` goes on where it ended: nothing is left out, and after an orderly end nothing comes twice."""

from __future__ import annotations

import errno
import os
import re
import shlex
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.tail.driver import Resting, kept, say, seqs, zchat_client
from tests.closing import failing, still_open
from tests.mortal import Mortal
from tests.running import Start, Zchat, eventually
from zchat.broker import Broker
from zchat.cli.tail.resume import ResumeError, ResumeFile
from zchat.messages import Position


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


def test_another_log_is_reported_as_a_gap_and_it_goes_on(zchat: Zchat, file: Path) -> None:
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


def test_what_was_trimmed_meanwhile_is_reported(zchat: Zchat, tmp_path: Path, file: Path) -> None:
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
    start: Start, broker: Broker, tmp_path: Path, unshare: Callable[..., tuple[str, ...]]
) -> None:
    say(broker.url, "one")
    folder = tmp_path / "readonly"
    folder.mkdir()
    (folder / "seen").touch()
    tail = f'"$@" tail --resume {folder / "seen"} General'
    mount = f"mount -t tmpfs none {folder} && touch {folder}/seen && mount -o remount,ro {folder}"
    running = start(shell=f"""{shlex.join(unshare("--mount"))} bash -c '{mount} && {tail}' bash "$@" """)
    assert running.end() == 1
    assert running.text == ""
    assert re.fullmatch(
        r"zchat: \S+/readonly/seen can't be read and replaced \(Read-only file system\); .*\n", running.errors
    )


FULL = "mount -t tmpfs -o size=64k none {folder} && {{ dd if=/dev/zero of={folder}/fill bs=1k 2>&-; true; }}"
"""Mounts a disk that is full."""


def on_a_full_disk(
    start: Start, unshare: Callable[..., tuple[str, ...]], folder: Path, then: str
) -> tuple[int, str, str]:
    """Run what is in `then`, where "$@" is the command, beside a full disk; return its code, output and errors."""
    folder.mkdir()
    mount = FULL.format(folder=folder)
    running = start(shell=f"""{shlex.join(unshare("--mount"))} bash -c '{mount} && {then}' bash "$@" """)
    return running.end(), running.text, running.errors


def test_a_new_file_on_a_full_disk_is_refused_before_anything_is_shown_and_leaves_none(
    start: Start, broker: Broker, tmp_path: Path, unshare: Callable[..., tuple[str, ...]]
) -> None:
    say(broker.url, "one")
    folder = tmp_path / "full"
    then = f'"$@" tail --resume {folder}/new General; ls -A {folder}'
    _, text, errors = on_a_full_disk(start, unshare, folder, then)
    assert text == "fill\n"
    assert re.fullmatch(r"zchat: \S+/full/new can't be read and replaced \(No space left on device\); .*\n", errors)


def test_a_disk_that_is_full_by_then_is_named_with_the_file_and_what_comes_of_it(
    monkeypatch: pytest.MonkeyPatch, file: Path, tmp_path: Path
) -> None:
    with ResumeFile(str(file), "General", "alice") as resume:
        resume.keep(Position(7, 8))
        monkeypatch.setattr("os.write", lambda *_: 0)
        with pytest.raises(ResumeError, match=rf"{file} can't be replaced \(No space left.*shown again the next time"):
            resume.keep(Position(7, 9))
        monkeypatch.undo()
        resume.keep(Position(7, 10))
    assert kept(file) == 10
    assert [path.name for path in tmp_path.iterdir()] == ["seen"]


def replaced(file: Path) -> None:
    new = file.with_name("theirs")
    new.write_text("theirs")
    new.replace(file)


def written_to(file: Path) -> None:
    file.write_text("theirs")


def removed(file: Path) -> None:
    file.unlink()


def made_anew(file: Path) -> None:
    file.unlink()
    ResumeFile(str(file), "General", "bob").keep(Position(1, 2))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (replaced, "was replaced or changed while zchat tail ran, and is left as it is; name another with --resume"),
        (written_to, "was replaced or changed while"),
        (made_anew, "was replaced or changed while"),
        (removed, "was removed while zchat tail ran; to begin again start it again, and set with -n or --after where"),
    ],
)
@pytest.mark.parametrize("known", [True, False], ids=["kept", "new"])
def test_a_file_that_others_have_changed_meanwhile_is_theirs(
    file: Path, tmp_path: Path, change: Callable[[Path], None], told: str, known: bool
) -> None:
    resume = ResumeFile(str(file), "General", "alice")
    if known:
        resume.keep(Position(7, 8))
    change(file)
    theirs = file.read_text() if file.exists() else None
    for _ in range(2):
        with pytest.raises(ResumeError, match=f"^{file} {told}"):
            resume.keep(Position(7, 9))
    resume.close()
    assert (file.read_text() if file.exists() else None) == theirs
    assert [path.name for path in tmp_path.iterdir()] == ["seen"] * (theirs is not None)


def test_a_tail_whose_file_is_replaced_ends_with_its_name_and_the_other_one_goes_on(
    start: Start, broker: Broker, file: Path
) -> None:
    say(broker.url, "one")
    first = start("tail", "-f", "--resume", str(file), "General", traced=False)
    first.until("one")
    eventually(lambda: kept(file) == 1, "the file was replaced")
    file.unlink()
    second = start("tail", "-n", "1", "-f", "--resume", str(file), "General", traced=False)
    second.until("one")
    eventually(lambda: kept(file) == 1, "the other one has its file")
    say(broker.url, "two")
    assert first.end() == 1
    assert re.fullmatch(rf"zchat: {file} was replaced or changed while zchat tail ran, and .*\n", first.errors)
    second.until("two")
    eventually(lambda: kept(file) == 2, "the other one goes on")


@pytest.mark.parametrize(("name", "room"), [("x" * 250, "General"), ("new", "NoSuchRoom")])
def test_a_run_that_fails_leaves_no_file_that_it_has_made(
    zchat: Zchat, broker: Broker, tmp_path: Path, name: str, room: str
) -> None:
    say(broker.url, "one")
    done = zchat("tail", "--resume", str(tmp_path / name), room)
    assert (done.returncode, done.stdout) == (1, "")
    assert name in done.stderr or room in done.stderr
    assert list(tmp_path.iterdir()) == []


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


def test_a_folder_that_may_be_written_and_not_listed_takes_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def listdir(folder: str) -> list[str]:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), folder)

    monkeypatch.setattr(os, "listdir", listdir)
    path = tmp_path / "seen"
    with ResumeFile(str(path), "General", "alice") as file:
        file.keep(Position(1, 2))
    with ResumeFile(str(path), "General", "alice") as file:
        assert file.position == Position(1, 2)


def test_a_file_whose_close_fails_is_replaced_as_it_is_flushed_and_none_is_closed_twice(file: Path) -> None:
    with failing() as closes:
        with ResumeFile(str(file), "General", "alice") as resume:
            resume.keep(Position(7, 8))
            resume.keep(Position(7, 9))
        assert closes.count == 4, "the new one, the two before, and the last"
        assert kept(file) == 9
        with ResumeFile(str(file), "General", "alice") as resume:
            assert resume.position == Position(7, 9)
            with pytest.raises(ResumeError, match="is in use by another"):
                ResumeFile(str(file), "General", "alice")
        with pytest.raises(ResumeError, match="belongs to the room"):
            ResumeFile(str(file), "Other", "alice")
    assert still_open(file.parent) == []
