"""The scripts, one for each verb: each runs alone on the server from its beginning to its end.

Whatever refuses a script does so before its first write (`HINCRBY` of the sequence number, where there is one): the
checks of the prelude, and the server's own, which are out of memory, read-only, disk errors and missing replicas.
ARGV[1] is the birth of the data; in those that change something ARGV[2] is the number of the change.
"""

from __future__ import annotations

import hashlib

from mneme.ports import HISTORY
from mneme.stores._redis_lua import CHANGING, KEYS, READ_KEYS, READING, SELECTING, SETTLING
from mneme.stores._redis_wire import packed

__all__ = ["SCHEMA_VERSION", "Script", "Scripts", "key_of"]

_MAGIC = "mneme"
SCHEMA_VERSION = 1
_RUN = 1000
"""Deletions that one member of `deletions` holds at most."""

# ARGV: birth if it is to be made, fingerprint and dim or empty, sequence number to start from if it is to be made.
_OPEN = """
local memory = redis.pcall('INFO', 'memory')
if type(memory) == 'string' and not string.find(memory, 'maxmemory:0', 1, true) then
    local policy = string.match(memory, 'maxmemory_policy:(allkeys[%%a-]*)')
    if policy then return redis.error_reply('MNEMEEVICTS ' .. policy) end
end
local found = {}
for n = 1, #KEYS do
    found[n] = redis.call('TYPE', KEYS[n]).ok
    local hash = n <= 4 or n == #KEYS
    if found[n] ~= 'none' and found[n] ~= (hash and 'hash' or 'zset') then
        return redis.error_reply('MNEMEFOREIGN ' .. KEYS[n] .. ' is a ' .. found[n])
    end
    if n > 1 and found[1] == 'none' and found[n] ~= 'none' then
        return redis.error_reply('MNEMEFOREIGN there is ' .. KEYS[n] .. ', and no ' .. KEYS[1])
    end
end
local meta = KEYS[1]
if found[1] == 'hash' then
    local held = redis.call('HMGET', meta, 'what', 'version', 'birth', 'seq', 'forgotten')
    if held[1] ~= '%(magic)s' or not tonumber(held[2]) then
        return redis.error_reply('MNEMEFOREIGN ' .. meta .. ' is something else')
    end
    if tonumber(held[2]) > %(version)d then return redis.error_reply('MNEMENEWER ' .. held[2]) end
    if not held[3] or not tonumber(held[4]) or not tonumber(held[5]) then
        return redis.error_reply('MNEMEFOREIGN ' .. meta .. ' lacks fields')
    end
    local bound = redis.call('HMGET', meta, 'fingerprint', 'dim')
    if ARGV[2] ~= '' and bound[1] and (bound[1] ~= ARGV[2] or bound[2] ~= ARGV[3]) then
        return {'other', bound[1], bound[2]}
    end
else
    redis.call('HSET', meta, 'what', '%(magic)s', 'version', '%(version)d', 'birth', ARGV[1], 'seq', ARGV[4],
        'forgotten', ARGV[4])
end
if ARGV[2] ~= '' and redis.call('HGET', meta, 'fingerprint') ~= ARGV[2] then
    redis.call('HSET', meta, 'fingerprint', ARGV[2], 'dim', ARGV[3])
end
return redis.call('HMGET', meta, 'birth', 'fingerprint', 'dim', 'version', 'seq')
""" % {"magic": _MAGIC, "version": SCHEMA_VERSION}

# ARGV[2] is the key.
_READ_KEY = (
    READING
    + """
local body = call('HGET', BODIES, ARGV[2])
return body and {call('HGET', HEADS, sub(body, 1, 8)), body}
"""
)

# ARGV: 1 if vectors are wanted, how many ids, ids, keys.
_READ = (
    READING
    + """
local count, reply = tonumber(ARGV[3]), {}
for n = 4, #ARGV do
    local id, head, body
    if n - 3 <= count then
        id = ARGV[n]
        head = call('HGET', HEADS, id)
        body = head and call('HGET', BODIES, sub(head, 73, 104))
    else
        body = call('HGET', BODIES, ARGV[n])
        id = body and sub(body, 1, 8)
        head = body and call('HGET', HEADS, id)
    end
    reply[n - 3] = head and {head, body, ARGV[2] == '1' and call('HGET', VECTORS, id) or false}
end
return reply
"""
)

