"""The caching transports of httpx and httpx2, on both faces, against a provider that speaks the wire formats."""

import asyncio
import contextlib
import importlib
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from integrations.provider import ANTHROPIC_TOOL, TOOL, serving
from mneme import AsyncSemanticCache, MemoryStore, SemanticCache
from mneme._runtime.flights import Flights
from mneme.testing import FailingEmbedder, Faults, FlakyStore, HashEmbedder

PATHS = {"openai": "chat/completions", "anthropic": "messages", "responses": "responses"}
TOOLS = {"openai": [TOOL], "anthropic": [ANTHROPIC_TOOL]}


@pytest.fixture
def provider():
    with serving() as provider:
        yield provider


def asking(kind, text="What is the capital of Norway?", **more):
    if kind == "responses":
        return {"model": "m", "input": text, **more}
    return {"model": "m", "max_tokens": 50, "messages": [{"role": "user", "content": text}], **more}


class Blocking:
    """A blocking client, called the way the awaited one is."""

    def __init__(self, library, store, embedder, **options):
        transports = importlib.import_module(f"mneme.integrations.{library}")
        self.cache = SemanticCache(store=store, embedder=embedder)
        self._client = importlib.import_module(library).Client(
            transport=transports.CachingTransport(self.cache, **options), timeout=30
        )

    async def post(self, url, body, headers=None):
        response = self._client.post(url, json=body, headers=headers)
        return response.status_code, response.headers.get("mneme"), response.text

    async def chunks(self, url, body, most=None):
        with self._client.stream("POST", url, json=body) as response:
            passed = []
            for chunk in response.iter_raw():
                passed.append(chunk)
                if len(passed) == most:
                    break
            return response.headers.get("mneme"), passed

    async def send(self, url, content):
        return self._client.post(url, content=content).headers["unread"]

    async def close(self):
        self._client.close()
        self.cache.close()


class Awaited:
    def __init__(self, library, store, embedder, **options):
        transports = importlib.import_module(f"mneme.integrations.{library}")
        self.cache = AsyncSemanticCache(store=store, embedder=embedder)
        self._client = importlib.import_module(library).AsyncClient(
            transport=transports.AsyncCachingTransport(self.cache, **options), timeout=30
        )

    async def post(self, url, body, headers=None):
        response = await self._client.post(url, json=body, headers=headers)
        return response.status_code, response.headers.get("mneme"), response.text

    async def chunks(self, url, body, most=None):
        async with self._client.stream("POST", url, json=body) as response:
            passed = []
            chunks = response.aiter_raw()
            async for chunk in chunks:
                passed.append(chunk)
                if len(passed) == most:
                    break
            await chunks.aclose()
            return response.headers.get("mneme"), passed

    async def send(self, url, content):
        return (await self._client.post(url, content=content)).headers["unread"]

    async def close(self):
        await self._client.aclose()
        await self.cache.close()


@pytest.fixture(params=[(face, library) for face in (Blocking, Awaited) for library in ("httpx", "httpx2")], ids=str)
def kind_of_client(request):
    return request.param


@contextlib.asynccontextmanager
async def connected(kind_of_client, store=None, embedder=None, **options):
    face, library = kind_of_client
    client = face(library, store or MemoryStore(), embedder or HashEmbedder(), **options)
    try:
        yield client
    finally:
        await client.close()


@pytest.mark.parametrize("kind", PATHS)
async def test_an_answer_is_kept_and_given_to_whoever_asks_the_same(provider, kind_of_client, kind):
    url = f"{provider.url}/{PATHS[kind]}"
    async with connected(kind_of_client) as client:
        first = await client.post(url, asking(kind))
        again = await client.post(url, asking(kind, "what is the  capital of Norway?"))
        other = await client.post(url, asking(kind, "Who wrote that book about whales?"))
    assert (first[:2], again[:2], other[:2]) == ((200, "miss"), (200, "hit"), (200, "miss"))
    assert first[2] == again[2] != other[2]
    assert len(provider.requests) == 2


@pytest.mark.parametrize("kind", PATHS)
async def test_a_stream_is_recorded_and_replayed_event_by_event(provider, kind_of_client, kind):
    url = f"{provider.url}/{PATHS[kind]}"
    async with connected(kind_of_client) as client:
        said, passed = await client.chunks(url, asking(kind, stream=True))
        again, replayed = await client.chunks(url, asking(kind, stream=True))
        whole = await client.post(url, asking(kind))
    assert (said, again, whole[1]) == ("miss", "hit", "miss")
    assert b"".join(passed) == b"".join(replayed)
    assert len(replayed) == b"".join(passed).count(b"\n\n")
    assert len(provider.requests) == 2


