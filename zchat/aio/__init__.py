"""The client in an event loop: what a program that talks in rooms holds."""

from zchat.aio.client import AsyncClient

__all__ = ["AsyncClient"]
