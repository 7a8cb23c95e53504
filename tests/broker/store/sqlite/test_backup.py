"""Copies of a database: made while a broker writes, put in place of another, and what is refused."""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Callable
from contextlib import closing
from itertools import count
from pathlib import Path
from threading import Event, Thread

import pytest

import zchat
from tests.broker.store.driver import Driver
from tests.broker.store.sqlite.driver import rows
from tests.mortal import Mortal
from tests.running import DEADLINE, ROOT
from zchat.broker import Broker
from zchat.broker.store.contract import Trimmed
from zchat.broker.store.sqlite import backup, schema
from zchat.broker.store.sqlite.backup import back_up, restore
from zchat.broker.store.sqlite.store import SqliteStore
from zchat.errors import GapError, StoreError
from zchat.messages import GapReason

RELEASED = ROOT / "tests" / "data" / "store-0.1.0.db"


def nothing(done: int, size: int) -> None:
    """Take no note of any progress."""


def names(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


def test_a_copy_has_what_was_stored_and_is_one_file_for_its_owner_alone(store: Driver, path: Path) -> None:
    store.stored(1, "a", "b")
    store.stored(1, "c", room="Other")
    target = path.with_name("copy")
    umask = os.umask(0)
    try:
        content = back_up(path, target, nothing)
    finally:
        os.umask(umask)
    assert content == (2, 3, store.clock.now)
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    store.store.close()
    target.with_name("only").mkdir()
    target = target.rename(target.with_name("only") / "copy")
    assert rows(target, "PRAGMA journal_mode") == [("delete",)]
    assert rows(target, "SELECT name, last FROM rooms ORDER BY name") == [("General", 2), ("Other", 1)]
    assert names(target.parent) == ["copy"]


def test_a_copy_made_while_a_broker_stores_is_its_log_up_to_a_message(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backup, "STEP_OPERATIONS", 1)
    over = Event()
    with Mortal(f"sqlite:{path}") as broker, zchat.Client(broker.url, user="alice") as alice:
        general = alice.join("General")
        for _ in range(50):
            general.send("x" * 10_000)
        progress = zchat.Progress()
        numbers = (str(number) + "x" * 500 for number in count() if not over.is_set())
        last = 0

        def send() -> None:
            nonlocal last
            if not over.is_set():
                general.send_many((next(numbers) for _ in range(20)), progress=progress)
                last = progress.last

        contents = []
        steps = []

        def step(done: int, size: int) -> None:
            steps.append(size)
            assert len(steps) < 20_000, "it begins again with each message"
            if steps.count(size) <= 30:
                send()

        for number in range(3):
            send()
            before = last
            content = back_up(path, path.with_name(f"copy{number}"), step)
            contents.append((before, content, last))
        over.set()
    assert len(set(steps)) <= 3, "a copy has the size that the file had when it began"
    assert len(steps) > 100, "while it was copied more was stored"
    assert any(content.messages < after for _, content, after in contents), "it was stored after the copy's moment"
    for number, (before, content, after) in enumerate(contents):
        assert before <= content.messages <= after, "what was acknowledged before, and what was stored up to one moment"
        copy = path.with_name(f"copy{number}")
        assert rows(copy, "PRAGMA integrity_check") == [("ok",)]
        with Broker("tcp://127.0.0.1:*", store=f"sqlite:{copy}") as again, zchat.Client(again.url, user="bob") as bob:
            (room,) = (room for room in bob.rooms() if room.name == "General")
            assert room.last == content.messages
            assert len(list(bob.history("General", after=0, limit=10**6))) == content.messages


def test_a_reader_who_has_read_more_than_the_backup_has_is_notified_before_it_gets_anything(path: Path) -> None:
    target = path.with_name("backup")
    with Mortal(f"sqlite:{path}") as broker, zchat.Client(broker.url, user="alice") as alice:
        general = alice.join("General")
        general.send_many(["one", "two"])
        back_up(path, target, nothing)
        general.send_many(["lost", "lost too"])
        with zchat.Client(broker.url, user="bob") as bob:
            read = bob.join("General", after=zchat.START)
            assert [next(read.messages(timeout=DEADLINE)).body for _ in range(4)][-1] == "lost too"
            position = read.position
        broker.stop()
        for each in path.parent.glob(f"{path.name}*"):
            each.rename(each.with_name(f"old-{each.name}"))
        restore(target, path, nothing)
        broker.start()
        general.send_many(["three", "four", "five"])
        with zchat.Client(broker.url, user="bob") as bob:
            read = bob.join("General", after=position)
            with pytest.raises(GapError) as caught:
                next(read.messages(timeout=DEADLINE))
            assert (caught.value.upto, caught.value.reason) == (2, GapReason.TAIL_LOST)
            bodies = [next(read.messages(timeout=DEADLINE)).body for _ in range(3)]
            assert bodies == ["three", "four", "five"]
            assert read.position.epoch != position.epoch


def test_nothing_is_overwritten(store: Driver, path: Path) -> None:
    store.stored(1, "a")
    target = path.with_name("there")
    target.write_text("mine")
    for call in (back_up, restore):
        with pytest.raises(StoreError, match="exists, and nothing is overwritten"):
            call(path, target, nothing)
    with pytest.raises(StoreError, match="exists, and nothing is overwritten"):
        back_up(path, path, nothing)
    assert target.read_text() == "mine"

    def race(done: int, size: int) -> None:
        path.with_name("late").write_text("mine")

    with pytest.raises(StoreError, match="exists, and nothing is overwritten"):
        back_up(path, path.with_name("late"), race)
    assert path.with_name("late").read_text() == "mine"


def test_what_ends_a_copy_leaves_nothing_of_it(store: Driver, path: Path) -> None:
    store.stored(1, "a")
    before = names(path.parent)

    def end(done: int, size: int) -> None:
        raise InterruptedError

    for call in (back_up, restore):
        with pytest.raises(InterruptedError):
            call(path, path.with_name("copy"), end)
        assert names(path.parent) == before


def test_nothing_is_left_beside_a_database_that_was_closed_in_order(store: Driver, path: Path) -> None:
    store.stored(1, "a")
    store.store.close()
    assert names(path.parent) == ["z.db", "z.db.lock"]

    def another(done: int, size: int) -> None:
        """Make a second copy while the first one reads."""
        if not path.with_name("second").exists():
            back_up(path, path.with_name("second"), nothing)

    assert back_up(path, path.with_name("first"), another).messages == 1
    assert restore(path, path.with_name("third"), nothing).messages == 1
    assert names(path.parent) == ["first", "second", "third", "third.lock", "z.db", "z.db.lock"]


def test_a_copy_takes_no_file_from_a_broker_that_has_stored_nothing_yet(store: Driver, path: Path) -> None:
    store.stored(1, "a")
    store.reopen()
    before = {each.name: each.stat().st_ino for each in path.parent.iterdir()}
    back_up(path, path.with_name("copy"), nothing)
    assert {each.name: each.stat().st_ino for each in path.parent.iterdir() if each.name != "copy"} == before
    store.stored(2, "b")


def test_a_copy_in_steps_says_how_far_it_is(store: Driver, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backup, "STEP_OPERATIONS", 1)
    for number in range(1, 11):
        store.stored(number, "x" * 50_000)
    steps: list[tuple[int, int]] = []
    back_up(path, path.with_name("copy"), lambda *step: steps.append(step))
    assert len(steps) > 10
    assert steps == sorted(steps)
    assert len({size for _, size in steps}) == 1
    assert steps[-1][0] == steps[-1][1]


def test_a_copy_has_nothing_of_the_room_that_retention_left_free(store: Driver, path: Path) -> None:
    for number in range(1, 101):
        store.stored(number, "x" * 50_000)
    while store.trim(keep=1) != Trimmed(100, False):
        pass
    copy, again = path.with_name("copy"), path.with_name("again.db")
    assert back_up(path, copy, nothing).messages == 1
    assert restore(copy, again, nothing).messages == 1
    store.store.close()
    assert path.stat().st_size > 5_000_000
    assert max(copy.stat().st_size, again.stat().st_size) < 500_000


def test_a_running_brokers_database_is_not_replaced_even_if_it_was_removed(store: Driver, path: Path) -> None:
    store.stored(1, "a")
    target = path.with_name("copy")
    back_up(path, target, nothing)
    path.rename(path.with_name("moved"))
    with pytest.raises(StoreError, match=r"a broker has .*z\.db open; stop it"):
        restore(target, path, nothing)
    assert not path.exists()


def test_the_log_of_another_database_is_not_taken_for_the_restored_ones(
    opened: Callable[..., Driver], path: Path
) -> None:
    store = opened()
    store.stored(1, "a")
    target = path.with_name("copy")
    back_up(path, target, nothing)
    store.store.close()
    path.unlink()
    path.with_name("z.db-wal").write_bytes(b"something")
    with pytest.raises(StoreError, match=r"z\.db-wal belongs to another database"):
        restore(target, path, nothing)
    path.with_name("z.db-wal").write_bytes(b"")
    path.with_name("z.db-shm").write_bytes(b"\1" * 32768)
    assert restore(target, path, nothing).messages == 1
    assert [message.body for message in opened().messages()] == ["a"]


def test_a_file_of_zchat_0_1_0_is_restored_and_read(tmp_path: Path) -> None:
    target = tmp_path / "new.db"
    content = restore(RELEASED, target, nothing)
    assert content.rooms == 4
    with Broker("tcp://127.0.0.1:*", store=f"sqlite:{target}") as broker, zchat.Client(broker.url, user="bob") as bob:
        assert sum(room.last - room.first + 1 for room in bob.rooms()) == content.messages


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda path: None, "there is no file"),
        (lambda path: path.mkdir(), "is a folder"),
        (lambda path: path.write_bytes(b""), "is empty: it is no database of zchat"),
        (lambda path: path.write_text("nonsense" * 1000), r"can't be read as a database of zchat \(file is not a"),
        (lambda path: rows(path, "CREATE TABLE x (y)"), "is a database of another program"),
    ],
)
def test_a_source_that_is_none_is_named(tmp_path: Path, make: Callable[[Path], object], why: str) -> None:
    source = tmp_path / "source"
    make(source)
    before = names(tmp_path)
    for call in (back_up, restore):
        with pytest.raises(StoreError, match=f"{source}.*{why}|{why}.*{source}"):
            call(source, tmp_path / "target", nothing)
        assert names(tmp_path) == before


