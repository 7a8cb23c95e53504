"""The scripts by which Redis decides: each is one step, whatever else happens.

Every script that writes begins with three arguments, the run of the server, the broker and its generation, and does
nothing but answer `detached` if the partition is attached to another run, or the broker has attached again since. So
a command that was given up and arrives late changes nothing, and the first one after a restart begins no log that is
other than the broker believes.

Each script that changes something tells all brokers so, in a notice on the partition's channel; see
`zchat.broker.store.redis.notices`. What can't be told is changed all the same.

Times come from the server, unless a time is passed: tests do.
"""

from __future__ import annotations

from hashlib import sha1
from typing import NamedTuple

from zchat.broker.limits import MAX_REQUESTS
from zchat.broker.store.epochs import MAX_EPOCHS
from zchat.broker.store.ledger import JUMP, MAX_SEQ


class Script(NamedTuple):
    """One script, and the digest that it is called by once it is loaded."""

    text: str
    sha: str


FREEING = "allow-oom"
"""The flag of the scripts that run without any memory left: those that free some, or without which nothing could."""


def _script(body: str, flags: str = "") -> Script:
    text = f"#!lua flags={flags}\n{body.strip()}\n"
    return Script(text, sha1(text.encode(), usedforsecurity=False).hexdigest())


_ATTACHED = """
local info = redis.call('HMGET', KEYS[1], 'run', 'epoch', 'g:' .. ARGV[2])
if info[1] ~= ARGV[1] or info[3] ~= ARGV[3] then return {'detached'} end
"""

_NOW = """
local function now(given)
  if given ~= '' then return tonumber(given) end
  local time = redis.call('TIME')
  return time[1] * 1000000 + time[2]
end
"""

_COUNT = """
local function count(kind, change)
  if redis.call('HINCRBY', KEYS[3], kind, change) == 0 then redis.call('HDEL', KEYS[3], kind) end
end
local function moderator(value)
  return string.sub(value, 9, string.find(value, '\\0', 9, true) - 1)
end
"""

_TELL = """
local function tell(channel, kind, ...)
  redis.pcall('SPUBLISH', channel, cmsgpack.pack({kind, ARGV[2], tonumber(info[2]), ...}))
end
"""

ANY_DIGEST = bytes(8)
"""What stands for the digest of a block whose bodies are not known: it is of all."""

_ANY = "\\0" * len(ANY_DIGEST)

ATTACH = _script(
    """
local known = redis.call('HMGET', KEYS[1], 'run', 'epoch', 'l', 'n')
local fresh = known[1] ~= ARGV[1]
local epoch = fresh and ARGV[3] or known[2]
redis.call('SPUBLISH', KEYS[2], cmsgpack.pack({'A', ARGV[2], tonumber(epoch), 0}))
if fresh then redis.call('HSET', KEYS[1], 'run', ARGV[1], 'epoch', epoch) end
local generation = redis.call('HINCRBY', KEYS[1], 'gens', 1)
redis.call('HSET', KEYS[1], 'g:' .. ARGV[2], generation)
return {generation, tonumber(epoch), tonumber(known[3] or 0), tonumber(known[4] or 0)}
""",
    flags=FREEING,
)
"""Attach a partition to a broker; a run of the server that is new begins an epoch. What the broker had attached before
is so no more. KEYS: info, feed. ARGV: run, broker, an epoch. Returns the generation, the epoch, `l` and `n`."""

