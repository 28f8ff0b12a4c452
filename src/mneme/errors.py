"""Every error mneme raises on purpose: one root, few children, each says what the caller can do about it."""

from __future__ import annotations

__all__ = [
    "CacheClosedError",
    "CalibrationError",
    "CheckpointError",
    "CorruptCacheError",
    "DecryptionError",
    "EmbedderBackendError",
    "EmbedderDimensionError",
    "EmbedderMismatchError",
    "IndexBackendUnavailableError",
    "InputTooLongError",
    "MnemeError",
    "MultiProcessLockError",
    "NamespaceQuotaExceededError",
    "QuantizationError",
    "ReembeddingError",
    "SchemaMigrationError",
    "StoreBackendError",
]


class MnemeError(Exception):
    """The root of all errors raised by mneme. Wrong types and values raise `TypeError` and `ValueError` instead."""


class CacheClosedError(MnemeError):
    """The cache, or the store under it, was closed, or opened before this process was forked. Open a new one."""


class CalibrationError(MnemeError):
    """No threshold does what was asked of it on these data. The message says how near the best ones come."""


class CheckpointError(MnemeError):
    """A checkpoint archive could not be written or read. Nothing was left behind."""


class CorruptCacheError(MnemeError):
    """The file is damaged, or is not a mneme cache. It was not altered."""


class DecryptionError(MnemeError):
    """The key ring does not fit the store: a key is missing, or the store is not encrypted. Nothing was altered."""


class EmbedderBackendError(MnemeError):
    """A provider of embeddings cannot be reached, refuses, or answers what are no vectors.

    It was asked again where that may help. The message has the provider's own words, and never a key.
    """


class EmbedderDimensionError(MnemeError, ValueError):
    """A vector does not have the dimension that the cache was made for."""


class EmbedderMismatchError(MnemeError):
    """The cache was filled by another embedder, whose vectors cannot be compared with this one's."""


class IndexBackendUnavailableError(MnemeError):
    """The index backend asked for is not installed or not available for this store."""


class InputTooLongError(MnemeError, ValueError):
    """The text is longer than the embedder's window. Such a query lives on the exact layer alone."""


class MultiProcessLockError(MnemeError):
    """Another process holds a lock that this operation needs."""


class NamespaceQuotaExceededError(MnemeError):
    """The namespace's quota admits no entry at all."""


class QuantizationError(MnemeError, ValueError):
    """The vector dtype is unknown, or the vectors cannot be represented in it."""


class ReembeddingError(MnemeError):
    """Not every entry could be given a vector of another embedder. What serves goes on serving; try again to resume."""


class SchemaMigrationError(MnemeError):
    """The file has a schema this version cannot bring up to date, usually because a newer version wrote it."""


class StoreBackendError(MnemeError):
    """The store failed: disk full, locked, unreachable. Everything acknowledged before is intact.

    What was asked for did not happen; or, where an answer can be lost on its way, may have happened whole.
    """