def test_a_newer_schema_and_a_damaged_file_are_refused(store: Driver, path: Path) -> None:
    for number in range(1, 21):
        store.stored(number, "x" * 20_000)
    store.store.close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute(f"PRAGMA user_version = {len(schema.UPGRADES) + 1}")
    with pytest.raises(StoreError, match="was written by a newer zchat"):
        back_up(path, path.with_name("copy"), nothing)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {len(schema.UPGRADES)}")
    with path.open("r+b") as file:
        file.seek(10 * schema.PAGE_BYTES)
        file.write(b"\xff" * schema.PAGE_BYTES * 5)
    with pytest.raises(StoreError, match=r"z\.db is damaged|z\.db can't be read"):
        back_up(path, path.with_name("copy"), nothing)
    assert not path.with_name("copy").exists()


def test_a_place_where_nothing_can_be_made_is_named(store: Driver, path: Path) -> None:
    store.stored(1, "a")
    with pytest.raises(StoreError, match=r"nowhere/copy can't be made \(No such file or directory\)"):
        back_up(path, path.parent / "nowhere" / "copy", nothing)
    with pytest.raises(StoreError, match=r"nowhere/copy can't be made \(No such file or directory\)"):
        restore(path, path.parent / "nowhere" / "copy", nothing)


