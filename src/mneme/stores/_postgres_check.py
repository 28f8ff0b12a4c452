"""What must be true of a schema, beyond what Postgres itself sees to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mneme.errors import CorruptCacheError
from mneme.stores._postgres_statements import Statements
from mneme.stores._sqlite_rows import matrix_of

if TYPE_CHECKING:
    from mneme.stores._postgres_connection import Run

__all__ = ["inconsistencies"]

_UNIT_TOLERANCE = 1e-3
_BLOCK = 4096

# Each query counts offending rows; the sentence is reported when there are any.
_INVARIANTS = (
    ("{} entries have a key that is not 32 bytes long.", "SELECT count(*) FROM {s}.entries WHERE length(key) <> 32"),
    ("{} entries have a sequence number below their id.", "SELECT count(*) FROM {s}.entries WHERE seq < id"),
    (
        "{} sequence numbers occur twice.",
        """SELECT count(*) - count(DISTINCT seq) FROM (
            SELECT seq FROM {s}.entries UNION ALL SELECT seq FROM {s}.tombstones) a""",
    ),
    (
        "{} sequence numbers are higher than the latest.",
        """SELECT count(*) FROM (SELECT seq FROM {s}.entries UNION ALL SELECT seq FROM {s}.tombstones) a
        WHERE seq > (SELECT seq FROM {s}.meta)""",
    ),
    (
        "{} ids are both alive and deleted.",
        "SELECT count(*) FROM {s}.entries WHERE id IN (SELECT id FROM {s}.tombstones)",
    ),
    ("{} deletions come before what they deleted.", "SELECT count(*) FROM {s}.tombstones WHERE seq <= id"),
    (
        "{} deletions are remembered that were said to be forgotten.",
        "SELECT count(*) FROM {s}.tombstones WHERE seq <= (SELECT forgotten FROM {s}.meta)",
    ),
    (
        "{} entries have no row of facts.",
        "SELECT count(*) FROM {s}.entries e LEFT JOIN {s}.facts f ON f.id = e.id WHERE f.id IS NULL",
    ),
    (
        "{} rows of facts have no entry.",
        "SELECT count(*) FROM {s}.facts f LEFT JOIN {s}.entries e ON e.id = f.id WHERE e.id IS NULL",
    ),
    (
        "{} entries belong to a partition that is missing.",
        "SELECT count(*) FROM {s}.entries e LEFT JOIN {s}.partitions p ON p.id = e.partition_id WHERE p.id IS NULL",
    ),
    (
        "{} rows of facts disagree with their entry about the partition or the namespace.",
        """SELECT count(*) FROM {s}.facts f JOIN {s}.entries e ON e.id = f.id
        JOIN {s}.partitions p ON p.id = e.partition_id
        WHERE f.partition_id <> e.partition_id OR p.namespace_id <> f.namespace_id""",
    ),
    (
        "{} partitions belong to a namespace that is missing or has another name.",
        """SELECT count(*) FROM {s}.partitions p LEFT JOIN {s}.namespaces n ON n.id = p.namespace_id
        WHERE n.name IS DISTINCT FROM p.namespace""",
    ),
    (
        "{} vectors have no entry.",
        "SELECT count(*) FROM {s}.vectors v LEFT JOIN {s}.entries e ON e.id = v.id WHERE e.id IS NULL",
    ),
    (
        "{} vectors disagree with their entry about the partition.",
        "SELECT count(*) FROM {s}.vectors v JOIN {s}.entries e ON e.id = v.id WHERE v.partition_id <> e.partition_id",
    ),
    (
        "{} vectors do not have the dimension of the store.",
        "SELECT count(*) FROM {s}.vectors WHERE length(vector) IS DISTINCT FROM 4 * (SELECT dim FROM {s}.meta)",
    ),
)

# Of what the triggers keep, where the server searches. What was not copied yet is no inconsistency.
_SEARCH_INVARIANTS = (
    (
        "{} vectors are not what the server searches, or not where it does.",
        """SELECT count(*) FROM {s}.vectors v
        LEFT JOIN {s}.search_vectors h ON h.partition_id = v.partition_id AND h.id = v.id
        WHERE h.id IS NULL AND v.id <= (SELECT filled FROM {s}.search)
            OR h.vector::text <> {s}.search_typed(v.vector)::text""",
    ),
    (
        "{} vectors are searched by the server and have no entry.",
        """SELECT count(*) FROM {s}.search_vectors h LEFT JOIN {s}.vectors v ON v.id = h.id
        WHERE v.partition_id IS DISTINCT FROM h.partition_id""",
    ),
    (
        "{} partitions are larger or smaller than the server's search takes them to be.",
        """SELECT count(*) FROM (
            SELECT coalesce(partition_id, 0) AS id, count(*) AS entries FROM {s}.search_vectors
            GROUP BY GROUPING SETS ((partition_id), ())
        ) h FULL JOIN {s}.search_counts c ON c.partition_id = h.id
        WHERE coalesce(h.entries, 0) <> coalesce(c.entries, 0)""",
    ),
)


async def inconsistencies(run: Run, sql: Statements, schema: str) -> list[str]:
    """Every inconsistency found, a sentence each, in the state that the caller's transaction sees."""
    found: list[str] = []
    ((searched,),) = await run(sql.search_exists, (schema,))
    for sentence, query in _INVARIANTS + (_SEARCH_INVARIANTS if searched else ()):
        ((count,),) = await run(sql.render(query), ())
        if count:
            found.append(sentence.format(count))
    return found or await _unsound_vectors(run, sql)


async def _unsound_vectors(run: Run, sql: Statements) -> list[str]:
    ((_, dim, _),) = await run(sql.state, ())
    after = unsound = 0
    while rows := await run(sql.vectors, {"after": after, "limit": _BLOCK}):
        after = rows[-1][0]
        try:
            vectors = matrix_of([row[2] for row in rows], dim)
        except CorruptCacheError as error:
            return [str(error)]
        with np.errstate(invalid="ignore", over="ignore"):
            lengths = np.linalg.norm(vectors.astype(np.float64), axis=1)
        unsound += int(np.count_nonzero(~(np.abs(lengths - 1.0) <= _UNIT_TOLERANCE)))
    return [f"{unsound} vectors are not of unit length, or not finite."] if unsound else []
