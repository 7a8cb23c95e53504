"""What is said to one is kept, counted until one has seen it, and rung for."""

from __future__ import annotations

from zchat import Message
from zchat.cli.chat.news import MENTIONS_KEPT, News, together
from zchat.cli.chat.rooms import Unread


def said(room: str, seq: int, time: int = 0) -> Message:
    return Message(room, seq, time, "bob", "alice?")


def test_what_was_shown_counts_until_a_key_is_pressed_or_the_room_is_read() -> None:
    rung: list[None] = []
    news = News(lambda: rung.append(None))
    news.come(said("General", 7), shown=True)
    news.come(said("general", 9), shown=True)
    news.come(said("@bob", 1), shown=True)
    news.come(said("Sports", 5), shown=False)  # it is counted as unread
    assert news.unseen == (Unread("general", 2, 7, 9, 9), Unread("@bob", 1, 1, 1, 1))
    assert len(rung) == 4
    assert news.seen("GENERAL")
    assert not news.seen("Sports")
    assert [each.room for each in news.unseen] == ["@bob"]
    assert news.seen()
    assert not news.seen()
    assert not news.unseen


def test_the_latest_are_kept_once_each_and_in_the_order_of_their_times() -> None:
    news = News(lambda: None)
    news.keep([said("Sports", 1, time=2), said("General", 1, time=1), said("sports", 1, time=2)])
    assert [each.room for each in news.latest] == ["General", "sports"]
    news.keep([said("General", seq, time=seq) for seq in range(10, 10 + MENTIONS_KEPT)])
    assert [each.seq for each in news.latest] == list(range(10, 10 + MENTIONS_KEPT))


def test_what_is_unread_and_unseen_is_one_number_a_room_first_where_one_is_meant() -> None:
    unread = (Unread("Movies", 3, 1, 3), Unread("@bob", 2, 4, 5, 5))
    assert together(unread, (Unread("@Bob", 1, 3, 3, 3),)) == (Unread("@Bob", 3, 3, 5, 5), Unread("Movies", 3, 1, 3))


def test_a_mention_by_a_user_who_is_ignored_counts_no_longer_and_that_of_another_does() -> None:
    news = News(lambda: None)
    news.keep([said("Sports", 4), Message("Sports", 6, 0, "troll", "alice?"), said("Movies", 7), said("Sports", 9)])
    unread = Unread("SPORTS", 5, 3, 8, 6)
    assert news.recounted(unread, lambda user: False) == unread
    assert news.recounted(unread, lambda user: user == "troll") == unread._replace(mention=4)
    assert news.recounted(unread, lambda user: True) == unread._replace(mention=0)
    assert news.recounted(unread._replace(mention=0), lambda user: False) == unread
    unkept = unread._replace(mention=7)
    assert news.recounted(unkept, lambda user: True) == unkept, "nobody knows any more whose it was"