@pytest.mark.parametrize("kind", TOOLS)
async def test_calls_of_tools_are_kept_and_their_results_are_waited_for(provider, kind_of_client, kind):
    url = f"{provider.url}/{PATHS[kind]}"
    async with connected(kind_of_client) as client:
        for stream in (False, True):
            for said in ("miss", "hit"):
                if stream:
                    assert (await client.chunks(url, asking(kind, tools=TOOLS[kind], stream=True)))[0] == said
                else:
                    assert (await client.post(url, asking(kind, tools=TOOLS[kind])))[1] == said
        pending = asking(kind)
        pending["messages"] += [
            {"role": "assistant", "content": "one moment"},
            {"role": "tool", "tool_call_id": "call_1", "content": "sunny"}
            if kind == "openai"
            else {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "sunny"}]},
        ]
        for _ in range(2):
            assert (await client.post(url, pending))[1] == "pass; the answer depends on the results of tools"
    assert len(provider.requests) == 4


@pytest.mark.parametrize("kind", PATHS)
async def test_an_answer_that_was_cut_off_is_passed_on_and_not_kept(provider, kind_of_client, kind):
    provider.stop = {"openai": "length", "anthropic": "max_tokens", "responses": "incomplete"}[kind]
    url = f"{provider.url}/{PATHS[kind]}"
    async with connected(kind_of_client) as client:
        for _ in range(2):
            status, said, text = await client.post(url, asking(kind))
            assert status == 200
            assert said.startswith("pass; ")
            assert "answer" in text
            assert (await client.chunks(url, asking(kind, stream=True)))[0] == "miss"
        assert len(provider.requests) == 4
        provider.stop = None
        assert [(await client.post(url, asking(kind)))[1] for _ in range(2)] == ["miss", "hit"]


@pytest.mark.parametrize("kind", PATHS)
async def test_an_error_is_passed_on_and_not_kept(provider, kind_of_client, kind):
    provider.status = 503
    url = f"{provider.url}/{PATHS[kind]}"
    async with connected(kind_of_client) as client:
        for stream in (False, True, False, True):
            status, said, text = await client.post(url, asking(kind, stream=stream))
            assert (status, said) == (503, "pass; status 503")
            assert "out of order" in text
    assert len(provider.requests) == 4


@pytest.mark.parametrize("kind", PATHS)
async def test_a_stream_that_breaks_or_is_left_is_not_kept(provider, kind_of_client, kind):
    _, library = kind_of_client
    http = importlib.import_module(library)
    url = f"{provider.url}/{PATHS[kind]}"
    async with connected(kind_of_client) as client:
        provider.cut = True
        with pytest.raises(http.RemoteProtocolError):
            await client.chunks(url, asking(kind, stream=True))
        provider.cut = False
        said, passed = await client.chunks(url, asking(kind, stream=True), most=1)
        assert (said, len(passed)) == ("miss", 1)
        assert (await client.chunks(url, asking(kind, stream=True)))[0] == "miss"
        assert (await client.chunks(url, asking(kind, stream=True)))[0] == "hit"


async def test_what_changes_the_answer_separates_and_what_does_not_does_not(provider, kind_of_client):
    url = f"{provider.url}/chat/completions"
    async with connected(kind_of_client) as client:
        await client.post(url, asking("openai"))
        for other in (
            asking("openai", temperature=0.5),
            asking("openai", model="another"),
            asking("openai", response_format={"type": "json_object"}),
            asking("openai", some_new_parameter=1),
        ):
            assert (await client.post(url, other))[1] == "miss"
        assert (await client.post(f"{provider.url}/other/chat/completions", asking("openai")))[1] == "miss"
        assert (await client.post(f"{url}?api-version=2", asking("openai")))[1] == "miss"
        same = asking("openai", user="somebody", metadata={"trace": "1"})
        assert (await client.post(url, same, {"authorization": "Bearer other"}))[1] == "hit"


async def test_a_request_can_say_what_it_wants_of_the_cache(provider, kind_of_client):
    url = f"{provider.url}/chat/completions"
    async with connected(kind_of_client) as client:

        async def ask(**headers):
            _, said, text = await client.post(url, asking("openai"), headers)
            return said, text

        _, first = await ask()
        said, fresh = await ask(**{"cache-control": "no-cache"})
        assert (said, fresh != first) == ("miss", True)
        assert await ask() == ("hit", fresh)
        said, unkept = await ask(**{"cache-control": "no-store"})
        assert (said, unkept not in (first, fresh)) == ("pass; no-store", True)
        assert await ask() == ("hit", fresh)
        assert (await ask(**{"mneme-namespace": "acme"}))[0] == "miss"
        assert (await ask(**{"mneme-namespace": "acme"}))[0] == "hit"
    assert not any("mneme-namespace" in {name.lower() for name in headers} for headers in provider.headers)