def test_one_copy_at_a_time_gets_a_name(store: Driver, path: Path) -> None:
    store.stored(1, "a")
    outcomes: list[object] = []

    def copy() -> None:
        try:
            outcomes.append(restore(path, path.with_name("copy"), nothing))
        except StoreError as error:
            outcomes.append(error)

    threads = [Thread(target=copy) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE)
    assert len([outcome for outcome in outcomes if not isinstance(outcome, StoreError)]) == 1
    assert len(outcomes) == 5


def test_an_old_database_is_moved_aside_with_what_lies_beside_it_once_the_new_one_is_complete(
    path: Path, opened: Callable[..., Driver]
) -> None:
    store = opened()
    store.stored(1, "a")
    copy, old = path.with_name("copy"), path.with_name("old")
    back_up(path, copy, nothing)
    store.stored(2, "b")
    with pytest.raises(StoreError, match=r"a broker has .*z\.db open"):
        restore(copy, path, nothing, old)
    killed = {end: path.with_name(f"z.db{end}").read_bytes() for end in ("", "-wal")}
    store.store.close()
    for end, content in killed.items():  # as a broker that was killed leaves them
        path.with_name(f"z.db{end}").write_bytes(content)
    with pytest.raises(StoreError, match="can't be read as a database"):
        restore(Path("/etc/passwd"), path, nothing, old)
    assert path.read_bytes() == killed[""], "nothing was moved before the new one was complete"
    old.with_name("old-wal").write_text("of an earlier one")
    with pytest.raises(StoreError, match="old-wal exists, and nothing is overwritten"):
        restore(copy, path, nothing, old)
    old.with_name("old-wal").unlink()
    assert restore(copy, path, nothing, old).messages == 1
    assert [message.body for message in opened().messages()] == ["a"]
    assert rows(old, "SELECT last FROM rooms") == [(2,)]