APPEND = _script(
    _ATTACHED
    + _TELL
    + _NOW
    + f"""
local number, connection, count = tonumber(ARGV[7]), tonumber(ARGV[6]), tonumber(ARGV[8])
local slot = 'r' .. (number % {MAX_REQUESTS})
local seen = redis.call('HMGET', KEYS[6], 'n', 'c', 'u', slot, 'gone')
local due = 1
local known = seen[1] and not seen[5]
if seen[1] and connection < tonumber(seen[2]) then return {{'fenced'}} end
if known then due = tonumber(seen[1]) + 1 end
if seen[5] and seen[4] and connection == tonumber(seen[2]) then
  local of, first, kept, at, epoch, digest = struct.unpack('>I8I8I8I8I8c8', seen[4])
  if of == number and (ARGV[9] == '' or digest == ARGV[9]) then return {{'duplicate', first, kept, at, epoch}} end
end
if number ~= due then
  if not known then return {{'forgotten'}} end
  if seen[4] then
    local of, first, kept, at, epoch, digest = struct.unpack('>I8I8I8I8I8c8', seen[4])
    if of == number then
      if ARGV[9] ~= '' and digest ~= ARGV[9] and digest ~= '{_ANY}' then return {{'taken', due}} end
      return {{'duplicate', first, kept, at, epoch}}
    end
  end
  return {{'order', due}}
end
if not known and ARGV[12] == '1' then return {{'crowded'}} end
if count == 0 then return {{'absent'}} end

local first, last, at, epoch = 1, 0, 0, 0
local ends = redis.call('HGET', KEYS[2], ARGV[4])
if ends then first, last, at, epoch = struct.unpack('>I8I8I8I8', ends) end
local begins = last + 1
last = last + count
if last > {MAX_SEQ} then return {{'full'}} end
local time = now(ARGV[14])
if at <= time or at > time + {JUMP} then at = time end
if not ends then redis.call('HSETNX', KEYS[3], ARGV[4], ARGV[5]) end
if epoch ~= tonumber(info[2]) then
  epoch = tonumber(info[2])
  local known = redis.call('HGET', KEYS[4], ARGV[4]) or ''
  redis.call('HSET', KEYS[4], ARGV[4], string.sub(known .. struct.pack('>I8I8', epoch, begins), {-16 * MAX_EPOCHS}))
end
local head = '\\149\\207' .. struct.pack('>I8', begins) .. '\\207' .. struct.pack('>I8', at)
redis.call('XADD', KEYS[5], string.format('%.0f-0', last), 'h', head, 's', ARGV[10])
redis.call('HSET', KEYS[2], ARGV[4], struct.pack('>I8I8I8I8', first, last, at, epoch))
local user = known and seen[3] or ARGV[11]
if seen[5] then redis.call('DEL', KEYS[6]) end
redis.call('HSET', KEYS[6], 'n', ARGV[7], 'c', ARGV[6], 'u', user, slot,
  struct.pack('>I8I8I8I8I8', number, begins, count, at, epoch) .. ARGV[9])
redis.call('ZADD', KEYS[7], time, ARGV[13] .. user .. '\\0' .. ARGV[4])
local l = redis.call('HINCRBY', KEYS[1], 'l', 1)
if ARGV[15] ~= '1' then tell(KEYS[8], 'L', l, ARGV[4], last) end
return {{'stored', begins, at, epoch, l}}
"""
)
"""Store one block as `Store.append` says.

KEYS: info, ends, names, epochs, the log, what is seen of the producer, producers, feed. ARGV, after the three: 4 folded
room, 5 its maker, NUL and its name, 6 connection, 7 number, 8 count, 9 digest of the bodies ("" to compare none), 10
the block after its time, 11 folded user, 12 `1` if no further producer may be remembered, 13 producer, 14 time or "",
15 `1` if nobody is told: whoever asks does that, once replicas have the block.

Returns `stored` with first seq, time, epoch and `l`; `duplicate` with first seq, count, time and epoch; `order` with
the number that is due; `taken` likewise, if other bytes are known to be stored under the number; `forgotten`;
`absent`; `fenced`, if the client has gone on over a later connection; `crowded`; or `full`, if the room has no number
left."""

