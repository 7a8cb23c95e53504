"""The tests of the cores: which they are, and that nothing in them reaches for the world outside.

`make test-fast` runs these alone. A core knows no socket, thread, clock or database, and so its tests need none:
one that opens or starts something, or sleeps, fails, in whatever run. What in these places is about the world
outside all the same is marked `real`, and is none of them.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import zmq

FOLDER = Path(__file__).parent
PLACES = (
    "broker/core",
    "broker/delivery",
    "broker/figures",
    "broker/presence",
    "broker/rooms",
    "broker/store/test_blocks.py",
    "broker/store/test_epochs.py",
    "broker/store/test_ledger.py",
    "broker/store/test_memory.py",
    "broker/test_settings.py",
    "cli/chat/test_rooms.py",
    "cli/chat/test_status.py",
    "cli/chat/test_syntax.py",
    "cli/chat/test_transcript.py",
    "cli/text",
    "cli/top",
    "promises/test_both_cores.py",
    "protocol",
    "test_api.py",
    "test_buckets.py",
    "test_errors.py",
    "test_events.py",
    "test_json_form.py",
    "test_layout.py",
    "test_messages.py",
    "test_mirror.py",
    "test_names.py",
    "web/core",
    "wire",
)
"""Where the tests of the cores lie."""

OUTSIDE = (
    "_thread.start_joinable_thread", "_thread.start_new_thread",
    "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "os.system",
    "socket.__new__", "socket.bind", "socket.connect", "socket.getaddrinfo", "socket.gethostbyaddr",
    "socket.gethostbyname", "socket.gethostname", "socket.getnameinfo", "socket.getservbyname",
    "socket.getservbyport", "socket.sendmsg", "socket.sendto",
    "sqlite3.connect", "subprocess.Popen", "time.sleep",
)  # fmt: skip
"""The events by which Python tells of a way out: of threads and of sleeping later versions alone do."""

_unreached = dict.fromkeys(OUTSIDE)
"""Those that have not happened yet in the test that runs.

Its `pop` is the audit hook: code in C, which leaves the interpreter to no other thread. Where one in Python does,
Python 3.11 lets no other thread set its trace function meanwhile, as coverage has each do that begins: it ends with
a RuntimeError, before it has run.
"""

_guarded = False


def is_core(item: pytest.Item) -> bool:
    """Tell whether a test is one of a core's."""
    return _lies_among_cores(item.path) and item.get_closest_marker("real") is None


@cache
def _lies_among_cores(path: Path) -> bool:
    place = path.relative_to(FOLDER)
    return any(place.is_relative_to(each) for each in PLACES)


def _check(events: Iterable[str]) -> None:
    if _guarded and (reached := ", ".join(events)):
        pytest.fail(f"a core's test reaches outside ({reached}): mark it `real`, or move it")


def _watched(event: str, function: Any) -> Any:
    def watched(*arguments: Any, **options: Any) -> Any:
        _check([event])
        return function(*arguments, **options)

    return watched


@pytest.hookimpl
def pytest_configure(config: pytest.Config) -> None:
    sys.addaudithook(_unreached.pop)
    for owner, name, event in ((zmq.Context, "socket", "zmq.socket"), (threading.Thread, "start", "Thread.start")):
        setattr(owner, name, _watched(event, getattr(owner, name)))  # which 3.11 tells nothing of


@pytest.hookimpl
def pytest_itemcollected(item: pytest.Item) -> None:
    if is_core(item):
        item.add_marker("core")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    global _guarded
    _guarded = item.get_closest_marker("core") is not None
    _unreached.update(dict.fromkeys(OUTSIDE))
    try:
        return (yield)
    finally:
        _guarded = False


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown() -> Iterator[None]:
    yield
    _check([event for event in OUTSIDE if event not in _unreached])


if __name__ == "__main__":
    sys.exit(
        pytest.main(
            ["-m", "core", "--hypothesis-profile=fast", *(str(FOLDER / place) for place in PLACES), *sys.argv[1:]]
        )
    )
