"""A broker's figures, and the lines that show them."""

from __future__ import annotations

from typing import Any

from zchat import BusyRoom, Stats
from zchat.cli.top.figures import lines
from zchat.cli.top.rates import Rates

URL = "tcp://127.0.0.1:5555"


HOSTILE = "\x1b[2J\u202e漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字"


def told(
    uptime: float,
    started: int = 1,
    refused: Any = None,
    lags: Any = (),
    times: Any = None,
    busiest: Any = (),
    **counts: int,
) -> Stats:
    """Return what a broker told that was started at `started` and was up for so many seconds."""
    held = {"sessions": 2, "rooms": 5, "memberships": 1234, "lagging": 0, "started": started, "interval": 5_000_000}
    held["uptime"] = round(uptime * 1_000_000)
    return Stats(held | counts, refused or {}, list(lags), times or {}, [BusyRoom(*room) for room in busiest])


def shown(rates: Rates | None, width: int = 80, height: int | None = None, trouble: str = "") -> str:
    return "".join(f"{line.text}\n" for line in lines(URL, rates, trouble, width, height))
