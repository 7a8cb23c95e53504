"""What is copied from, and what into: the contract that each kind of store keeps."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator

from zchat.broker.store.copying.records import Record


class Source(ABC):
    """A store that is there, that is whole, and that no broker has open. It belongs to one thread."""

    place: str
    """Where it is, as it may be shown."""

    identity: tuple[object, ...]
    """What tells it from all others, by whatever name each was given."""

    @abstractmethod
    def messages(self) -> int:
        """Return how many messages there are to copy; raises StoreError."""

    @abstractmethod
    def records(self) -> Iterator[Record]:
        """Yield all that it keeps, as `zchat.broker.store.copying.records` says, a bounded part at a time in memory.

        Raises:
            StoreError: it can't be read.
        """

    @abstractmethod
    def check_unchanged(self) -> None:
        """See that nothing has changed it since it was opened; raises StoreError."""


class Target(ABC):
    """A store that is being made, which no broker takes for one before it is complete. It belongs to one thread."""

    place: str
    """Where it is, as it may be shown."""

    @abstractmethod
    def put(self, record: Record) -> None:
        """Write one record, now or together with others that follow.

        Raises:
            StoreError: it can't be written.
        """

    @abstractmethod
    def records(self) -> Iterator[Record]:
        """Write what is left, and yield all that was written, as `Source.records`; raises StoreError."""

    @abstractmethod
    def complete(self) -> None:
        """Make it a store, as safe as the store makes what it keeps; raises StoreError."""
