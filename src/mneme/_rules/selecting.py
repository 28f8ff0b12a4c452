"""What callers select, and whether that means a record, for those who hold records in memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mneme._rules.arguments import check_namespace, check_tags
from mneme._rules.keys import Scope, canonical_scope, partition_of
from mneme.ports import Record, Selection


def selection_of(namespace: str | None, tags: Sequence[str] | None, scope: Scope) -> Selection:
    """The entries that satisfy all that is given. A scope belongs to a namespace, by default to "default"."""
    partition = None
    if scope is not None:
        partition = partition_of(check_namespace("default" if namespace is None else namespace), canonical_scope(scope))
    return Selection(
        namespace=None if namespace is None else check_namespace(namespace),
        partition=partition,
        tags=None if tags is None else check_tags(tags),
    )


def satisfies(record: Record, selection: Selection) -> bool:
    """Whether *record* satisfies every criterion but `refs` and `least_recent`, which take more than a record."""
    return (
        selection.namespace in {None, record.namespace}
        and selection.partition in {None, record.partition}
        and (selection.tags is None or not set(selection.tags).isdisjoint(record.tags))
        and (selection.created_before is None or record.created_at < selection.created_before)
        and (
            selection.removable_by is None
            or (record.removable_at is not None and record.removable_at <= selection.removable_by)
        )
    )


def doubtful(selection: Selection) -> Callable[[Record], bool]:
    """Tells of a record whether *selection* may mean it, as far as the record alone can say."""
    refs = None if selection.refs is None else frozenset(selection.refs)

    def may_mean(record: Record) -> bool:
        return (refs is None or record.id in refs or record.key in refs) and satisfies(record, selection)

    return may_mean
