"""In whatever order commands and answers come, pages read what their users may, and know where they are."""

from __future__ import annotations

import pytest

from tests.promises.simulation.planting import Change, catch, complaint
from tests.web.comings import live

SEEDS = 60
"""Runs of each test."""

TRIED = 1_000
"""Seeds within which each planted fault must be caught."""

USER = "zchat.web.core.users.User"
ENTRY = "zchat.web.core.entry.Entry"
GATEWAY = "zchat.web.core.gateway.Gateway"
MEMBER = "zchat.web.core.channel.Member"
SESSION = "zchat.web.core.session.Session"

FAULTS: dict[str, list[Change]] = {
    "those on their way in not counted": [
        Change(USER, "_settle", "not place.settled", "not (place.settled and place.members)"),
        Change(
            USER,
            "_settle_in_turn",
            "place.settled or not self._is_place(place):\n            return",
            "place.members and place.settled or not self._is_place(place):\n            return\n"
            "        if not place.members:\n            del self.places[place.key]\n"
            "            await self._leave(place.room)\n            return",
        ),
    ],
    "those on their way in not told": [
        Change(USER, "_end_place", "follower.removed(event)", "follower.member is None or follower.removed(event)")
    ],
    "who was put out on the way in let in": [
        Change(ENTRY, "come_in", "self.check()  # last: whatever has ended it while it waited has said so here", "pass")
    ],
    "pages left behind where another one can't take part": [
        Change(USER, "_change", "await self._restore(place, name)", "pass")
    ],
    "a page counted that is gone": [Change(USER, "_join_in_turn", "follower.check()", "pass")],
    "users who are there as long as any page is": [
        Change(USER, "_wait_for_pages", "not place.settled", "not place.followers"),
        Change(USER, "_settle", "not place.settled", "not place.followers"),
    ],
    "users who stay there as a page is lost on its way in": [
        Change(USER, "_join_in_turn", "self._wait_for_pages(place)  # it may be gone again", "pass")
    ],
    "pages that can't be where they were not told": [
        Change(USER, "_restore", "self._end_place(place, removal(name, error))", "pass")
    ],
    "pages written to between two memberships": [Change(USER, "_change", "place.pause()", "pass")],
    "what was said between two memberships taken from what others read": [
        Change(MEMBER, "go_on", "self._mind_beginning()", "pass")
    ],
    "pages that are live from where the gateway stands": [
        Change(MEMBER, "go_on", "channel.position.seq >= self._floor", "channel.position.seq")
    ],
    "pages that go on with the link and not with the room": [
        Change(USER, "_look_again", "if self._going_on is None and", "if False and")
    ],
    "a room used from which the gateway was put out as it came": [
        Change(GATEWAY, "_take", "self._openings[key].removed = True", "pass")
    ],
    "a room left that is followed": [Change(GATEWAY, "_drop_if_idle", "not channel.members and", "True and")],
    "a task kept that has ended": [
        Change(
            SESSION,
            "_work",
            "self._working = True\n        self._keep(self._world.spawn(self._carry_out_all()))",
            "self._keep(self._world.spawn(self._carry_out_all()))\n        self._working = True",
        )
    ],
    "a reading of the log kept that has ended": [
        Change(
            MEMBER,
            "go_on",
            "self._catching = True  # first: the task may end at once\n"
            "            channel.context.world.spawn(self._read_log(channel.logs))",
            "channel.context.world.spawn(self._read_log(channel.logs))\n            self._catching = True",
        )
    ],
}


@pytest.mark.parametrize("seed", range(SEEDS))
def test_pages_are_where_their_users_are_and_read_what_is_said_there_alone(seed: int) -> None:
    live(seed)


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_caught(name: str) -> None:
    catch(name, FAULTS[name], range(TRIED), live, lambda seed: complaint(live, seed) is None)
