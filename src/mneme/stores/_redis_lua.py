"""What the scripts share: the names of the keys, the layout of a head, and how a selection is found.

Every index is a sorted set whose scores are all 0, so that its members lie in the order of their bytes: a number or a
time is written so that bytes and values have the same order (`_redis_rows`), and a range of bytes is a range of values.
Lua itself compares strings as the server's locale does, so bytes are compared as numbers here.
"""

from __future__ import annotations

__all__ = ["CHANGING", "KEYS", "READING", "READ_KEYS", "SELECTING", "SETTLING"]

KEYS = (
    "meta",  # hash: what the store is, its embedder, its latest sequence number; what each namespace saved of costs
    "heads",  # hash, by id: all that choosing and indexing need
    "bodies",  # hash, by key: id, texts and payload
    "vectors",  # hash, by id
    "ids",  # id
    "partitions",  # partition, id
    "places",  # namespace, partition
    "accessed",  # time of access, id
    "recent",  # namespace, time of access, id
    "created",  # namespace, time of creation, id
    "removable",  # time, id; only entries that have one
    "rewritten",  # sequence number, id; only entries that were replaced: that of any other is its id
    "tags",  # tag, id
    "deletions",  # last sequence number, then id and key of each of a run of deletions
    "namespaces",  # hash, by namespace: sums, counters, name
)
READ_KEYS = 4
"""An exact read names no more than the first so many."""

READING = """
local META, HEADS, BODIES, VECTORS, IDS, PARTITIONS, PLACES, ACCESSED, RECENT, CREATED, REMOVABLE, REWRITTEN, TAGS,
    DELETIONS, NAMESPACES, SLOT = unpack(KEYS)
local sub, pack, number, call = string.sub, struct.pack, struct.unpack, redis.call
if call('HGET', META, 'birth') ~= ARGV[1] then
    return redis.error_reply('MNEMEGONE these are other data')
end
"""
"""The data must be those that were opened: in others the same id may mean another entry."""

# The answer to the latest change of each store object is kept for a while, so that a change whose answer was lost can
# be asked for again without being made again; and one that comes late, after a later one, is not made at all.
CHANGING = (
    READING
    + """
local slot = call('GET', SLOT)
if slot then
    local latest, this = number('>I8', slot), number('>I8', ARGV[2])
    if latest > this then return redis.error_reply('MNEMELATE a later change was made already') end
    if latest == this then
        if #slot == 8 then return redis.error_reply('MNEMEDONE the change was made, and its answer is lost') end
        return cmsgpack.unpack(sub(slot, 9))
    end
end
for n = 1, #KEYS - 1 do
    local kind = call('TYPE', KEYS[n]).ok
    local hash = n <= 4 or n == #KEYS - 1
    if kind ~= 'none' and kind ~= (hash and 'hash' or 'zset') then
        return redis.error_reply('MNEMEDAMAGED ' .. KEYS[n] .. ' is a ' .. kind)
    end
end
local function done(reply)
    local kept = cmsgpack.pack(reply)
    if #kept > 1048576 then kept = '' end
    call('SET', SLOT, ARGV[2] .. kept, 'EX', 600)
    return reply
end
"""
)

_CHUNKS = """
local CHUNK = 1000  -- arguments to one command: Lua's stack holds about 8000
local function many(command, key, list)
    for first = 1, #list, CHUNK do
        call(command, key, unpack(list, first, math.min(first + CHUNK - 1, #list)))
    end
end
local function fetched(key, fields)
    local all = {}
    for first = 1, #fields, CHUNK do
        local found = call('HMGET', key, unpack(fields, first, math.min(first + CHUNK - 1, #fields)))
        for n = 1, #found do all[first + n - 1] = found[n] end
    end
    return all
end
local NEVER = string.rep('\\255', 8)
"""

