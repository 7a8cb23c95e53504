"""How the `zchat` command begins: ready for signals before it loads what it needs, which takes longest."""

from __future__ import annotations

from zchat.cli import first_signals

TYPE_CHECKING = False  # to load typing takes long
if TYPE_CHECKING:
    from typing import Any, NoReturn

WITH_VALUE = ("--config", "--log-level")
"""The options before the command after which a value comes."""


def main(args: list[str] | None = None) -> Any:
    """Run the command with `args` (None: the process's own) and exit."""
    first_signals.keep()
    import os
    import sys

    from zchat.cli import ending, open_files, streams

    trouble = open_files.trouble()
    streams.prepare()
    if trouble:
        _fail(trouble)
    try:
        ending.install(surviving_hangup=is_broker(sys.argv[1:] if args is None else args))
        from zchat.cli import logs
        from zchat.cli.program import program

        logs.begin()
        if "_ZCHAT_COMPLETE" in os.environ:
            from zchat.cli import completion

            completion.install()
        return program.main(args, prog_name="zchat")
    except RuntimeError as error:
        if "can't start" not in str(error):
            raise
        _fail("no more threads can be started; raise the limit on processes (ulimit -u)")
    finally:
        ending.settle()


def _fail(why: str) -> NoReturn:
    from zchat.cli.failures import FAILED, report

    report(why)
    raise SystemExit(FAILED)


def is_broker(args: list[str]) -> bool:
    """Return True if it is a broker's command line: SIGHUP doesn't end it, from the start, before click has read it."""
    words = iter(args)
    for word in words:
        if word in WITH_VALUE:
            next(words, None)
        elif not word.startswith("-"):
            return word == "broker"
    return False