MARK = _script(
    _ATTACHED
    + _TELL
    + _NOW
    + """
local ends = redis.call('HGET', KEYS[2], ARGV[4])
if not ends then return {'none'} end
local _, last = struct.unpack('>I8I8', ends)
local mark = ARGV[4] .. '\\0' .. ARGV[5]
local seq = math.min(tonumber(ARGV[6]), last)
local value = redis.call('HGET', KEYS[3], mark)
if value then
  local stood = struct.unpack('>I8', value)
  if seq <= stood then return {'stands', stood} end
elseif ARGV[7] == '1' then
  return {'crowded'}
end
local time = now(ARGV[8])
redis.call('HSET', KEYS[3], mark, struct.pack('>I8I8', seq, time))
local n = redis.call('HINCRBY', KEYS[1], 'n', 1)
tell(KEYS[4], 'M', n, mark, seq, time)
return {'marked', seq, time, n}
"""
)
"""Move a read mark as `Store.set_read_mark` says. KEYS: info, ends, marks, feed. ARGV, after the three: 4 folded room,
5 folded user, 6 seq, 7 `1` if no further mark may be kept, 8 time or "". Returns `marked` with seq, time and `n`;
`stands` with the seq of a mark that doesn't move; `none` if the room has no log; or `crowded`."""

UNMARK = _script(
    _ATTACHED
    + _TELL
    + """
local value = redis.call('HGET', KEYS[2], ARGV[4])
if not value then return {'none'} end
local _, moved = struct.unpack('>I8I8', value)
if moved > tonumber(ARGV[5]) then return {'none'} end
redis.call('HDEL', KEYS[2], ARGV[4])
local n = redis.call('HINCRBY', KEYS[1], 'n', 1)
tell(KEYS[3], 'U', n, ARGV[4], moved)
return {'gone', n}
""",
    flags=FREEING,
)
"""Remove a read mark that has not moved since. KEYS: info, marks, feed. ARGV, after the three: 4 folded room, NUL,
folded user, 5 the time at which it has moved. Returns `gone` with `n`, or `none`."""

FORGET = _script(
    _ATTACHED
    + """
local score = redis.call('ZSCORE', KEYS[2], ARGV[4])
if not score or tonumber(score) > tonumber(ARGV[5]) then return {'none'} end
redis.call('ZREM', KEYS[2], ARGV[4])
if ARGV[6] == '0' then
  redis.call('DEL', KEYS[3])
else
  redis.call('HSET', KEYS[3], 'gone', 1)
  redis.call('PEXPIRE', KEYS[3], ARGV[6])
end
return {'gone'}
""",
    flags=FREEING,
)
"""Forget a producer in a room, unless a block of it is newer than a time. KEYS: info, producers, what is seen of it.
ARGV, after the three: 4 its member of producers, 5 the time, 6 for how many milliseconds it is still known where its
blocks went, and over which connection: those that come late of an earlier one are refused, and those that are sent
again over the same one are duplicates, while it begins again at 1 for all else. Returns `gone` or `none`."""

IMPOSE = _script(
    _ATTACHED
    + _TELL
    + _COUNT
    + """
local room, by = 'room\\0' .. ARGV[5], 'by\\0' .. ARGV[6]
local replaced = redis.call('HGET', KEYS[2], ARGV[4])
local counts = redis.call('HMGET', KEYS[3], room, by)
local of_room, of_moderator = tonumber(counts[1] or 0), tonumber(counts[2] or 0)
local all = redis.call('HLEN', KEYS[2])
if not replaced and of_room >= tonumber(ARGV[8]) then return {'crowded', 'room', of_room} end
if not (replaced and moderator(replaced) == ARGV[6]) and of_moderator >= tonumber(ARGV[9]) then
  return {'crowded', 'moderator', of_moderator}
end
if not replaced and all >= tonumber(ARGV[10]) then return {'crowded', 'all', all} end
local number = redis.call('HINCRBY', KEYS[1], 's', 1)
local value = struct.pack('>I8', number) .. ARGV[6] .. '\\0' .. ARGV[7]
redis.call('HSET', KEYS[2], ARGV[4], value)
if replaced then
  count('by\\0' .. moderator(replaced), -1)
else
  count(room, 1)
end
count(by, 1)
local n = redis.call('HINCRBY', KEYS[1], 'n', 1)
tell(KEYS[4], 'I', n, value, replaced and struct.unpack('>I8', replaced) or 0)
return {'imposed', number, replaced, n}
"""
)
"""Impose a sanction as `Store.impose` says. KEYS: info, sanctions, counts, feed. ARGV, after the three: 4 its field,
5 folded room, 6 folded moderator, 7 the rest, packed, 8 to 10 the places. Returns `imposed` with its number,
the value that it replaces, nil for none, and `n`; or `crowded` with what is full and how many there are."""

