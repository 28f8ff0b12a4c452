"""Clients of Instructor's with a cache, through Instructor's own calls."""

import json
from concurrent.futures import ThreadPoolExecutor

import httpx2
import instructor
import openai
import pytest
from pydantic import BaseModel

from mneme import AsyncSemanticCache, SemanticCache
from mneme.integrations.instructor import InstructorCache
from mneme.testing import FakeClock, HashEmbedder


class City(BaseModel):
    name: str


class Model:
    """Calls the tool it is given, and counts."""

    def __init__(self):
        self.asked = 0

    def __call__(self, request):
        self.asked += 1
        [tool] = json.loads(request.content)["tools"]
        call = {"name": tool["function"]["name"], "arguments": json.dumps({"name": f"Oslo {self.asked}"})}
        message = {"role": "assistant", "tool_calls": [{"id": "t", "type": "function", "function": call}]}
        choice = {"index": 0, "finish_reason": "tool_calls", "message": message}
        whole = {"id": "c", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice]}
        return httpx2.Response(200, json=whole)


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def cache(clock):
    with SemanticCache(":memory:", clock=clock) as cache:
        yield cache


@pytest.fixture
def client():
    with httpx2.Client(transport=httpx2.MockTransport(Model())) as http:
        yield instructor.from_openai(openai.OpenAI(api_key="k", http_client=http), model="m")


def asker(client, cache, **more):
    def ask(question, **options):
        messages = [{"role": "user", "content": question}]
        return client.create(response_model=City, messages=messages, cache=cache, **more, **options).name

    return ask


def test_an_equal_request_is_answered_from_the_cache_and_one_that_looks_alike_is_not(client, cache):
    ask = asker(client, InstructorCache(cache))
    assert [ask(one) for one in ("Norway?", "Norway?", "norway?", "Norway?")] == [
        "Oslo 1",
        "Oslo 1",
        "Oslo 2",
        "Oslo 1",
    ]


def test_the_completion_comes_back_beside_the_model(client, cache):
    messages = [{"role": "user", "content": "Norway?"}]
    for _ in range(2):
        city, whole = client.create_with_completion(
            response_model=City, messages=messages, cache=InstructorCache(cache)
        )
        assert (city.name, whole.choices[0].finish_reason) == ("Oslo 1", "tool_calls")


def test_a_call_says_how_long_and_else_the_adapter(client, cache, clock, caplog):
    ask = asker(client, InstructorCache(cache, ttl="1m"))
    ask("Norway?")
    ask("Sweden?", cache_ttl=120)
    clock.advance(60)
    assert (ask("Norway?"), ask("Sweden?")) == ("Oslo 3", "Oslo 2")
    assert [ask("Denmark?", cache_ttl=0) for _ in range(2)] == ["Oslo 4", "Oslo 5"]
    assert "mneme" not in {record.name for record in caplog.records}


def test_tenants_are_kept_apart(client, cache):
    one, other = (asker(client, InstructorCache(cache, namespace=name)) for name in ("acme", "other"))
    assert (one("Norway?"), other("Norway?"), one("Norway?")) == ("Oslo 1", "Oslo 2", "Oslo 1")


@pytest.mark.parametrize("value", ["", " ", "[ERROR]", 0, False, [1, {"a": None}], "x"])
def test_any_json_value_comes_back(cache, value):
    kept = InstructorCache(cache)
    kept.set("k", value)
    assert (kept.get("k"), kept.get("K")) == (value, None)


def test_what_somebody_else_stored_is_no_answer(cache):
    kept = InstructorCache(cache)
    kept.set("k", "1")
    [entry] = cache.entries()
    cache.put(entry.query, "2", scope=entry.scope)
    assert kept.get("k") is None


def test_threads_may_share_it(cache):
    kept = InstructorCache(cache)

    def work(number):
        kept.set(f"k{number % 5}", number % 5)
        return kept.get(f"k{number % 5}")

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(work, range(40))) == [number % 5 for number in range(40)]


def test_a_cache_that_fails_is_passed_by(client, caplog):
    cache = SemanticCache(":memory:", max_response_bytes=10)
    ask = asker(client, InstructorCache(cache))
    assert [ask("Norway?") for _ in range(2)] == ["Oslo 1", "Oslo 2"]
    cache.close()
    assert ask("Norway?") == "Oslo 3"
    assert "is not kept" in caplog.text
    assert "could not be asked" in caplog.text


def test_a_cache_that_searches_by_meaning_is_refused():
    with SemanticCache(":memory:", HashEmbedder()) as cache, pytest.raises(ValueError, match="without an embedder"):
        InstructorCache(cache)


async def test_a_cache_that_is_awaited_is_refused():
    async with AsyncSemanticCache(":memory:") as cache:
        with pytest.raises(TypeError, match="must be a SemanticCache, not AsyncSemanticCache"):
            InstructorCache(cache)


async def test_an_awaited_client_uses_it_too(cache):
    async with httpx2.AsyncClient(transport=httpx2.MockTransport(Model())) as http:
        client = instructor.from_openai(openai.AsyncOpenAI(api_key="k", http_client=http), model="m")
        kept = InstructorCache(cache)
        messages = [{"role": "user", "content": "Norway?"}]
        names = [(await client.create(response_model=City, messages=messages, cache=kept)).name for _ in range(2)]
    assert names == ["Oslo 1", "Oslo 1"]
