"""Commands of a hostile page, made by chance from good ones: nothing may fail but that page.

python -m tests.web.hostile --count 1000000 --seed 0
"""

from __future__ import annotations

import argparse
import json
import random
from typing import Any

from tests.web.core.harness import Browser, House
from tests.web.core.test_frames import VECTORS
from zchat.web.core import limits

TEXTS = [entry["text"] for entry in VECTORS["commands"]]
FIELDS = sorted({name for text in TEXTS for name in json.loads(text)})
VALUES: list[Any] = [
    None, True, False, 0, 1, -1, 2**31, 2**53 - 1, 2**53, 2**64, 1.5, 1e308, "", "x", "General",
    "@bob", "@alice", "@", "0:0",
    "5:1", "start", "\x00", "\u202e", "\u2028", "</script>", "x" * 65, "x" * 20_000, [], [[]], {}, {"op": "hello"},
    "General ", "__proto__", "../..", "%00",
]  # fmt: skip


def mutated(chance: random.Random) -> bytes:
    """Return a command that something was done to."""
    text = chance.choice(TEXTS)
    kind = chance.randrange(8)
    if kind == 0:
        return bytes(text, "utf-8")
    if kind <= 4:
        command = json.loads(text)
        for _ in range(chance.randint(1, 3)):
            command[chance.choice(FIELDS)] = chance.choice(VALUES)
        if chance.random() < 0.2:
            command.pop(chance.choice([*command]), None)
        return json.dumps(command, ensure_ascii=chance.random() < 0.5).encode()
    data = bytearray(text.encode())
    for _ in range(chance.randint(1, 4)):
        place = chance.randrange(len(data))
        match chance.randrange(4):
            case 0:
                data[place] = chance.randrange(256)
            case 1:
                del data[place : place + chance.randint(1, 5)]
            case 2:
                data[place:place] = chance.choice([b"[", b"{", b'"', b"\\ud800", b"\xff", b"9" * 50, b",", b"\\u0000"])
            case _:
                data[place:place] = data[: chance.randint(1, 40)]
        if not data:
            return b""
    return bytes(data)


def live(count: int, seed: int) -> House:
    """Have hostile pages send so many commands, while an honest one reads; fail if that page is disturbed."""
    chance = random.Random(seed)
    house = House()
    honest, hostile = house.page("honest", "General"), list[Browser]()
    taken = 0
    for number in range(count):
        if len(hostile) < 3:
            browser = house.browser()
            if chance.random() < 0.8:
                browser.hello(chance.choice(["alice", "bob", "honest"]))
                browser.ask("join", room="General")
            hostile.append(browser)
        browser = chance.choice(hostile)
        browser.session.receive(mutated(chance))
        house.world.run()
        if browser.closed is not None or chance.random() < 0.002:
            browser.drop()
            hostile.remove(browser)
        if chance.random() < 0.05:
            house.passes(chance.random() * 5)
        if number % 50 == 0:
            house.say("General", "carol", number)
            for frame in honest.take("messages"):
                taken += 1
                found = [row[3] for row in frame["rows"] if row[2] == "carol"]
                assert found in ([], [number]), f"seed {seed}: {found} at {number}"
            honest.say(op="ack", room="General", taken=taken)
            honest.frames.clear()
            house.broker.logs = {name: log for name, log in house.broker.logs.items() if name == "General"}
        browser.frames.clear()
    assert honest.closed is None
    for browser in hostile:
        browser.drop()
    honest.drop()
    house.passes(limits.IDLE_USER_SECONDS + 1)
    house.passes(limits.IDLE_USER_SECONDS + 1)
    house.passes(limits.IDLE_CHANNEL_SECONDS + 1)
    gateway = house.gateway
    assert (gateway.connected, gateway.users, gateway.channels, gateway.pending_bytes) == ({}, {}, {}, 0), (
        f"seed {seed}"
    )
    assert not gateway._sessions, f"seed {seed}"
    assert len(gateway._lost) <= limits.MAX_LOST_SESSIONS
    return house


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    each = 20_000
    for seed in range(given.seed, given.seed + -(-given.count // each)):
        counters = live(each, seed).gateway.context.counters
        print(f"seed {seed}: {counters.commands} commands, {sum(counters.refused.values())} refused, ", end="")
        print(f"{sum(counters.closed.values())} connections closed", flush=True)


if __name__ == "__main__":
    main()
