"""The broker: `Broker` runs one in a thread of any program."""

from zchat.broker.broker import Broker
from zchat.broker.figures.lag import Lag
from zchat.broker.settings import DEFAULT_ROOMS, Settings

__all__ = ["DEFAULT_ROOMS", "Broker", "Lag", "Settings"]
