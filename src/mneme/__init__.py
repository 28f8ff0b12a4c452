"""A semantic cache: remembers an expensive result and gives it back whenever a later input means the same thing."""

import importlib
import typing

from mneme._rules.confidence import half_life
from mneme._rules.contrast import ValueContrast
from mneme.cache import SemanticCache
from mneme.certificates import Certificate, CertificateStatus, Decisions, Shortage, Tried
from mneme.errors import (
    CacheClosedError,
    CalibrationError,
    CheckpointError,
    CorruptCacheError,
    DecryptionError,
    EmbedderBackendError,
    EmbedderDimensionError,
    EmbedderMismatchError,
    IndexBackendUnavailableError,
    InputTooLongError,
    MnemeError,
    MultiProcessLockError,
    NamespaceQuotaExceededError,
    QuantizationError,
    ReembeddingError,
    SchemaMigrationError,
    StoreBackendError,
)
from mneme.ports import AsyncEmbedder, AsyncStore, Codec, Embedder, Index, Store
from mneme.stores import MemoryStore, SQLiteStore
from mneme.types import (
    CacheInfo,
    Candidate,
    Checkpoint,
    Entry,
    Explanation,
    Forgotten,
    Health,
    Hit,
    Labels,
    ReembedProgress,
    ReembedReport,
    Repair,
    RepairReport,
    Salvaged,
    Stats,
    Watch,
)

if typing.TYPE_CHECKING:
    from mneme.async_cache import AsyncSemanticCache
    from mneme.embedders.adapt import as_embedder
    from mneme.embedders.bridge import to_async_embedder, to_sync_embedder
    from mneme.indexes.hnsw import HnswIndex
    from mneme.stores.dynamodb import AsyncDynamoDBStore, DynamoDBStore
    from mneme.stores.encrypted import AsyncEncryptedStore, EncryptedStore, KeyRing
    from mneme.stores.postgres import AsyncPostgresStore, PostgresStore
    from mneme.stores.redis import AsyncRedisStore, RedisStore

__all__ = [
    "AsyncDynamoDBStore",
    "AsyncEmbedder",
    "AsyncEncryptedStore",
    "AsyncPostgresStore",
    "AsyncRedisStore",
    "AsyncSemanticCache",
    "AsyncStore",
    "CacheClosedError",
    "CacheInfo",
    "CalibrationError",
    "Candidate",
    "Certificate",
    "CertificateStatus",
    "Checkpoint",
    "CheckpointError",
    "Codec",
    "CorruptCacheError",
    "Decisions",
    "DecryptionError",
    "DynamoDBStore",
    "Embedder",
    "EmbedderBackendError",
    "EmbedderDimensionError",
    "EmbedderMismatchError",
    "EncryptedStore",
    "Entry",
    "Explanation",
    "Forgotten",
    "Health",
    "Hit",
    "HnswIndex",
    "Index",
    "IndexBackendUnavailableError",
    "InputTooLongError",
    "KeyRing",
    "Labels",
    "MemoryStore",
    "MnemeError",
    "MultiProcessLockError",
    "NamespaceQuotaExceededError",
    "PostgresStore",
    "QuantizationError",
    "RedisStore",
    "ReembedProgress",
    "ReembedReport",
    "ReembeddingError",
    "Repair",
    "RepairReport",
    "SQLiteStore",
    "Salvaged",
    "SchemaMigrationError",
    "SemanticCache",
    "Shortage",
    "Stats",
    "Store",
    "StoreBackendError",
    "Tried",
    "ValueContrast",
    "Watch",
    "__version__",
    "as_embedder",
    "half_life",
    "to_async_embedder",
    "to_sync_embedder",
]

__version__ = "0.1.0"

# Loaded when first asked for: asyncio alone takes as long to import as the rest of mneme.
_LATER = {
    "AsyncDynamoDBStore": "mneme.stores.dynamodb",
    "AsyncEncryptedStore": "mneme.stores.encrypted",
    "AsyncPostgresStore": "mneme.stores.postgres",
    "AsyncRedisStore": "mneme.stores.redis",
    "AsyncSemanticCache": "mneme.async_cache",
    "DynamoDBStore": "mneme.stores.dynamodb",
    "EncryptedStore": "mneme.stores.encrypted",
    "HnswIndex": "mneme.indexes.hnsw",
    "KeyRing": "mneme.stores.encrypted",
    "PostgresStore": "mneme.stores.postgres",
    "RedisStore": "mneme.stores.redis",
    "as_embedder": "mneme.embedders.adapt",
    "to_async_embedder": "mneme.embedders.bridge",
    "to_sync_embedder": "mneme.embedders.bridge",
}


def __getattr__(name: str) -> typing.Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module(_LATER[name]), name)
    return value


def __dir__() -> list[str]:
    return __all__
