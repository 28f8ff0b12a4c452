"""Certificates of a cache: kept in its store as notes, and what they let it serve."""

from __future__ import annotations

from functools import partial
from typing import Any

from mneme._engine import notes, sync
from mneme._engine.ask import Ask
from mneme._engine.core import Core, logger
from mneme._rules.certifying import decisions_of, status_of
from mneme._runtime.certificates import Noted
from mneme.certificates import Certificate, CertificateStatus, Decisions
from mneme.errors import EmbedderMismatchError
from mneme.log import log_fields

KIND = "certificate"
"""Of the notes that certificates are."""
FOR_ALL = "*"
"""The name of the one for every namespace without one of its own; those of namespaces begin with `OF`."""
OF = "="
COUNTED_EVERY = 60.0
"""Seconds between two counts for lookups, while others write: a count reads the store, and sizes change slowly."""
CERTIFIED = "certified"
"""What to pass for a threshold to be served by certificates."""


def is_meant(threshold: Any, what: str) -> bool:
    """Whether a threshold is left to certificates; raises `TypeError` for another text."""
    if isinstance(threshold, str) and threshold != CERTIFIED:
        raise TypeError(f"{what} must be a number or {CERTIFIED!r}, not the str {threshold!r}")
    return isinstance(threshold, str)


def set_threshold(core: Core, threshold: Any) -> None:
    """Serve by this threshold from now on, or by what is certified."""
    if is_meant(threshold, "threshold"):
        core.served_by = 0.0, partial(certify, core)
    else:
        core.served_by = core.check_threshold(threshold, "threshold"), None


async def certify(core: Core, ask: Ask) -> None:
    """Let the ask be answered by what is certified now, or by its exact layer alone. Tells when that changes."""
    if core.counts_behind and core.clock.now() >= core.certificates.counted_at + COUNTED_EVERY:
        await count(core)
    found = status(core, ask.namespace)
    ask.exact_only = found.threshold is None
    if found.threshold is not None:
        ask.threshold = max(found.threshold, ask.threshold)
    if core.certificates.is_news(ask.namespace, found.reason):
        core.events.send(
            "certificate", ask.namespace, usable=found.usable, reason=found.reason, threshold=found.threshold
        )
        if not found.usable:
            extra = log_fields("certificate_unusable", namespace=ask.namespace, reason=found.reason)
            logger.warning(
                "namespace %r is served from its exact layer alone: %s", *(ask.namespace, found.detail), extra=extra
            )


async def count(core: Core) -> None:
    """Count the entries anew if others wrote: how many there are is part of what a certificate holds for."""
    if core.counts_behind:
        async with core.writer:
            await core.runtime.finish(sync.count(core))
    core.certificates.counted_at = core.clock.now()


def status(core: Core, namespace: str) -> CertificateStatus:
    """What certificates do for the namespace now."""
    noted = _noted(core, namespace)
    return status_of(
        None if noted is None else noted.certificate,
        None if noted is None else noted.voided,
        namespace=namespace,
        entries=core.counts.get(namespace, 0),
        decisions=_decisions(core),
        now=core.clock.now(),
    )


async def use(core: Core, certificate: Certificate) -> CertificateStatus:
    """Keep a certificate in place of the one before."""
    mine = _decisions(core)
    if mine is None:
        raise EmbedderMismatchError(
            "a certificate is about semantic hits, and this cache has no embedder: open it with that one"
        )
    theirs = certificate.decisions
    if theirs.embedder_fingerprint != mine.embedder_fingerprint:
        raise EmbedderMismatchError(
            f"the certificate is for the embedder {theirs.embedder_fingerprint!r}, and this cache has "
            f"{mine.embedder_fingerprint!r}"
        )
    if others := mine.differences(theirs):
        raise ValueError(
            f"this cache does not decide as was certified: {'; '.join(others)}; certify with the options of this cache"
        )
    await notes.write(core, KIND, _name(certificate.namespace), Noted(certificate, None).text())
    return status(core, "default" if certificate.namespace is None else certificate.namespace)


async def drop(core: Core, namespace: str | None) -> bool:
    """Forget a certificate; whether there was one."""
    name = _name(namespace)
    noted = core.certificates.noted(name, core.notes.get(KIND, name))
    if noted is None or (namespace is not None and _voids_one_for_all(noted)):
        return False
    await notes.write(core, KIND, name, None)
    return True


def voided(core: Core, namespace: str, why: str) -> tuple[str, str, str] | None:
    """The note, by kind and name, that lets no certificate hold for the namespace until it is given another.

    The one for all goes on for others. `None` if there is none to void.
    """
    noted = _noted(core, namespace)
    return None if noted is None else (KIND, OF + namespace, Noted(noted.certificate, why).text())


def _noted(core: Core, namespace: str) -> Noted | None:
    """What is noted of the namespace, or else of all."""
    own, for_all = (core.certificates.noted(name, core.notes.get(KIND, name)) for name in (OF + namespace, FOR_ALL))
    if own is None or (_voids_one_for_all(own) and for_all is not None and for_all.certificate != own.certificate):
        return for_all
    return own


def _voids_one_for_all(own: Noted) -> bool:
    """Whether the note of a namespace only says that the certificate for all holds there no more."""
    return own.voided is not None and own.certificate is not None and own.certificate.namespace is None


def _decisions(core: Core) -> Decisions | None:
    return None if core.embedder is None else decisions_of(core.options, core.embedder.fingerprint)


def _name(namespace: str | None) -> str:
    return FOR_ALL if namespace is None else OF + namespace
