"""How the `zchat` command begins: ready for signals before it loads what it needs, which takes longest."""

from __future__ import annotations

import os
from typing import Any

from zchat.cli import ending, streams


def main(args: list[str] | None = None) -> Any:
    """Run the command with `args` (None: the process's own) and exit."""
    streams.prepare()
    ending.install()
    try:
        from zchat.cli import logs
        from zchat.cli.program import program

        logs.begin()
        if "_ZCHAT_COMPLETE" in os.environ:
            from zchat.cli import completion

            completion.install()
        return program.main(args, prog_name="zchat")
    finally:
        ending.settle()
