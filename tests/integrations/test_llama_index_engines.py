"""A cached model in LlamaIndex's query engines, chat engines and agents, and its key-value stores."""

import json

import pytest
from llama_index.core import Document, VectorStoreIndex
from llama_index.core.agent.workflow import FunctionAgent, ReActAgent
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.embeddings import MockEmbedding
from llama_index.core.extractors import TitleExtractor
from llama_index.core.ingestion import IngestionCache, IngestionPipeline
from llama_index.core.ingestion.pipeline import get_transformation_hash
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.node_parser import SentenceSplitter
from llama_index.core.schema import TextNode
from llama_index.core.tools import FunctionTool

from integrations.llama_index_model import Model, calling
from mneme import SemanticCache
from mneme.integrations.llama_index import CachedLLM, CacheKVStore
from mneme.testing import HashEmbedder

QUESTION = "What is the capital of Norway?"
AGAIN = "what is the capital of  Norway?"

# LlamaIndex's workflows read every attribute of their own, old names among them, and call what they deprecate.
pytestmark = pytest.mark.filterwarnings("ignore:(The `__fields|Accessing the .model_|is_running):DeprecationWarning")


@pytest.fixture
def cache():
    with SemanticCache(":memory:", HashEmbedder()) as cache:
        yield cache


@pytest.fixture
def exact():
    with SemanticCache(":memory:") as cache:
        yield cache


class Counting(BaseEmbedding):
    """Embeds by length, and counts."""

    model_name: str = "counting"
    _asked: list = []  # noqa: RUF012 -- a private attribute of pydantic's, of which each object has its own

    def _get_query_embedding(self, query):
        return self._get_text_embedding(query)

    async def _aget_query_embedding(self, query):
        return self._get_text_embedding(query)

    def _get_text_embedding(self, text):
        self._asked.append(text)
        return [float(len(text)), 0.5]


# --- engines and agents -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chats", [True, False])
@pytest.mark.parametrize("mode", ["compact", "refine", "tree_summarize", "simple_summarize"])
async def test_a_query_engine_answers_the_same_question_over_the_same_context(cache, mode, chats):
    documents = [Document(text="Oslo is the capital of Norway."), Document(text="Whales are mammals.")]
    index = VectorStoreIndex.from_documents(documents, embed_model=MockEmbedding(4))
    wrapped = Model(chats=chats)
    options = {"llm": CachedLLM(wrapped, cache), "response_mode": mode, "similarity_top_k": 2}
    engine = index.as_query_engine(**options)
    answer = str(engine.query(QUESTION))
    asked = wrapped.asked
    assert str(engine.query(AGAIN)) == str(await engine.aquery(QUESTION)) == answer
    assert wrapped.asked == asked
    streamed = index.as_query_engine(**options, streaming=True).query(AGAIN)
    assert "".join(streamed.response_gen) == answer
    assert str(index.as_query_engine(**{**options, "similarity_top_k": 1}).query(QUESTION)) != answer


def test_a_chat_engine_asks_anew_when_something_else_was_said_before(cache):
    wrapped = Model()
    index = VectorStoreIndex.from_documents([Document(text="Oslo.")], embed_model=MockEmbedding(4))
    engines = [
        index.as_chat_engine("context", llm=CachedLLM(wrapped, cache), memory=ChatMemoryBuffer.from_defaults())
        for _ in range(2)
    ]
    assert [str(engine.chat(QUESTION)) for engine in engines] == ["answer 1", "answer 1"]
    assert [str(engine.chat(AGAIN)) for engine in engines] == ["answer 2", "answer 2"]


def weather(city: str) -> str:
    """Say how the weather is."""
    ran.append(city)
    return f"sunny in {city}"


ran = []


@pytest.mark.parametrize("streaming", [True, False])
async def test_an_agent_is_told_again_which_tool_to_call_and_calls_it(cache, streaming):
    ran.clear()
    wrapped = Model(calling("weather", city="Oslo"), "It is sunny.", "It is sunny again.")
    agent = FunctionAgent(tools=[weather], llm=CachedLLM(wrapped, cache), streaming=streaming)
    assert [str(await agent.run(question)) for question in (QUESTION, AGAIN)] == ["It is sunny.", "It is sunny again."]
    assert (ran, wrapped.asked) == (["Oslo", "Oslo"], 3)


async def test_a_reacting_agent_too(cache):
    ran.clear()
    act = 'Thought: I need a tool.\nAction: weather\nAction Input: {"city": "Oslo"}'
    done = "Thought: I can answer without using any more tools.\nAnswer: It is sunny"
    wrapped = Model(act, done, done + " again")
    agent = ReActAgent(tools=[weather], llm=CachedLLM(wrapped, cache))
    assert [str(await agent.run(question)) for question in (QUESTION, AGAIN)] == ["It is sunny", "It is sunny again"]
    assert (ran, wrapped.asked) == (["Oslo", "Oslo"], 3)


async def test_an_agent_without_tools_asks_once(cache):
    wrapped = Model()
    agent = FunctionAgent(tools=[], llm=CachedLLM(wrapped, cache), system_prompt="Be brief.")
    assert [str(await agent.run(question)) for question in (QUESTION, AGAIN)] == ["answer 1", "answer 1"]


