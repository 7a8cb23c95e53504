"""Faults to plant in what brokers share a store by: in its fences, which the scripts' twin has, and beside them."""

from __future__ import annotations

from tests.promises.simulation.planting import Change

_TWIN = "tests.broker.store.redis.twin:Twin"
_STORE = "zchat.broker.store.redis"
_MIRROR = f"{_STORE}.mirror:Mirror"

MUTATIONS: dict[str, list[Change]] = {
    "blocks of a connection that its client has left stored": [
        Change(_TWIN, "_append", 'if known and int(connection) < int(known[b"c"]):', "if False:")
    ],
    "blocks that a client sends again under a number that has others taken for those": [
        Change(_TWIN, "_append", "other = digest and digest != kept and kept != scripts.ANY_DIGEST", "other = False")
    ],
    "what comes late of an earlier attachment carried out": [
        Change(
            _TWIN,
            "_is_attached",
            'stands.get(b"run") == run and stands.get(b"g:" + broker) == generation',
            'stands.get(b"run") == run',
        )
    ],
    "another run of the server goes on with the epoch of the one before": [
        Change(
            _TWIN,
            "_attach",
            'self._set(info, b"epoch", epoch)',
            'self._set(info, b"epoch", self._hash(info).get(b"epoch", epoch))',
        )
    ],
    "a lost end taken for the log that was": [
        Change(
            f"{_STORE}.mirrored_log:MirroredLog",
            "is_lost",
            "return Epochs(state.epochs).parted(Position(self.epochs.current, self.last), state.ends.last) is not None",
            "return False",
        )
    ],
    "a join judged by what this broker knows": [
        Change("zchat.broker.core.handlers", "join", "if start is None or room.reaches(start):", "if True:")
    ],
    "what was not heard never looked for": [
        Change(f"{_STORE}.feed:Feed", "_listen", "self._probe(asking, at_once=False)", "None")
    ],
    "pages of another run taken for those of this one": [
        Change(f"{_STORE}.reader:Reader", "_tried", "if self._connected_run != self._attached_run:", "if False:")
    ],
    "what another broker trimmed passed over in silence": [
        Change(_MIRROR, "_report", "self._skip(log, block.first, state, watcher)", "log.last = block.first - 1")
    ],
    "a mark before what it covers": [
        Change(_MIRROR, "heard", 'elif kind == b"M" and notice.fields[1] > log.last:', "elif False:")
    ],
    "users of a broker that was killed here for ever": [
        Change(
            f"{_STORE}.attachment:Attachment", "hold", "for broker in ended[0] if ended else ():", "for broker in ():"
        )
    ],
    "what was sent and not answered given up": [
        Change(
            f"{_STORE}.committer:Committer",
            "_exchange",
            "self._flight.extend(calls[len(answered) + len(self._flight) :])",
            "pass",
        )
    ],
}
