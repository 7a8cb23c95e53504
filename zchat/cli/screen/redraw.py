"""Drawing an application again, as any thread may ask for."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

from prompt_toolkit.application import Application


class Redraw:
    """What has an application drawn again soon, once for all calls until then. It is made in the event loop.

    The application's own `invalidate` fails in another thread where the application ends meanwhile.
    """

    def __init__(self, app: Application[Any]) -> None:
        self._app = app
        self._loop = asyncio.get_running_loop()
        self._wanted = False

    def __call__(self) -> None:
        """Have it drawn, if it still runs then. Any thread, also once the loop has ended."""
        if not self._wanted:
            self._wanted = True
            with suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(self._draw)

    def _draw(self) -> None:
        self._wanted = False  # first: what changes from here on is drawn by another call
        self._app.invalidate()