# ARGV from `at`: namespace, partition, created_before, removable_by, each empty if not set; how many tags, ids and keys
# there are, -1 if not set; these.
SELECTING = (
    _CHUNKS
    + """
local LAST = NEVER .. NEVER
local function less(a, b)
    local a1, a2 = number('>I4I4', a)
    local b1, b2 = number('>I4I4', b)
    return a1 < b1 or (a1 == b1 and a2 < b2)
end
local function in_order(ids)
    local numbers, sorted, before = {}, {}, nil
    for n = 1, #ids do numbers[n] = number('>I8', ids[n]) end
    table.sort(numbers)
    for n = 1, #numbers do
        if numbers[n] ~= before then sorted[#sorted + 1] = pack('>I8', numbers[n]) end
        before = numbers[n]
    end
    return sorted
end
local function selected(at, after, limit, least_recent)
    local namespace, partition, created, removable = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3]
    local tags, refs, keys = tonumber(ARGV[at + 4]), tonumber(ARGV[at + 5]), tonumber(ARGV[at + 6])
    local values, wanted = at + 6, {}
    for n = 1, tags do wanted[ARGV[values + n]] = true end
    local function matches(head)
        if not head or (namespace ~= '' and sub(head, 41, 56) ~= namespace)
            or (partition ~= '' and sub(head, 57, 72) ~= partition)
            or (created ~= '' and not less(sub(head, 17, 24), created)) then
            return false
        end
        if removable ~= '' then
            local moment = sub(head, 25, 32)
            if moment == NEVER or less(removable, moment) then return false end
        end
        if tags < 0 then return true end
        for first = 106, #head, 16 do
            if wanted[sub(head, first, first + 15)] then return true end
        end
        return false
    end
    local ids, heads = {}, {}
    local function take(batch)
        for first = 1, #batch, CHUNK do
            local found = call('HMGET', HEADS, unpack(batch, first, math.min(first + CHUNK - 1, #batch)))
            for n = 1, #found do
                if matches(found[n]) then
                    ids[#ids + 1], heads[#heads + 1] = batch[first + n - 1], found[n]
                    if #ids >= limit then return false end
                end
            end
        end
        return true
    end
    local function walk(key, from, to, visit)
        local size = math.min(CHUNK, math.max(limit, 100))
        repeat
            local members, batch = call('ZRANGEBYLEX', key, from, to, 'LIMIT', 0, size), {}
            for n = 1, #members do batch[n] = sub(members[n], -8) end
            if not visit(batch) then return end
            if #members > 0 then from = '(' .. members[#members] end
        until #members < size
    end
    local gathered = {}
    local function gather(batch)
        for n = 1, #batch do
            if batch[n] ~= after and not less(batch[n], after) then gathered[#gathered + 1] = batch[n] end
        end
        return true
    end
    local function below(key, prefix, visit) walk(key, '(' .. prefix .. after, '(' .. prefix .. LAST, visit) end
    if limit <= 0 then return ids, heads end
    local only_recent = partition == '' and created == '' and removable == '' and tags < 0 and refs < 0
    if least_recent and only_recent then
        limit = least_recent
        if limit <= 0 then return ids, heads end
        walk(namespace == '' and ACCESSED or RECENT, '[' .. namespace, '(' .. namespace .. LAST .. NEVER, take)
        return ids, heads
    end
    if refs >= 0 then
        local named = {}
        for n = 1, refs do named[n] = ARGV[values + math.max(tags, 0) + n] end
        local found = {}
        for n = 1, keys do found[n] = ARGV[values + math.max(tags, 0) + refs + n] end
        found = fetched(BODIES, found)
        for n = 1, keys do
            if found[n] then named[#named + 1] = sub(found[n], 1, 8) end
        end
        gather(named)
        take(in_order(gathered))
    elseif tags == 1 then
        below(TAGS, ARGV[values + 1], take)
    elseif tags >= 0 then
        for tag in pairs(wanted) do below(TAGS, tag, gather) end
        take(in_order(gathered))
    elseif partition ~= '' then
        below(PARTITIONS, partition, take)
    elseif removable ~= '' then
        walk(REMOVABLE, '-', '[' .. removable .. LAST, gather)
        take(in_order(gathered))
    elseif created ~= '' then
        local spaces = namespace == '' and call('HKEYS', NAMESPACES) or {namespace}
        for n = 1, #spaces do walk(CREATED, '[' .. spaces[n], '(' .. spaces[n] .. created, gather) end
        take(in_order(gathered))
    elseif namespace ~= '' then
        local places = call('ZRANGEBYLEX', PLACES, '[' .. namespace, '(' .. namespace .. LAST)
        if #places == 1 then
            below(PARTITIONS, sub(places[1], 17), take)
        else
            -- The first so many of each partition are enough for the first so many of all.
            for n = 1, #places do
                local left = limit
                below(PARTITIONS, sub(places[n], 17), function(batch)
                    left = left - #batch
                    return gather(batch) and left > 0
                end)
            end
            take(in_order(gathered))
        end
    else
        below(IDS, '', take)
    end
    if least_recent then
        local order, chosen = {}, {}
        for n = 1, #ids do
            local high, low = number('>I4I4', heads[n], 9)
            order[n] = {high, low, number('>I8', ids[n]), n}
        end
        table.sort(order, function(a, b)
            for n = 1, 3 do
                if a[n] ~= b[n] then return a[n] < b[n] end
            end
            return false
        end)
        for n = 1, math.min(least_recent, #order) do chosen[n] = order[n][4] end
        local some_ids, some_heads = {}, {}
        for n = 1, #chosen do some_ids[n], some_heads[n] = ids[chosen[n]], heads[chosen[n]] end
        return some_ids, some_heads
    end
    return ids, heads
end
"""
)