# ARGV: how many records and namespaces; digest and name of each namespace; head, body and vector of each record.
_WRITE = (
    CHANGING
    + SELECTING
    + SETTLING
    + """
local count, spaces, names = tonumber(ARGV[3]), tonumber(ARGV[4]), {}
for n = 1, spaces do names[ARGV[3 + 2 * n]] = ARGV[4 + 2 * n] end
local at = 2 + 2 * spaces
local keys, last, id_of, old, sums = {}, {}, {}, {}, {}
for n = 1, count do
    keys[n] = sub(ARGV[at + 3 * n], 65, 96)
    last[keys[n]] = n
end
local held = fetched(BODIES, keys)
for n = 1, count do
    if held[n] and not id_of[keys[n]] then
        id_of[keys[n]] = sub(held[n], 1, 8)
        old[#old + 1] = id_of[keys[n]]
    end
end
local old_heads = fetched(HEADS, old)
for n = 1, #old do
    if not old_heads[n] then return redis.error_reply('MNEMEDAMAGED an entry has no head') end
end
local first = call('HINCRBY', META, 'seq', count) - count + 1
unindex(old, old_heads, sums)
local heads, bodies, vectors, ids, partitions, places, accessed, recent, created = {}, {}, {}, {}, {}, {}, {}, {}, {}
local removable, rewritten, tags, written, replaced = {}, {}, {}, {}, false
local function put(list, a, b)
    list[#list + 1] = a
    list[#list + 1] = b
end
for n = 1, count do
    local key, seq = keys[n], pack('>I8', first + n - 1)
    local id = id_of[key]
    written[n] = (id or seq) .. (id and '\\1' or '\\0')
    replaced = replaced or id
    id = id or seq
    id_of[key] = id
    if last[key] == n then
        local head = seq .. ARGV[at + 3 * n]
        local namespace, partition, moment = sub(head, 41, 56), sub(head, 57, 72), sub(head, 9, 16)
        put(heads, id, head)
        put(bodies, key, id .. ARGV[at + 3 * n + 1])
        if sub(head, 105, 105) == '\\1' then put(vectors, id, ARGV[at + 3 * n + 2]) end
        put(ids, '0', id)
        put(partitions, '0', partition .. id)
        if not places[namespace .. partition] then
            places[namespace .. partition] = true
            put(places, '0', namespace .. partition)
        end
        put(accessed, '0', moment .. id)
        put(recent, '0', namespace .. moment .. id)
        put(created, '0', namespace .. sub(head, 17, 24) .. id)
        if sub(head, 25, 32) ~= NEVER then put(removable, '0', sub(head, 25, 32) .. id) end
        if seq ~= id then put(rewritten, '0', seq .. id) end
        for from = 106, #head, 16 do put(tags, '0', sub(head, from, from + 15) .. id) end
        change(sums, namespace, 1, number('>I8', head, 33))
    end
end
many('HSET', HEADS, heads)
many('HSET', BODIES, bodies)
many('HSET', VECTORS, vectors)
many('ZADD', IDS, ids)
many('ZADD', PARTITIONS, partitions)
many('ZADD', PLACES, places)
many('ZADD', ACCESSED, accessed)
many('ZADD', RECENT, recent)
many('ZADD', CREATED, created)
many('ZADD', REMOVABLE, removable)
many('ZADD', REWRITTEN, rewritten)
many('ZADD', TAGS, tags)
vacate(old_heads)
settle(sums, names)
return done({pack('>I8', first), replaced and table.concat(written) or ''})
"""
)

