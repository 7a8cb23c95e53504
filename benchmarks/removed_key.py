"""How long somebody whose key is removed stays: from the removal of the file to the end of the session at the client.

The broker reads its folder every second, so rounds begin at moments that are spread over it.
"""

from __future__ import annotations

import random
import time
from functools import partial
from pathlib import Path

import zchat
from _contenders import ROOM, Zchat, key_folder, served
from _run import DEADLINE, Failed, in_turn, options, report, run, workers
from zchat.transport import keys

USER = "alice"


def removal(contender: Zchat, folder: Path) -> dict[str, float]:
    """Return the seconds from the removal of the user's key until its session has ended; the key is put back."""
    public = folder / keys.USERS / f"{USER}{keys.PUBLIC}"
    kept = public.read_bytes()
    with workers() as start, served(contender, start) as url, contender.subscriber(url, USER, 0) as room:
        time.sleep(random.random())
        began = time.perf_counter()
        public.unlink()
        try:
            for _ in room.messages(timeout=DEADLINE):
                pass
        except zchat.KeyRemoved:
            return {"seconds": time.perf_counter() - began}
        finally:
            public.write_bytes(kept)
    raise Failed("the session has not ended")


def main() -> None:
    parser = options("Measure how long a session goes on once its key is removed.")
    parser.set_defaults(rounds=20)
    arguments = parser.parse_args()
    with key_folder([USER]) as folder:
        contender = Zchat(arguments.store, folder)
        rows = in_turn({str(contender): partial(removal, contender, folder)}, arguments.rounds)
    report(f"from the removal of a key to the end of its session in {ROOM}", rows, arguments.json)


if __name__ == "__main__":
    run(main)
