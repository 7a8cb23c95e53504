"""The broker without I/O: frames and the time come in, frames go out through a port.

It knows no socket, thread, clock or file, so that a simulation can run it. The loop
(`zchat.broker.loop`) owns one and calls it from its thread alone:

    receive(routing_id, frames, now, peer)  for each message that the socket has
    vanished(peer)                     for each connection that has ended
    resume(now, idle)                  for messages that have waited, until there is none to be carried out
    tick(now, drained)                 once a turn: the store's reports and answers, expiry, retention
    turn(now)                          once a turn: serve members, answer blocks, send state
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from math import inf

from zchat import errors
from zchat.broker.account import Account
from zchat.broker.core.access import Access
from zchat.broker.core.commands import carry_out
from zchat.broker.core.context import Context
from zchat.broker.core.enforcement import Enforcement, logs_with
from zchat.broker.core.identity import judge
from zchat.broker.core.joining import Held, Joins
from zchat.broker.core.listing import Listing
from zchat.broker.core.removal import Removal
from zchat.broker.core.replies import Replies, Request, Rest, request_of
from zchat.broker.core.revision import Revision
from zchat.broker.core.sessions import Sessions
from zchat.broker.core.store_watcher import StoreWatcher
from zchat.broker.core.waiting import SAID_ANYHOW, WaitingFrame, WaitingFrames
from zchat.broker.delivery.pipes import Pipes
from zchat.broker.delivery.pusher import Pusher
from zchat.broker.figures.audit_trail import AuditTrail
from zchat.broker.figures.busiest import Busiest
from zchat.broker.figures.counters import Counters
from zchat.broker.figures.histograms import Histograms
from zchat.broker.figures.lag import LagSampler
from zchat.broker.figures.log_lines import LogLines
from zchat.broker.figures.overall import BrokerFigures
from zchat.broker.figures.stats import FigureReader, Sources
from zchat.broker.guard.gate import Gate
from zchat.broker.guard.rates import Rates
from zchat.broker.guard.rules import Rules
from zchat.broker.guard.shares import Shares
from zchat.broker.limits import (
    CLOCK_EVERY,
    DEBT,
    EXPIRE_EVERY,
    FRAMING,
    MAX_REQUESTS,
    QUIET_AFTER,
    RECEIVED_LONG,
    RECEIVED_SECONDS_A_BYTE,
    STALL,
    STRANGER_BYTES,
)
from zchat.broker.port import Cut, Peer, Port
from zchat.broker.presence.presence import Presence
from zchat.broker.presence.state_frames import StateFrames
from zchat.broker.rooms.directory import Directory
from zchat.broker.rooms.retention import Retention
from zchat.broker.rooms.session import Session
from zchat.broker.rooms.session_table import SessionTable
from zchat.broker.rooms.wall_clock import SECOND, WallClock
from zchat.broker.settings import Settings
from zchat.broker.store.contract import PRODUCER_DAY, Failed, RoomLog, Store
from zchat.names import fold
from zchat.wire.commands import MalformedCommand, decode_command, malformed
from zchat.wire.limits import MAX_FRAME
from zchat.wire.replies import Figures


class Core:
    """All that a broker decides.

    `logs` are the rooms that the opened store has. `now` and all later times are seconds of a clock
    that never goes back; `clock` returns the microseconds since 1970, as the store's does. `gate`: whose
    keys are whose, None without keys. `rules`: who may do what, None allows everyone everything.
    """

    def __init__(
        self,
        port: Port,
        store: Store,
        logs: list[RoomLog],
        settings: Settings,
        now: float,
        clock: Callable[[], int],
        gate: Gate | None = None,
        rules: Rules | None = None,
    ) -> None:
        self.counters = Counters()
        self.histograms = Histograms()
        self.log_lines = LogLines()
        self.audit = AuditTrail(clock)
        read_marks = store.read_marks()
        users = {user for _, user, _ in read_marks} | set(map(fold, store.old_senders()))
        gate = gate or Gate()
        sanctions = store.sanctions() if gate.binds_names else []  # else anybody could be those they are of
        logs = logs_with(sanctions, logs)
        directory = Directory(logs, settings.rooms, fixed=settings.fixed_rooms, users=users, quotas=gate.binds_names)
        self._wall_clock = WallClock(clock, now)
        access = Access(rules, directory, lambda: self._wall_clock.time(self.context.now), binds_names=gate.binds_names)
        shares: Shares[WaitingFrame] = Shares(by_user=gate.binds_names)
        table = SessionTable()
        pipes = Pipes(port, self.counters, self.log_lines)
        pusher = Pusher(port, store, pipes, self.counters, self.log_lines)
        state_frames = StateFrames(port, pipes, self.counters, table.of, access.is_named_to)
        presence = Presence(settings.names, clock, self.counters, state_frames.changed, directory.vacate, store)
        sessions = Sessions(port, table, pusher, pipes, presence, self.counters, self.log_lines, self.audit)
        self._removal = Removal(sessions, pipes)
        replies = Replies(pipes, self.counters)
        self.lag = LagSampler(directory.rooms, self.counters, self.log_lines)
        self._busiest = Busiest(directory.rooms)
        sources = Sources(
            self.counters,
            self.histograms,
            directory.rooms,
            table,
            pusher,
            lambda: pipes.waiting,
            self.lag,
            self._busiest,
            self.log_lines,
            store.health,
            access.sees,
            clock(),
            now,
        )
        figures = FigureReader(sources)
        repeated = partial(presence.elsewhere.repeated, table.by_user)
        self.context = Context(
            settings,
            store,
            directory,
            access,
            sessions,
            self._removal,
            pusher,
            pipes,
            presence,
            state_frames,
            replies,
            Joins(),
            Listing(access, directory, replies),
            self.counters,
            self.log_lines,
            self.audit,
            figures,
            BrokerFigures(store, figures.counts, repeated),
            gate,
            shares,
            Rates(store.tell if store.broker else None),
            now,
        )
        self._port = port
        self._revision = Revision(directory.rooms, access, table, pusher, state_frames, self._removal, presence)
        self._enforcement = Enforcement(store, directory, access, table, self._removal, presence, sanctions)
        self.shares = shares
        self.waiting = WaitingFrames(port, shares, sessions, self.counters)
        told = access, self._enforcement, self.context.broker_figures, self.context.rates
        counted = self.counters, self.histograms, self.log_lines
        self._reports = StoreWatcher(directory, sessions, pusher, presence, state_frames, *told, *counted)
        self._clock_due = now
        self._retention = Retention(settings, store, directory.rooms, self._wall_clock, self._trimmed)
        self._rooms = directory.rooms
        self.sessions: Mapping[bytes, Session] = table.by_routing_id
        """The sessions of the peers that have one, by their routing ids."""
        self._spoken = now
        self.pinged = False
        self.expiry_due = now + EXPIRE_EVERY
        """When silence is to be judged, by the next `tick` before which everything was received."""
        self._ticked = self._judge_from = now
        for name, user, seq in read_marks:
            if room := directory.rooms.get(fold(name)):
                room.read_marks[user] = min(seq, room.last)

    # -- what comes in ---------------------------------------------------------------------------

    def taken(self, routing_id: bytes) -> int:
        """Return how many bytes were received over a session's connection, with all that frames take on the way."""
        session = self.sessions.get(routing_id)
        return 0 if session is None else session.taken

    def keys_changed(self) -> None:
        """End the sessions whose keys are no longer their users', or no longer let them in."""
        self._end_unnamed(self.context.sessions.table.by_token.values())

    def revise(self, rules: Rules) -> None:
        """Go by other rules from now on; who is in a room is judged by them in the next turns."""
        self.context.access.rules = rules
        of = self.context.sessions.table.of
        self._end_unnamed(session for user in rules.operators for session in of(user))
        self._enforcement.rules_changed()
        self._revision.begin()

    def _end_unnamed(self, sessions: Iterable[Session]) -> None:
        """End those sessions whose users may not have come as they have, by the keys and rules as they are now."""
        gate, access = self.context.gate, self.context.access
        for session in list(sessions):
            error = judge(gate, access, session.peer, session.user)
            if error is not None:
                self._removal.end(session, error)

    def vanished(self, peer: Peer) -> None:
        """Record that a connection has ended: the next peer with its routing id is sent nothing that was its own."""
        session = self.sessions.get(peer.routing_id)
        if session is not None and session.peer.connection == peer.connection:
            self.context.pipes.vanished(session)
        self.waiting.vanished(peer)

    def receive(self, routing_id: bytes, frames: list[bytes], now: float, peer: Peer | None = None) -> None:
        """Take one message of a peer: whatever it holds, it is obeyed, refused or ignored, and counted.

        `peer`: who is at the other end of the connection that it came over; None if that has a session, and no other
        connection can have its routing id.
        """
        context = self.context
        context.now = now
        counters = self.counters
        counters.frames += 1
        size = len(frames[0]) if frames else 0
        counters.received_bytes += size
        shares = self.shares
        session = self.sessions.get(routing_id)
        if session is not None:
            if peer is not None and peer.connection != session.peer.connection:
                self._port.cut(peer, Cut.FOREIGN)
                return
            session.heard = now
            session.taken += size + FRAMING
            peer = session.peer
            account = session.account
        else:
            if peer is None:
                peer = Peer(routing_id, "")
            account = shares.account(peer.user) if peer.name else shares.strangers
        shares.begin(account, now)
        if size > RECEIVED_LONG and peer.key is not None:
            shares.used(account, size * RECEIVED_SECONDS_A_BYTE, now)
        if (account.debt > DEBT or account.waiting) and self.waiting.hold(session, account, peer, frames, size, now):
            return
        self._carry_out(session, account, peer, frames)

    def _carry_out(self, session: Session | None, account: Account, peer: Peer, frames: list[bytes]) -> None:
        """Do what a message asks for, or refuse it."""
        context = self.context
        number: int | None = None
        try:
            if len(frames) != 1 or len(frames[0]) > MAX_FRAME:
                raise malformed(f"a message is one frame of {MAX_FRAME} bytes at most")
            if session is None and len(frames[0]) > STRANGER_BYTES:
                raise _no_session()
            word, spec, number, fields = decode_command(frames[0])
            if word == "ping":
                self.pinged = True
            else:
                self._spoken = context.now
                if word not in SAID_ANYHOW:
                    self.shares.spoke(account, context.now)
            if session is None:
                if spec.needs_session:
                    raise _no_session()
            elif number is not None:
                session.unanswered += 1  # `_accept`, without a call: once a request
                if session.unanswered > MAX_REQUESTS:
                    self._end_impatient(session)
                    return
                if word in READS and (session.asked or self.context.state_frames.must_prove(session)):
                    self.counters.reads_waited += 1
                    session.asked.append((number, word, spec, fields))
                    return
            request = request_of((peer, session, number))
            left = carry_out(context, request, word, spec, fields)
            if left is not None:
                self._go_on(account, request, left, len(frames[0]))
            elif number is None and session is not None and session.asked and word == "seen":
                self._ask_again(session)
        except MalformedCommand as error:
            if session is None or error.request is None or self._accept(session):
                context.replies.refuse(Request(peer, session, error.request), error)
            if session is None:
                self._port.cut(peer, Cut.STRANGER)
            elif frames and len(frames[0]) > RECEIVED_LONG and self.shares.is_over(account, context.now):
                context.sessions.end(session, errors.Malformed(f"{error}; such long frames hold all others up"))
        except errors.NoSession as error:
            context.replies.refuse(Request(peer, session, number), error)
            self._port.cut(peer, Cut.STRANGER)
        except errors.Refused as error:
            context.replies.refuse(Request(peer, session, number), error)
            if session is None and isinstance(error, errors.Banned):
                self._port.cut(peer, Cut.ENDED)

    def _go_on(self, account: Account, request: Request, left: Rest, size: int) -> None:
        """Do a part of what is left of a command; the rest waits, before all else of its account."""
        try:
            next(left)
        except StopIteration:
            return
        except errors.Refused as error:
            self.context.replies.refuse(request, error)
            return
        self.waiting.put_back(account, request, left, size)

    def _ask_again(self, session: Session) -> None:
        """Carry out what has waited for a session to read, as far as it has."""
        peer = session.peer
        while session.asked and not self.context.state_frames.must_prove(session):
            number, word, spec, fields = session.asked.pop(0)
            self._again(Held(Request(peer, session, number), word, spec, fields))

    def _again(self, held: Held) -> None:
        """Carry out a request that has waited, unless nobody waits for its answer any more."""
        request, session = held.request, held.request.session
        if session is None or not self.context.replies.waits(request):
            return
        try:
            left = carry_out(self.context, *held)
            if left is not None:
                self._go_on(session.account, request, left, 0)
        except errors.Refused as error:
            self.context.replies.refuse(request, error)

    def resume(self, now: float, *, idle: bool) -> WaitingFrame | None:
        """Carry out a message that has waited because its user was over its share; None if none may be yet.

        `idle`: there is nothing else to do.
        """
        waiting = self.waiting.next(now, idle=idle)
        if waiting is not None:
            self.context.now = now
            session, account, peer, frames, size, more, left = waiting
            if left is not None:
                self._go_on(account, left[0], left[1], size)
                return waiting
            self._carry_out(session, account, peer, frames)
            for frames in more:
                session = self.sessions.get(peer.routing_id)
                if session is None:  # the first was refused: so is the stranger, once
                    break
                self._carry_out(session, account, session.peer, frames)
        return waiting

    def _accept(self, session: Session) -> bool:
        """Count a request that is to be answered; False if it ends its session, being one too many."""
        session.unanswered += 1
        if session.unanswered <= MAX_REQUESTS:
            return True
        self._end_impatient(session)
        return False

    def _end_impatient(self, session: Session) -> None:
        error = errors.TooManyRequests(f"more than {MAX_REQUESTS} requests unanswered; wait for replies")
        self.context.sessions.end(session, error)

    # -- turns -----------------------------------------------------------------------------------

    def tick(self, now: float, drained: bool) -> None:
        """Carry out what time brings: the store's reports and answers, silent sessions, retention.

        `drained`: everything that had arrived by now has been received; only then is silence judged.
        """
        context = self.context
        if now - self._ticked > STALL:  # this process stood still: what clients sent meanwhile is yet to be read
            self._judge_from = now + STALL
        context.now = context.presence.now = self._ticked = now
        self.shares.rest(now)
        self.counters.turns += 1
        if self.log_lines.troubles:
            self.log_lines.tick(now)
        if now >= self._clock_due:
            self._follow_clock(now)
            context.broker_figures.tell(now)
            context.rates.tell()
        if now >= self._retention.due:
            self._retention.tick(now)  # before the poll, which answers it
        context.store.poll(self._reports)
        while context.joins.ready:
            self._again(context.joins.ready.popleft())
        if now >= self.expiry_due and drained:
            self.expiry_due = now + EXPIRE_EVERY
            if now >= self._judge_from and not (context.sessions.expire(now) and context.presence.settle(now)):
                self.expiry_due = now
        if now >= context.presence.due:
            context.presence.tick(now)
        if now >= self.lag.due:
            self.lag.sample(now)
            self._busiest.sample(now)

    def turn(self, now: float) -> None:
        """Serve members, within a turn's bounds, then answer blocks: readers come before the sender, state last.

        Who is judged by other rules is judged before being served.
        """
        context = self.context  # parts with nothing to do aren't asked: a message alone has a turn to itself
        pusher, pipes, state_frames = context.pusher, context.pipes, context.state_frames
        pusher.now = pipes.now = state_frames.now = now
        if self._revision.waiting is not None:
            self._revision.turn()
        if self._removal.waiting:
            self._removal.turn()
        if now >= pipes.due:
            for session in pipes.turn():
                pusher.opened(session)
                state_frames.opened(session)
        if pusher.ready or now >= pusher.due:
            pusher.turn()
        if pusher.given_up:
            for session, error in pusher.take_given_up():
                if not session.ended:
                    context.sessions.end(session, error)
        if context.replies.later:
            context.replies.turn()
        if context.listing.waiting:
            context.listing.turn()
        if state_frames.ready or now >= state_frames.due:
            state_frames.turn()

    def _follow_clock(self, now: float) -> None:
        self._clock_due = now + CLOCK_EVERY
        jump = self._wall_clock.sample(now)
        if jump:
            seconds = jump / SECOND
            text = f"the wall clock is {abs(seconds):,.1f} s further {'ahead' if jump > 0 else 'back'}"
            reason = "it was set, or the machine was suspended" if jump > 0 else "it was set"
            self.log_lines.add("clock_jumped", f"{text}: {reason}", grave=True, seconds=round(seconds))
        settled = self._wall_clock.settled(now)
        if settled is not None:
            self.context.store.expire(settled.earliest - PRODUCER_DAY, settled.latest)
            self._enforcement.expire(settled.earliest)

    def _trimmed(self, failed: Failed | None) -> None:
        if failed is None:
            self.log_lines.well("retention")
        else:
            self.counters.untrimmed += 1
            self.log_lines.trouble("retention", *failed)

    @property
    def busy(self) -> bool:
        """True if a turn would send something: the loop must not sleep then."""
        return self.due() < 0.0

    def due(self) -> float:
        """Return when `tick` is next needed if nothing arrives, -1 if the core is `busy`."""
        context = self.context
        if (
            self._revision.waiting is not None
            or self._removal.waiting
            or context.listing.waiting
            or context.pusher.ready
            or context.state_frames.ready
        ):
            return -1.0
        return min(
            self.expiry_due,
            self._retention.due,
            context.pipes.due,
            context.pusher.due,
            context.state_frames.due,
            context.presence.due,
            self.shares.due if self.shares.waiting else inf,
        )

    def gathering(self) -> bool:
        """Return, once after a ping, whether there was nothing else for a while: more pings follow at once."""
        pinged, self.pinged = self.pinged, False
        return pinged and self.context.now - self._spoken > QUIET_AFTER

    def figures(self) -> Figures:
        """Return all that the broker reports of itself, with rooms that everybody sees. Any thread."""
        return self.context.figures.read(self.context.now)

    # -- the end ---------------------------------------------------------------------------------

    def stop(self) -> None:
        """Take no more requests; what was accepted is still answered."""
        self.context.sessions.closing = True

    @property
    def settled(self) -> bool:
        """True if everything that was accepted is answered."""
        waiting = any(session.replies for session in self.sessions.values() if not session.gone)
        return self.context.replies.settled and not waiting

    def dismiss(self) -> None:
        """Notify every client that the broker is going down, and end its session."""
        self.context.sessions.dismiss()
        self.context.broker_figures.end()


READS = {"history", "rooms", "members", "sanctions"}
"""Commands with large answers."""


def _no_session() -> errors.NoSession:
    return errors.NoSession("no session here: greet with hello first, over a fresh connection")
