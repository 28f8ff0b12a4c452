"""Graphs of LangGraph's with a cache, through LangGraph's own calls."""

import asyncio
import logging
from typing import TypedDict

import pytest
from langgraph.cache.base import BaseCache
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.graph import END, START, StateGraph
from langgraph.types import CachePolicy

from mneme import AsyncSemanticCache, SemanticCache
from mneme.integrations.langgraph import AsyncLangGraphCache, LangGraphCache
from mneme.testing import FakeClock, HashEmbedder

A, B = ("a",), ("a", "b")


class State(TypedDict, total=False):
    question: str
    answer: str


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def cache(clock):
    with SemanticCache(":memory:", clock=clock) as cache:
        yield cache


@pytest.fixture
def runs():
    return []


def graph(cache, runs, *, ttl=None, key_func=None):
    def node(state):
        runs.append(state["question"])
        return {"answer": f"{state['question']} {len(runs)}"}

    policy = CachePolicy(ttl=ttl) if key_func is None else CachePolicy(ttl=ttl, key_func=key_func)
    builder = StateGraph(State)
    builder.add_node("node", node, cache_policy=policy)
    builder.add_edge(START, "node")
    builder.add_edge("node", END)
    return builder.compile(cache=cache)


def ask(compiled, question):
    return compiled.invoke({"question": question})["answer"]


def test_a_node_runs_once_for_the_same_input(cache, runs):
    compiled = graph(LangGraphCache(cache), runs)
    assert [ask(compiled, one) for one in ("Oslo?", "Oslo?", "Bergen?", "Oslo?")] == [
        *("Oslo? 1", "Oslo? 1", "Bergen? 2", "Oslo? 1")
    ]


def test_inputs_that_only_look_alike_are_different_inputs(cache, runs):
    compiled = graph(LangGraphCache(cache), runs, key_func=lambda state: state["question"])
    assert ask(compiled, "OSLO?") == "OSLO? 1"
    assert ask(compiled, " oslo?") == " oslo? 2"
    assert ask(compiled, "OSLO?") == "OSLO? 1"


def test_a_normalisation_that_takes_all_for_equal_changes_no_answer(clock):
    with SemanticCache(":memory:", clock=clock, normalize=lambda query: "same") as cache:
        nodes = LangGraphCache(cache)
        nodes.set({(A, "k"): (1, None)})
        assert nodes.get([(A, "k"), (A, "l")]) == {(A, "k"): 1}


def test_a_policy_says_how_long(cache, clock, runs):
    compiled = graph(LangGraphCache(cache), runs, ttl=60)
    ask(compiled, "Oslo?")
    clock.advance(59)
    assert ask(compiled, "Oslo?") == "Oslo? 1"
    clock.advance(1)
    assert ask(compiled, "Oslo?") == "Oslo? 2"


def test_without_a_policys_ttl_the_adapters_holds_and_zero_keeps_nothing(cache, clock):
    nodes = LangGraphCache(cache, ttl="1m")
    nodes.set({(A, "none"): (1, None), (A, "long"): (2, 90), (A, "zero"): (3, 0)})
    assert nodes.get([(A, "none"), (A, "long"), (A, "zero")]) == {(A, "none"): 1, (A, "long"): 2}
    clock.advance(60)
    assert nodes.get([(A, "none"), (A, "long")]) == {(A, "long"): 2}


@pytest.mark.parametrize("value", [None, b"", "", 0, [("answer", {"x": (1, 2)})], {"nested": [b"\x00"]}])
def test_a_value_comes_back_as_langgraphs_serializer_makes_it(cache, value):
    nodes = LangGraphCache(cache)
    nodes.set({(A, "k"): (value, None)})
    serde = JsonPlusSerializer()
    assert nodes.get([(A, "k")]) == {(A, "k"): serde.loads_typed(serde.dumps_typed(value))}


