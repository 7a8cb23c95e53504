"""`zchat backup`: what is copied, what is refused, and how a signal ends it."""

from __future__ import annotations

import re
import signal
from pathlib import Path

from tests.mortal import Mortal
from tests.running import Start, Zchat


def test_a_running_brokers_messages_are_copied_and_can_be_restored(zchat: Zchat, tmp_path: Path) -> None:
    database, copy, again = (tmp_path / name for name in ("chat.db", "copy", "again.db"))
    with Mortal(f"sqlite:{database}") as broker:
        assert zchat("send", "General", stdin="a\nb\nc\n", ZCHAT_URL=broker.url).returncode == 0
        done = zchat("backup", "--store", f"sqlite:{database}", str(copy))
        assert re.fullmatch(rf"{copy}: 3 messages in 1 room, the newest of [-\d]+ [:\d]+\n", done.stdout)
        assert (done.returncode, done.stderr) == (0, "")
        done = zchat("restore", str(copy), str(database))
        assert (done.returncode, done.stdout) == (1, "")
        assert "a broker has" in done.stderr
    done = zchat("restore", str(copy), str(again))
    assert done.returncode == 0
    assert done.stdout.startswith(f"{again}: 3 messages in 1 room")
    with Mortal(f"sqlite:{again}") as broker:
        assert [line[-1] for line in zchat("tail", "General", ZCHAT_URL=broker.url).stdout.splitlines()] == [*"abc"]


def test_the_default_store_is_the_brokers(zchat: Zchat, tmp_path: Path) -> None:
    done = zchat("backup", str(tmp_path / "copy"), XDG_DATA_HOME=str(tmp_path / "data"))
    assert (done.returncode, done.stdout) == (1, "")
    assert (
        done.stderr
        == f"zchat: there is no file {tmp_path}/data/zchat/zchat.db: name the broker's store (--store sqlite:PATH)\n"
    )


def test_a_store_that_has_nothing_to_copy_is_wrong_usage(zchat: Zchat, tmp_path: Path) -> None:
    for store in ("memory:", "sqlite:", "papyrus:scroll", "redis://bob:secret@host"):
        done = zchat("backup", "--store", store, str(tmp_path / "copy"))
        assert done.returncode == 2
        assert re.fullmatch(r"zchat: '.*:' has nothing to copy: name the broker's store, .*--store\n", done.stderr)
        assert "secret" not in done.stderr


def test_a_signal_ends_it_and_leaves_no_file(start: Start, zchat: Zchat, tmp_path: Path) -> None:
    database = tmp_path / "chat.db"
    with Mortal(f"sqlite:{database}") as broker:
        assert zchat("send", "General", "hello", ZCHAT_URL=broker.url).returncode == 0
        broker.stop()
        before = set(tmp_path.iterdir())
        program = (
            "import os, signal, sys, time; from zchat.broker.store.sqlite import backup\n"
            "fill = backup._fill\n"
            "def slowly(*arguments):\n"
            f" os.kill(os.getpid(), signal.{signal.SIGTERM.name})\n time.sleep(0.5)\n return fill(*arguments)\n"
            "backup._fill = slowly\nfrom zchat.cli.main import main; main(sys.argv[1:])"
        )
        running = start(shell=f'exec "$1" -c "$PROGRAM" backup --store sqlite:{database} {tmp_path}/c', PROGRAM=program)
        assert running.end() == 143
        assert (running.text, running.errors) == ("", "")
        left = {each for each in tmp_path.iterdir() if not each.name.startswith("chat.db-")}  # SQLite's, and empty
        assert left == before