LIFT = _script(
    _ATTACHED
    + _TELL
    + _COUNT
    + """
local value = redis.call('HGET', KEYS[2], ARGV[4])
if not value then return {'none'} end
local number = struct.unpack('>I8', value)
if ARGV[6] ~= '0' and tonumber(ARGV[6]) ~= number then return {'none'} end
redis.call('HDEL', KEYS[2], ARGV[4])
count('room\\0' .. ARGV[5], -1)
count('by\\0' .. moderator(value), -1)
local n = redis.call('HINCRBY', KEYS[1], 'n', 1)
tell(KEYS[4], 'X', n, value)
return {'lifted', value, n}
""",
    flags=FREEING,
)
"""Lift a sanction as `Store.lift` says. KEYS: info, sanctions, counts, feed. ARGV, after the three: 4 its field,
5 folded room, 6 its number, 0 for any. Returns `lifted` with its value and `n`, or `none`."""

TRIM = _script(
    _ATTACHED
    + _TELL
    + """
local ends = redis.call('HGET', KEYS[2], ARGV[4])
if not ends then return {'none'} end
local first, last, at, epoch = struct.unpack('>I8I8I8I8', ends)
local begins = math.min(tonumber(ARGV[5]), last) + 1
if begins <= first then return {'stands', first} end
redis.call('XTRIM', KEYS[3], 'MINID', string.format('%.0f-0', begins))
redis.call('HSET', KEYS[2], ARGV[4], struct.pack('>I8I8I8I8', begins, last, at, epoch))
local l = redis.call('HINCRBY', KEYS[1], 'l', 1)
tell(KEYS[4], 'R', l, ARGV[4], begins)
return {'trimmed', begins, l}
""",
    flags=FREEING,
)
"""Remove a room's messages up to a seq, which a block ends with. KEYS: info, ends, the log, feed. ARGV, after the
three: 4 folded room, 5 the seq. Returns `trimmed` with the first seq and `l`, `stands` with it, or `none`."""

HERE = _script(
    _ATTACHED
    + _TELL
    + """
if redis.call('HGET', KEYS[2], ARGV[4]) == ARGV[5] then return {'stands'} end
redis.call('HSET', KEYS[2], ARGV[4], ARGV[5])
local n = redis.call('HINCRBY', KEYS[1], 'n', 1)
tell(KEYS[3], 'H', n, ARGV[4], ARGV[5])
return {'here', n}
"""
)
"""Say that a user is in a room by sessions at this broker. KEYS: info, the broker's here, feed. ARGV, after the three:
4 folded room, NUL, folded user, 5 the value. Returns `here` with `n`, or `stands` if that was known."""

GONE = _script(
    _ATTACHED
    + _TELL
    + """
if redis.call('HDEL', KEYS[2], ARGV[4]) == 0 then return {'none'} end
local n = redis.call('HINCRBY', KEYS[1], 'n', 1)
tell(KEYS[3], 'H', n, ARGV[4], '')
return {'went', n}
""",
    flags=FREEING,
)
"""Say that a user is in a room by sessions at this broker no more. KEYS: info, the broker's here, feed. ARGV, after the
three: 4 folded room, NUL, folded user. Returns `went` with `n`, or `none` if that was known."""

TELL = _script(
    _ATTACHED
    + _TELL
    + """
tell(KEYS[2], ARGV[4], 0, unpack(ARGV, 5))
return {'told'}
""",
    flags=FREEING,
)
"""Tell all brokers something that nothing is kept of. KEYS: info, feed. ARGV, after the three: 4 the notice's kind, and
its fields. Returns `told`."""