def test_a_file_that_comes_meanwhile_where_the_old_database_is_to_go_is_not_overwritten(
    store: Driver, path: Path
) -> None:
    store.stored(1, "old")
    saved, aside = path.with_name("saved"), path.with_name("aside")
    back_up(path, saved, nothing)
    store.store.close()

    def make(done: int, size: int) -> None:
        aside.write_text("theirs")

    with pytest.raises(StoreError, match=f"{aside} exists, and nothing is overwritten"):
        restore(saved, path, make, aside)
    assert aside.read_text() == "theirs"
    assert rows(path, "SELECT last FROM rooms") == [(1,)]


def test_nothing_need_be_there_to_be_moved_aside(store: Driver, path: Path) -> None:
    store.stored(1, "a")
    target, old = path.with_name("new"), path.with_name("old")
    assert restore(path, target, nothing, old).messages == 1
    assert not old.exists()


def link_to_fifo(path: Path) -> None:
    fifo = path.with_name("fifo")
    os.mkfifo(fifo)
    path.symlink_to(fifo)


KINDS: dict[str, Callable[[Path], None]] = {
    "FIFO": os.mkfifo,
    "folder": Path.mkdir,
    "link to a FIFO": link_to_fifo,
}
if os.geteuid() == 0:
    KINDS["device"] = lambda path: os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 3))


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_regular_file_is_neither_moved_nor_replaced_nor_opened(tmp_path: Path, kind: str) -> None:
    target = tmp_path / "z.db"
    KINDS[kind](target)
    before = {each: each.lstat() for each in tmp_path.iterdir()}
    calls: list[Callable[[], object]] = [
        lambda: restore(RELEASED, target, nothing, tmp_path / "old"),
        lambda: restore(RELEASED, target, nothing),
        lambda: restore(RELEASED, tmp_path / "new", nothing, target),
        lambda: back_up(RELEASED, target, nothing),
        lambda: back_up(target, tmp_path / "new", nothing),
    ]
    for call in calls:
        with pytest.raises(StoreError, match=r"is a folder; name a file in it|is not a regular file; name one that is"):
            call()
    assert {each: each.lstat() for each in tmp_path.iterdir()} == before


def test_a_lock_that_is_no_regular_file_is_not_opened(tmp_path: Path) -> None:
    lock = tmp_path / "z.db.lock"
    os.mkfifo(lock)
    with pytest.raises(StoreError, match=r"z\.db\.lock is not a regular file.* move it away"):
        restore(RELEASED, tmp_path / "z.db", nothing)
    with pytest.raises(StoreError, match=r"z\.db\.lock is not a regular file.* move it away"):
        SqliteStore(tmp_path / "z.db").open(lambda: None)
    assert names(tmp_path) == ["z.db.lock"]


def test_paths_need_not_be_utf8(store: Driver, path: Path) -> None:
    folder = path.with_name(os.fsdecode(b"d\xff"))
    folder.mkdir()
    store.stored(1, "a")
    copy, new = folder / os.fsdecode(b"b\xfe?x#%41.db"), folder / os.fsdecode(b"\xff")
    assert back_up(path, copy, nothing).messages == 1
    assert restore(copy, new, nothing).messages == 1
    assert restore(copy, new, nothing, folder / os.fsdecode(b"old\xff")).messages == 1
    assert rows(new, "SELECT last FROM rooms") == [(1,)]


def test_while_the_copy_is_checked_the_caller_may_end_it_all(store: Driver, path: Path) -> None:
    for number in range(1, 200):
        store.stored(number, "x" * 5000)
    whole = 0

    def end(done: int, size: int) -> None:
        nonlocal whole
        whole += done == size
        if whole > 1:  # all is copied, which is said once
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        back_up(path, path.with_name("copy"), end)
    assert not [name for name in names(path.parent) if "copy" in name]