def test_namespaces_of_langgraphs_are_cleared_alone(cache):
    nodes, other = LangGraphCache(cache, namespace="acme"), LangGraphCache(cache, namespace="other")
    for one in (nodes, other):
        one.set({(A, "k"): (1, None), (B, "k"): (2, None)})
    cache.put("What is kept beside it?", "This.", namespace="acme")
    nodes.clear([])
    nodes.clear([A])
    assert nodes.get([(A, "k"), (B, "k")]) == {(B, "k"): 2}
    nodes.clear()
    assert nodes.get([(B, "k")]) == {}
    assert other.get([(A, "k"), (B, "k")]) == {(A, "k"): 1, (B, "k"): 2}
    assert cache.get("What is kept beside it?", namespace="acme") is not None


def test_names_that_run_together_stay_apart(cache):
    nodes = LangGraphCache(cache)
    nodes.set({(("a", "b"), "c"): (1, None), (("a",), "bc"): (2, None)})
    assert nodes.get([(("a,b",), "c"), (("a", "b"), "c"), (("ab",), "c")]) == {(("a", "b"), "c"): 1}


def test_a_cache_that_searches_by_meaning_is_refused():
    with SemanticCache(":memory:", HashEmbedder()) as cache, pytest.raises(ValueError, match="without an embedder"):
        LangGraphCache(cache)


def test_a_serializer_that_pickles_is_refused(cache):
    with pytest.raises(ValueError, match="must not pickle"):
        LangGraphCache(cache, serde=JsonPlusSerializer(pickle_fallback=True))


def test_a_pickle_that_somebody_put_there_is_not_loaded(cache):
    loaded = []

    class Sly(JsonPlusSerializer):
        def loads_typed(self, data):
            loaded.append(data)

    nodes = LangGraphCache(cache, serde=Sly())
    nodes.set({(A, "k"): (1, None)})
    [entry] = cache.entries()
    cache.put(entry.query, entry.response, scope=entry.scope, metadata={"langgraph": "pickle"})
    assert (nodes.get([(A, "k")]), loaded) == ({}, [])


def test_what_cannot_be_read_makes_the_node_run(cache, runs, caplog):
    compiled = graph(LangGraphCache(cache), runs)
    ask(compiled, "Oslo?")
    [entry] = cache.entries()
    cache.put(entry.query, b"\xc1", scope=entry.scope, metadata=entry.metadata)
    with caplog.at_level(logging.WARNING, "mneme"):
        assert ask(compiled, "Oslo?") == "Oslo? 2"
    assert "cannot be read" in caplog.text


def test_a_cache_that_fails_is_passed_by(runs, caplog):
    cache = SemanticCache(":memory:", max_response_bytes=10)
    compiled = graph(LangGraphCache(cache), runs)
    assert [ask(compiled, "Oslo?") for _ in range(2)] == ["Oslo? 1", "Oslo? 2"]
    cache.close()
    assert ask(compiled, "Oslo?") == "Oslo? 3"
    assert "is not kept" in caplog.text
    assert "could not be asked" in caplog.text


async def test_an_awaited_graph_uses_a_blocking_cache(cache, runs):
    nodes = LangGraphCache(cache)
    compiled = graph(nodes, runs)
    assert [(await compiled.ainvoke({"question": "Oslo?"}))["answer"] for _ in range(2)] == ["Oslo? 1"] * 2
    await nodes.aclear()
    assert cache.stats().entries == 0


async def test_an_awaited_cache_answers_awaited_graphs(runs):
    async with AsyncSemanticCache(":memory:") as cache:
        nodes: BaseCache = AsyncLangGraphCache(cache)
        compiled = graph(nodes, runs)
        assert [(await compiled.ainvoke({"question": "Oslo?"}))["answer"] for _ in range(2)] == ["Oslo? 1"] * 2
        with pytest.raises(TypeError, match="is awaited: use ainvoke"):
            await asyncio.to_thread(ask, compiled, "Oslo?")
        await nodes.aset({(A, "k"): (1, None), (B, "k"): (2, 60)})
        await nodes.aclear([A])
        assert await nodes.aget([(A, "k"), (B, "k")]) == {(B, "k"): 2}
        await nodes.aclear()
        assert (await compiled.ainvoke({"question": "Oslo?"}))["answer"] == "Oslo? 2"
        with pytest.raises(TypeError, match="must be a SemanticCache, not AsyncSemanticCache"):
            LangGraphCache(cache)