# ARGV: least_recent or empty, the selection.
_DELETE = (
    CHANGING
    + SELECTING
    + SETTLING
    + """
local ids, heads = selected(4, string.rep('\\0', 8), math.huge, tonumber(ARGV[3]))
if #ids == 0 then return {} end
if tonumber(ARGV[3]) then
    local by_id = {}
    for n = 1, #ids do by_id[ids[n]] = heads[n] end
    ids = in_order(ids)
    for n = 1, #ids do heads[n] = by_id[ids[n]] end
end
local all = #ids == call('ZCARD', IDS)
local last = call('HINCRBY', META, 'seq', #ids)
local first, keys, removed, run, sums = last - #ids + 1, {}, {}, {}, {}
for n = 1, #ids do
    keys[n] = sub(heads[n], 73, 104)
    removed[n] = ids[n] .. keys[n] .. sub(heads[n], 41, 56)
    run[#run + 1] = ids[n] .. keys[n]
    if #run == %(run)d or n == #ids then
        call('ZADD', DELETIONS, 0, pack('>I8', first + n - 1) .. table.concat(run))
        run = {}
    end
end
local names = {}
if all then
    for n = 1, #ids do change(sums, sub(heads[n], 41, 56), -1, -number('>I8', heads[n], 33)) end
    call('UNLINK', HEADS, BODIES, VECTORS, IDS, PARTITIONS, PLACES, ACCESSED, RECENT, CREATED, REMOVABLE, REWRITTEN,
        TAGS)
else
    unindex(ids, heads, sums)
    many('HDEL', HEADS, ids)
    many('HDEL', BODIES, keys)
    many('ZREM', IDS, ids)
    vacate(heads)
end
for namespace in pairs(sums) do
    local row = call('HGET', NAMESPACES, namespace)
    names[#names + 1] = namespace
    names[#names + 1] = row and sub(row, 65) or ''
end
settle(sums, {})
if last > %(history)d then
    local old = call('ZRANGEBYLEX', DELETIONS, '-', '[' .. pack('>I8', last - %(history)d) .. NEVER)
    if #old > 0 then
        call('HSET', META, 'forgotten', string.format('%%.0f', (number('>I8', old[#old]))))
        many('ZREM', DELETIONS, old)
    end
end
return done({pack('>I8', first), table.concat(removed), names})
"""
    % {"run": _RUN, "history": HISTORY}
)

# ARGV: how many ids and namespaces; id and time of each; digest, name and counters of each.
_RECORD = (
    CHANGING
    + SELECTING
    + SETTLING
    + """
local count, spaces, ids = tonumber(ARGV[3]), tonumber(ARGV[4]), {}
for n = 1, count do ids[n] = ARGV[3 + 2 * n] end
local heads = fetched(HEADS, ids)
for n = 1, count do
    local head, moment = heads[n], ARGV[4 + 2 * n]
    if head then
        local namespace, before = sub(head, 41, 56), sub(head, 9, 16)
        call('HSET', HEADS, ids[n], sub(head, 1, 8) .. moment .. sub(head, 17))
        call('ZREM', ACCESSED, before .. ids[n])
        call('ZADD', ACCESSED, 0, moment .. ids[n])
        call('ZREM', RECENT, namespace .. before .. ids[n])
        call('ZADD', RECENT, 0, namespace .. moment .. ids[n])
    end
end
local sums, names, at = {}, {}, 2 + 2 * count
for n = 1, spaces do
    local namespace = ARGV[at + 3 * n]
    names[namespace] = ARGV[at + 3 * n + 1]
    local more, sum = {number('>i8i8i8i8i8d', ARGV[at + 3 * n + 2])}, change(sums, namespace, 0, 0)
    for m = 1, 6 do sum[m + 2] = sum[m + 2] + more[m] end
end
settle(sums, names)
return done(1)
"""
)

# ARGV: after, limit, 1 if vectors are wanted, the selection.
_SCAN = (
    READING
    + SELECTING
    + """
local ids, heads = selected(5, ARGV[2], tonumber(ARGV[3]))
local reply = {}
for n = 1, #ids do
    local body = call('HGET', BODIES, sub(heads[n], 73, 104))
    reply[n] = {heads[n], body, ARGV[4] == '1' and call('HGET', VECTORS, ids[n]) or false}
end
return reply
"""
)

