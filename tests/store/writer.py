"""Write blocks to a store until killed, and print the last seq of each that is stored."""

from __future__ import annotations

import sys
from threading import Event

from tests.store.driver import block
from zchat.broker.store.base import Appended, Stored
from zchat.broker.store.sqlite import SqliteStore

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
        print(answer.block.last, flush=True)
        ask()

    for _ in range(IN_FLIGHT):
        ask()
    while woken.wait(20):
        woken.clear()
        store.poll()


if __name__ == "__main__":
    main(sys.argv[1])
