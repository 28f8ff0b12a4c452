"""Searching in the server, with its query engine (RediSearch, which Redis 8 has built in).

The engine indexes hashes whose names begin alike, so each entry that has a vector gets a *document*: a hash with its
partition and its vector. What the index is to be stands in `meta`, field `search`; where that field is, every script
that changes something keeps the documents right, whoever runs it. The engine follows them at once, within the script.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from mneme.stores._redis_lua import CHANGING, READING, SELECTING

__all__ = [
    "CHUNK",
    "DOCUMENTS",
    "EXACT",
    "KINDS",
    "PREPARE",
    "SEARCHED_VERSION",
    "SIMILAR",
    "SearchOptions",
    "furthest",
]

SEARCHED_VERSION = 2
"""The schema of a store that was prepared: an older mneme would leave its documents as they are."""
KINDS = ("hnsw", "flat")
EXACT = 4000
"""A partition of so many entries is compared whole, which takes a few milliseconds at most."""
CHUNK = 200
"""How many documents one script makes of what was there before: the graph takes up to a millisecond for each."""
_ROUNDED = 1e-3
"""By how much the engine's similarities may be wrong, at most."""


@dataclass(frozen=True)
class SearchOptions:
    """How the index is made, and how many candidates a search of it weighs."""

    kind: str = "hnsw"
    m: int = 16
    ef_construction: int = 100
    ef: int = 100

    def words(self, dim: int) -> bytes:
        """What `meta` keeps of it."""
        return b"%b %d %d %d" % (self.kind.upper().encode(), dim, self.m, self.ef_construction)


def furthest(floor: float) -> bytes:
    """The largest distance of what may reach *floor*. The engine's distances are 1 less the inner product."""
    return b"%.9g" % (1.0 - floor + _ROUNDED) if math.isfinite(floor) else b"9"


DOCUMENTS = """
local SEARCH, searched = sub(META, 1, -5) .. 'search', call('HGET', META, 'search')
local function hex(bytes)
    return (string.gsub(bytes, '.', function(one) return string.format('%02x', string.byte(one)) end))
end
local function document(id) return SEARCH .. ':' .. string.format('%.0f', (number('>I8', id))) end
local function describe(id, partition, vector) call('HSET', document(id), 'p', hex(partition), 'v', vector) end
local function forget(ids)
    for n = 1, #ids do call('UNLINK', document(ids[n])) end
end
local function make_index(what)
    local kind, dim, m, ef = string.match(what, '^(%u+) (%d+) (%d+) (%d+)$')
    local how = {'TYPE', 'FLOAT32', 'DIM', dim, 'DISTANCE_METRIC', 'IP'}
    if kind == 'HNSW' then
        for _, word in ipairs({'M', m, 'EF_CONSTRUCTION', ef}) do how[#how + 1] = word end
    end
    return redis.pcall('FT.CREATE', SEARCH, 'ON', 'HASH', 'PREFIX', 1, SEARCH .. ':', 'SKIPINITIALSCAN', 'SCHEMA', 'p',
        'TAG', 'v', 'VECTOR', kind, #how, unpack(how))
end
local function search(partition, k, how, vector)
    local query = '@p:{' .. hex(partition) .. '}=>[KNN ' .. k .. ' @v $q ' .. how .. 'AS d]'
    -- The engine would break off after half a second, and say nothing of it: hence the time-out.
    return redis.pcall('FT.SEARCH', SEARCH, query, 'PARAMS', 2, 'q', vector, 'RETURN', 1, 'd', 'LIMIT', 0, k,
        'TIMEOUT', 0, 'DIALECT', 2)
end
local function by_graph(candidates) return 'HYBRID_POLICY BATCHES EF_RUNTIME ' .. candidates .. ' ' end
"""
"""How the scripts make documents, remove them and search them. It follows on `READING`."""

