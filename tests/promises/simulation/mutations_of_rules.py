"""Faults in how a broker goes by its rules, which the simulation must find: see `mutations`."""

from __future__ import annotations

from tests.promises.simulation.planting import Change

ACCESS = "zchat.broker.core.access.Access"
REVISION = "zchat.broker.core.revision.Revision"

MUTATIONS: dict[str, list[Change]] = {
    "rules as they were at the start": [
        Change("zchat.broker.core.core.Core", "revise", "self.context.access.rules = rules", "pass")
    ],
    "who may not be in a room any more left in it": [
        Change(REVISION, "_judge", "if not rights & Right.JOIN:", "if False:")
    ],
    "who is put out not notified": [Change("zchat.broker.core.removal.Removal", "put_out", "self._pipes.reply(", "(")],
    "what was yet to be sent not withheld": [Change(REVISION, "_judge", "if not rights & Right.READ:", "if False:")],
    "names sent to who may see them no more": [
        Change(ACCESS, "is_named_to", "return self.may", "return True or self.may")
    ],
    "names known before left to who may see them no more": [
        Change(REVISION, "_judge", "if bool(rights & Right.MEMBERS) is member.counted:", "if False:")
    ],
    "the log's beginning read by who may join alone": [
        Change(ACCESS, "floor", "floors.setdefault(room.folded, room.last)", "0")
    ],
    "what was said over a lost connection withheld": [
        Change(ACCESS, "floor", "floors.setdefault(room.folded, room.last)", "floors[room.folded] = room.last")
    ],
    "what was said after leaving read by who comes again": [
        Change("zchat.broker.core.sessions.Sessions", "leave", "session.floors.pop(room.folded, None)", "pass")
    ],
    "the right to read not asked for": [
        Change(ACCESS, "check", "if rules is not None:", "if rules is not None and right is not Right.READ:")
    ],
    "the right to send not asked for": [
        Change(ACCESS, "check", "if rules is not None:", "if rules is not None and right is not Right.SEND:")
    ],
    "a hidden room refused as one that is there": [
        Change(ACCESS, "_check", "if judge(rights, right) is Answer.NO_SUCH_ROOM:", "if False:")
    ],
    "a rate that nothing is taken from": [
        Change("zchat.broker.guard.rates.Rates", "take", "of_messages.take(messages)", "pass")
    ],
}
