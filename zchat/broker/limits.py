"""Every bound of the broker: its name, its value, its reason.

What counts that a bound was met is in `zchat.broker.figures.counters`.
"""

from __future__ import annotations

from zchat.wire.limits import MAX_BLOCK_BYTES, MAX_FRAME

HIGH_WATER_MARK = 10
"""Notifications that a member may have unanswered: a window that keeps a fast reader busy at 64 KiB each."""

MAX_REQUESTS = 16
"""Requests that a session may have unanswered: a few blocks in flight and some questions beside them. Of as many
blocks a producer and room the results are remembered, so that each is known when it comes again."""

MAX_SESSIONS = 10_000
"""Sessions at once: each costs about 4 kB here, a file descriptor and kernel buffers."""

MAX_ROOMS = 100_000
"""Rooms at once: about 1.5 kB each, and a list of them still makes a hundred pages."""

USER_SESSIONS = 100
"""Sessions of one user at once, where names are bound to keys or logins: a person's devices, a program's workers."""

USER_ROOMS = 1_000
"""Rooms that one user may have made, where names are bound: a room with a message lasts."""

USER_DIRECTS = 1_000
"""The same of direct rooms."""

USER_PRODUCERS = 1_000
"""Pairs of producer and room remembered of one user, where names are bound: another takes the place of the oldest."""

USER_READ_MARKS = 10_000
"""Read marks kept of one user, where names are bound: another takes the place of the oldest."""

USER_SANCTIONS = 10_000
"""Sanctions kept that one moderator has imposed."""

MAKER_SANCTIONS = 1_000
"""Sanctions that a moderator who owns a room as its maker alone may have imposed; at that number there is no
further one. Each user who may make rooms has places for so many."""

MAKERS_SANCTIONS = 50_000
"""Sanctions kept in all at which makers impose no further one: they leave half of the places to those whom the rules
name."""

OPERATORS_SANCTIONS = 10_000
"""Places of `contract.MAX_SANCTIONS` that operators' sanctions alone get: nobody else can keep an operator from
banning them."""

OPERATORS_ROOM_SANCTIONS = 1_000
"""Places of `contract.ROOM_SANCTIONS` that operators' sanctions alone get."""

MAX_MEMBERSHIPS = 1_000
"""Rooms that one session may be in, so that its end stays within one turn."""

NOTIFICATION_BYTES = 64 * 1024
"""Bytes of blocks joined in one notification (or one block): beyond it a send costs by its bytes anyway."""

IN_FLIGHT_BYTES = 256 << 20
"""Bytes of notifications out at all members together; beyond it windows are halved and notifications small."""

CROWDED_BYTES = 4 * 1024
"""Bytes of blocks joined in one notification (or one block) while that many are out."""

TAIL_BYTES = 4 << 20
"""Newest blocks that a room keeps at hand for its members; a member further back reads from the store."""

TAIL_TOTAL_BYTES = 64 << 20
"""The same for all rooms together."""

SHARED_NOTIFICATIONS = 8
"""Notifications that a room keeps for other members at the same place: most readers are at few places."""

TURN_FRAMES = 256
"""Frames taken from the socket before members are served again."""

TURN_SECONDS = 0.01
"""The same in time: a frame may take a hundred times as long as another."""

MESSAGES_BURST = 10.0
"""Seconds' worth of the messages that the rules allow a second which may be sent at once."""

BYTES_BURST = 4.0
"""The same of bytes."""

RATES_KEPT = 100_000
"""Users and rooms for whom it is kept what is left: 40 MB; then all begin with a burst again."""

SPENT_TOLD = 1_000
"""Users and rooms of which a broker tells the others in a second how much they have sent: 40 kB; more wait a second."""

SHARE = 0.1
"""Of the loop's time, what a user may use before its frames wait for those of others."""

STRANGERS_SHARE = 0.05
"""The same for all together who have no session, and no name by a key or login."""

ALL_OVER_SHARE = 0.1
"""The same for all together whose frames have waited."""

DEBT = 0.01
"""Seconds of the loop that a user may use at once, beyond its share: a burst of some hundred frames."""

MAX_DEBT = 1.0
"""Seconds of debt at most: a user pays it back in ten seconds, whatever it was for."""

CHEAP = 0.001
"""Seconds up to which a frame holds nobody up who would notice: beyond it, it costs by the square of its time."""

