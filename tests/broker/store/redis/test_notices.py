"""Notices, as the scripts pack them."""

from __future__ import annotations

import pytest

from zchat.broker.store.news import Amount, Counted, Greeted, Kicked, News, Spent, Typed
from zchat.broker.store.redis.notices import NEWS, Notice, news_of, notice_of, words_of


def test_a_notice_says_what_the_script_has_told() -> None:
    packed = b"\x96\xa1L\xa3abc\x07\x05\xa7general\xcf" + (1 << 40).to_bytes(8, "big")
    assert notice_of(3, packed) == Notice(3, b"L", b"abc", 7, 5, (b"general", 1 << 40))


@pytest.mark.parametrize(
    "news",
    [
        Typed("Straße", "alice", True),
        Typed("Straße", "alice", False),
        Kicked("General", "bob", "Alice", ""),
        Greeted("bob", bytes(range(16)), 1 << 40),
        Counted({"users": 2, "sent_bytes": 1 << 60}),
        Counted({}),
        Spent((Amount("@bob smith", 7, 1 << 40), Amount("the room", 0, 3))),
    ],
)
def test_news_are_heard_as_they_were_told(news: News) -> None:
    kind, *fields = (each.encode() for each in words_of(news))
    assert kind in NEWS
    assert news_of(Notice(0, kind, b"other", 7, 0, tuple(fields))) == news
