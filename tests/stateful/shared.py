"""A second cache at the same file, whose writes the first one must follow before its next answer."""

from hypothesis import strategies as st
from hypothesis.stateful import rule

from mneme import SemanticCache, SQLiteStore
from stateful.faults import Vocabulary
from stateful.model import normalized
from stateful.world import NAMESPACES, QUERIES, SCOPES, TAGS, TOO_LONG, VALUES, VECTORS, put_options


class Shared:
    """Mixed into a walk on SQLite, whose cache asks at every call. The second one has no caps and no opinions."""

    def _open(self):
        self.options |= {"multi_process_mode": "stale-tolerant", "stale_check_interval": 0}
        super()._open()
        self.other = SemanticCache(
            store=SQLiteStore(self.file),
            embedder=Vocabulary(VECTORS, TOO_LONG),
            clock=self.clock,
            hot_bytes=0,
            multi_process_mode="stale-tolerant",
            stale_check_interval=0,
        )

    def do(self, verb, *args, **kwargs):
        if verb == "close":
            self.other.close()
        return super().do(verb, *args, **kwargs)

    @rule(
        items=st.lists(st.tuples(QUERIES, VALUES), min_size=1, max_size=3, unique_by=lambda item: normalized(item[0])),
        namespace=NAMESPACES,
        scope=SCOPES,
    )
    def another_puts(self, items, namespace, scope):
        rows = [
            self.row(query, value, namespace, scope, own=query if query in VECTORS else None, ttl=float("inf"))
            for query, value in items
        ]
        for query, value in items:
            assert self.other.put(query, value, **put_options(query, namespace, scope, None, ()))
        self.was_put(*rows, evicts=False)

    @rule(query=QUERIES, namespace=NAMESPACES, scope=SCOPES)
    def another_deletes(self, query, namespace, scope):
        row = self.model.of_query(namespace, scope, query)
        assert self.other.delete(query, namespace=namespace, scope=scope) is (row is not None)
        self.model.remove([] if row is None else [row])

    @rule(tags=TAGS.filter(bool), namespace=st.sampled_from([None, "default", "b"]))
    def another_invalidates(self, tags, namespace):
        rows = [
            row for row in self.model.rows.values() if set(tags) & set(row.tags) and namespace in {None, row.namespace}
        ]
        assert self.other.invalidate(tags=tags, namespace=namespace) == len(rows)
        self.model.remove(rows)

    @rule(query=QUERIES, namespace=NAMESPACES)
    def another_finds_what_is_stored(self, query, namespace):
        # By `explain`, which counts nothing: its counters would come to be among the first one's.
        row = self.model.of_query(namespace, None, query)
        found = self.other.explain(query, namespace=namespace, k=4).candidates
        if row is not None:
            assert (found[0].entry_id, found[0].query) == (row.id, row.query)
        expected = self.model.ranked(namespace, None, VECTORS.get(query))
        assert {one.entry_id for one in found} <= {one.id for one in self.model.rows.values()}
        assert len(found) == min(4, len({one.id for _, one in expected} | ({row.id} if row is not None else set())))
