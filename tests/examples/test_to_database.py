"""The room's messages in a database, each once."""

from __future__ import annotations

import signal
import sqlite3
from contextlib import closing
from pathlib import Path

import zchat
from tests.examples.conftest import Example
from tests.running import DEADLINE
from zchat.broker import Broker

DIES_WITHIN = """
import os, signal, sqlite3, to_database

class Dying(sqlite3.Connection):
    def execute(self, statement, values=()):
        if statement.startswith("replace"):  # the messages are inserted, and the position isn't there yet
            os.kill(os.getpid(), signal.SIGKILL)
        return super().execute(statement, values)

connect = sqlite3.connect
sqlite3.connect = lambda path: connect(path, factory=Dying)
to_database.main()
"""


def test_no_message_is_missing_or_there_twice_if_it_is_killed_within_a_transaction_or_after_one(
    example: Example, tmp_path: Path
) -> None:
    with Broker("tcp://127.0.0.1:*") as broker, zchat.Client(broker.url, user="alice") as alice:
        general = alice.join("General")
        general.send_many(f"line {number}" for number in range(1, 101))
        dying = example("to_database", broker.url, DIES_WITHIN)
        assert (dying.process.wait(DEADLINE), dying.errors) == (-signal.SIGKILL, "")
        for most in (200, 300):
            running = example("to_database", broker.url)
            running.until(f"stored up to {most - 100}\n")
            running.process.kill()
            general.send_many(f"line {number}" for number in range(most - 99, most + 1))
        example("to_database", broker.url).until("stored up to 300\n")
        with closing(sqlite3.connect(tmp_path / "messages.db")) as database:
            stored = database.execute("select room, seq, user, body from messages order by rowid").fetchall()
        assert stored == [("General", number, "alice", f'"line {number}"') for number in range(1, 301)]
