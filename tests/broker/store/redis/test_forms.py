"""How values are packed in Redis: what is read is what was written."""

from __future__ import annotations

from struct import pack

import pytest

from tests.broker.store.driver import ALICE, block
from zchat.broker.store.blocks import Block
from zchat.broker.store.contract import Sanction
from zchat.broker.store.redis import forms
from zchat.wire.blocks import sender
from zchat.wire.values import unpack


@pytest.mark.parametrize("user", ["", "alice", "a" * 31, "ä" * 16, "a" * 64, "\U0001f600" * 64], ids=len)
def test_a_block_that_is_read_is_the_block_that_was_stored_whoever_sent_it(user: str) -> None:
    append = block(1, "a", "b", user=user)
    stored = forms.block_of(append, forms.suffix_of(append), 41, 1_700_000_000_000_000)
    assert stored == Block(41, 42, 1_700_000_000_000_000, ALICE, stored.data)
    assert unpack(stored.data) == [41, 1_700_000_000_000_000, user, ALICE, append.bodies]
    assert sender(stored.data) == user
    entry = (b"42-0", [b"h", stored.data[:19], b"s", forms.suffix_of(append)])
    assert forms.block_at(entry) == stored


def test_the_ends_epochs_name_and_marks_of_a_room_are_read_back() -> None:
    assert forms.ends_of(pack(">QQQQ", 1, 2, 3, 4)) == (1, 2, 3, 4)
    assert forms.epochs_of(b"") == ()
    assert forms.epochs_of(pack(">QQQQ", 7, 1, 8, 5)) == ((7, 1), (8, 5))
    assert forms.name_of(b"alice\0General") == ("General", "alice")
    assert forms.name_of(b"\0@Alice\nbob") == ("@Alice\nbob", "")
    assert forms.mark_of(pack(">QQ", 5, 6)) == (5, 6)


def test_a_digest_tells_blocks_apart_and_one_without_messages_has_none() -> None:
    assert (
        forms.digest_of(block(1, "a")) == forms.digest_of(block(2, "a", room="Other")) != forms.digest_of(block(1, "b"))
    )
    assert len(forms.digest_of(block(1, "a"))) == 8
    assert forms.digest_of(block(1)) == b""


def test_a_member_says_whose_producer_it_is_and_of_which_room() -> None:
    producer = b"\0\xff" * 8
    for user, room in (("alice", "general"), ("", "straße"), ("ünal", "@alice\nbob")):
        assert forms.pair_of(forms.member_of(producer, user, room)) == (producer, user, room)


def test_a_sanction_is_kept_with_all_that_it_says() -> None:
    sanction = Sanction("General", "Bob", "ban", 5, "Älice", 6, "why\0not", "maker")
    value = pack(">Q", 7) + "älice\0".encode() + forms.pack_sanction(sanction)
    assert forms.sanction_of(value) == sanction._replace(number=7)


def test_a_user_has_one_field_for_a_kind_in_a_room_whatever_their_case() -> None:
    assert forms.field_of("General", "BOB", "ban") == forms.field_of("general", "bob", "ban") == b"general\0bob\0ban"
    assert forms.field_of("", "bob", "ban") == b"\0bob\0ban"
