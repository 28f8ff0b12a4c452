"""A query engine of LlamaIndex's over real text: what was answered from the same passages is not asked again.

The embedding is the local one, and the model picks the sentence that is nearest to the question. Put a real model in
its place.
"""

from typing import Any

from llama_index.core import Document, VectorStoreIndex
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.base.llms.types import CompletionResponse, CompletionResponseGen, LLMMetadata
from llama_index.core.llms import CustomLLM
from llama_index.core.llms.callbacks import llm_completion_callback

from mneme import SemanticCache
from mneme.embedders import LocalEmbedder
from mneme.integrations.llama_index import CachedLLM

embedder = LocalEmbedder()
HANDBOOK = [
    "Parcels arrive within two to four working days. Large furniture takes up to three weeks.",
    "Unused goods can be returned within thirty days. The money is paid back within a week.",
    "Batteries are covered by a warranty of one year. All other parts are covered for three years.",
]
QUESTIONS = (
    "How long does delivery of a parcel take?",
    "How long will the delivery of a parcel take?",  # as good as the one before
    "How many days do I have to return unused goods?",
    "For how long are batteries covered by the warranty?",
    "How long are batteries covered by the warranty?",
)


class Local(BaseEmbedding):
    """LlamaIndex's embedding on the local model."""

    model_name: str = embedder.fingerprint

    def _get_text_embedding(self, text: str) -> list[float]:
        return [float(one) for one in embedder.embed(text)]

    def _get_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)


class Extract(CustomLLM):
    """Answers with the sentence of the context that is nearest to the question."""

    @property
    def metadata(self) -> LLMMetadata:
        return LLMMetadata(model_name="extract")

    @llm_completion_callback()
    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:  # noqa: ARG002, FBT001, FBT002 -- as LlamaIndex calls it
        print("    (the model is asked)")
        context, _, question = prompt.rpartition("Query: ")
        lines = [line for line in context.splitlines() if line.endswith(".") and "context information" not in line]
        sentences = [f"{one.rstrip('.')}." for line in lines for one in line.split(". ")]
        asked = embedder.embed(question.partition("\n")[0])
        return CompletionResponse(text=max(sentences, key=lambda one: float(embedder.embed(one) @ asked)))

    @llm_completion_callback()
    def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponseGen:  # noqa: FBT001, FBT002 -- the same
        yield self.complete(prompt, formatted=formatted, **kwargs)


index = VectorStoreIndex.from_documents([Document(text=text) for text in HANDBOOK], embed_model=Local())
with SemanticCache(":memory:", embedder) as cache:
    engine = index.as_query_engine(llm=CachedLLM(Extract(), cache), similarity_top_k=1)
    for question in QUESTIONS:
        print(question)
        print("   ", engine.query(question))
    stats = cache.stats()
    print(f"{stats.hits_semantic} of {len(QUESTIONS)} from the cache")
    assert stats.hits_semantic == 2
