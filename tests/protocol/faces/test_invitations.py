"""Which direct rooms a client joins by itself, and how many."""

from __future__ import annotations

import pytest

from zchat.messages import Position
from zchat.protocol.faces import invitations
from zchat.protocol.faces.invitations import Invitations


def invite(kept: Invitations, *users: str) -> None:
    for user in users:
        kept.receive(f"@alice\n{user}", user, Position(7, 1))


def test_invitations_wait_until_the_application_takes_events() -> None:
    kept = Invitations(wanted=True)
    accepted: list[int] = []
    invite(kept, "bob")
    assert kept.due == []
    kept.begin(lambda: accepted.append(len(kept.due)))
    assert kept.due == ["@alice\nbob"]
    invite(kept, "carol")
    assert accepted == [2]
    assert kept.begun


def test_a_later_invitation_to_a_room_takes_the_place_of_an_earlier_one() -> None:
    kept = Invitations(wanted=True)
    kept.receive("@alice\nbob", "bob", Position(7, 1))
    kept.receive("@Alice\nBob", "bob", Position(7, 5))
    invitation = kept.take("@alice\nbob")
    assert invitation is not None
    assert invitation.position == (7, 5)
    assert kept.take("@alice\nbob") is None


def test_one_that_is_put_back_does_not_replace_a_later_one() -> None:
    kept = Invitations(wanted=True)
    invite(kept, "bob")
    early = kept.take("@alice\nbob")
    assert early is not None
    kept.receive("@alice\nbob", "bob", Position(7, 5))
    kept.put_back("@alice\nbob", early)
    assert kept.waiting["@alice\nbob"].position == (7, 5)


def test_what_waits_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(invitations, "MAX_INVITATIONS", 2)
    kept = Invitations(wanted=True)
    invite(kept, "bob", "carol", "dave", "bob")
    assert [each.user for each in kept.waiting.values()] == ["bob", "carol"]


def test_a_client_is_in_so_many_rooms_by_itself_until_it_leaves_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(invitations, "MAX_INVITED", 1)
    kept = Invitations(wanted=True)
    invite(kept, "bob", "carol")
    kept.begin(lambda: None)
    assert kept.take_up("@alice\nbob") is not None
    assert (kept.due, kept.take_up("@alice\ncarol")) == ([], None)
    kept.left("@alice\nbob")
    assert kept.due == ["@alice\ncarol"]
    assert kept.take_up("@alice\ncarol") is not None


def test_unwanted_invitations_are_not_kept() -> None:
    kept = Invitations(wanted=False)
    invite(kept, "bob")
    assert kept.waiting == {}
