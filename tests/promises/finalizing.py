"""Calls in a finalizer that the interpreter runs at its end, when zchat's threads have been stopped.

`python -m tests.promises.finalizing URL [cycle]` says of each what came of it: the object is in a variable of a module,
by itself or in a cycle.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import zchat
from zchat.broker import Broker

MANY = ["sent", "sent"]


class Owner:
    """An object that owns a client and a broker, and makes every call when it is finalized."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.client = zchat.Client(url, user="alice")
        self.room = self.client.join("General")
        self.other = zchat.Client(url, user="bob", on_event=print)
        self.read = zchat.Client(url, user="carol")
        self.messages = self.read.join("General").messages()
        self.broker = Broker("tcp://127.0.0.1:*")
        self.broker.__enter__()
        self.itself: Any = None
        self.time = time.monotonic
        self.calls: dict[str, Callable[[], object]] = {
            "send": lambda: self.room.send("bye", timeout=None),
            "send in time": lambda: self.room.send("bye"),
            "send_many": lambda: self.room.send_many(MANY, timeout=None),
            "history": lambda: self.client.history("General", timeout=None),
            "room.history": lambda: self.room.history(),
            "rooms": lambda: self.client.rooms(timeout=None),
            "members": lambda: self.room.members(timeout=None),
            "stats": lambda: self.client.stats(timeout=None),
            "overall_stats": lambda: self.client.overall_stats(timeout=None),
            "mark_read": lambda: self.client.mark_read("General", 1, timeout=None),
            "join": lambda: self.client.join("Elsewhere", timeout=None),
            "direct": lambda: self.client.direct("bob", timeout=None),
            "leave": lambda: self.room.leave(timeout=None),
            "events": lambda: list(self.client.events()),
            "messages": lambda: list(self.messages),
            "wait": lambda: self.client.wait(),
            "client": lambda: zchat.Client(self.url, user="late"),
            "handler": lambda: zchat.Client(self.url, user="late", on_event=print),
            "broker.wait": lambda: self.broker.wait(),
            "broker": lambda: Broker("tcp://127.0.0.1:*").__enter__(),
            "position returns": lambda: self.room.position,
            "typing returns": lambda: self.room.typing(),
            "room.mark_read returns": lambda: self.room.mark_read(),
            "events now returns": lambda: list(self.client.events(timeout=0)),
            "close returns": lambda: self.client.close(),
            "close with a handler returns": lambda: self.other.close(),
            "broker.stop returns": lambda: self.broker.stop(),
        }

    def __del__(self) -> None:
        for name, call in self.calls.items():
            began = self.time()
            try:
                call()
                came = "returned"
            except zchat.UsageError as error:
                came = f"refused: {error}"
            except BaseException as error:
                came = f"raised {error!r}"
            print(f"{name} | {came} | {self.time() - began:.3f}", flush=True)


if __name__ == "__main__":
    owner = Owner(sys.argv[1])
    if sys.argv[2:]:
        owner.itself = owner
    print("the end", flush=True)