EXPENSIVE_FOR = 1.0
"""Seconds in which the memory of a long frame fades by half: until it is gone, only paid frames are carried out."""

ALONE_AFTER = 0.1
"""Seconds for which nobody else has asked for anything, after which a user has the whole loop."""

FRAMES_WAITING = 64
"""Frames of a session that may wait: four times what may be unanswered; one more ends it."""

FRAME_BYTES_WAITING = (MAX_REQUESTS + 1) * MAX_FRAME
"""The same in bytes: all that may be unanswered, each as large as it can be."""

ALL_BYTES_WAITING = 256 << 20
"""Bytes of frames that wait, over all sessions; the session whose frame is more is ended, and comes back later."""

WAITING_TRIED = 16
"""Users whose turn is tried before the socket is read again."""

RESUME_SECONDS = 0.001
"""Seconds for which waiting frames are carried out before the socket is read again."""

RESUME_AFTER = 0.001
"""Seconds after which they are tried again at the earliest, if none could be carried out."""

RESUME_AT_THE_LATEST = 0.05
"""The same at the latest."""

UNREAD_BYTES = 1 << 20
"""Bytes of answers that a client may leave unread, as far as can be told, before others with many bytes wait: four
pages of history."""

SMALL_ANSWER = 512
"""Bytes up to which an answer doesn't count among them: a pipe holds some fifty."""

PAGE_SECONDS_A_BYTE = 1.5e-9
"""Seconds of the loop that a byte of a page of history is taken to cost: 0.4 ms for the longest of many blocks."""

SENT_SECONDS_A_BYTE = 1.1e-9
"""Seconds for a byte of the thread of libzmq that sends for all and encrypts a page at once."""

RECEIVED_LONG = NOTIFICATION_BYTES
"""Bytes of an encrypted frame beyond which its decryption is accounted for as well: longer than a client's blocks."""

RECEIVED_SECONDS_A_BYTE = 1.1e-9
"""Seconds for a byte of the thread of libzmq that reads for all and decrypts a frame at once: the longest in 1.1 ms."""

LONG = CHEAP
"""Seconds of a frame from which on it is asked whether the loop's thread had a processor meanwhile."""

STRANGER_BYTES = 1024
"""Of a frame that is decoded before there is a session: three times the longest greeting."""

STRANGER_FRAMES_WAITING = 10_000
"""Frames that wait of all who have no session yet, 10 MB: the greetings of as many as there can be sessions."""

GREET_WITHIN = 5.0
"""Seconds from a connection's acceptance to its greeting: a handshake over a slow link takes one of them."""

UNGREETED = 1_000
"""Connections that have said nothing, and had time for it: each greets within milliseconds."""

CROWDED_A_MOMENT = 16
"""Of more, so many are cut in a moment: thousands at once would be back at once."""

UNGREETED_AT_ALL = 10_000
"""The same with those whose greeting the broker had no time to read: a fleet that comes back at once, as many as there
can be sessions."""

CHANCE = 1.0
"""Seconds after which a greeting has come, if it was sent at once and all that came since is read: a handshake's."""

UNGREETED_BYTES = 8 * 1024
"""Bytes that a connection may send before its greeting is read: the longest, with handshake and keys, has 1,400."""

HANDSHAKES = 500
"""Handshakes a second of the users' keys together, and of all other keys: so much of the loop, and of the sessions that
can begin, is theirs."""

HANDSHAKES_BURST = 2_000
"""The same at once: a fleet that comes back."""

HANDSHAKES_A_KEY = 10
"""Handshakes of one key a second: a client tries twice a second at most."""

HANDSHAKES_A_KEY_BURST = 50
"""The same at once: a user's devices and programs."""

READ_EVERY = 1.0
"""Seconds between two readings of the keys and the rules: 2 ms for a thousand files."""

RULES_BYTES = 1 << 20
"""Size of a file of rules: ten thousand users in groups, and two thousand names of rooms, are a quarter of it."""

RULES_NAMES = 2_000
"""Names of rooms in all of a file's tables: what one room's table is found by takes 0.1 ms then."""

RULES_CACHE = 100_000
"""Rights of a user in a room that are remembered, 20 MB of them, and likewise tables of rooms; then all are forgotten,
and worked out anew."""

CUT_AFTER = 0.5
"""Seconds between a connection's last word, why it ends, and its being cut: what is cut at once is not sent."""