# ARGV: after, limit.
_VECTORS = (
    READING
    + SELECTING
    + """
local ids, partitions, vectors, from, limit = {}, {}, {}, '(' .. ARGV[2], tonumber(ARGV[3])
while #ids < limit do
    local batch = call('ZRANGEBYLEX', IDS, from, '+', 'LIMIT', 0, CHUNK)
    if #batch == 0 then break end
    local found, heads = fetched(VECTORS, batch), fetched(HEADS, batch)
    for n = 1, #batch do
        if found[n] and heads[n] and #ids < limit then
            ids[#ids + 1], partitions[#ids + 1], vectors[#ids + 1] = batch[n], sub(heads[n], 57, 72), found[n]
        end
    end
    from = '(' .. batch[#batch]
end
return {table.concat(ids), table.concat(partitions), table.concat(vectors)}
"""
)

# ARGV: since, limit.
_CHANGES = (
    READING
    + SELECTING
    + """
local since, limit = number('>I8', ARGV[2]), tonumber(ARGV[3])
if since < tonumber(call('HGET', META, 'forgotten')) then return 0 end
local written, deleted, from = {}, {}, '(' .. ARGV[2]
while #written < limit do
    local batch = call('ZRANGEBYLEX', IDS, from, '+', 'LIMIT', 0, CHUNK)
    if #batch == 0 then break end
    local heads = fetched(HEADS, batch)
    for n = 1, #batch do
        if heads[n] and sub(heads[n], 1, 8) == batch[n] and #written < limit then
            written[#written + 1] = batch[n] .. batch[n] .. sub(heads[n], 73, 104)
        end
    end
    from = '(' .. batch[#batch]
end
local moved = call('ZRANGEBYLEX', REWRITTEN, '(' .. ARGV[2] .. NEVER, '+', 'LIMIT', 0, limit)
local ids = {}
for n = 1, #moved do ids[n] = sub(moved[n], 9) end
local heads = fetched(HEADS, ids)
for n = 1, #moved do
    if heads[n] then written[#written + 1] = moved[n] .. sub(heads[n], 73, 104) end
end
local count, next_one = 0, '[' .. pack('>I8', since + 1)
while count < limit do
    local runs = call('ZRANGEBYLEX', DELETIONS, next_one, '+', 'LIMIT', 0, 100)
    if #runs == 0 then break end
    for n = 1, #runs do
        if count < limit then
            deleted[#deleted + 1] = runs[n]
            count = count + math.min((#runs[n] - 8) / 40, number('>I8', runs[n]) - since)
        end
    end
    next_one = '(' .. runs[#runs]
end
return {table.concat(written), deleted}
"""
)

_SUMMARY = (
    READING
    + """
local rows = call('HGETALL', NAMESPACES)
local reply = {}
for n = 1, #rows, 2 do
    local oldest = call('ZRANGEBYLEX', CREATED, '[' .. rows[n], '+', 'LIMIT', 0, 1)[1]
    reply[#reply + 1] = rows[n + 1]
    reply[#reply + 1] = oldest and sub(oldest, 1, 16) == rows[n] and sub(oldest, 17, 24) or ''
end
return reply
"""
)

_MARKED = READING + "return call('HGET', META, 'mark')"
_MARK = CHANGING + "call('HSET', META, 'mark', ARGV[3])\nreturn done(1)"

_TOTALS = (
    READING
    + """
local rows, entries, bytes = call('HVALS', NAMESPACES), 0, 0
for n = 1, #rows do
    local held, size = number('>i8i8', rows[n])
    entries, bytes = entries + held, bytes + size
end
local reply = {tonumber(call('HGET', META, 'seq')), entries, bytes, call('HLEN', HEADS), call('HLEN', BODIES),
    call('HLEN', VECTORS)}
for _, key in ipairs({IDS, PARTITIONS, PLACES, ACCESSED, RECENT, CREATED, REMOVABLE, REWRITTEN, TAGS}) do
    reply[#reply + 1] = call('ZCARD', key)
end
return reply
"""
)

