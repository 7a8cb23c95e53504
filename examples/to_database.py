"""A room's messages in a database, each once, wherever this program or the broker is ended.

Change PATH, ROOM and the tables; another database needs its own `connect`, and `%s` where SQLite has `?`. What makes it
exact is that the position is stored in the same transaction as the messages before it. ZCHAT_URL names another broker.
"""

import contextlib
import json
import os
import sqlite3

import zchat

URL = os.environ.get("ZCHAT_URL", "tcp://127.0.0.1:5555")
PATH = os.environ.get("DATABASE", "messages.db")
ROOM = "General"

TABLES = """
create table if not exists messages (room text, seq integer, time integer, user text, body text);
create table if not exists positions (room text primary key, epoch integer, seq integer);
"""


def store(database: sqlite3.Connection, batch: zchat.Batch) -> None:
    """Store the messages of a batch, and the position after them, both or neither."""
    bodies = [json.dumps(body, default=repr) for body in batch.bodies]
    rows = zip([batch.room] * len(batch), batch.seqs, batch.timestamps, batch.users, bodies, strict=True)
    with database:
        database.executemany("insert into messages values (?, ?, ?, ?, ?)", rows)
        database.execute("replace into positions values (?, ?, ?)", (batch.room, *batch.position))


def main() -> None:
    database = sqlite3.connect(PATH)
    database.executescript(TABLES)
    kept = database.execute("select epoch, seq from positions where room = ?", (ROOM,)).fetchone()
    with zchat.Client(URL, user="archive") as client:
        room = client.join(ROOM, after=zchat.Position(*kept) if kept else zchat.START)
        while True:
            try:
                for batch in room.batches():
                    store(database, batch)
                    print(f"stored up to {batch.last}", flush=True)
            except zchat.GapError as gap:  # removed by retention, or the broker has lost them
                print(gap, flush=True)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()