def test_an_agent_has_the_model_described_by_what_is_behind_it(cache):
    tool = FunctionTool.from_defaults(weather)
    prepared = CachedLLM(Model(), cache)._prepare_chat_with_tools([tool], user_msg=QUESTION)
    assert json.dumps(prepared["tools"])


def test_a_pipeline_knows_two_models_apart(cache):
    nodes = [TextNode(text="Oslo")]
    one, other = (TitleExtractor(llm=CachedLLM(Model(name=name), cache)) for name in "ab")
    assert get_transformation_hash(nodes, one) != get_transformation_hash(nodes, other)


# --- the key-value store ----------------------------------------------------------------------------------------------


async def test_a_store_keeps_and_forgets_what_it_is_told(exact):
    store = CacheKVStore(exact)
    assert store
    assert (store.get("a"), store.get_all(), store.delete("a")) == (None, {}, False)
    store.put("a", {"x": [0.1, None, "ä"]})
    await store.aput("A", {"x": 1})
    store.put("a", {"x": 2}, collection="other")
    store.put_all([("b", {}), ("c", {"y": {}})], batch_size=2)
    await store.aput_all([("d", {"z": 1})])
    everything = {"a": {"x": [0.1, None, "ä"]}, "A": {"x": 1}, "b": {}, "c": {"y": {}}, "d": {"z": 1}}
    assert store.get_all() == await store.aget_all() == everything
    assert (store.get("a"), await store.aget("A"), store.get(" a")) == (everything["a"], {"x": 1}, None)
    assert store.get_all("other") == {"a": {"x": 2}}
    assert (store.delete("a"), store.delete("a"), await store.adelete("A")) == (True, False, True)
    assert store.get("a", "other") == {"x": 2}


def test_a_store_lists_more_than_a_page(exact, monkeypatch):
    monkeypatch.setattr("mneme.integrations._llama_index_store._PAGE", 3)
    store = CacheKVStore(exact)
    store.put_all([(str(number), {"n": number}) for number in range(10)])
    assert len(store.get_all()) == 10


async def test_an_embedding_embeds_once(exact):
    model = Counting()
    model.embeddings_cache = CacheKVStore(exact, model)
    vector = model.get_text_embedding("Oslo")
    assert model.get_text_embedding("Oslo") == await model.aget_text_embedding("Oslo") == vector == [4.0, 0.5]
    assert model.get_text_embedding_batch(["Oslo", "Bergen", "oslo"]) == [[4.0, 0.5], [6.0, 0.5], [4.0, 0.5]]
    assert (await model.aget_text_embedding_batch(["Bergen"])) == [[6.0, 0.5]]
    assert model._asked == ["Oslo", "Bergen", "oslo"]


def test_vectors_of_two_models_do_not_meet(exact):
    one, other = Counting(), Counting(model_name="other")
    for model in (one, other):
        model.embeddings_cache = CacheKVStore(exact, model)
        model.get_text_embedding("Oslo")
    assert (one._asked, other._asked) == (["Oslo"], ["Oslo"])
    named = Counting(embeddings_cache=CacheKVStore(exact, "counting;v2"))
    named.get_text_embedding("Oslo")
    assert named._asked == ["Oslo"]
    nameless = Counting(embeddings_cache=CacheKVStore(exact))
    with pytest.raises(ValueError, match=r"pass the embedding, or a name"):
        nameless.get_text_embedding("Oslo")


def test_an_ingestion_cache_keeps_what_a_pipeline_made(exact):
    def ingest():
        model = Counting()
        pipeline = IngestionPipeline(
            transformations=[SentenceSplitter(), model], cache=IngestionCache(cache=CacheKVStore(exact))
        )
        nodes = pipeline.run(documents=[Document(text="Oslo is a city.", id_="1")])
        return model._asked, [node.embedding for node in nodes], pipeline.cache

    first, second = ingest(), ingest()
    assert first[1] == second[1] != []
    assert (len(first[0]), second[0]) == (1, [])
    second[2].clear()
    assert exact.stats().entries == 0


def test_a_store_that_fails_is_passed_by(exact, caplog):
    model = Counting()
    model.embeddings_cache = CacheKVStore(exact, model)
    exact.close()
    assert model.get_text_embedding("Oslo") == [4.0, 0.5]
    assert [record.mneme_event for record in caplog.records] == ["cache_bypassed", "not_stored"]


def test_what_is_no_json_and_what_somebody_else_stored_is_not_kept(exact, caplog):
    store = CacheKVStore(exact)
    store.put("a", {"x": object()})
    assert (store.get("a"), len(caplog.records)) == (None, 1)
    store.put("a", {"x": 1})
    [entry] = exact.entries()
    exact.put(entry.query, "text", scope=entry.scope, tags=entry.tags)
    assert (store.get("a"), store.get_all()) == (None, {})


def test_a_store_wants_a_cache_without_an_embedder(cache, exact):
    with pytest.raises(ValueError, match="LlamaIndex asks by keys that are exact"):
        CacheKVStore(cache)
    with pytest.raises(TypeError, match="model must be an embedding of LlamaIndex's or a text, not int"):
        CacheKVStore(exact, 3)
