"""The client with threads: what a program that talks in rooms holds."""

from zchat.client.client import Client

__all__ = ["Client"]
