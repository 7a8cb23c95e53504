"""What `all.py` runs, in its order: a script and its options, and those that make it a matter of seconds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Scenario:
    """One call of a script; `quick` overrides options of `line`."""

    name: str
    title: str
    line: str
    quick: str
    lower: bool = False
    """Whether less is better, of the first figure of its rows."""
    ours: str = "zchat"
    """How the name of the row begins that is compared with the others; the first such row counts."""


def fan_out(subscribers: int, messages: int, line: str = "") -> Scenario:
    """Return the scenario of one publisher and so many subscribers."""
    return Scenario(
        f"fan-out-{subscribers}",
        f"Deliveries a second, 1 → {subscribers:,}",
        f"throughput.py --rounds 3 --subscribers {subscribers} --messages {messages} {line}".strip(),
        f"--rounds 1 --subscribers {min(subscribers, 3)} --messages 200",
    )


def sized(size: int, messages: int) -> Scenario:
    """Return the scenario of messages of so many bytes to 10 subscribers."""
    return Scenario(
        f"size-{size}",
        f"Deliveries a second, 1 → 10, {size:,} bytes",
        f"throughput.py --rounds 2 --subscribers 10 --size {size} --messages {messages}",
        "--rounds 1 --subscribers 2 --messages 50",
    )


SCENARIOS = (
    fan_out(1, 200_000),
    fan_out(10, 100_000),
    fan_out(100, 10_000),
    Scenario(
        "latency",
        "One way, a message a millisecond",
        "latency.py --rounds 3 --messages 2000",
        "--rounds 1 --messages 50 --loose",
        lower=True,
    ),
    Scenario(
        "latency-disk",
        "One way on disk, a message a millisecond",
        "latency.py --rounds 3 --messages 2000 --disk",
        "--rounds 1 --messages 50 --loose",
        lower=True,
        ours="zchat, sqlite",
    ),
    Scenario(
        "half-load",
        "One way, at half of what each can carry",
        "half_load.py --rounds 2 --messages 200000 --seconds 1",
        "--rounds 1 --messages 500 --seconds 0.1",
        lower=True,
    ),
    Scenario(
        "rooms",
        "Deliveries a second, 100 rooms of 10 talkers",
        "rooms.py --rounds 2",
        "--rounds 1 --rooms 2 --talkers 2 --messages 50 --processes 2",
    ),
    Scenario(
        "acknowledged",
        "Acknowledged a second",
        "acknowledged.py --rounds 3 --messages 300000",
        "--rounds 1 --messages 200",
        ours="zchat, sqlite",
    ),
    Scenario(
        "replay",
        "Replay, messages a second",
        "history.py --rounds 3 --messages 300000",
        "--rounds 1 --messages 200",
    ),
    Scenario(
        "keys",
        "Deliveries a second with keys and without, 1 → 10",
        "throughput.py --rounds 3 --subscribers 10 --messages 200000 --keys --only zchat",
        "--rounds 1 --subscribers 2 --messages 200",
    ),
    Scenario(
        "two-brokers",
        "Deliveries a second over Redis, two brokers and one, 1 → 10",
        "two_brokers.py --rounds 2",
        "--rounds 1 --subscribers 2 --messages 200 --delays 50 --loose",
    ),
    Scenario(
        "broadcast",
        "One message to 8,000 members, the last",
        "broadcast.py --rounds 2",
        "--rounds 1 --members 20 --messages 2 --pause 0.1",
        lower=True,
    ),
    Scenario(
        "come-back",
        "9,999 idle clients come back after the broker is killed, s",
        "come_back.py",
        "--users 20 --idle 0.5",
        lower=True,
    ),
    Scenario(
        "asyncio",
        "Deliveries a second by face, 1 → 10",
        "faces.py --rounds 2 --tables deliveries --readers 10 --messages 200000",
        "--rounds 1 --readers 2 --messages 200",
        ours="asyncio",
    ),
    Scenario(
        "asyncio-latency",
        "One way by face, a message a millisecond",
        "faces.py --rounds 2 --tables latency --messages 2000",
        "--rounds 1 --messages 50 --loose",
        lower=True,
        ours="asyncio",
    ),
    Scenario(
        "slow-reader",
        "Deliveries a second beside a stopped reader of 100",
        "stopped_reader.py --rounds 2 --readers 100 --messages 30000 --store memory:",
        "--rounds 1 --readers 3 --messages 200",
        ours="one stopped",
    ),
    *(sized(*each) for each in ((16, 100_000), (1024, 50_000), (16_384, 10_000), (262_144, 800))),
    fan_out(1000, 400, "--subscriber-processes 4 --rounds 1"),
)
"""The longest ones are the last: what has not begun when the time is over is left out."""