# How the sums of namespaces change, and how entries leave the indexes.
SETTLING = """
local function change(sums, namespace, entries, bytes)
    local sum = sums[namespace]
    if not sum then
        sum = {0, 0, 0, 0, 0, 0, 0, 0}
        sums[namespace] = sum
    end
    sum[1], sum[2] = sum[1] + entries, sum[2] + bytes
    return sum
end
local function settle(sums, names)
    for namespace, sum in pairs(sums) do
        local row, name, zero = call('HGET', NAMESPACES, namespace), names[namespace], true
        if row then
            local held = {number('>i8i8i8i8i8i8i8d', row)}
            for n = 1, 8 do sum[n] = sum[n] + held[n] end
            name = sub(row, 65)
        end
        for n = 1, 8 do zero = zero and sum[n] == 0 end
        if zero and call('HEXISTS', META, 'cost:' .. namespace) == 0 then
            call('HDEL', NAMESPACES, namespace)
        else
            call('HSET', NAMESPACES, namespace, pack('>i8i8i8i8i8i8i8d', unpack(sum)) .. name)
        end
    end
end
local function unindex(ids, heads, sums)
    local partitions, accessed, recent, created, removable, rewritten, tags, vectors = {}, {}, {}, {}, {}, {}, {}, {}
    for n = 1, #ids do
        local id, head = ids[n], heads[n]
        local namespace = sub(head, 41, 56)
        partitions[n] = sub(head, 57, 72) .. id
        accessed[n] = sub(head, 9, 16) .. id
        recent[n] = namespace .. accessed[n]
        created[n] = namespace .. sub(head, 17, 24) .. id
        if sub(head, 25, 32) ~= NEVER then removable[#removable + 1] = sub(head, 25, 32) .. id end
        if sub(head, 1, 8) ~= id then rewritten[#rewritten + 1] = sub(head, 1, 8) .. id end
        if sub(head, 105, 105) == '\\1' then vectors[#vectors + 1] = id end
        for first = 106, #head, 16 do tags[#tags + 1] = sub(head, first, first + 15) .. id end
        change(sums, namespace, -1, -number('>I8', head, 33))
    end
    many('ZREM', PARTITIONS, partitions)
    many('ZREM', ACCESSED, accessed)
    many('ZREM', RECENT, recent)
    many('ZREM', CREATED, created)
    many('ZREM', REMOVABLE, removable)
    many('ZREM', REWRITTEN, rewritten)
    many('ZREM', TAGS, tags)
    many('HDEL', VECTORS, vectors)
end
local function vacate(heads)
    local seen = {}
    for n = 1, #heads do
        local place = sub(heads[n], 41, 72)
        if not seen[place] then
            seen[place] = true
            local prefix = sub(place, 17)
            local left = call('ZRANGEBYLEX', PARTITIONS, '[' .. prefix, '(' .. prefix .. NEVER, 'LIMIT', 0, 1)
            if #left == 0 then call('ZREM', PLACES, place) end
        end
    end
end
"""
