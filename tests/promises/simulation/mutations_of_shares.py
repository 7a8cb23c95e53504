"""Faults in how a broker lets users wait who use more than their share, which the simulation must find."""

from __future__ import annotations

from tests.promises.simulation.planting import Change

SHARES = "zchat.broker.guard.shares.Shares"
WAITING = "zchat.broker.core.waiting.WaitingFrames"

MUTATIONS: dict[str, list[Change]] = {
    "a frame that waits overtaken": [Change(SHARES, "must_wait", "bool(account.waiting) or ", "")],
    "a share for each session of a user": [Change(SHARES, "account", "if not self._by_user:", "if True:")],
    "a ping that waits as all else does": [
        Change(WAITING, "hold", "if frames and frames[0].startswith(_AT_ONCE, 1):", "if False:")
    ],
    "what is left of a check forgotten": [
        Change("zchat.broker.core.core.Core", "_go_on", "self.waiting.put_back(account, request, left, size)", "pass")
    ],
    "what is left of a check done after what came later": [
        Change(SHARES, "put_back", "account.waiting.insert(0, frame)", "account.waiting.append(frame)")
    ],
    "what waited of a lost connection carried out": [
        Change(WAITING, "next", "if not session.ended and session.peer is peer:", "if True:")
    ],
    "a frame lost that waits when another is carried out": [
        Change(SHARES, "resume", "if account.waiting:\n", "account.waiting.clear()\n        if account.waiting:\n")
    ],
}