# ARGV: what the index is to be if there is none yet, schema version, birth that the data get then, how many entries are
# looked at in this call. The birth of the data, and 1 if all of them have their documents.
#
# Another birth, because only that makes an older mneme that is open look at the schema version again. The one before is
# kept, so that others know that these are the same data.
PREPARE = (
    CHANGING
    + SELECTING
    + DOCUMENTS
    + """
local cluster = redis.pcall('INFO', 'cluster')
if type(cluster) == 'string' and string.find(cluster, 'cluster_enabled:1', 1, true) then
    return redis.error_reply('MNEMENOSEARCH this is a cluster, whose scripts cannot search')
end
local birth, info = ARGV[1], redis.pcall('FT.INFO', SEARCH)
if not searched or info.err then
    call('HSET', META, 'what', 'mneme')  -- a server that takes no writes says so here
    if not info.err then redis.pcall('FT.DROPINDEX', SEARCH) end  -- it was left by data that are gone
    local made = make_index(searched or ARGV[3])
    if made.err then return redis.error_reply('MNEMENOSEARCH ' .. made.err) end
    -- Another engine may understand the one and not the other, or not let a script do it.
    local kind, dim = string.match(searched or ARGV[3], '^(%u+) (%d+)')
    local tried = search(string.rep('0', 16), 1, kind == 'HNSW' and by_graph(10) or '', string.rep('\\0', 4 * dim))
    if tried.err then
        redis.pcall('FT.DROPINDEX', SEARCH)
        return redis.error_reply('MNEMENOSEARCH ' .. tried.err)
    end
    call('HSET', META, 'searched', string.rep('\\0', 8))
    if not searched then
        birth = ARGV[5]
        call('HSET', META, 'search', ARGV[3], 'version', ARGV[4], 'birth', birth, 'earlier', ARGV[1])
    end
end
local from, limit = call('HGET', META, 'searched'), tonumber(ARGV[6])
if not from then return done({birth, 1}) end
local ids = call('ZRANGEBYLEX', IDS, '(' .. from, '+', 'LIMIT', 0, limit)
local heads, vectors = fetched(HEADS, ids), fetched(VECTORS, ids)
for n = 1, #ids do
    if heads[n] and vectors[n] then describe(ids[n], sub(heads[n], 57, 72), vectors[n]) end
end
if #ids < limit then
    call('HDEL', META, 'searched')
    return done({birth, 1})
end
call('HSET', META, 'searched', ids[limit])
return done({birth, 0})
"""
)

# ARGV: partition, how many at most, how many candidates to weigh, up to which size a partition is compared whole,
# largest distance, queries.
#
# The graph is asked in batches until enough of the right partition were found. The smaller a partition's share is, the
# more candidates that takes, so there the whole partition is compared sooner: weighing one takes several times as long.
SIMILAR = (
    READING
    + DOCUMENTS
    + """
if not searched or call('HEXISTS', META, 'searched') == 1 then
    return redis.error_reply('MNEMEUNPREPARED it was not prepared')
end
local partition, k, ef, exact, furthest = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5]), ARGV[6]
local size = call('ZLEXCOUNT', PARTITIONS, '[' .. partition, '(' .. partition .. string.rep('\\255', 8))
local reply = {}
if size == 0 then
    for n = 7, #ARGV do reply[n - 6] = {} end
    return reply
end
k = math.min(k, size)
local how = ''
if sub(searched, 1, 4) == 'HNSW' then
    local weighed = math.max(math.ceil(ef * call('HLEN', VECTORS) / size), k)
    if size <= exact or size <= 5 * weighed then
        how = 'HYBRID_POLICY ADHOC_BF '
    else
        how = by_graph(weighed)
    end
end
for n = 7, #ARGV do
    local found = search(partition, k, how, ARGV[n])
    if found.err then return redis.error_reply('MNEMEUNPREPARED ' .. found.err) end
    local near = {}
    for m = 2, #found, 2 do
        local distance = found[m + 1] and tonumber(found[m + 1][2])
        if distance and distance <= tonumber(furthest) then
            local id = pack('>I8', tonumber(sub(found[m], #SEARCH + 2)))
            local head = call('HGET', HEADS, id)
            local body = head and call('HGET', BODIES, sub(head, 73, 104))
            if body then near[#near + 1] = {head, body, call('HGET', VECTORS, id)} end
        end
    end
    reply[n - 6] = near
end
return reply
"""
)