# ARGV: after, limit. Of each entry: id, head, body without its payload, length of the body, vector, and for each index
# whether the entry is missing from it.
_CHECK_ENTRIES = (
    READING
    + SELECTING
    + """
local reply = {}
local ids = call('ZRANGEBYLEX', IDS, '(' .. ARGV[2], '+', 'LIMIT', 0, ARGV[3])
for n = 1, #ids do
    local id = ids[n]
    local head = call('HGET', HEADS, id)
    if not head or #head < 105 then
        reply[n] = {id}
    else
        local body = call('HGET', BODIES, sub(head, 73, 104))
        local namespace, moment, missing = sub(head, 41, 56), sub(head, 9, 16), {}
        local function expect(key, member)
            if not call('ZSCORE', key, member) then missing[#missing + 1] = string.match(key, '[^:]*$') end
        end
        expect(PARTITIONS, sub(head, 57, 72) .. id)
        expect(PLACES, sub(head, 41, 72))
        expect(ACCESSED, moment .. id)
        expect(RECENT, namespace .. moment .. id)
        expect(CREATED, namespace .. sub(head, 17, 24) .. id)
        if sub(head, 25, 32) ~= NEVER then expect(REMOVABLE, sub(head, 25, 32) .. id) end
        if sub(head, 1, 8) ~= id then expect(REWRITTEN, sub(head, 1, 8) .. id) end
        for first = 106, #head, 16 do expect(TAGS, sub(head, first, first + 15) .. id) end
        if call('HEXISTS', NAMESPACES, namespace) == 0 then missing[#missing + 1] = 'namespaces' end
        local size, kept = body and #body or 0, body
        if size >= 48 then
            local _, _, _, a, b, c, d, e, f = number('>I8ddI4I4I4I4I4I4', body)
            kept = sub(body, 1, 48 + a + b + c + d + e + f)
        end
        reply[n] = {id, head, kept, size, call('HGET', VECTORS, id), missing}
    end
end
return reply
"""
)

# ARGV: the member after which to go on, or empty; limit. The last member seen, how many ids are alive though deleted,
# and how many runs are not as they should be.
_CHECK_DELETIONS = (
    READING
    + SELECTING
    + """
local runs = call('ZRANGEBYLEX', DELETIONS, ARGV[2] == '' and '-' or '(' .. ARGV[2], '+', 'LIMIT', 0, ARGV[3])
local alive, odd, seq = 0, 0, tonumber(call('HGET', META, 'seq'))
for n = 1, #runs do
    if (#runs[n] - 8) % 40 ~= 0 or #runs[n] < 48 or number('>I8', runs[n]) > seq then
        odd = odd + 1
    else
        local ids = {}
        for first = 9, #runs[n], 40 do ids[#ids + 1] = sub(runs[n], first, first + 7) end
        for _, head in ipairs(fetched(HEADS, ids)) do
            if head then alive = alive + 1 end
        end
    end
end
return {runs[#runs] or '', alive, odd}
"""
)


def key_of(prefix: str, name: str = KEYS[0]) -> str:
    """A key of the store: all have one hash tag, so that they lie on the same node of a cluster."""
    return f"{{{prefix}}}:{name}"


class Script:
    """A script and the keys it is called with: how `EVALSHA` and `EVAL` begin for it, already as they are sent."""

    def __init__(self, source: str, keys: list[bytes]) -> None:
        text = source.encode()
        names = packed([b"%d" % len(keys), *keys])
        digest = hashlib.sha1(text, usedforsecurity=False).hexdigest().encode()
        self.words = 3 + len(keys)
        self.by_digest = packed([b"EVALSHA", digest]) + names
        self.by_source = packed([b"EVAL", text]) + names


class Scripts:
    """All scripts, for the keys of one store."""

    def __init__(self, prefix: str, slot: str) -> None:
        every = [key_of(prefix, name).encode() for name in KEYS]
        changing = [*every, key_of(prefix, f"answer:{slot}").encode()]
        self.open = Script(_OPEN, every)
        self.read_key = Script(_READ_KEY, every[:READ_KEYS])
        self.read = Script(_READ, every[:READ_KEYS])
        self.scan = Script(_SCAN, every)
        self.vectors = Script(_VECTORS, every)
        self.changes = Script(_CHANGES, every)
        self.summary = Script(_SUMMARY, every)
        self.totals = Script(_TOTALS, every)
        self.check_entries = Script(_CHECK_ENTRIES, every)
        self.check_deletions = Script(_CHECK_DELETIONS, every)
        self.marked = Script(_MARKED, every[:1])
        self.write = Script(_WRITE, changing)
        self.delete = Script(_DELETE, changing)
        self.record = Script(_RECORD, changing)
        self.mark = Script(_MARK, changing)
