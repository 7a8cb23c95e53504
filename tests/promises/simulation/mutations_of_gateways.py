"""Faults in who comes in through a gateway's key, which the simulation must find: see `mutations`."""

from __future__ import annotations

from tests.promises.simulation.planting import Change

IDENTITY = "zchat.broker.core.identity"
CORE = "zchat.broker.core.core"

MUTATIONS: dict[str, list[Change]] = {
    "operators let in through a gateway": [
        Change(IDENTITY, "_refusal", "if access.level(folded, None) is Level.OPERATOR:", "if False:")
    ],
    "a key taken for a gateway's that no longer is one": [
        Change("zchat.broker.guard.gate.Gate", "revise", "    self._take_gateways(gateways)\n", "    pass\n")
    ],
    "sessions kept that came through a key when it was a gateway's": [
        Change(CORE, "judge", "if not gate.is_gateways(key):", "if False:")
    ],
    "who comes through a gateway taken for the gateway": [
        Change(
            "zchat.broker.core.handlers",
            "hello",
            "peer = request.peer._replace(user=fold(user))",
            "peer = request.peer",
        )
    ],
}
