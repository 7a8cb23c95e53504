"""Addresses without a port: whose a path is, what is left alone there, and what is left behind."""

from __future__ import annotations

import fcntl
import os
import socket
import stat
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Barrier, Thread

import pytest

import zchat
from tests.broker.raw import Talk
from tests.mortal import Mortal
from tests.running import DEADLINE, ROOT
from zchat.broker import Broker
from zchat.broker.edge import ipc_socket
from zchat.broker.edge.ipc_socket import IpcSocket

pytestmark = pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="this system has no sockets with a path")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a folder whose path is short: a socket's has 107 bytes at most."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def path(folder: Path) -> Path:
    return folder / "z"


def listening(url: str) -> closing[IpcSocket]:
    return closing(IpcSocket(url, 8))


def is_socket(path: Path) -> bool:
    return stat.S_ISSOCK(path.lstat().st_mode)


def connect(path: str | Path) -> None:
    with socket.socket(socket.AF_UNIX) as caller:
        caller.connect(str(path))


def stale(path: Path) -> None:
    """Leave a socket of somebody who has ended."""
    with socket.socket(socket.AF_UNIX) as gone:
        gone.bind(str(path))
        gone.listen()


# -- what is at the path already -----------------------------------------------------------------------


def text(path: Path) -> None:
    path.write_text("the only copy of a letter")


def link_to_a_file(path: Path) -> None:
    letter = path.parent / "letter"
    letter.write_text("the only copy of a letter")
    path.symlink_to(letter)


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (text, "is a file, not a socket, and is left as it is: choose another path"),
        (link_to_a_file, "is a file, not a socket, and is left as it is: choose another path"),
        (os.mkfifo, "is a file, not a socket, and is left as it is: choose another path"),
        (Path.mkdir, r"is a folder: name a file in it, as in .*/z/zchat\.sock"),
    ],
)
def test_what_is_no_socket_is_left_as_it_is(path: Path, make: Callable[[Path], object], why: str) -> None:
    make(path)
    before = [(each.name, each.lstat().st_ino) for each in sorted(path.parent.iterdir())]
    with pytest.raises(zchat.AddressError, match=why), Broker(f"ipc://{path}"):
        pass
    assert [(each.name, each.lstat().st_ino) for each in sorted(path.parent.iterdir())] == before
    for each in path.parent.iterdir():
        assert not stat.S_ISREG(each.lstat().st_mode) or each.read_text() == "the only copy of a letter"


def test_a_living_broker_keeps_its_socket(path: Path) -> None:
    with Broker(f"ipc://{path}") as broker, Talk(broker) as talk:
        before = path.lstat().st_ino
        why = r"is in use: is a broker running there\? choose another path"
        with pytest.raises(zchat.AddressError, match=why), Broker(broker.url):
            pass
        assert path.lstat().st_ino == before
        talk.goes_on()


def test_the_socket_of_another_program_that_lives_is_left_to_it(path: Path) -> None:
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(socket.AF_UNIX, kind) as other:
            other.bind(str(path))
            if kind == socket.SOCK_STREAM:
                other.listen(0)
            with pytest.raises(zchat.AddressError, match="is in use"), Broker(f"ipc://{path}"):
                pass
            assert is_socket(path)
        path.unlink()


def test_a_living_broker_with_a_full_queue_of_callers_keeps_its_socket(path: Path) -> None:
    with listening(f"ipc://{path}"), ExitStack() as stack:
        with suppress(BlockingIOError):
            while True:
                caller = stack.enter_context(socket.socket(socket.AF_UNIX))
                caller.setblocking(False)
                caller.connect(str(path))
        with pytest.raises(zchat.AddressError, match="is in use"):
            IpcSocket(f"ipc://{path}", 8)


def test_a_socket_where_nobody_listens_any_more_is_replaced(path: Path) -> None:
    stale(path)
    with Broker(f"ipc://{path}") as broker, zchat.Client(broker.url, user="alice") as client:
        assert client.join("General").send("here").seq == 1
    assert not path.exists()


def test_a_broker_that_was_killed_gives_way_to_the_next_at_its_path(path: Path) -> None:
    broker = Mortal()
    broker.kill()
    broker.url = f"ipc://{path}"
    broker.start()
    broker.kill()
    assert is_socket(path)
    broker.start()
    with zchat.Client(broker.url, user="alice") as client:
        assert client.join("General").send("here").seq == 1
    broker.stop()
    assert not path.exists()


@pytest.mark.parametrize("left", [True, False], ids=["of one that ended", "new"])
def test_of_brokers_that_start_at_the_same_moment_one_gets_the_path(path: Path, left: bool) -> None:
    got: list[IpcSocket] = []
    refused: list[zchat.AddressError] = []

    def start(barrier: Barrier) -> None:
        barrier.wait(DEADLINE)
        try:
            got.append(IpcSocket(f"ipc://{path}", 8))
        except zchat.AddressError as error:
            refused.append(error)

    for _ in range(50):
        if left:
            stale(path)
        barrier = Barrier(4)
        starting = [Thread(target=start, args=(barrier,)) for _ in range(4)]
        for each in starting:
            each.start()
        for each in starting:
            each.join(DEADLINE)
        assert len(got) == 1
        assert len(refused) == 3
        assert all("is in use" in str(error) for error in refused)
        connect(path)
        got.pop().close()
        refused.clear()


