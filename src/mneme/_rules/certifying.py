"""By what a cache decides, in words that can be compared; and whether a certificate holds for it."""

from __future__ import annotations

from typing import Any

from mneme._rules.contrast import ValueContrast
from mneme._rules.keys import normalize_query
from mneme._rules.options import Options
from mneme.certificates import Certificate, CertificateStatus, Decisions


def decisions_of(options: Options, fingerprint: str) -> Decisions:
    """By what a cache with these options decides."""
    if options.normalize is normalize_query:
        normalize = "default"
    else:
        normalize = "none" if options.normalize is str else _place(options.normalize)
    confidence = "none"
    if options.min_confidence is not None:
        function = "similarity" if options.confidence_fn is None else _place(options.confidence_fn)
        confidence = f"{function} >= {options.min_confidence}"
    return Decisions(
        embedder_fingerprint=fingerprint,
        score="cosine" if options.value_contrast is None else _contrast(options.value_contrast),
        guards=tuple(sorted(guard.name for guard in options.guards)),
        normalize=normalize,
        confidence=confidence,
    )


def _contrast(contrast: ValueContrast) -> str:
    return f"contrast;floor={contrast.floor:g};least_similarity={contrast.least_similarity:g}"


def _place(function: Any) -> str:
    """Where a function is found. Two that are made in one place are not told apart."""
    named = function if hasattr(function, "__qualname__") else type(function)
    return f"{named.__module__}:{named.__qualname__}"


def status_of(
    certificate: Certificate | None,
    voided: str | None,
    *,
    namespace: str,
    entries: int,
    decisions: Decisions | None,
    now: float,
) -> CertificateStatus:
    """What *certificate* does for a namespace with so many entries."""
    reason, detail = "valid", "it holds"
    if voided is not None:
        reason, detail = "voided", voided
    elif certificate is None:
        reason, detail = "none", "there is none for this namespace, and none for all"
    elif decisions is None or certificate.decisions != decisions:
        reason = "decisions"
        others = ["without an embedder"] if decisions is None else decisions.differences(certificate.decisions)
        detail = f"this cache decides otherwise than what was certified: {'; '.join(others)}"
    elif certificate.valid_until is not None and now >= certificate.valid_until:
        reason, detail = "expired", f"it was for {certificate.valid_until - certificate.created_at:g} seconds"
    elif not certificate.min_entries <= entries <= certificate.max_entries:
        reason = "entries"
        detail = (
            f"it is for {certificate.min_entries} to {certificate.max_entries} entries, and the namespace has {entries}"
        )
    usable = reason == "valid" and certificate is not None
    return CertificateStatus(
        namespace=namespace,
        usable=usable,
        reason=reason,
        detail=detail,
        threshold=certificate.threshold if usable and certificate is not None else None,
        certificate=certificate,
        entries=entries,
        decisions=decisions,
    )