SWEEP = _script(
    "local info = redis.call('HMGET', KEYS[1], 'run', 'epoch')"
    + _TELL
    + """
redis.call('HDEL', KEYS[1], 'g:' .. ARGV[1])
if redis.call('UNLINK', KEYS[2]) == 0 then return {'none'} end
local n = redis.call('HINCRBY', KEYS[1], 'n', 1)
tell(KEYS[3], 'G', n, ARGV[1])
return {'gone', n}
""",
    flags=FREEING,
)
"""Take a broker for ended, and all that are anywhere by its sessions for gone. KEYS: info, its here, feed. ARGV: the
broker, and who asks for it. Returns `gone` with `n`; or `none` if nobody was."""

SNAPSHOT = _script(
    """
local info = redis.call('HMGET', KEYS[1], 'epoch', 'l', 'n')
local snapshot = {tonumber(info[1] or 0), tonumber(info[2] or 0), tonumber(info[3] or 0)}
for number = 2, 5 do snapshot[number + 2] = redis.call('HGETALL', KEYS[number]) end
local here = {}
for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
  if string.sub(field, 1, 2) == 'g:' then
    local broker = string.sub(field, 3)
    here[#here + 1] = broker
    here[#here + 1] = redis.call('HVALS', ARGV[1] .. broker)
  end
end
snapshot[8] = here
if KEYS[6] then snapshot[9] = redis.call('HVALS', KEYS[6]) end
return snapshot
""",
    flags="no-writes",
)
"""Return all that a partition has of its rooms but the logs, as of one moment: the epoch, `l`, `n`, then the fields and
values of ends, names, epochs and marks, each attached broker with the values of its here, and the sanctions if their
key is given. KEYS: info, ends, names, epochs, marks, and sanctions or nothing. ARGV: what the keys of all here begin
with, which have the hash tag of the others."""

HOLD = _script(
    """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZADD', KEYS[2], now, ARGV[1])
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return {0} end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
if not holder then return {1, {}} end
return {1, redis.call('ZRANGE', KEYS[2], '-inf', now - ARGV[3], 'BYSCORE', 'LIMIT', 0, 100)}
""",
    flags=FREEING,
)
"""Say that a broker is there, and have it tend the store, for some time, if no other one does. KEYS: holder, brokers.
ARGV: broker, milliseconds, and after how many milliseconds a broker that was not heard of is taken for ended. Returns
0; or 1 if it tends the store, and some that have ended: none the first time, as after a standstill of the server all
others have yet to say that they are there."""

RELEASE = _script(
    """
redis.call('ZREM', KEYS[2], ARGV[1])
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
""",
    flags=FREEING,
)
"""Say that a broker is there no more. KEYS: holder, brokers. ARGV: broker."""

CONFIRM = _script("return redis.call('SET', KEYS[1], '1')", flags=FREEING)
"""Write something, so that WAIT after it waits for replicas to have all that was written before, by anybody: it
is not enough that a connection has read it. KEYS: confirmed."""

PUT = _script(
    """
if redis.call('HGET', KEYS[1], 'copy') ~= ARGV[1] then return 0 end
local each = 2
while each <= #ARGV do
  local after = each + 3 + ARGV[each]
  redis.call(ARGV[each + 1], KEYS[tonumber(ARGV[each + 2])], unpack(ARGV, each + 3, after - 1))
  each = after
end
return 1
"""
)
"""Write a part of a copy that is being made. KEYS: info, and those that are written. ARGV: the copy's id, and of each
command the number of its arguments after the key, its name, the number of its key, and these arguments. Returns 1; or
0 if this partition is no longer of that copy."""

FINISH = _script(
    """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if ARGV[2] == '' then return redis.call('DEL', KEYS[1]) end
redis.call('SET', KEYS[1], ARGV[2])
return 1
""",
    flags=FREEING,
)
"""Set the format of a store, if it is still the one that it is taken for. KEYS: format. ARGV: what it is, what it shall
be, "" for nothing. Returns 1, or 0 if it was something else."""

COPYING = (PUT, FINISH, SNAPSHOT)
"""Those that a copy needs, to be loaded over its connection."""

ALL = (ATTACH, APPEND, MARK, UNMARK, FORGET, IMPOSE, LIFT, TRIM, HERE, GONE, TELL, SWEEP, SNAPSHOT, HOLD, RELEASE)
"""All of them, to be loaded over each new connection."""
