"""The gateway: browsers take part in the rooms of a broker, over one WebSocket each. It requires the extra `web`."""

from typing import TYPE_CHECKING, Any

from zchat.errors import ZchatError

if TYPE_CHECKING:
    from zchat.web.app import App

try:
    import brotli  # noqa: F401
    import rcssmin  # noqa: F401
    import rjsmin  # noqa: F401
    import websockets.server  # noqa: F401
except ImportError as error:
    raise ZchatError(f"the gateway requires the package {error.name}: pip install 'zchat-zmq[web]'") from error

__all__ = ["App"]


def __getattr__(name: str) -> Any:
    if name != "App":
        raise AttributeError(f"module 'zchat.web' has no attribute {name!r}")
    from zchat.web.app import App  # here, as the core is loaded without an event loop

    return App
