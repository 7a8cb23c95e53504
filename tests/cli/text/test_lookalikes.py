"""Who looks like another is reported, once."""

from __future__ import annotations

import pytest

from zchat.cli.text.lookalikes import NAMES_KEPT, LookAlikes, skeleton


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("coco", "сосо"),  # all Cyrillic
        ("alice", "aIice"),
        ("alice", "a1ice"),
        ("BOB", "B0B"),
        ("modern", "rnodern"),
        ("\U0001f44d", "\U0001f44d\ufe0f"),
        ("bob smith", "bobsmith"),
        ("alice", "alice\ufe00"),
        ("НОМЕ", "HOME"),
        ("ΚΑΤΕ", "KATE"),
        ("alice", "ALlCE"),
        ("ALICE", "allce"),
        ("BILL", "Biil"),
        ("alice", "ꓮꓡꓲꓚꓰ"),
        ("ꓮꓡꓲꓚꓰ", "ALICE"),
        ("MARS", "ᎷᎪᎡᏚ"),
        ("mars", "ꮇꭺꭱꮪ"),
        ("copc", "ⲥⲟⲣⲥ"),
        ("alice", "ɑlıce"),
        ("alice", "alice·"),
        ("alice", "aliceʼ"),
        ("alice", "a\u0335lice"),
        ("alice", "alic\u20d2e"),
        ("a-b", "a‐b"),
        ("a-b", "a−b"),
        ("COW", "ᴄᴏᴡ"),
        ("xiv", "хіѵ"),
        ("EVE", "ⴹⴸⴹ"),
        ("VOX", "\U000118a0\U000118b5\U000118ec"),
    ],
)
def test_names_that_look_alike_have_one_skeleton(one: str, other: str) -> None:
    assert skeleton(one) == skeleton(other)
    names = LookAlikes()
    assert names.add(one) is None
    assert names.add(other) == one
    assert names.add(other) is None
    assert names.add(one) is None


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("bob", "BOB"),
        ("al", "ale"),
        ("rene", "rené"),
        ("анна", "anna"),
        ("サーバ", "サバ"),
        ("a-b", "a_b"),
        ("a.b", "ab"),
    ],
)
def test_other_names_do_not(one: str, other: str) -> None:
    names = LookAlikes()
    assert names.add(one) is None
    assert names.add(other) is None


def test_no_more_names_are_kept_than_are_compared() -> None:
    names = LookAlikes()
    for number in range(2 * NAMES_KEPT):
        names.add(f"user {number:x}".translate(str.maketrans("01", "gh")))
    assert len(names._names) == NAMES_KEPT