async def test_everything_else_passes_through(provider, kind_of_client):
    async with connected(kind_of_client) as client:
        for _ in range(2):
            assert await client.post(f"{provider.url}/moderations", {"input": "x"}) == (
                200,
                "pass; not a chat API",
                f'{{"data": {len(provider.requests)}}}',
            )


async def test_equal_requests_at_the_same_time_reach_the_server_once(provider, kind_of_client):
    provider.gate = threading.Event()
    url = f"{provider.url}/chat/completions"
    face, _ = kind_of_client
    async with connected(kind_of_client) as client:
        if face is Awaited:
            calls = [asyncio.ensure_future(client.post(url, asking("openai"))) for _ in range(8)]
            await asyncio.to_thread(provider.asked.wait)
            provider.gate.set()
            answers = await asyncio.gather(*calls)
        else:
            with ThreadPoolExecutor(8) as threads:
                calls = [threads.submit(asyncio.run, client.post(url, asking("openai"))) for _ in range(8)]
                provider.asked.wait()
                provider.gate.set()
                answers = [call.result() for call in calls]
    assert len(provider.requests) == 1
    assert sorted(said for _, said, _ in answers) == ["hit"] * 7 + ["miss"]
    assert len({text for _, _, text in answers}) == 1


async def test_a_cache_that_fails_is_passed_by(provider, kind_of_client, caplog):
    faults = Faults()
    store = FlakyStore(MemoryStore(), faults)
    url = f"{provider.url}/chat/completions"
    async with connected(kind_of_client, store) as client:
        faults.arm(lambda number, verb: True)
        for stream in (False, True):
            assert (await client.post(url, asking("openai", stream=stream)))[0] == 200
        faults.arm(())
    assert len(provider.requests) == 2
    assert caplog.records


async def test_a_question_that_is_too_long_for_the_cache_is_sent_on(provider, kind_of_client):
    async with connected(kind_of_client) as client:
        for stream in (False, True):
            status, said, _ = await client.post(
                f"{provider.url}/chat/completions", asking("openai", "x" * 40_000, stream=stream)
            )
            assert (status, said) == (200, "pass; the cache failed")


async def test_what_is_refused_to_one_is_not_refused_to_another_who_waited_for_it(
    provider, kind_of_client, monkeypatch
):
    joined, join = threading.Event(), Flights.join

    def told(*arguments):
        flight, leads = join(*arguments)
        if not leads:
            joined.set()
        return flight, leads

    monkeypatch.setattr(Flights, "join", told)
    provider.gate, provider.refused = threading.Event(), "Bearer bad"
    url = f"{provider.url}/chat/completions"
    face, _ = kind_of_client
    async with connected(kind_of_client) as client:
        bad = client.post(url, asking("openai"), {"authorization": "Bearer bad"})
        good = client.post(url, asking("openai"), {"authorization": "Bearer good"})
        if face is Awaited:
            first = asyncio.ensure_future(bad)
            await asyncio.to_thread(provider.asked.wait)
            second = asyncio.ensure_future(good)
            await asyncio.to_thread(joined.wait)
            provider.gate.set()
            answers = await asyncio.gather(first, second)
        else:
            with ThreadPoolExecutor(2) as threads:
                first = threads.submit(asyncio.run, bad)
                provider.asked.wait()
                second = threads.submit(asyncio.run, good)
                joined.wait()
                provider.gate.set()
                answers = [first.result(), second.result()]
    assert [status for status, *_ in answers] == [401, 200]
    assert len(provider.requests) == 2


async def test_an_embedder_that_fails_costs_nobody_an_answer(provider, kind_of_client, caplog):
    url = f"{provider.url}/chat/completions"
    async with connected(kind_of_client, embedder=FailingEmbedder(HashEmbedder(), lambda _: True)) as client:
        said, passed = await client.chunks(url, asking("openai", stream=True))
        assert (said, b"[DONE]" in b"".join(passed)) == ("miss", True)
        assert (await client.post(url, asking("openai")))[0] == 200
    assert caplog.records


async def test_what_is_no_chat_request_is_not_read_before_it_is_sent(kind_of_client):
    face, library = kind_of_client
    http = importlib.import_module(library)
    seen = []

    def parts():
        for part in (b"one", b"two"):
            seen.append(part)
            yield part

    async def awaited_parts():
        for part in parts():
            yield part

    def reached(request):
        assert seen == []
        return http.Response(200, headers={"unread": "yes"})

    class Plain(http.BaseTransport, http.AsyncBaseTransport):
        def handle_request(self, request):
            return reached(request)

        async def handle_async_request(self, request):
            return reached(request)

    async with connected(kind_of_client, transport=Plain()) as client:
        content = awaited_parts() if face is Awaited else parts()
        assert await client.send("https://example.org/v1/files", content) == "yes"
    assert seen == []
