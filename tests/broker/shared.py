"""A store that other brokers share, by hand."""

from __future__ import annotations

from tests.broker.driver import LateStore
from zchat.broker.store.news import News


class SharedStore(LateStore):
    """Keep what this broker tells the others; what they tell is among its `reports`."""

    broker = b"here"

    def __init__(self) -> None:
        super().__init__(lambda: 1)
        self.news: list[News] = []

    def tell(self, news: News) -> None:
        self.news.append(news)
