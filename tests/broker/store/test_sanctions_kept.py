"""Sanctions in a store, whatever it is made of: imposed and lifted in order, and kept as logs are."""

from __future__ import annotations

from tests.broker.store.driver import Driver, block
from zchat.broker.store.contract import Imposed, Lifted, Places, Sanction, Stored, TooMany


def test_a_sanction_is_kept_with_all_that_it_says(store: Driver) -> None:
    answer = store.impose("ban", until=1_800_000_000_000_000)
    sanction = Sanction(
        "General", "bob", "ban", 1_800_000_000_000_000, "alice", 1_700_000_000_000_000, "spam", "maker", 1
    )
    assert answer == Imposed(sanction, None)
    assert store.store.sanctions() == [sanction]
    assert store.kept() == ([sanction] if store.keeps else [])


def test_a_user_has_one_sanction_of_a_kind_in_a_room_whatever_their_case(store: Driver) -> None:
    first = store.impose("ban").sanction
    assert store.impose("ban", "BOB", "general") == Imposed(
        Sanction("general", "BOB", "ban", 0, "alice", store.clock.now, "spam", "maker", 2), first
    )
    others = [
        store.impose(*each).sanction for each in (("mute",), ("ban", "bob", ""), ("closed", ""), ("ban", "carol"))
    ]
    assert [each.number for each in others] == [3, 4, 5, 6]
    kept = store.kept()
    assert [each.number for each in kept] == ([2, 3, 4, 5, 6] if store.keeps else [])


def test_a_sanction_is_lifted_once_and_for_good(store: Driver) -> None:
    ban, mute = (store.impose(kind).sanction for kind in ("ban", "mute"))
    assert [store.lift("ban", "Bob", "GENERAL") for _ in range(2)] == [Lifted(ban), Lifted(None)]
    assert store.lift("mute", room="") == Lifted(None)
    assert store.store.sanctions() == [mute]
    assert store.kept() == ([mute] if store.keeps else [])


def test_one_that_was_replaced_meanwhile_is_not_lifted_by_its_number(store: Driver) -> None:
    old, new = (store.impose("ban").sanction for _ in range(2))
    assert store.lift("ban", number=old.number) == Lifted(None)
    assert store.lift("ban", number=new.number) == Lifted(new)


def test_sanctions_are_reported_just_before_their_answers_and_what_changes_nothing_is_not(store: Driver) -> None:
    ban = store.impose("ban").sanction
    assert store.reports.of("imposed") == [(ban,)]
    store.lift("mute")
    store.lift("ban")
    assert store.reports.of("lifted") == [(ban,)]


def test_sanctions_are_answered_in_their_order_and_after_the_blocks_before_them(store: Driver) -> None:
    answers: list[object] = []
    sanction = Sanction("General", "bob", "ban", 0, "alice", 5, "")
    store.store.follow("General", True)
    store.store.append(block(1, "a"), answers.append)
    store.store.impose(sanction, store.places, answers.append)
    store.store.append(block(2, "b"), answers.append)
    store.store.lift("General", "bob", "ban", answers.append)
    store.store.impose(sanction, store.places, answers.append)
    store.store.impose(sanction, store.places, answers.append)
    store.wait(lambda: len(answers) == 6)
    one, two, three = (sanction._replace(number=number) for number in (1, 2, 3))
    assert [answer.block.last if isinstance(answer, Stored) else answer for answer in answers] == [
        1,
        Imposed(one, None),
        2,
        Lifted(one),
        Imposed(two, None),
        Imposed(three, two),
    ]
    # On a busy machine all of them are looked at again, maybe.
    kinds = [report[0] for report in store.reports.all if report[0] not in ("committed", "recovered")]
    assert kinds == ["grew", "imposed", "grew", "lifted", "imposed", "imposed"]
    assert store.kept() == ([three] if store.keeps else [])


def test_numbers_go_on_rising_after_a_reopening(store: Driver) -> None:
    store.impose("ban")
    store.impose("mute")
    if store.keeps:
        store.reopen()
    assert store.impose("ban").sanction.number == 3


def test_a_full_room_and_a_full_store_take_no_further_sanction_until_one_is_lifted(store: Driver) -> None:
    store.places = Places(2, 10, 3)
    for user in ("bob", "carol"):
        store.impose("ban", user)
    full = "General has 2 sanctions, and none of yours is kept beyond 2; lift others"
    assert store.impose("ban", "dave") == TooMany(full)
    assert isinstance(store.impose("ban", "carol"), Imposed), "in place of the one that there is"
    store.impose("ban", "dave", "")
    full = "the broker has 3 sanctions, and none of yours is kept beyond 3; lift others"
    assert store.impose("mute", "dave", "Other") == TooMany(full)
    store.lift("ban", "bob")
    assert isinstance(store.impose("mute", "dave"), Imposed)
    assert store.reports.of("imposed")[-1][0].user == "dave"


def test_one_moderator_takes_up_a_bounded_number_of_places(store: Driver) -> None:
    store.places = Places(10, 2, 10)
    for room in ("General", "Other"):
        store.impose("ban", room=room)
    full = TooMany("you have imposed 2 sanctions, and none of yours is kept beyond 2; lift others")
    assert store.impose("ban", room="Third") == full
    assert isinstance(store.impose("ban", room="Other"), Imposed), "in place of one's own"
    others = Sanction("Third", "bob", "ban", 0, "Zoe", 5, "")
    assert isinstance(store.answer(store.store.impose, others, store.places), Imposed)
    assert store.impose("ban", room="Third") == full, "in place of another's it is one more"
    if store.keeps:
        store.reopen()
    assert store.impose("mute") == store.impose("ban", room="Third") == full
    store.lift("ban", room="Other")
    assert isinstance(store.impose("ban", room="Third"), Imposed)


def test_who_has_places_of_their_own_gets_them_whatever_others_have_taken_up(store: Driver) -> None:
    store.places = Places(2, 10, 2)
    assert [type(store.impose("ban", user)) for user in ("bob", "carol", "dave")] == [Imposed, Imposed, TooMany]
    store.places = Places(3, 10, 3)
    assert [type(store.impose("ban", user)) for user in ("dave", "eve")] == [Imposed, TooMany]
