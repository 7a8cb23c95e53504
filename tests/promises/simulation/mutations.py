"""Faults to plant in the code, one at a time, each of which the simulation must find."""

from __future__ import annotations

from tests.promises.simulation import (
    mutations_of_gateways,
    mutations_of_moderation,
    mutations_of_rules,
    mutations_of_shares,
)
from tests.promises.simulation.planting import Change

MUTATIONS: dict[str, list[Change]] = {
    "reply before commit": [
        Change(
            "zchat.broker.store.sqlite.store.SqliteStore",
            "append",
            "    self._writing.append((done, decided, size, append))",
            "    done(decided)\n    self._writing.append((lambda answer: None, decided, size, append))",
        )
    ],
    "resend under a new number": [
        Change(
            "zchat.protocol.send_queue.SendQueue",
            "lost",
            "    self._send_again()",
            "    self.again.extendleft(reversed([part for block in self.flight for part in block.parts]))\n"
            "    self.flight.clear()\n    self.resend.clear()",
        )
    ],
    "resend during the commit": [
        Change(
            "zchat.broker.store.sqlite.store.SqliteStore",
            "append",
            "elif self._writing or not self._sound:",
            "elif not self._sound:",
        )
    ],
    "a later block stored after an earlier one was refused": [
        Change(
            "zchat.broker.store.ledger.Ledger",
            "append",
            "    elif append.number != producer.last + 1:\n",
            "    elif append.number <= producer.last:\n"
            "        return producer.answer(append.number, self.rooms[append.room].epochs)\n"
            "    else:\n        producer.last = append.number - 1\n    if False:\n",
        )
    ],
    "cursor moved on a failed push": [
        Change(
            "zchat.broker.delivery.pusher.Pusher",
            "_send",
            "        if outcome != Sent.SENT:\n",
            "        if outcome != Sent.SENT:\n            member.cursor = upto\n",
        )
    ],
    "push tried again only when credit comes": [
        Change("zchat.broker.delivery.pusher.Pusher", "opened", "if member.state is MemberState.HELD:", "if False:"),
        Change(
            "zchat.broker.delivery.pusher.Pusher",
            "credited",
            "if member.state is MemberState.STARVED:",
            "if member.state in (MemberState.STARVED, MemberState.HELD):",
        ),
    ],
    "late credit of an earlier join counted": [
        Change(
            "zchat.broker.core.handlers", "credit", "if member is None or member.join != number:", "if member is None:"
        )
    ],
    "credit returned twice": [
        Change(
            "zchat.protocol.rooms.cursor.Cursor",
            "rejoin",
            "self.base = self._credited = self.received - held",
            "self.base = self._credited = self.base",
        )
    ],
    "epoch ignored": [
        Change(
            "zchat.broker.store.epochs.Epochs",
            "parted",
            "    if position.epoch == 0 and position.seq == 0:",
            "    if position.seq <= last:",
        )
    ],
    "position not moved over own messages": [
        Change("zchat.protocol.rooms.cursor.Cursor", "_advance_taken", "if self.taken > self._gap_after:", "if False:"),
        Change("zchat.protocol.rooms.cursor.Cursor", "_seen_position", "if portion.number > gap_after:", "if False:"),
    ],
    "what is received moved over own messages before the gap": [
        Change("zchat.protocol.rooms.cursor.Cursor", "_advance_received", " or self.received <= self._gap_after", "")
    ],
    "what is taken moved over own messages before the gap": [
        Change("zchat.protocol.rooms.cursor.Cursor", "_advance_taken", "if self.taken > self._gap_after:", "if True:"),
        Change("zchat.protocol.rooms.cursor.Cursor", "_seen_position", "if portion.number > gap_after:", "if True:"),
    ],
    "what was taken while a join was under way not returned": [
        Change("zchat.protocol.rooms.memberships.Memberships", "rejoined", "return self.credit(room)", "return None")
    ],
    "own messages of an earlier join kept": [
        Change("zchat.protocol.rooms.cursor.Cursor", "rejoined", "    self._own.clear()  #", "    pass  #")
    ],
    "trim under a reader": [
        Change(
            "zchat.broker.delivery.pusher.Pusher",
            "_page",
            "if not page.blocks or page.blocks[0].first > member.cursor + 1:",
            "if not page.blocks:",
        )
    ],
    "a fenced connection's late leave obeyed": [
        Change(
            "zchat.broker.guard.connections.Connections",
            "peer",
            "if not connection.doomed:",
            "if True:",
        ),
        Change(
            "zchat.broker.core.sessions.Sessions",
            "fence",
            "    self.table.disconnect(session)\n",
            "    routing_id = session.peer.routing_id\n"
            "    self.table.disconnect(session)\n"
            "    vars(self).setdefault('fenced', {})[routing_id] = session\n",
        ),
        Change(
            "zchat.broker.core.core.Core",
            "receive",
            "    else:\n        if peer is None:\n",
            "    elif routing_id in vars(context.sessions).get('fenced', ()):\n"
            "        command = decode_command(frames[0])\n"
            "        owner = context.sessions.fenced[routing_id]\n"
            "        room = self._rooms.get(fold(command.fields[0])) if command.word == 'leave' else None\n"
            "        if room in owner.members:\n"
            "            context.pusher.left(owner.members.pop(room))\n"
            "            context.presence.depart(owner, room)\n"
            "        return\n"
            "    else:\n        if peer is None:\n",
        ),
    ],
    "a session sent its own messages": [
        Change(
            "zchat.broker.delivery.pusher.Pusher",
            "_serve",
            "if made is None or member.producer in made[3]:",
            "if made is None:",
        )
    ],
    "what is held forgotten at a join": [
        Change("zchat.protocol.rooms.cursor.Cursor", "rejoin", "    return held", "    return 0")
    ],
    "a member not woken by credit": [
        Change(
            "zchat.broker.delivery.pusher.Pusher", "credited", "if member.state is MemberState.STARVED:", "if False:"
        )
    ],
    "bytes of who left still counted": [
        Change("zchat.broker.delivery.pusher.Pusher", "_forget", "    self.in_flight -= sum(member.out)\n", "")
    ],
    "a room kept that nobody needs": [
        Change("zchat.broker.presence.presence.Presence", "_vacate", "        self._empty(room)\n", "        pass\n")
    ],
    "a producer kept after its goodbye": [
        Change("zchat.broker.core.handlers", "bye", "    context.store.forget(session.producer)\n", "")
    ],
    "what was decided kept although its commit failed": [
        Change("zchat.broker.store.sqlite.store.SqliteStore", "_answer", "self._ledger = outcome.ledger", "pass")
    ],
    "an answer given to the wrong connection": [
        Change("zchat.broker.core.replies.Replies", "answer_frame", " and session.peer is request.peer", "")
    ],
    "a late greeting obeyed": [
        Change("zchat.broker.core.handlers", "hello", "if connection <= session.connection:", "if False:")
    ],
    "a gap of trimmed messages not told": [
        Change("zchat.broker.core.handlers", "_gap", "if start.seq < room.first - 1:", "if False:"),
        Change(
            "zchat.broker.delivery.pusher.Pusher",
            "_serve",
            "if member.cursor < room.first - 1 and member.gap is None:",
            "if False:",
        ),
        Change(
            "zchat.broker.delivery.pusher.Pusher",
            "_page",
            "if not page.blocks or page.blocks[0].first > member.cursor + 1:",
            "if not page.blocks:",
        ),
    ],
    "an update lost when a pipe is full": [
        Change(
            "zchat.broker.presence.state_frames.StateFrames",
            "_serve",
            "        self._pipes.block(session)\n",
            "        self._pipes.block(session)\n            session.stale.clear()\n",
        )
    ],
    "a state frame sent before the last was seen": [
        Change("zchat.broker.presence.state_frames.StateFrames", "_wake", " and not session.shown", ""),
    ],
    "any number counted as seen": [
        Change(
            "zchat.broker.presence.state_frames.StateFrames", "seen", "number != session.shown or not number", "False"
        )
    ],
    "an answer over the lost connection waited for": [
        Change("zchat.broker.rooms.session.Session", "connect", "    self.shown = 0\n", "")
    ],
    "a user gone with the first session that leaves": [
        Change(
            "zchat.broker.presence.presence.Presence",
            "depart",
            "    if not roster.leave(session.peer.user):\n        return\n",
            "    left = [each for each in room.members if each.session.peer.user == session.peer.user]\n"
            "    for other in [session, *[each.session for each in left]]:\n"
            "        other.present.pop(room, None)\n"
            "        person.sessions = 1\n"
            "    roster.leave(session.peer.user)\n",
        )
    ],
    "typing not ended by a message": [
        Change("zchat.broker.presence.presence.Presence", "grew", "    if roster.typing:\n", "    if False:\n"),
    ],
    "typing not ended at its time": [
        Change("zchat.broker.presence.presence.Presence", "tick", "if ends > now:", "if ends + 60 > now:")
    ],
    "no whole picture for a session that came back": [
        Change(
            "zchat.broker.presence.state_frames.StateFrames",
            "joined",
            "    member.session.stale[member] = None\n",
            "    if member.session.connection > 1:\n"
            "        member.roster_version = member.room.roster.version\n"
            "    member.session.stale[member] = None\n",
        )
    ],
    "a mark that goes back accepted": [
        Change("zchat.broker.core.handlers", "set_read_mark", "if seq <= stands or", "if"),
        Change("zchat.broker.store.ledger.Ledger", "set_read_mark", "seq > stands:", "seq != stands:"),
    ],
    "a mark answered before it is safe": [
        Change(
            "zchat.broker.core.handlers",
            "set_read_mark",
            "    context.replies.owed += 1\n",
            "    seq = min(seq, room.last)\n"
            "    context.presence.marked(room, user, seq)\n"
            "    context.replies.answer(request, Marked(seq))\n"
            "    return\n",
        )
    ],
    "a mark not asked for again after a lost connection": [
        Change("zchat.protocol.rooms.room_state.RoomStates", "lost", "    mark.out = False\n", "    pass\n")
    ],
    "leaving and coming told of who came back in time": [
        Change("zchat.broker.core.handlers", "hello", "if peer.user != session.peer.user:", "if True:")
    ],
    "who came back and joined no more kept for ever": [
        Change("zchat.broker.presence.presence.Presence", "back", "if session.present:", "if False:")
    ],
    "nobody invited who comes later": [
        Change(
            "zchat.broker.core.handlers",
            "hello",
            "context.state_frames.greeted(session, context.directory.directs_of(peer.user))",
            "pass",
        )
    ],
    "nobody invited who is connected": [
        Change("zchat.broker.presence.state_frames.StateFrames", "_flush", "    if room.grew:\n", "    if False:\n")
    ],
    "who left while the connection was lost shown for ever": [
        Change("zchat.protocol.rooms.roster.Roster", "expire", "if now >= self._missing_until:", "if False:")
    ],
    "a clock that was just set ahead believed": [
        Change(
            "zchat.broker.rooms.wall_clock.WallClock", "sample", "if now - self._since >= self._settling:", "if True:"
        )
    ],
    "names kept from before a crowd": [
        Change("zchat.broker.rooms.roster.Roster", "_remove", "self._whole_before = self.version", "pass")
    ],
    "a position moved over own messages that are yet to be sent": [
        Change(
            "zchat.protocol.rooms.memberships.Memberships",
            "stored",
            "if room is not None and room.flags & (LOG | OWN) == LOG:",
            "if room is not None:",
        )
    ],
    "own messages no more sent after a lost connection": [
        Change("zchat.protocol.rooms.memberships.Memberships", "rejoin", ", *_asked(room.flags))", ")"),
        Change("zchat.protocol.core", "unfit", "if flags == JOIN_FLAGS or answer.flags == flags:", "if True:"),
    ],
    "the log sent after a gap to who asked for none": [
        Change("zchat.broker.delivery.pusher.Pusher", "_send_gap", "if not member.follows:", "if False:")
    ],
    "who asked not to be counted is here all the same": [
        Change("zchat.broker.core.handlers", "_enter", "if asked & PRESENT:", "if True:")
    ],
    "a room kept for who looked and has gone": [
        Change(
            "zchat.broker.core.sessions.Sessions",
            "_end_memberships",
            "self._presence.left(session, member.room)",
            "pass",
        )
    ],
    "sessions kept whose key was taken out": [
        Change("zchat.broker.core.core.Core", "_end_unnamed", "if error is not None:", "if False:")
    ],
    "the keys known as they were at the start": [
        Change("zchat.broker.guard.gate.Gate", "revise", "    self._users = users\n", "    pass\n")
    ],
    "a key that is another user's now taken for the one's before": [
        Change("zchat.broker.guard.gate.Gate", "is_of", "else fold(name) == user", "else True")
    ],
    "a user whose key was taken out kept because there are guests": [
        Change("zchat.broker.guard.gate.Gate", "is_of", "user.startswith(GUEST) and self._guests", "self._guests")
    ],
    "a key asked about at the door alone": [
        Change(
            "zchat.broker.core.handlers",
            "name_for",
            "if key is not None and not gate.is_of(key, peer.user):",
            "if False:",
        )
    ],
    "any name had with any key": [
        Change("zchat.broker.core.handlers", "name_for", "if not peer.name:", "if True:"),
    ],
    "another name than the key's passed over in silence": [
        Change("zchat.broker.core.handlers", "name_for", "if fold(user) == peer.user:", "if True:"),
    ],
    "a session given to anyone who has its token": [
        Change(
            "zchat.broker.core.handlers",
            "hello",
            "if peer.name and (peer.user, request.peer.user) != (session.peer.user, fold(session.peer.name)):",
            "if False:",
        )
    ],
    "an unknown key let in": [
        Change("zchat.broker.guard.gate.Gate", "admit", "if name is None and self._guests:", "if name is None:")
    ],
    "handshakes that are never allowed again": [
        Change("zchat.buckets.Bucket", "wait", " + (now - self._at) * self._rate", "")
    ],
    "a key that comes too often refused for good": [
        Change(
            "zchat.broker.guard.doorkeeper.Doorkeeper",
            "_answer",
            'later=admission.turned_away != "turned_away_unknown_key"',
            "later=False",
        )
    ],
    "a connection cut before its last word": [
        Change("zchat.broker.guard.connections.Connections", "cut", "now + CUT_AFTER", "now")
    ],
    "a session's connection left open after its end": [
        Change(
            "zchat.broker.core.sessions.Sessions",
            "cut_off",
            "self._port.cut(session.peer, Cut.ENDED)",
            "pass",
        )
    ],
    "what never greets left": [
        Change(
            "zchat.broker.guard.connections.Connections",
            "take_due",
            "now - GREET_WITHIN",
            "now - 10 * GREET_WITHIN",
        )
    ],
    "a producer forgotten with its connection": [
        Change(
            "zchat.broker.core.core.Core",
            "vanished",
            "    self.context.pipes.vanished(session)",
            "    self.context.pipes.vanished(session)\n        self.context.store.forget(session.producer)",
        )
    ],
    "frames of who claims a routing id believed": [
        Change("zchat.broker.core.core.Core", "receive", "peer.connection != session.peer.connection:", "False:")
    ],
    "frames not looked at any more while there are newcomers": [
        Change(
            "zchat.broker.guard.connections.Connections",
            "drained",
            "self.checking = bool(self._new or self._waiting)",
            "self.checking = False",
        )
    ],
    "a number not matched to its connection": [
        Change(
            "zchat.broker.guard.connections.Connections",
            "peer",
            "if found is not None and found.least <= number and not found.number:",
            "if found is not None:",
        )
    ],
    "the end of a connection not noticed": [
        Change(
            "zchat.broker.core.core.Core",
            "vanished",
            "        self.context.pipes.vanished(session)",
            "        pass",
        )
    ],
}

MUTATIONS |= mutations_of_rules.MUTATIONS | mutations_of_shares.MUTATIONS | mutations_of_moderation.MUTATIONS
MUTATIONS |= mutations_of_gateways.MUTATIONS
