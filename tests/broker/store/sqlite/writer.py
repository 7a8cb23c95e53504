"""Write blocks to a store until killed, mark them as read and ban a user for each; print the last seq of each."""

from __future__ import annotations

import sys
from threading import Event

from tests.broker.store.driver import Reports, block
from zchat.broker.store.contract import Appended, Failed, Full, Imposed, Marked, Places, Sanction, Stored, TooMany
from zchat.broker.store.sqlite.store import SqliteStore

IN_FLIGHT = 8


def main(path: str) -> None:
    woken = Event()
    store = SqliteStore(path)
    store.open(woken.set)
    number = 0

    def ask() -> None:
        nonlocal number
        number += 1
        store.append(block(number, *[f"{number}"] * 3), answered)

    def answered(answer: Appended) -> None:
        assert isinstance(answer, Stored), answer
        print("stored", answer.block.last, flush=True)
        store.set_read_mark("General", "bob", answer.block.last, marked)
        ban = Sanction("General", f"user{answer.block.last}", "ban", 0, "alice", 1, "")
        store.impose(ban, Places(10_000, 10_000, 10_000), imposed)
        ask()

    def marked(answer: Marked | Full | Failed) -> None:
        assert isinstance(answer, Marked), answer
        print("marked", answer.seq, flush=True)

    def imposed(answer: Imposed | TooMany | Full | Failed) -> None:
        assert isinstance(answer, Imposed), answer
        print("imposed", answer.sanction.user.removeprefix("user"), flush=True)

    for _ in range(IN_FLIGHT):
        ask()
    while woken.wait(20):
        woken.clear()
        store.poll(Reports())


if __name__ == "__main__":
    main(sys.argv[1])
