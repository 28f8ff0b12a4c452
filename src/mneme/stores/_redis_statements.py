"""The scripts, one for each verb: each runs alone on the server from its beginning to its end.

Those that change something are in `_redis_changes`. ARGV[1] is the birth of the data.
"""

from __future__ import annotations

import hashlib

from mneme.stores._redis_changes import DELETE, MARK, RECORD, WRITE
from mneme.stores._redis_lua import KEYS, READ_KEYS, READING, SELECTING
from mneme.stores._redis_search import DOCUMENTS, PREPARE, SEARCHED_VERSION, SIMILAR
from mneme.stores._redis_wire import packed

__all__ = ["SCHEMA_VERSION", "Script", "Scripts", "key_of"]

SCHEMA_VERSION = SEARCHED_VERSION
"""The latest that is understood. Data that were not prepared for searching have the first."""

# ARGV: birth if there is to be one, fingerprint and dim or empty, version that is understood, birth of the data that
# were open before or empty, highest sequence number that was heard of.
#
# A server that was restarted, or took over from another, may have lost the latest changes, and would give their numbers
# to others: it is known by its run id, and its data get another birth, so that whoever used them begins anew. Scripts
# do not survive a restart either, and are sent again only after this one (`RedisVerbs`): no change comes in between.
_OPEN = """
local memory, server = redis.pcall('INFO', 'memory'), redis.pcall('INFO', 'server')
if type(memory) == 'string' and not string.find(memory, 'maxmemory:0', 1, true) then
    local policy = string.match(memory, 'maxmemory_policy:(allkeys[%a-]*)')
    if policy then return redis.error_reply('MNEMEEVICTS ' .. policy) end
end
local run = type(server) == 'string' and string.match(server, 'run_id:(%x+)') or ''
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
local meta, known = KEYS[1], tonumber(ARGV[6])
if found[1] == 'hash' then
    local held = redis.call('HMGET', meta, 'what', 'version', 'birth', 'seq', 'forgotten', 'run', 'earlier')
    if held[1] ~= 'mneme' or not tonumber(held[2]) then
        return redis.error_reply('MNEMEFOREIGN ' .. meta .. ' is something else')
    end
    if tonumber(held[2]) > tonumber(ARGV[4]) then return redis.error_reply('MNEMENEWER ' .. held[2]) end
    if not held[3] or not tonumber(held[4]) or not tonumber(held[5]) then
        return redis.error_reply('MNEMEFOREIGN ' .. meta .. ' lacks fields')
    end
    local bound = redis.call('HMGET', meta, 'fingerprint', 'dim')
    if ARGV[2] ~= '' and bound[1] and (bound[1] ~= ARGV[2] or bound[2] ~= ARGV[3]) then
        return {'other', bound[1], bound[2]}
    end
    local birth, seq, earlier = held[3], tonumber(held[4]), held[7]
    if run ~= '' and held[6] ~= run then
        birth, earlier = ARGV[1], false
        redis.call('HSET', meta, 'birth', birth, 'run', run)
        redis.call('HDEL', meta, 'earlier')
    end
    if ARGV[5] ~= '' and ARGV[5] ~= birth and ARGV[5] ~= earlier then
        redis.call('HSET', meta, 'seq', string.format('%.0f', math.max(seq, known) + 1))
    end
else
    local seq = ARGV[5] == '' and '0' or string.format('%.0f', known + 1)
    redis.call('HSET', meta, 'what', 'mneme', 'version', '1', 'birth', ARGV[1], 'seq', seq, 'forgotten', seq, 'run',
        run)
end
if ARGV[2] ~= '' and redis.call('HGET', meta, 'fingerprint') ~= ARGV[2] then
    redis.call('HSET', meta, 'fingerprint', ARGV[2], 'dim', ARGV[3])
end
return redis.call('HMGET', meta, 'birth', 'fingerprint', 'dim', 'version', 'seq', 'earlier')
"""

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
    reply[#reply + 1] = call('HGET', META, 'cost:' .. rows[n]) or ''
    reply[#reply + 1] = oldest and sub(oldest, 1, 16) == rows[n] and sub(oldest, 17, 24) or ''
end
return reply
"""
)

_MARKED = READING + "return call('HGET', META, 'mark')"

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
    + DOCUMENTS
    + """
local reply, complete = {}, searched and call('HEXISTS', META, 'searched') == 0
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
        local vector = call('HGET', VECTORS, id)
        if complete then
            local held = call('HMGET', document(id), 'p', 'v')
            if held[1] ~= (vector and hex(sub(head, 57, 72))) or held[2] ~= vector then
                missing[#missing + 1] = 'search'
            end
        end
        local size, kept = body and #body or 0, body
        if size >= 48 then
            local _, _, _, a, b, c, d, e, f = number('>I8ddI4I4I4I4I4I4', body)
            kept = sub(body, 1, 48 + a + b + c + d + e + f)
        end
        reply[n] = {id, head, kept, size, vector, missing}
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
        self.exists = Script("return redis.call('EXISTS', unpack(KEYS))", every)
        self.read_key = Script(_READ_KEY, every[:READ_KEYS])
        self.read = Script(_READ, every[:READ_KEYS])
        self.scan = Script(_SCAN, every)
        self.vectors = Script(_VECTORS, every)
        self.changes = Script(_CHANGES, every)
        self.summary = Script(_SUMMARY, every)
        self.totals = Script(_TOTALS, every)
        self.check_entries = Script(_CHECK_ENTRIES, every)
        self.check_deletions = Script(_CHECK_DELETIONS, every)
        self.similar = Script(SIMILAR, every)
        self.marked = Script(_MARKED, every[:1])
        self.write = Script(WRITE, changing)
        self.delete = Script(DELETE, changing)
        self.record = Script(RECORD, changing)
        self.mark = Script(MARK, changing)
        self.prepare = Script(PREPARE, changing)
