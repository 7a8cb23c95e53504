"""Write blocks to a store until killed and mark them as read; print the last seq of each, stored and marked."""

from __future__ import annotations

import sys
from threading import Event

from tests.broker.store.driver import Reports, block
from zchat.broker.store.contract import Appended, Failed, Full, Marked, Stored
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
        ask()

    def marked(answer: Marked | Full | Failed) -> None:
        assert isinstance(answer, Marked), answer
        print("marked", answer.seq, flush=True)

    for _ in range(IN_FLIGHT):
        ask()
    while woken.wait(20):
        woken.clear()
        store.poll(Reports())


if __name__ == "__main__":
    main(sys.argv[1])
