"""What a schema has besides once its server is to search: made by `prepare_search`, on demand, and part of no version.

`vectors` stays as it is, and triggers on it keep a copy in pgvector's own type. So the copy follows whoever writes, in
the same transaction, whether they search or not and whichever mneme they are: what decides is in the database. Only
that type is indexed; what is answered are the float32 vectors, which the cache scores anew.
"""

from __future__ import annotations

from mneme.stores._postgres_functions import _COLUMNS, _RECORDS

__all__ = ["SEARCH_VERSION", "TYPES", "indexing", "making", "remaking"]

SEARCH_VERSION = 2
"""Of all that is made here. The second answers with the cost of an entry too."""

TYPES = {"halfvec": (4000, 0.001), "vector": (2000, 0.00001)}
"""For each type how many dimensions an index takes, and by how much an inner product of unit vectors may be off: in
half precision, both factors are rounded by up to 2**-11 of themselves."""

# What a float's sign and exponent say, for mantissas that are whole numbers. Whatever no unit vector has counts as 0:
# a write does not fail for it.
_POWERS = [
    0.0 if exponent == 0 or exponent > 140 else sign * 2.0 ** (exponent - 150)  # 150 = 127 + 23
    for sign in (1, -1)
    for exponent in range(256)
]

# Postgres has no way from bytes to floats of its own. This one takes a tenth of what the index then takes.
_TYPED = f"""
CREATE FUNCTION {{s}}.search_typed (a_blob bytea) RETURNS {{v}}.{{type}}
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog AS $mneme$
DECLARE
    powers CONSTANT float8[] := ARRAY{_POWERS};
    bits int4;
    floats float4[];
BEGIN
    FOR at IN 0 .. length(a_blob) - 4 BY 4 LOOP
        bits := get_byte(a_blob, at) | (get_byte(a_blob, at + 1) << 8) | (get_byte(a_blob, at + 2) << 16)
            | (get_byte(a_blob, at + 3) << 24);
        floats[at / 4 + 1] := ((bits & 8388607) | 8388608) * powers[((bits >> 23) & 511) + 1];
    END LOOP;
    RETURN floats::{{v}}.{{type}};
END $mneme$"""

_TABLES = (
    """CREATE TABLE {s}.search (
        one boolean PRIMARY KEY DEFAULT true CHECK (one),
        version integer NOT NULL,
        type text NOT NULL,
        dim integer NOT NULL,
        filled bigint NOT NULL DEFAULT 0
    )""",
    "INSERT INTO {s}.search (version, type, dim) VALUES ({version}, '{type}', {dim})",
    """CREATE TABLE {s}.search_vectors (
        partition_id bigint NOT NULL,
        id bigint NOT NULL,
        vector {v}.{type}({dim}) NOT NULL,
        PRIMARY KEY (partition_id, id)
    )""",
    # Within the row while a page can hold it: reading a partition in order of nothing is most of an exact search.
    "ALTER TABLE {s}.search_vectors ALTER COLUMN vector SET STORAGE {storage}",
    # How many of each partition; of all together under 0, which is no partition's id.
    """CREATE TABLE {s}.search_counts (
        partition_id bigint PRIMARY KEY,
        entries bigint NOT NULL
    ) WITH (fillfactor = 50)""",
)

_INDEX = """
CREATE INDEX {how} search_hnsw ON {s}.search_vectors USING hnsw (vector {v}.{type}_ip_ops)
WITH (m = {m}, ef_construction = {ef_construction})"""

_COUNT = """
    INSERT INTO {s}.search_counts AS c (partition_id, entries)
    SELECT coalesce(partition_id, 0), %s count(*) FROM %s GROUP BY GROUPING SETS ((partition_id), ())
    HAVING count(*) > 0
    ON CONFLICT (partition_id) DO UPDATE SET entries = c.entries + excluded.entries"""

# It runs with the rights of whoever prepared the search: a role that could write before still can.
_FOLLOW = f"""
CREATE FUNCTION {{s}}.search_follow () RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog AS $mneme$
BEGIN
    IF TG_OP <> 'INSERT' THEN
        WITH gone AS (
            DELETE FROM {{s}}.search_vectors h USING old_rows o WHERE h.partition_id = o.partition_id AND h.id = o.id
            RETURNING h.partition_id
        ) {_COUNT % ("-", "gone")};
    END IF;
    IF TG_OP <> 'DELETE' THEN
        WITH put AS (
            INSERT INTO {{s}}.search_vectors (partition_id, id, vector)
            SELECT partition_id, id, {{s}}.search_typed(vector) FROM new_rows RETURNING partition_id
        ) {_COUNT % ("", "put")};
    END IF;
    RETURN NULL;
END $mneme$"""  # noqa: S608 - constants

_TRIGGERS = tuple(
    f"CREATE TRIGGER search_{verb.lower()} AFTER {verb} ON {{s}}.vectors REFERENCING {rows} "
    "FOR EACH STATEMENT EXECUTE FUNCTION {s}.search_follow()"
    for verb, rows in (
        ("INSERT", "NEW TABLE AS new_rows"),
        ("UPDATE", "OLD TABLE AS old_rows NEW TABLE AS new_rows"),
        ("DELETE", "OLD TABLE AS old_rows"),
    )
)

