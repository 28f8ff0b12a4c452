"""What the records of the logger `mneme` carry for machines: the name of an event, and a closed set of fields.

Every record has `mneme_event`, one of `EVENTS`, and those of `FIELDS` that are known where it is written; both are
stable. No field ever holds the text of a query, a response or an error: of an error there is the name of its class.
"""

from __future__ import annotations

from os import PathLike, fspath
from typing import Literal, TypeAlias, get_args

__all__ = ["EVENTS", "FIELDS", "Event", "log_fields"]

Event: TypeAlias = Literal[
    # what a caller's own functions did
    "compute_failure",
    "confidence_failure",
    "cost_failure",
    "decode_failure",
    "embedder_failure",
    "embedder_retried",
    "guard_failure",
    "hook_failure",
    "validator_failure",
    "value_eq_failure",
    # what is not served, or not stored
    "cache_bypassed",
    "entry_refused",
    "entry_unreadable",
    "not_stored",
    "put_rejected",
    # the store
    "other_writer",
    "store_asked_less",
    "store_failure",
    "store_recovered",
    # the index
    "graph_not_built",
    "index_changed",
    "index_damaged",
    "index_kept",
    "saved_index_absent",
    "saved_index_not_written",
    "saved_index_unusable",
    "shared_index_unusable",
    # what watches over answers
    "alarm",
    "audit_failure",
    "certificate_unreadable",
    "certificate_unusable",
    "rejections_full",
    # the rest
    "background_failure",
    "embedder_changed",
]
EVENTS: tuple[str, ...] = get_args(Event)
FIELDS: tuple[str, ...] = (
    "mneme_event",
    "mneme_namespace",
    "mneme_error",
    "mneme_operation",
    "mneme_reason",
    "mneme_integration",
    "mneme_path",
    "mneme_entry_id",
    "mneme_fingerprint",
    "mneme_guard",
    "mneme_failures",
    "mneme_audits",
    "mneme_seconds",
)


def log_fields(
    event: Event,
    *,
    namespace: str | None = None,
    error: BaseException | None = None,
    operation: str | None = None,
    reason: str | None = None,
    integration: str | None = None,
    path: str | PathLike[str] | None = None,
    entry_id: int | None = None,
    fingerprint: str | None = None,
    guard: str | None = None,
    failures: int | None = None,
    audits: int | None = None,
    seconds: float | None = None,
) -> dict[str, object]:
    """The fields of one record, to be passed as `extra=`; what is `None` is left out.

    The error is named by its class alone: a record that held the error itself would hold its frames, and with them
    open files and what they were about.
    """
    given: dict[str, object | None] = {
        "mneme_event": event,
        "mneme_namespace": namespace,
        "mneme_error": None if error is None else type(error).__name__,
        "mneme_operation": operation,
        "mneme_reason": reason,
        "mneme_integration": integration,
        "mneme_path": None if path is None else fspath(path),
        "mneme_entry_id": entry_id,
        "mneme_fingerprint": fingerprint,
        "mneme_guard": guard,
        "mneme_failures": failures,
        "mneme_audits": audits,
        "mneme_seconds": seconds,
    }
    return {name: value for name, value in given.items() if value is not None}
