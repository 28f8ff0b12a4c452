"""The scripts that change something.

Whatever refuses one does so before its first write: its own checks, and those of the server, which are about memory,
the disk, replicas, and being one. After it nothing can fail, so that a change is made whole or not at all. ARGV[2] is
the number of the change.
"""

from __future__ import annotations

from mneme.stores._redis_lua import CHANGING, SELECTING, SETTLING
from mneme.stores._redis_search import DOCUMENTS

__all__ = ["DELETE", "MARK", "RECORD", "WRITE"]

# ARGV: how many records and namespaces; digest and name of each namespace; head, body and vector of each record.
WRITE = (
    CHANGING
    + SELECTING
    + SETTLING
    + DOCUMENTS
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
if searched then
    local known = {}
    for n = 1, #vectors, 2 do known[vectors[n]] = true end
    for n = 1, #old do
        if not known[old[n]] then forget({old[n]}) end
        known[old[n]] = 'before'
    end
    for n = 1, count do
        local head, id, vector = ARGV[at + 3 * n], id_of[keys[n]], ARGV[at + 3 * n + 2]
        -- To index what is there already would take as long as a new one.
        if last[keys[n]] == n and sub(head, 97, 97) == '\\1' then
            local partition, held = sub(head, 49, 64), {}
            if known[id] == 'before' then held = call('HMGET', document(id), 'p', 'v') end
            if held[1] ~= hex(partition) or held[2] ~= vector then describe(id, partition, vector) end
        end
    end
end
vacate(old_heads)
settle(sums, names)
return done({pack('>I8', first), replaced and table.concat(written) or ''})
"""
)

# ARGV: for how many sequence numbers deletions are remembered, least_recent or empty, the selection. One member of
# `deletions` holds at most 1000 of them.
DELETE = (
    CHANGING
    + SELECTING
    + SETTLING
    + DOCUMENTS
    + """
local ids, heads = selected(5, string.rep('\\0', 8), math.huge, tonumber(ARGV[4]))
if #ids == 0 then return {} end
if tonumber(ARGV[4]) then
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
    if #run == 1000 or n == #ids then
        call('ZADD', DELETIONS, 0, pack('>I8', first + n - 1) .. table.concat(run))
        run = {}
    end
end
local names = {}
if all then
    for n = 1, #ids do change(sums, sub(heads[n], 41, 56), -1, -number('>I8', heads[n], 33)) end
    if searched then
        -- To take them out of a graph one by one would take as long as putting them in. Should the engine refuse one of
        -- the two, it still follows what becomes of the documents, or is made anew by whoever searches.
        redis.pcall('FT.DROPINDEX', SEARCH)
        forget(ids)
        make_index(searched)
        call('HDEL', META, 'searched')
    end
    call('UNLINK', HEADS, BODIES, VECTORS, IDS, PARTITIONS, PLACES, ACCESSED, RECENT, CREATED, REMOVABLE, REWRITTEN,
        TAGS)
else
    unindex(ids, heads, sums)
    if searched then forget(ids) end
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
local horizon = last - tonumber(ARGV[3])
if horizon > 0 then
    local old = call('ZRANGEBYLEX', DELETIONS, '-', '[' .. pack('>I8', horizon) .. NEVER)
    if #old > 0 then
        call('HSET', META, 'forgotten', string.format('%.0f', (number('>I8', old[#old]))))
        many('ZREM', DELETIONS, old)
    end
end
return done({pack('>I8', first), table.concat(removed), names})
"""
)

# ARGV: how many ids and namespaces; id and time of each; digest, name and counters of each.
RECORD = (
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
    local more, sum = {number('>i8i8i8i8i8dd', ARGV[at + 3 * n + 2])}, change(sums, namespace, 0, 0)
    for m = 1, 6 do sum[m + 2] = sum[m + 2] + more[m] end
    if more[7] ~= 0 then
        local before = tonumber(call('HGET', META, 'cost:' .. namespace) or 0)
        call('HSET', META, 'cost:' .. namespace, string.format('%.17g', before + more[7]))
    end
end
settle(sums, names)
return done(1)
"""
)

MARK = CHANGING + "call('HSET', META, 'mark', ARGV[3])\nreturn done(1)"
