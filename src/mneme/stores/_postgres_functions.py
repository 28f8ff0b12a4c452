"""What runs most often, as functions in the database: reading records, and writing one.

Of a function the server keeps the plan. Planning these statements takes several times as long as running them, and
prepared statements, the other way to keep a plan, do not get through every connection pooler. They are part of the
schema: one that was released is changed by a migration.
"""

from __future__ import annotations

__all__ = ["READ_KEY", "READ_MANY", "WRITE_ONE"]

_RECORDS = """RETURNS TABLE (
    key bytea, partition bytea, namespace text, scope text, query text, payload bytea, codec text, metadata text,
    tags text[], created_at float8, accessed_at float8, expires_at float8, removable_at float8, compute_seconds float8,
    cost float8, id int8, seq int8, vector bytea
)"""
_COLUMNS = """e.key, p.digest, p.namespace, p.scope, e.query, e.payload, e.codec, e.metadata, e.tags, f.created_at,
    f.accessed_at, e.expires_at, f.removable_at, e.compute_seconds, e.cost, e.id, e.seq"""
_BESIDE = "JOIN {s}.facts f ON f.id = e.id JOIN {s}.partitions p ON p.id = e.partition_id"

READ_KEY = f"""
CREATE FUNCTION {{s}}.read_key (a_key bytea) {_RECORDS} LANGUAGE plpgsql STABLE AS $mneme$
#variable_conflict use_column
BEGIN
    RETURN QUERY SELECT {_COLUMNS}, NULL::bytea FROM {{s}}.entries e {_BESIDE} WHERE e.key = a_key;
END $mneme$"""  # noqa: S608 - constants

# Arrays look dearer to the planner the less it knows of them, so it has to be told to keep the general plan; and that
# the plan must not be one for the few rows that there may be when it is made.
READ_MANY = f"""
CREATE FUNCTION {{s}}.read_many (some_ids int8[], some_keys bytea[], with_vectors boolean) {_RECORDS}
LANGUAGE plpgsql STABLE SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $mneme$
#variable_conflict use_column
BEGIN
    RETURN QUERY SELECT {_COLUMNS},
        CASE WHEN with_vectors THEN (SELECT v.vector FROM {{s}}.vectors v WHERE v.id = e.id) END
    FROM (
        SELECT * FROM {{s}}.entries WHERE id = ANY (some_ids)
        UNION ALL SELECT * FROM {{s}}.entries WHERE key = ANY (some_keys)
    ) e {_BESIDE};
END $mneme$"""  # noqa: S608 - constants

# Each statement in it sees what was committed before it began, so the first, which waits for other writers, comes
# before any that looks. The parameters are in the order of `_postgres_rows.one_row`.
WRITE_ONE = """
CREATE FUNCTION {s}.write_one (
    a_key bytea, a_digest bytea, a_namespace text, a_scope text, a_query text, a_payload bytea, a_codec text,
    a_metadata text, some_tags text[], a_creation float8, an_access float8, an_expiry float8, a_removal float8,
    a_duration float8, a_cost float8, a_size int8, a_vector bytea
) RETURNS TABLE (id int8, seq int8) LANGUAGE plpgsql AS $mneme$
#variable_conflict use_column
DECLARE
    a_number int8;
    an_entry int8;
    a_partition int8;
    a_space int8;
BEGIN
    UPDATE {s}.meta m SET seq = m.seq + 1 RETURNING m.seq INTO STRICT a_number;
    SELECT p.id, p.namespace_id INTO a_partition, a_space FROM {s}.partitions p WHERE p.digest = a_digest;
    IF NOT FOUND THEN
        INSERT INTO {s}.namespaces AS n (name) VALUES (a_namespace)
        ON CONFLICT (name) DO UPDATE SET name = excluded.name RETURNING n.id INTO a_space;
        INSERT INTO {s}.partitions AS p (digest, namespace_id, namespace, scope)
        VALUES (a_digest, a_space, a_namespace, a_scope) RETURNING p.id INTO a_partition;
    END IF;
    INSERT INTO {s}.entries AS e
        (id, seq, key, partition_id, query, payload, codec, metadata, tags, expires_at, compute_seconds, cost)
    VALUES (a_number, a_number, a_key, a_partition, a_query, a_payload, a_codec, a_metadata, some_tags, an_expiry,
        a_duration, a_cost)
    ON CONFLICT (key) DO UPDATE SET
        seq = excluded.seq, partition_id = excluded.partition_id, query = excluded.query, payload = excluded.payload,
        codec = excluded.codec, metadata = excluded.metadata, tags = excluded.tags, expires_at = excluded.expires_at,
        compute_seconds = excluded.compute_seconds, cost = excluded.cost
    RETURNING e.id INTO an_entry;
    IF an_entry <> a_number THEN
        DELETE FROM {s}.facts f WHERE f.id = an_entry;
        DELETE FROM {s}.vectors v WHERE v.id = an_entry;
    END IF;
    INSERT INTO {s}.facts (id, namespace_id, partition_id, created_at, accessed_at, removable_at, size)
    VALUES (an_entry, a_space, a_partition, a_creation, an_access, a_removal, a_size);
    IF a_vector IS NOT NULL THEN
        INSERT INTO {s}.vectors (id, partition_id, vector) VALUES (an_entry, a_partition, a_vector);
    END IF;
    RETURN QUERY SELECT an_entry, a_number;
END $mneme$"""
