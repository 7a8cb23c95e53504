"""Faults in what a broker makes of its moderators' commands, which the simulation must find."""

from __future__ import annotations

from tests.promises.simulation.planting import Change

ACCESS = "zchat.broker.core.access.Access"
ENFORCEMENT = "zchat.broker.core.enforcement.Enforcement"
MODERATION = "zchat.broker.core.moderation"

MUTATIONS: dict[str, list[Change]] = {
    "sanctions forgotten when the broker starts again": [
        Change("zchat.broker.core.core.Core", "__init__", "store.sanctions() if gate.binds_names else []", "[]")
    ],
    "a sanction that ends early": [
        Change(ACCESS, "ends", "sanction.until <= self.time()", "sanction.until <= self.time() + 1_500_000")
    ],
    "a sanction that never ends": [Change(ACCESS, "ends", "return 0 <", "return False and 0 <")],
    "what is over never removed": [Change(ENFORCEMENT, "expire", "if sanction.until <= earliest:", "if False:")],
    "a ban that puts nobody out": [Change(ENFORCEMENT, "imposed", "if sanction.kind != BAN:", "if True:")],
    "a ban answered before it is safe": [
        Change(
            MODERATION,
            "_impose",
            "    context.store.impose(sanction, places, partial(_imposed, context, request, word, room, user))",
            "    context.replies.answer(request, Sanctioned(until))\n"
            "    context.store.impose(sanction, places, lambda outcome: _waited(context, room))",
        )
    ],
    "messages of who is muted stored": [Change(ACCESS, "sanction", "mute = sanctions.mutes.get(user)", "mute = None")],
    "messages to a closed room stored": [
        Change(ACCESS, "sanction", "if sanctions.closed is not None and", "if False and")
    ],
    "equals put out by equals": [
        Change(
            ACCESS, "check_above", "if level >= self.level(peer.user, room):", "if level > self.level(peer.user, room):"
        )
    ],
    "who is banned from the broker greeted": [
        Change("zchat.broker.core.handlers", "hello", "ban_at_broker(peer.user)) is not None:", "ban_at_broker('')):")
    ],
    "who is put out still sent to": [
        Change("zchat.broker.core.sessions.Sessions", "leave", "self._pusher.left(member)", "pass")
    ],
}
