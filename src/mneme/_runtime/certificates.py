"""Certificates as they were read, so that a lookup need not read them again; and what was told of them last."""

from __future__ import annotations

import json
import logging
import math
from typing import NamedTuple

from mneme.certificates import Certificate
from mneme.log import log_fields

logger = logging.getLogger("mneme")


class Noted(NamedTuple):
    """What is noted of a namespace."""

    certificate: Certificate | None
    voided: str | None
    """Why it holds no more."""

    def text(self) -> str:
        """As it is stored."""
        certificate = None if self.certificate is None else self.certificate.to_json()
        return json.dumps({"certificate": certificate, "voided": self.voided})


class Certificates:
    """What a cache knows of its certificates."""

    def __init__(self) -> None:
        self._read: dict[str, tuple[str, Noted]] = {}  # by name of the note, with the text it was read from
        self.counted_at = -math.inf
        """When entries were last counted because others wrote."""
        self._told: dict[str, str] = {}  # the reason that was told of last, by namespace

    def noted(self, name: str, text: str | None) -> Noted | None:
        """What the note of that name says."""
        if text is None:
            self._read.pop(name, None)
            return None
        known = self._read.get(name)
        if known is None or known[0] != text:
            known = self._read[name] = text, _read(text)
        return known[1]

    def is_news(self, namespace: str, reason: str) -> bool:
        """Whether that was not told of the namespace last."""
        if self._told.get(namespace) == reason:
            return False
        self._told[namespace] = reason
        return True


def _read(text: str) -> Noted:
    """What a note says; one that a newer version wrote, or nobody, certifies nothing."""
    try:
        value = json.loads(text)
        given, voided = value["certificate"], value["voided"]
        return Noted(None if given is None else Certificate.from_json(given), None if voided is None else str(voided))
    except (KeyError, TypeError, ValueError) as error:
        extra = log_fields("certificate_unreadable", error=error)
        logger.warning("a stored certificate cannot be read, and is not used: %s", error, extra=extra)
        return Noted(None, f"it cannot be read: {error}")
