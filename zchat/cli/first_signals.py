"""Signals that come while the command loads: kept until `ending` has handlers that act on them.

To load takes a tenth of a second, longer than most commands run. Until then Python would end in a traceback at Ctrl-C,
and the first process of a container, for which the system ignores a signal without a handler, would never know of a
SIGTERM. This runs before all else, and so loads nothing itself: `signal` takes half as long as Python's own start.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # typeshed has no stub


def _those(*names: str) -> list[int]:
    return [int(getattr(_signal, name)) for name in names if hasattr(_signal, name)]


ASKING = _those("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT")
"""The signals by which people and programs ask a command to end."""

OTHERS = _those("SIGUSR1", "SIGUSR2", "SIGALRM", "SIGVTALRM", "SIGPROF", "SIGXCPU", "SIGIO", "SIGPWR", "SIGSTKFLT")
OTHERS += range(getattr(_signal, "SIGRTMIN", 1), getattr(_signal, "SIGRTMAX", 0) + 1)
"""The others by which the system would end it at once, but for those that report a fault of the program itself."""

SIGNALS = [*ASKING, *OTHERS]
"""The signals that end a command."""

_kept: list[int] = []


def keep() -> None:
    """Keep signals from now on, but not those that the command was started to ignore. The main thread's, once."""
    for number in SIGNALS:
        if _signal.getsignal(number) != _signal.SIG_IGN:
            _signal.signal(number, _keep)


def kept() -> list[int]:
    """Return the numbers of the signals that have come, in their order. The main thread's, once `_keep` is replaced."""
    return _kept[:]


def ignore() -> None:
    """Ignore them from now on: the command is over, and its exit code stands. The main thread's, last of all.

    Python's own end takes some ten milliseconds, in which the system would end the process by a signal, as if what was
    done were not: a signal that Python has a handler for it leaves to the system then, one that is ignored it doesn't.
    """
    for number in SIGNALS:
        _signal.signal(number, _signal.SIG_IGN)


def _keep(number: int, frame: object) -> None:
    _kept.append(number)