# Copies the next entries that were there before; whether none is left. The caller holds the row of `meta`.
_FILL = f"""
CREATE FUNCTION {{s}}.search_fill (a_limit int8) RETURNS boolean LANGUAGE plpgsql
SET search_path = pg_catalog AS $mneme$
DECLARE
    a_first int8;
    a_last int8;
BEGIN
    SELECT filled INTO STRICT a_first FROM {{s}}.search;
    SELECT max(p.id) INTO a_last
    FROM (SELECT id FROM {{s}}.vectors WHERE id > a_first ORDER BY id LIMIT a_limit) p;
    WITH put AS (
        INSERT INTO {{s}}.search_vectors (partition_id, id, vector)
        SELECT partition_id, id, {{s}}.search_typed(vector) FROM {{s}}.vectors
        WHERE id > a_first AND id <= a_last
        ON CONFLICT DO NOTHING RETURNING partition_id
    ) {_COUNT % ("", "put")};
    UPDATE {{s}}.search SET filled = coalesce(a_last, 9223372036854775807);
    RETURN a_last IS NULL;
END $mneme$"""  # noqa: S608 - constants

# Reading a whole partition is exact, and costs some 40 times less for each entry than the index for each that it looks
# at: at least `ef`, and more the smaller the partition's share. Where the index looked at as many as were worth it and
# still found too few, the partition is read after all; where there is no index yet, it is read either way. The settings
# keep the planner from choosing otherwise; a sort that cannot be avoided looks so dear then that it would be compiled.
# Some more than k are looked at, and answered if rounding may have put them in the wrong order.
_SIMILAR = f"""
CREATE FUNCTION {{s}}.search_similar (a_digest bytea, a_query float8[], a_floor float8, a_k int8, an_ef int4) {_RECORDS}
LANGUAGE plpgsql STABLE SET search_path = pg_catalog SET plan_cache_mode = force_generic_plan SET jit = off
SET enable_sort = off SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $mneme$
#variable_conflict use_column
DECLARE
    a_vector {{v}}.{{type}} := a_query::{{v}}.{{type}};
    a_limit int8 := a_k + 8;
    a_partition int8;
    a_count int8;
    a_total int8;
    a_bound float8;
    some_ids int8[];
    distances float8[];
BEGIN
    SELECT p.id, c.entries, t.entries INTO a_partition, a_count, a_total
    FROM {{s}}.partitions p JOIN {{s}}.search_counts c ON c.partition_id = p.id
    JOIN {{s}}.search_counts t ON t.partition_id = 0 WHERE p.digest = a_digest;
    IF NOT FOUND OR a_count = 0 THEN
        RETURN;
    END IF;
    IF a_count > 40 * greatest(an_ef, a_limit * a_total / a_count) THEN
        PERFORM set_config('hnsw.ef_search', an_ef::text, true),
            set_config('hnsw.iterative_scan', 'relaxed_order', true),
            set_config('hnsw.max_scan_tuples', least(a_count / 20, 2147483647)::text, true);
        SELECT array_agg(n.id), array_agg(n.distance) INTO some_ids, distances FROM (
            SELECT h.id, h.vector OPERATOR({{v}}.<#>) a_vector AS distance FROM {{s}}.search_vectors h
            WHERE h.partition_id = a_partition ORDER BY h.vector OPERATOR({{v}}.<#>) a_vector LIMIT a_limit
        ) n;
    END IF;
    IF coalesce(cardinality(some_ids), 0) < least(a_limit, a_count) THEN
        SELECT array_agg(n.id), array_agg(n.distance) INTO some_ids, distances FROM (
            SELECT h.id, (h.vector OPERATOR({{v}}.<#>) a_vector) + 0 AS distance FROM {{s}}.search_vectors h
            WHERE h.partition_id = a_partition ORDER BY distance, h.id LIMIT a_k + 64
        ) n;
    END IF;
    SELECT d + 2 * {{slack}} INTO a_bound FROM unnest(distances) d ORDER BY d OFFSET a_k - 1 LIMIT 1;
    a_bound := least(a_bound, {{slack}} - a_floor);
    RETURN QUERY SELECT {_COLUMNS}, v.vector
    FROM unnest(some_ids, distances) AS g (id, distance) JOIN {{s}}.entries e ON e.id = g.id
    JOIN {{s}}.facts f ON f.id = e.id JOIN {{s}}.partitions p ON p.id = e.partition_id
    JOIN {{s}}.vectors v ON v.id = e.id WHERE g.distance <= a_bound;
END $mneme$"""  # noqa: S608 - constants


def making(extension_schema: str, *, kind: str, dim: int) -> list[str]:
    """The statements that make all but the index, in order, with `{s}` for the schema; *extension_schema* is quoted."""
    bytes_each = 8 + dim * (2 if kind == "halfvec" else 4)
    values = {
        "v": extension_schema,
        "type": kind,
        "dim": dim,
        "version": SEARCH_VERSION,
        "storage": "PLAIN" if bytes_each <= _LARGEST_ROW else "EXTERNAL",
        "slack": format(TYPES[kind][1], "f"),
    }
    return [_filled(statement, values) for statement in (*_TABLES, _TYPED, _FOLLOW, _FILL, _SIMILAR, *_TRIGGERS)]


def remaking(extension_schema: str, *, kind: str) -> list[str]:
    """The statements that bring what an earlier version made up to date, in order."""
    values = {"v": extension_schema, "type": kind, "slack": format(TYPES[kind][1], "f"), "version": SEARCH_VERSION}
    texts = ("DROP FUNCTION {s}.search_similar", _SIMILAR, "UPDATE {s}.search SET version = {version}")
    return [_filled(text, values) for text in texts]


def indexing(extension_schema: str, how: str, *, kind: str, m: int, ef_construction: int) -> str:
    """The statement that makes the index; *how* is "" or "CONCURRENTLY"."""
    values = {"v": extension_schema, "how": how, "type": kind, "m": m, "ef_construction": ef_construction}
    return _filled(_INDEX, values)


_LARGEST_ROW = 8000  # bytes; of a page of 8192


def _filled(statement: str, values: dict[str, object]) -> str:
    for name, value in values.items():
        statement = statement.replace(f"{{{name}}}", str(value).replace("%", "%%"))
    return statement
