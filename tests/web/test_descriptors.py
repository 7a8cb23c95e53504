"""The gateway's file descriptors, and a gateway that has few."""

from __future__ import annotations

import logging

import pytest

from zchat.web import descriptors
from zchat.web.descriptors import Share, browsers


def test_what_is_kept_from_a_share_is_left_and_the_log_says_so_once_until_it_has_recovered(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "zchat.web")
    now, lowest = 100.0, 90
    monkeypatch.setattr(descriptors, "monotonic", lambda: now)
    monkeypatch.setattr(descriptors, "limit", lambda: 100)
    monkeypatch.setattr(descriptors, "scarce", lambda most, kept: lowest >= most - kept)
    share = Share("accepting connections", 2, 4)
    for lowest, used_up in ((97, False), (98, True), (97, False), (99, True)):  # noqa: B007
        assert share.is_used_up() is used_up
    assert caplog.messages == ["accepting connections fails: the limit of 100 open files (ulimit -n) is reached"]
    lowest = 10
    assert not share.is_used_up()
    now += descriptors.RECOVERED_AFTER
    for _ in range(2):
        assert not share.is_used_up()
    assert caplog.messages[1:] == ["accepting connections has recovered"]


def test_of_few_descriptors_a_part_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(descriptors, "limit", lambda: 100)
    kept: list[tuple[int, int]] = []

    def scarce(most: int, few: int) -> bool:
        kept.append((most, few))
        return False

    monkeypatch.setattr(descriptors, "scarce", scarce)
    for share in (descriptors.for_newcomers(), descriptors.for_sessions(), descriptors.for_scrapes()):
        share.is_used_up()
    assert kept == [(100, 25), (100, 12), (100, 12)]


def test_the_browsers_for_which_there_are_descriptors_have_a_session_each(monkeypatch: pytest.MonkeyPatch) -> None:
    for files_there, found in ((None, 8000), (1 << 20, 8000), (1024, 187), (64, 4), (20, 0)):
        monkeypatch.setattr(descriptors, "limit", lambda most=files_there: most)
        assert browsers(8000) == found