FRAMING = 64
"""Bytes that a frame takes on the way beside its own, at most: 9 in the clear, 42 encrypted."""

ENDLESS_BYTES = 2 << 20
"""Bytes of an incomplete message that a connection may have sent when all complete ones are read: twice the longest."""

HELD_BYTES = 24 << 20
"""The same while complete ones may wait as well: half as much again as the requests that a session may have open."""

SAMPLE_EVERY = 0.25
"""Seconds between two samples of a connection's bytes: at the speed of a local network 200 MB."""

SAMPLES_A_MOMENT = 200
"""Connections that are sampled in one moment: under a millisecond."""

CUT_NOTED_EVERY = 1.0
"""Seconds between two lines in the log about connections that were cut, a line a reason."""

SAMPLE_AGAIN = 0.05
"""Seconds between two such moments while there are more connections: 10,000 of them take two and a half."""

OVERRUN_BYTES = 2 << 20
"""Bytes that a connection may send after its last word, beyond which it is cut at once: twice the longest frame."""

HANDSHAKES_FOR_ENDLESS = 20
"""Handshakes as which it counts that a connection was cut because it sent without an end: two seconds of its key's."""

NUMBERS_KEPT = 10_000
"""Connections of which it is known who they were: frames of one that is closed may be left to read."""

TURN_ENDS = 1_000
"""Silent sessions and their memberships that are ended before members are served again: about 10 ms."""

TURN_JUDGED = 500
"""Members that are judged again, after a change of rules, before members are served again: about 3 ms."""

TURN_UNSEATED = 100
"""Members that are put out in a turn because of that. Sessions are ended at once, and of their memberships so
many end in a turn, or all of one session: about 2 ms."""

TURN_LISTED = 1_000
"""Rooms of which it is found out, for a list of them, whether a user sees them: about 3 ms."""

TURN_SENDS = 64
"""Notifications sent before stored blocks are answered and the socket is read again: under a millisecond."""

TURN_BYTES = 8 << 20
"""The same in bytes."""

RETRY_FIRST = 0.001
"""Seconds until a full pipe is tried again; libzmq hands room back about once a millisecond."""

RETRY_MAX = 0.05
"""What that wait grows to: a stuck peer costs twenty tries a second."""

READ_BUSY = 0.2
"""Seconds until a member is read for again that met too many reads: twice what the store takes for those."""

READ_AGAIN_FIRST = 0.05
"""Seconds until a member for whom the store could not read is read for again."""

READ_AGAIN_MAX = 1.0
"""What that wait grows to: a broken disk costs one try a second and member."""

READ_TRIES = 10
"""Failed reads in a row, over five seconds, after which a member's session ends: none waits in silence for ever."""

REPLIES_BYTES = 64 << 20
"""Bytes of replies that wait for full pipes, over all sessions, at which pages are refused."""

PING_AFTER = 1.0
"""Seconds of silence after which a client pings; the greeting's answer says so."""

PING_EVERY = 1.5
"""Seconds between the pings of a session that stays silent: an answer then still has as long again."""

PINGS_A_MOMENT = 200
"""Sessions that are asked to ping in the same moment: waking up costs more than the pings it finds."""

LOST_AFTER = 3.0
"""Seconds without a frame from the broker after which a client gives it up; the greeting's answer says so."""

EXPIRE_AFTER = 15.0
"""Seconds without a word from a client after which its session ends: one that was stopped for ten of them, and had
pinged a little before, goes on as if nothing had been."""

EXPIRE_EVERY = 1.0
"""Seconds between two searches for silent sessions."""

QUIET_AFTER = 1.0
"""Seconds without anything but pings after which a broker takes them in together."""

NAP = 0.01
"""Seconds that it then gives them to gather; what a first message may wait after a silence."""

STALL = 2.0
"""Seconds between two turns from which the broker counts as suspended: that time is no silence of its sessions."""

HISTORY_MESSAGES = 1_000
"""Messages in one answer to a history request: one block's worth."""

HISTORY_BYTES = 256 * 1024
"""Bytes of blocks in one such answer (or one block), so that answers don't hold up notifications."""

SHORT_PAGE_BYTES = 64 * 1024
"""The same for a user who is over its share while others ask for something, too: a page is encrypted at once, by the
thread that sends for all."""

ROOMS_PAGE = 500
"""Rooms in one answer to a room list request: about 40 kB."""

