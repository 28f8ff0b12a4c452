"""Embedders: one to start with, and thin wrappers that make others fit.

Importing this imports no model and no library; `LocalEmbedder` needs the extra `local`, and loads it when constructed.
Those of providers are in modules of their own: `openai`, `ollama`, `cohere`, `voyage` and `bedrock`, an extra each.
"""

from mneme.embedders.adapt import as_embedder
from mneme.embedders.awaited import as_async_embedder
from mneme.embedders.bridge import to_async_embedder, to_sync_embedder
from mneme.embedders.local import LocalEmbedder
from mneme.embedders.timeout import with_timeout

__all__ = ["LocalEmbedder", "as_async_embedder", "as_embedder", "to_async_embedder", "to_sync_embedder", "with_timeout"]
