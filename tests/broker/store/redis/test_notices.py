"""Notices, as the scripts pack them."""

from __future__ import annotations

from zchat.broker.store.redis.notices import Notice, notice_of


def test_a_notice_says_what_the_script_has_told() -> None:
    packed = b"\x96\xa1L\xa3abc\x07\x05\xa7general\xcf" + (1 << 40).to_bytes(8, "big")
    assert notice_of(3, packed) == Notice(3, b"L", b"abc", 7, 5, (b"general", 1 << 40))