NAMES = 200
"""Users of a room up to which its members get names, not counts: a whole roster then has 6 kB, with long names 56."""

MAX_NAMES = 1_000
"""What that can be set to: a whole roster of so many users has up to 280 kB, and is made anew for each that comes."""

TOMBSTONES = 256
"""Users who left a room, kept for members yet to be notified; one that is further back receives the whole roster."""

SHARED_UPDATES = 8
"""Updates that a room keeps for others who were sent the same version: most were sent the last one, or none."""

STATE_EVERY = 0.02
"""Seconds between two times that a room's changes go out: no reader notices, and a burst is one update."""

STATE_FRAMES_A_SECOND = 10_000
"""State frames that one room's changes cause at most: a room of 10,000 sessions is updated once a second."""

STATE_BYTES = 64 * 1024
"""Bytes of updates and invitations in one state frame, or one update: a room's names with room to spare."""

TURN_STATES = 64
"""State frames sent before the socket is read again."""

TURN_STATE_BYTES = 1 << 20
"""The same in bytes."""

TURN_STALE = 1_000
"""Members marked as not up to date in one turn, or one room's: half a millisecond, of the largest room five."""

REJOIN_SECONDS = 5.0
"""Seconds from a greeting in which a session that came back joins its rooms again, or has left them."""

MEMBERS_PAGE = 500
"""Users in one answer to a question for a room's members: about 20 kB, with long names 140."""

SANCTIONS_PAGE = 100
"""Sanctions in one answer to a question for them: about 10 kB, with long names and reasons 170."""

SANCTIONS_AT_ONCE = 256
"""Sanctions of which it is found out once a second whether they are over: all that may be kept within 7 minutes."""

RETAIN_EVERY = 5.0
"""Seconds between two rounds of retention."""

CLOCK_EVERY = 1.0
"""Seconds between two comparisons of the wall clock with the monotonic one."""

CLOCK_JUMP = 2.0
"""Seconds by which the wall clock is set at once that are called a jump: what corrects a clock stays below."""

SETTLING = 3600.0
"""Seconds that the wall clock must have run ahead until retention goes by it: a person notices a wrong one earlier."""

START_SETTLING = 10.0
"""The same after the start, when there is nothing to compare with: the usual correction of a machine's start."""

MAX_MESSAGE = MAX_BLOCK_BYTES
"""Default limit of one message's bytes."""

STOP_SECONDS = 1.5
"""Seconds from the request to stop until the broker has ended, whatever hangs: a supervisor waits two."""

CLOSE_SECONDS = 0.5
"""Seconds of these that are kept for closing the store, the rest being for answers that are owed."""

LINGER_SECONDS = 0.3
"""Seconds of these that are kept for the sockets to send what they were given."""

LAG_EVERY = 5.0
"""Seconds between two samples of lag and the busiest rooms: often enough to see growth, and cheap with many rooms."""

COUNTED_FOR = 10.0
"""Seconds without a word of another broker after which it is in no figures: its users leave rooms as late."""

BROKERS_COUNTED = 256
"""Brokers over which figures are added up, this one among them: an answer has 80 kB then. Others are left out."""

LAG_SHOWN = 10
"""Members reported as those furthest behind: as many as are read."""

FAILED_NOTED_EVERY = 1.0
"""Seconds between two lines in the log about frames that one session couldn't be sent: a full pipe is tried often."""

BUSIEST_SHOWN = 20
"""Rooms reported as the busiest: a screenful."""

AUDIT_LINES = 1_000
"""Lines of the audit log a second: 200 kB of it, 3 ms of the loop, and 12 ms of the thread that writes them."""

AUDIT_EVERY = 1.0
"""Seconds over which they are counted, and over which what comes in floods is gathered in one of them."""

AUDIT_KEPT_FREE = 100
"""How many of them are for moderation alone: newcomers can't push out who has banned whom."""

AUDIT_FOR_OPERATORS = 100
"""Lines a second beyond them for what operators do: all who may make rooms moderate those, as fast as they like."""

AUDIT_LINES_A_USER = 200
"""Lines a second about what one user does: twice the sessions that one may have."""

AUDIT_CLOSE_SECONDS = 0.1
"""Seconds at least for the last lines of it when the broker ends: on a disk that answers, a hundred times enough."""

LAG_NOTED = 10_000
"""Messages behind from which a member is logged, if the next sample finds the same: more than a burst."""
