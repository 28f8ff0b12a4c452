CREATE TABLE {s}.meta (
        one boolean PRIMARY KEY DEFAULT true CHECK (one),
        application text NOT NULL,
        version integer NOT NULL,
        seq bigint NOT NULL DEFAULT 0,
        forgotten bigint NOT NULL DEFAULT 0,
        fingerprint text,
        dim integer,
        mark text
    ) WITH (fillfactor = 10);

INSERT INTO {s}.meta (application, version) VALUES ('mneme', 0);

CREATE TABLE {s}.namespaces (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        name text COLLATE "C" NOT NULL UNIQUE,
        hits_exact bigint NOT NULL DEFAULT 0,
        hits_semantic bigint NOT NULL DEFAULT 0,
        misses bigint NOT NULL DEFAULT 0,
        evictions bigint NOT NULL DEFAULT 0,
        expirations bigint NOT NULL DEFAULT 0,
        seconds_saved double precision NOT NULL DEFAULT 0
    );

CREATE TABLE {s}.partitions (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        digest bytea NOT NULL UNIQUE,
        namespace_id bigint NOT NULL,
        namespace text COLLATE "C" NOT NULL,
        scope text NOT NULL
    );

CREATE TABLE {s}.entries (
        id bigint PRIMARY KEY,
        seq bigint NOT NULL,
        partition_id bigint NOT NULL,
        expires_at double precision,
        compute_seconds double precision NOT NULL,
        key bytea NOT NULL UNIQUE,
        query text NOT NULL,
        payload bytea NOT NULL,
        codec text NOT NULL,
        metadata text NOT NULL,
        tags text[] NOT NULL
    );

CREATE UNIQUE INDEX entries_seq ON {s}.entries (seq);

CREATE INDEX entries_tags ON {s}.entries USING gin (tags) WHERE tags <> ARRAY[]::text[];

CREATE TABLE {s}.facts (
        id bigint PRIMARY KEY,
        namespace_id bigint NOT NULL,
        partition_id bigint NOT NULL,
        created_at double precision NOT NULL,
        accessed_at double precision NOT NULL,
        removable_at double precision,
        size bigint NOT NULL
    );

CREATE INDEX facts_accessed ON {s}.facts (namespace_id, accessed_at, id);

CREATE INDEX facts_removable ON {s}.facts (removable_at) WHERE removable_at IS NOT NULL;

CREATE TABLE {s}.vectors (
        id bigint PRIMARY KEY,
        partition_id bigint NOT NULL,
        vector bytea NOT NULL
    );

ALTER TABLE {s}.vectors ALTER COLUMN vector SET STORAGE EXTERNAL;

CREATE TABLE {s}.tombstones (
        seq bigint PRIMARY KEY,
        id bigint NOT NULL,
        key bytea NOT NULL
    );

CREATE FUNCTION {s}.read_key (a_key bytea) RETURNS TABLE (
    key bytea, partition bytea, namespace text, scope text, query text, payload bytea, codec text, metadata text,
    tags text[], created_at float8, accessed_at float8, expires_at float8, removable_at float8, compute_seconds float8,
    id int8, seq int8, vector bytea
) LANGUAGE plpgsql STABLE AS $mneme$
#variable_conflict use_column
BEGIN
    RETURN QUERY SELECT e.key, p.digest, p.namespace, p.scope, e.query, e.payload, e.codec, e.metadata, e.tags, f.created_at,
    f.accessed_at, e.expires_at, f.removable_at, e.compute_seconds, e.id, e.seq, NULL::bytea FROM {s}.entries e JOIN {s}.facts f ON f.id = e.id JOIN {s}.partitions p ON p.id = e.partition_id WHERE e.key = a_key;
END $mneme$;

CREATE FUNCTION {s}.read_many (some_ids int8[], some_keys bytea[], with_vectors boolean) RETURNS TABLE (
    key bytea, partition bytea, namespace text, scope text, query text, payload bytea, codec text, metadata text,
    tags text[], created_at float8, accessed_at float8, expires_at float8, removable_at float8, compute_seconds float8,
    id int8, seq int8, vector bytea
)
LANGUAGE plpgsql STABLE SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $mneme$
#variable_conflict use_column
BEGIN
    RETURN QUERY SELECT e.key, p.digest, p.namespace, p.scope, e.query, e.payload, e.codec, e.metadata, e.tags, f.created_at,
    f.accessed_at, e.expires_at, f.removable_at, e.compute_seconds, e.id, e.seq,
        CASE WHEN with_vectors THEN (SELECT v.vector FROM {s}.vectors v WHERE v.id = e.id) END
    FROM (
        SELECT * FROM {s}.entries WHERE id = ANY (some_ids)
        UNION ALL SELECT * FROM {s}.entries WHERE key = ANY (some_keys)
    ) e JOIN {s}.facts f ON f.id = e.id JOIN {s}.partitions p ON p.id = e.partition_id;
END $mneme$;

CREATE FUNCTION {s}.write_one (
    a_key bytea, a_digest bytea, a_namespace text, a_scope text, a_query text, a_payload bytea, a_codec text,
    a_metadata text, some_tags text[], a_creation float8, an_access float8, an_expiry float8, a_removal float8,
    a_duration float8, a_size int8, a_vector bytea
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
        (id, seq, key, partition_id, query, payload, codec, metadata, tags, expires_at, compute_seconds)
    VALUES (a_number, a_number, a_key, a_partition, a_query, a_payload, a_codec, a_metadata, some_tags, an_expiry,
        a_duration)
    ON CONFLICT (key) DO UPDATE SET
        seq = excluded.seq, partition_id = excluded.partition_id, query = excluded.query, payload = excluded.payload,
        codec = excluded.codec, metadata = excluded.metadata, tags = excluded.tags, expires_at = excluded.expires_at,
        compute_seconds = excluded.compute_seconds
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
END $mneme$;

UPDATE {s}.meta SET version = 1;
