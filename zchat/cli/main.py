"""How the `zchat` command begins: ready for signals before it loads what it needs, which takes longest."""

from __future__ import annotations

import sys

from zchat.cli import first_signals

TYPE_CHECKING = False  # to load typing takes long
if TYPE_CHECKING:
    from typing import Any

WITH_VALUE = ("--config", "--log-level")
"""The options before the command after which a value comes."""


def main(args: list[str] | None = None) -> Any:
    """Run the command with `args` (None: the process's own) and exit.

    It takes the signals and standard streams of its process. Where it can't have them, it exits and says so: in a
    thread other than the main one, or where a stream is no file, but an object that a program has put there.
    """
    if unfit := _unfit_stream():
        raise SystemExit(f"zchat: sys.{unfit} is no open file; run the command as a process of its own")
    try:
        first_signals.keep()
    except ValueError:
        raise SystemExit("zchat: this is not the main thread; run the command as a process of its own") from None
    try:
        return _run(args)
    except Exception as error:
        from zchat.cli import limits

        if not limits.lacks_memory(error):
            raise
        limits.report_lack_of_memory()
        raise SystemExit(1) from None


def _unfit_stream() -> str:
    """Return the name of a standard stream that isn't the system's, "" without one; one that is missing is."""
    for name in ("stdin", "stdout", "stderr"):
        stream = getattr(sys, name)
        try:
            if stream is not None:
                stream.fileno()
        except (AttributeError, OSError, ValueError):
            return name
    return ""


def _run(args: list[str] | None) -> Any:
    import atexit
    import os

    from zchat.cli import ending, limits, streams
    from zchat.errors import ZchatError

    atexit.register(first_signals.ignore)
    try:
        trouble = limits.trouble()
        streams.print_faults()
        streams.prepare()
        if trouble:
            raise ZchatError(trouble)
        ending.install(surviving_hangup=is_broker(sys.argv[1:] if args is None else args))
        from zchat.cli import logs
        from zchat.cli.program import program

        logs.begin()
    except ZchatError as error:
        from zchat.cli.failures import FAILED, report

        report(str(error))
        sys.exit(FAILED)
    if "_ZCHAT_COMPLETE" in os.environ:
        from zchat.cli import completion

        completion.install()
    return program.main(args, prog_name="zchat")


def is_broker(args: list[str]) -> bool:
    """Return True if it is a broker's command line: SIGHUP doesn't end it, from the start, before click has read it."""
    words = iter(args)
    for word in words:
        if word in WITH_VALUE:
            next(words, None)
        elif not word.startswith("-"):
            return word == "broker"
    return False
