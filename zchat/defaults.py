"""What holds for a client, a broker and the command alike, unless they are told otherwise."""

from __future__ import annotations

DEFAULT_URL = "tcp://127.0.0.1:5555"
"""Where a broker listens: on loopback, since without keys whoever reaches it can take any name."""
