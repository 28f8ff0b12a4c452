"""A part of the store contract: what a selection means to `scan` and `delete`."""

from __future__ import annotations

from typing import ClassVar

import pytest

from mneme.ports import Removed, Selection, Store, Usage
from mneme.testing._store_suite import StoreSuite, a_record, ids_of

__all__ = ["StoreSelections"]


class StoreSelections(StoreSuite):
    """What a selection means to `scan` and `delete`."""

    _SELECTIONS: ClassVar[list[tuple[Selection, str]]] = [
        (Selection(), "abcdef"),
        (Selection(refs=[a_record(4).key, a_record(1).key, a_record(99).key]), "ad"),
        (Selection(refs=[]), ""),
        (Selection(namespace="other"), "de"),
        (Selection(namespace="missing"), ""),
        (Selection(partition=a_record(1).partition), "ab"),
        (Selection(partition=a_record(3, scope="s").partition), "c"),
        (Selection(partition=b"missing".ljust(16)), ""),
        (Selection(tags=["blue"]), "bd"),
        (Selection(tags=["red", "blue", "red"]), "abd"),
        (Selection(tags=["green"]), ""),
        (Selection(tags=[]), ""),
        (Selection(created_before=30.0), "ab"),
        (Selection(removable_by=100.0), "be"),
        (Selection(removable_by=99.0), ""),
        (Selection(removable_by=1e9), "bce"),
        (Selection(namespace="main", tags=["blue"]), "b"),
        (Selection(namespace="other", created_before=50.0), "d"),
        (Selection(refs=[a_record(1).key, a_record(4).key], tags=["blue"]), "d"),
        (Selection(namespace="main", partition=a_record(1).partition, removable_by=1e9), "b"),
        (Selection(namespace="other", partition=a_record(1).partition), ""),
        (
            Selection(
                refs=[a_record(2).key, a_record(3).key],
                namespace="main",
                partition=a_record(2).partition,
                tags=["red"],
                created_before=21.0,
                removable_by=100.0,
            ),
            "b",
        ),
    ]

    @pytest.mark.parametrize(("selection", "expected"), _SELECTIONS)
    def test_scan_finds_what_satisfies_every_criterion(self, store: Store, selection: Selection, expected: str) -> None:
        ids = self.fill(store)
        assert ids_of(store.scan(selection)) == [ids[letter] for letter in expected]

    @pytest.mark.parametrize(("selection", "expected"), _SELECTIONS)
    def test_delete_removes_what_satisfies_every_criterion(
        self, store: Store, selection: Selection, expected: str
    ) -> None:
        ids = self.fill(store)
        before = {each.id: each for each in store.scan(Selection())}
        removed = store.delete(selection)
        first = max(each.seq for each in before.values()) + 1
        assert sorted(each.seq for each in removed) == list(range(first, first + len(expected)))
        assert sorted(removed) == [
            Removed(ids[letter], before[ids[letter]].key, before[ids[letter]].namespace, each.seq)
            for letter, each in zip(expected, sorted(removed), strict=True)
        ]
        assert ids_of(store.scan(Selection())) == [ids[letter] for letter in ids if letter not in expected]
        assert not set(store.vectors().ids.tolist()) & {each.id for each in removed}

    @pytest.mark.parametrize(
        ("selection", "expected"),
        [
            (Selection(least_recent=0), ""),
            (Selection(least_recent=1), "f"),
            (Selection(least_recent=3), "cef"),
            (Selection(least_recent=4), "cdef"),
            (Selection(least_recent=99), "abcdef"),
            (Selection(least_recent=1, namespace="main"), "c"),
            (Selection(least_recent=2, namespace="main"), "bc"),
            (Selection(least_recent=1, namespace="other"), "e"),
            (Selection(least_recent=1, namespace="missing"), ""),
            (Selection(least_recent=1, tags=["red", "blue"]), "d"),
            (Selection(least_recent=1, removable_by=150.0), "e"),
            (Selection(least_recent=2, removable_by=150.0), "be"),
        ],
    )
    def test_least_recent_means_those_accessed_longest_ago(
        self, store: Store, selection: Selection, expected: str
    ) -> None:
        ids = self.fill(store)
        assert sorted(ids_of(store.delete(selection))) == [ids[letter] for letter in expected]
        assert ids_of(store.scan(Selection())) == [ids[letter] for letter in ids if letter not in expected]

    def test_least_recent_goes_by_recorded_access_times(self, store: Store) -> None:
        ids = self.fill(store)
        store.record(Usage({ids["f"]: 90.0, ids["e"]: 41.0}, {}))
        assert sorted(ids_of(store.delete(Selection(least_recent=3)))) == [ids["c"], ids["d"], ids["e"]]

    def test_least_recent_is_exact_over_very_many_namespaces(self, store: Store) -> None:
        records = [a_record(n, namespace=f"n{n}", accessed_at=float(n * 7919 % 500), vector=None) for n in range(500)]
        written = store.write(records)
        oldest = sorted(range(500), key=lambda n: records[n].accessed_at)[:100]
        assert sorted(ids_of(store.delete(Selection(least_recent=100)))) == sorted(written[n].id for n in oldest)

    def test_what_lies_in_the_far_future_is_out_of_reach_of_ages_and_used_last(self, store: Store) -> None:
        """The cache keeps notes of its own that way."""
        note = a_record(7, namespace="mneme:notes", vector=None, created_at=1e12, accessed_at=1e12)
        (written,) = store.write([note])
        ids = self.fill(store)
        assert ids_of(store.scan(Selection(created_before=1e12))) == list(ids.values())
        assert ids_of(store.scan(Selection(namespace="mneme:notes"))) == [written.id]
        assert sorted(ids_of(store.delete(Selection(least_recent=3)))) == [ids[letter] for letter in "cef"]
        assert len(store.delete(Selection(created_before=1e12))) == 3
        (found,) = store.scan(Selection())
        assert (found.created_at, found.accessed_at) == (1e12, 1e12)

    def test_a_scan_refuses_least_recent(self, store: Store) -> None:
        with pytest.raises(ValueError, match="least_recent"):
            store.scan(Selection(least_recent=1))

    def test_a_scan_can_be_paged(self, store: Store) -> None:
        ids = list(self.fill(store).values())
        pages, after = [], 0
        while page := store.scan(Selection(), after=after, limit=4, vectors=True):
            pages.append(ids_of(page))
            after = page[-1].id
        assert pages == [ids[:4], ids[4:]]
        assert ids_of(store.scan(Selection(namespace="main"), after=ids[0], limit=1)) == [ids[1]]
        assert store.scan(Selection(), limit=0) == []