def test_a_folder_that_another_program_keeps_locked_is_given_up(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ipc_socket, "LOCK_SECONDS", 0.05)
    lock = os.open(path.parent, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(zchat.AddressError, match=r"another program has held the lock of .* for 0.05 s"):
            IpcSocket(f"ipc://{path}", 8)
    finally:
        os.close(lock)
    assert not path.exists()


# -- what is left behind -----------------------------------------------------------------------------


def test_its_own_file_is_removed_at_the_end_and_nothing_else_is_there(path: Path) -> None:
    with Broker(f"ipc://{path}", "tcp://127.0.0.1:*"):
        assert [each.name for each in path.parent.iterdir()] == ["z"]
        assert is_socket(path)
    assert list(path.parent.iterdir()) == []


def test_a_start_that_fails_leaves_no_file(path: Path) -> None:
    with pytest.raises(zchat.AddressError), Broker(f"ipc://{path}", "tcp://192.0.2.1:5555"):
        pass
    assert list(path.parent.iterdir()) == []


@pytest.mark.parametrize("make", [text, stale, Path.mkdir])
def test_what_has_taken_the_place_of_its_file_is_anothers_and_stays(path: Path, make: Callable[[Path], object]) -> None:
    with Broker(f"ipc://{path}"):
        path.unlink()
        make(path)
        there = path.lstat().st_ino
    assert path.lstat().st_ino == there


def test_a_broker_at_any_path_has_a_folder_of_its_own_for_its_user_alone(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    with Broker("ipc://*", "ipc://*") as broker:
        places = [Path(url.removeprefix("ipc://")) for url in broker.urls]
        assert len(set(places)) == 2
        for place in places:
            assert is_socket(place)
            assert stat.S_IMODE(place.parent.stat().st_mode) == 0o700
        for url in broker.urls:
            with zchat.Client(url, user="alice") as client:
                assert client.join("General").send(url).body == url
    assert list(folder.iterdir()) == []


def test_a_folder_for_any_path_that_cant_be_made_is_reported(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(folder / "nowhere"))
    with pytest.raises(zchat.AddressError, match=r"set TMPDIR .*, or choose a path"):
        IpcSocket("ipc://*", 8)


# -- other paths -------------------------------------------------------------------------------------


def test_a_relative_path_is_reported_as_one_that_leads_there_from_anywhere(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "below").mkdir()
    with Broker("ipc://z") as broker:
        assert broker.url == f"ipc://{folder}/z"
        monkeypatch.chdir(folder / "below")
        with zchat.Client(broker.url, user="alice") as client:
            client.join("General").send("here")
    assert not (folder / "z").exists()


def test_a_link_is_followed_and_stays(folder: Path, path: Path) -> None:
    there = folder / "there"
    path.symlink_to(there)
    for _ in range(2):
        with Broker(f"ipc://{path}"):
            assert is_socket(there)
            connect(path)
            with pytest.raises(zchat.AddressError, match="is in use"), Broker(f"ipc://{path}"):
                pass
        assert path.is_symlink()
        assert not there.exists()
        stale(there)


def test_a_path_that_is_not_text_works_like_any_other(folder: Path) -> None:
    path = os.fsdecode(os.fsencode(folder) + b"/caf\xe9")
    with listening(f"ipc://{path}"):
        connect(path)
    with Broker(f"ipc://{path}"):
        connect(path)
    assert list(folder.iterdir()) == []


@pytest.mark.skipif(sys.platform != "linux", reason="names without a file are Linux's")
def test_a_name_without_a_file_leaves_none_alone_or_behind(folder: Path) -> None:
    name = f"zchat-test-{os.getpid()}"
    (folder / f"@{name}").write_text("a letter")
    with Broker(f"ipc://@{name}", insecure=True) as broker:
        assert broker.url == f"ipc://@{name}"
        with zchat.Client(broker.url, user="alice") as client:
            client.join("General").send("here")
        with pytest.raises(zchat.AddressError, match="is in use"), Broker(broker.url, insecure=True):
            pass
    assert [each.name for each in folder.iterdir()] == [f"@{name}"]
    assert (folder / f"@{name}").read_text() == "a letter"


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("no/z", "there is no folder .*/no; create it, or choose another path"),
        ("letter/z", "letter is not a folder; choose another path"),
        ("x" * 107, r"has 1\d\d bytes after ipc://: a socket's path has \d+ at most"),
    ],
)
def test_a_path_where_no_socket_can_be_is_reported_why(folder: Path, name: str, why: str) -> None:
    (folder / "letter").write_text("a letter")
    with pytest.raises(zchat.AddressError, match=why), Broker(f"ipc://{folder}/{name}"):
        pass
    assert [each.name for each in folder.iterdir()] == ["letter"]


IN_A_FOLDER_OF_ROOT = """
import os, sys
import zchat
from zchat.broker import Broker
os.setgroups([]); os.setgid(65534); os.setuid(65534)
for name in sys.argv[1:]:
    try:
        with Broker(f"ipc://{name}"):
            pass
    except zchat.AddressError as error:
        print(error)
"""


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can be somebody else")
def test_a_path_where_this_user_may_not_write_is_reported() -> None:
    with TemporaryDirectory(prefix="z") as name:
        folder = Path(name)
        folder.chmod(0o755)
        stale(folder / "old")
        (folder / "old").chmod(0o777)
        with listening(f"ipc://{folder}/theirs"):
            (folder / "theirs").chmod(0o600)
            run = subprocess.run(
                [sys.executable, "-c", IN_A_FOLDER_OF_ROOT, *(f"{folder}/{each}" for each in ("new", "old", "theirs"))],
                cwd=ROOT,
                env={name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")},
                capture_output=True,
                text=True,
                timeout=DEADLINE,
            )
            assert is_socket(folder / "old")
            assert is_socket(folder / "theirs")
    assert run.stderr == ""
    new, old, theirs = run.stdout.splitlines()
    assert f"this user may not write in {folder} (Permission denied); choose another path" in new
    assert "the socket of a program that has ended, and can't be replaced (Permission denied)" in old
    assert "is a socket that this user may not use: choose another path" in theirs
