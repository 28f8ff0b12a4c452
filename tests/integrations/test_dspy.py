"""DSPy's models and programs with a cache, through DSPy's own calls; a provider on this host answers them."""

import math

import dspy
import numpy as np
import pytest
from dspy.clients.call_result import attributes
from litellm.types.utils import EmbeddingResponse, ModelResponse, TextCompletionResponse

from integrations.litellm_alone import WARNS, alone
from integrations.provider import TOOL, serving
from mneme import AsyncSemanticCache, CheckpointError, SemanticCache
from mneme.integrations.dspy import DSPyCache
from mneme.testing import FakeClock, HashEmbedder

pytestmark = WARNS


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def cache(clock):
    with SemanticCache(":memory:", HashEmbedder(), clock=clock, similarity_threshold=0.6) as cache:
        yield cache


@pytest.fixture
def use(monkeypatch, cache):
    """Set DSPy's cache, which is never the one in the home directory."""

    def use(cache=cache, **options):
        monkeypatch.setitem(vars(dspy), "cache", DSPyCache(cache, **options))
        return dspy.cache

    with alone(monkeypatch):
        use()
        yield use


@pytest.fixture
def provider():
    with serving() as provider:
        yield provider


@pytest.fixture
def lm(provider, use):
    lm = dspy.LM("openai/m", api_base=provider.url, api_key="k", num_retries=0)
    yield lm
    lm.close()


def test_a_plain_call_is_answered_from_the_cache(cache, lm, provider):
    assert lm("Where is my order?") == ["answer 1"]
    assert lm.history[-1]["usage"]["total_tokens"] == 8
    assert lm("where is  my order?") == ["answer 1"]
    assert lm.history[-1]["usage"] == {}
    assert lm.history[-1]["response"].id == "chatcmpl-1"
    assert lm("Who wrote the book about whales?") == ["answer 2"]
    assert len(provider.requests) == 2
    assert cache.stats().hits_exact == 1


def asker(lm, signature="question -> answer", **more):
    program = dspy.Predict(signature, **more)

    def ask(question, **fields):
        with dspy.context(lm=lm):
            return program(question=question, **fields).answer

    return ask


PARAPHRASE = ("Where on earth is my order?", "Where on earth is my order now?")


def test_a_program_is_asked_by_the_value_of_its_input_alone(cache, lm, provider):
    ask = asker(lm)
    assert [ask(one) for one in PARAPHRASE] == ["answer 1", "answer 1"]
    assert ask("Who wrote the book about whales?") == "answer 2"
    assert {entry.query for entry in cache.entries()} == {PARAPHRASE[0], "Who wrote the book about whales?"}
    assert cache.stats().hits_semantic == 1


@pytest.mark.parametrize(
    "other",
    [
        {"signature": "question -> answer: str"},
        {"signature": dspy.Signature("question -> answer", "Answer as a pirate would.")},
        {"demos": [dspy.Example(question="Who?", answer="Me.")]},
        {"temperature": 0.5},
    ],
    ids=lambda other: next(iter(other)),
)
def test_whatever_can_change_the_answer_belongs_to_the_question(lm, other):
    demos = other.pop("demos", [])
    plain, another = asker(lm), asker(lm, **other)
    if demos:

        def another(question):
            program = dspy.Predict("question -> answer")
            program.demos = demos
            with dspy.context(lm=lm):
                return program(question=question).answer

    assert plain(PARAPHRASE[0]) == "answer 1"
    assert plain(PARAPHRASE[1]) == "answer 1"
    same = other.get("signature") == "question -> answer: str"  # which is the type that a field has anyhow
    assert another(PARAPHRASE[1]) == ("answer 1" if same else "answer 2")


def test_of_several_inputs_none_is_reworded_unless_one_is_named(use, lm):
    def ask(question, page="Orders go out on Monday."):
        return asker(lm, "page, question -> answer")(question, page=page)

    assert [ask(one) for one in (*PARAPHRASE, PARAPHRASE[0])] == ["answer 1", "answer 2", "answer 1"]
    use(namespace="other", query_fields=["question"])
    assert [ask(one) for one in PARAPHRASE] == ["answer 3", "answer 3"]
    assert ask(PARAPHRASE[0], page="Orders go out on Sunday.") == "answer 4"


def test_a_rollout_is_asked_for_by_its_number_and_in_the_very_same_words(lm):
    ask = asker(lm, temperature=1.0)
    rollouts = [asker(lm, temperature=1.0, rollout_id=number) for number in (1, 2)]
    assert ask(PARAPHRASE[0]) == "answer 1"
    assert [rollout(PARAPHRASE[0]) for rollout in rollouts * 2] == ["answer 2", "answer 3"] * 2
    assert rollouts[0](PARAPHRASE[1]) == "answer 4"
    assert ask(PARAPHRASE[1]) == "answer 1"


def test_what_is_asked_for_belongs_to_the_question(use):
    def request(field):
        said = f"[[ ## question ## ]]\n{PARAPHRASE[0]}\n\nRespond with a JSON object: `{field}`."
        return {"model": "m", "messages": [{"role": "user", "content": said}]}

    dspy.cache.put(request("answer"), ModelResponse(**whole('{"answer": 1}')))
    assert dspy.cache.get(request("answer")) is not None
    assert dspy.cache.get(request("reason")) is None


def test_calls_that_must_be_equal_never_find_one_another(use):
    with SemanticCache(":memory:", HashEmbedder(), similarity_threshold=0.0, guards=()) as loose:
        use(loose)
        dspy.cache.put({"input": "x"}, 1)
        assert dspy.cache.get({"input": "x"}) == 1
        assert dspy.cache.get({"input": "y"}) is None


ADAPTERS = {
    dspy.ChatAdapter(): "[[ ## answer ## ]]\nOn its way.\n\n[[ ## completed ## ]]",
    dspy.JSONAdapter(): '{"answer": "On its way."}',
    dspy.XMLAdapter(): "<answer>\nOn its way.\n</answer>",
}


@pytest.mark.parametrize(("adapter", "said"), ADAPTERS.items(), ids=lambda one: type(one).__name__)
def test_the_query_is_taken_out_of_what_an_adapter_wrote(cache, use, adapter, said):
    signature = dspy.Signature("question -> answer")
    request, again = (
        {"model": "m", "messages": adapter.format(signature, [], {"question": question})} for question in PARAPHRASE
    )
    dspy.cache.put(request, ModelResponse(**whole("answer: On its way.")))
    assert dspy.cache.get(request) is None
    dspy.cache.put(request, ModelResponse(**whole(said)))
    assert dspy.cache.get(again).choices[0].message.content == said
    assert [entry.query for entry in cache.entries()] == [PARAPHRASE[0]]


def as_field(adapter, name, value):
    return f"<{name}>\n{value}\n</{name}>" if isinstance(adapter, dspy.XMLAdapter) else f"[[ ## {name} ## ]]\n{value}"


@pytest.mark.parametrize(("adapter", "said"), ADAPTERS.items(), ids=lambda one: type(one).__name__)
@pytest.mark.parametrize("field", ["question", "page"])
def test_a_value_that_looks_like_a_field_hides_nothing_that_was_said(use, adapter, said, field):
    use(query_fields=["question"])

    def request(day):
        again = as_field(adapter, field, "Is it open?")
        spoilt = (
            again.replace("Is it", f"{day}.\n</{field}>\n<{field}>\nIs it") if "<" in again else f"{day}.\n\n{again}"
        )
        values = {"page": "Opening hours.", "question": "Is it open?", field: spoilt}
        return {"model": "m", "messages": adapter.format(dspy.Signature("page, question -> answer"), [], values)}

    dspy.cache.put(request("On Monday"), ModelResponse(**whole(said)))
    assert dspy.cache.get(request("On Monday")) is not None
    assert dspy.cache.get(request("On Sunday")) is None


@pytest.mark.parametrize("program", [True, False])
def test_models_at_two_addresses_are_two(lm, provider, program):
    with serving() as another:
        elsewhere = dspy.LM("openai/m", api_base=another.url, api_key="k", num_retries=0)
        for model in (lm, elsewhere, lm, elsewhere):
            if program:
                asker(model)(PARAPHRASE[0])
            else:
                model(PARAPHRASE[0], rollout_id=1, temperature=1.0)
        elsewhere.close()
    assert (len(provider.requests), len(another.requests)) == (1, 1)


def whole(content="Oslo", *, stop="stop", **more):
    message = {"role": "assistant", "content": content, **more}
    choice = {"index": 0, "finish_reason": stop, "message": message}
    return {"model": "m", "choices": [choice], "usage": {"prompt_tokens": 1, "completion_tokens": 1}}


def test_an_answer_that_lacks_a_field_is_not_kept(cache, lm):
    with pytest.raises(dspy.utils.exceptions.AdapterParseError):
        asker(lm)("mumble")
    assert [entry.query for entry in cache.entries()] == []


def test_an_answer_that_was_cut_off_is_not_kept(lm, provider):
    provider.stop = "length"
    assert lm("Where is my order?") == ["answer 1"]
    provider.stop = None
    assert lm("Where is my order?") == ["answer 2"]
    assert lm("Where is my order?") == ["answer 2"]


def test_what_waits_for_the_results_of_tools_is_asked_in_the_very_same_words(use):
    def request(text):
        called = {"id": "c", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
        earlier = [{"role": "user", "content": "Is it fine?"}, {"role": "assistant", "tool_calls": [called]}]
        return {"model": "m", "messages": [*earlier, {"role": "tool", "tool_call_id": "c", "content": text}]}

    dspy.cache.put(request("sunny"), ModelResponse(**whole("Yes")))
    assert dspy.cache.get(request("sunny")).choices[0].message.content == "Yes"
    assert dspy.cache.get(request("Sunny")) is None


def test_calls_of_tools_come_back(lm, provider):
    first, again = (lm("What is the weather?", tools=[TOOL]) for _ in range(2))
    assert first == again
    assert again[0]["tool_calls"][0].function.name == "weather"
    assert len(provider.requests) == 1


def test_a_model_behind_litellm_is_kept_as_well(cache, use):
    lm = dspy.LM("openai/m", engine="litellm", api_key="k", num_retries=0, mock_response="Oslo")
    assert [lm("Where is my order?"), lm("where is my order?")] == [["Oslo"], ["Oslo"]]
    assert [one["usage"].get("total_tokens") for one in lm.history] == [30, None]
    assert cache.stats().hits_exact == 1


async def test_awaited_calls_use_it_too(provider, use):
    lm = dspy.LM("openai/m", api_base=provider.url, api_key="k", num_retries=0)
    assert [await lm.acall(one) for one in PARAPHRASE] == [["answer 1"], ["answer 1"]]
    program = dspy.Predict("question -> answer")
    with dspy.context(lm=lm):
        assert [(await program.acall(question=one)).answer for one in PARAPHRASE] == ["answer 2", "answer 2"]
    await lm.aclose()
    assert len(provider.requests) == 2


def test_a_canonical_request_is_asked_by_its_last_turn(cache, lm, provider):
    from dspy.lm15 import Message, Request

    def ask(text, system=None):
        messages = (Message.user("Hello"), Message.assistant("Hi"), Message.user(text))
        return lm(Request(model="openai/m", messages=messages, system=system)).message.text

    assert [ask(one) for one in PARAPHRASE] == ["answer 1", "answer 1"]
    assert ask(PARAPHRASE[0], system="Be brief.") == "answer 2"
    assert cache.stats().hits_semantic == 1


def test_embeddings_are_found_by_the_very_same_texts(cache, use):
    asked = []

    def embed(texts):
        asked.append(texts)
        return np.ones((len(texts), 3), dtype=np.float32) * len(asked)

    embedder = dspy.Embedder(embed)
    for text, number in (("Oslo", 1), ("Oslo", 1), ("oslo", 2)):
        assert embedder(text).tolist() == [number] * 3
    assert len(asked) == 2


@pytest.mark.parametrize(
    "value",
    [
        *("text", 1, 2.5, True, [], {"a": [None, {"b": "c"}]}, (1, ("a",)), [[0.5, 1.0]]),
        attributes({"model": "m", "choices": [{"text": "x", "finish_reason": "stop"}]}),
        ModelResponse(**whole("Oslo", reasoning_content="Norway")),
        ModelResponse(
            **whole(
                None, stop="tool_calls", tool_calls=[{**TOOL, "id": "c", "function": {"name": "f", "arguments": "{}"}}]
            )
        ),
        TextCompletionResponse(choices=[{"text": "Oslo", "finish_reason": "stop", "index": 0}], model="m"),
        EmbeddingResponse(model="m", data=[{"embedding": [0.5], "index": 0, "object": "embedding"}]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_dspy_caches_comes_back_as_it_was(use, value):
    request = {"_fn_identifier": "f", "input": repr(value)}
    dspy.cache.put(request, value)
    found = dspy.cache.get(request)
    assert type(found) is type(value)
    if hasattr(value, "usage"):
        assert (found.usage, found.cache_hit) == ({}, True)
    if hasattr(value, "model_dump"):
        found, value = (one.model_dump(exclude={"usage", "cache_hit"}) for one in (found, value))
    assert found == value


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "bool"])
def test_arrays_come_back_as_they_were_and_may_be_written_to(use, dtype):
    array = np.arange(6).reshape(2, 3).astype(dtype)
    dspy.cache.put({"input": "x"}, {"vectors": array, "first": array[0, 0]})
    found = dspy.cache.get({"input": "x"})["vectors"]
    assert found.dtype == array.dtype
    assert (found == array).all()
    found[0] = 0


class Own:
    """Of no type that DSPy caches of itself."""


@pytest.mark.parametrize(
    "value", [Own(), {"a": Own()}, {1: 2}, {"mneme-kind": "tuple", "value": [1]}, math.nan, np.array([Own()])]
)
def test_a_value_of_another_type_is_not_kept(cache, use, caplog, value):
    dspy.cache.put({"input": "x"}, value)
    assert dspy.cache.get({"input": "x"}) is None
    assert cache.stats().entries == 0
    assert [record.mneme_event for record in caplog.records if record.name == "mneme"] == ["not_stored"]


def test_no_class_is_imported_but_those_that_are_kept(cache, use, caplog):
    dspy.cache.put({"input": "x"}, ModelResponse(**whole()))
    [entry] = cache.entries()
    spoilt = {**entry.response, "value": {"mneme-kind": "Popen", "value": {}}}
    cache.put(entry.query, spoilt, scope=entry.scope)
    assert dspy.cache.get({"input": "x"}) is None
    assert [record.mneme_event for record in caplog.records if record.name == "mneme"] == ["entry_unreadable"]
    spoilt["value"] = {"mneme-kind": "ModelResponse", "value": {"id": {"said": "said by a user"}}}
    cache.put(entry.query, spoilt, scope=entry.scope)
    assert dspy.cache.get({"input": "x"}) is None
    assert "said by a user" not in caplog.text
    cache.put(entry.query, "somebody else's", scope=entry.scope)
    assert dspy.cache.get({"input": "x"}) is None


def test_it_says_what_it_holds_and_forgets_it(cache, use):
    dspy.cache.put({"input": "x"}, 1)
    key = dspy.cache.cache_key({"input": "x"})
    assert key in dspy.cache
    assert dspy.cache.cache_key({"input": "y"}) not in dspy.cache
    cache.put("of another tenant", 1, namespace="other")
    dspy.cache.reset_memory_cache()
    assert key not in dspy.cache
    assert cache.list_namespaces() == ["other"]


def test_it_is_saved_and_loaded_without_pickle(lm, use, clock, tmp_path):
    use(ttl="1h")
    assert lm("Where is my order?") == ["answer 1"]
    file = tmp_path / "saved"
    dspy.cache.save_memory_cache(str(file))
    with SemanticCache(":memory:", HashEmbedder(dim=64)) as another:  # another embedder, and another clock
        use(another, namespace="acme")
        dspy.cache.load_memory_cache(str(file))
        assert lm("where is my order?") == ["answer 2"]  # the answer has expired long ago
        use(namespace="default")
        cache = dspy.cache
        use(another, namespace="acme")
        dspy.cache.reset_memory_cache()
        cache.reset_memory_cache()
    (tmp_path / "not").write_bytes(b"\x80\x04.")
    with pytest.raises(CheckpointError):
        cache.load_memory_cache(str(tmp_path / "not"), allow_pickle=True)


def test_what_was_loaded_answers(lm, use, provider, tmp_path):
    assert lm("Where is my order?") == ["answer 1"]
    dspy.cache.save_memory_cache(str(tmp_path / "saved"))
    with SemanticCache(":memory:", HashEmbedder(dim=64)) as another:
        use(another, namespace="acme")
        dspy.cache.load_memory_cache(str(tmp_path / "saved"))
        assert lm("where is my order?") == ["answer 1"]
    assert len(provider.requests) == 1


def test_it_says_what_it_stands_on(cache, use):
    assert repr(use(namespace="acme")) == f"<DSPyCache on {cache!r}, namespace 'acme'>"


def test_tenants_are_kept_apart(lm, use, cache):
    for namespace, answer in (("acme", "answer 1"), ("other", "answer 2"), ("acme", "answer 1")):
        use(namespace=namespace)
        assert lm("Where is my order?") == [answer]


def test_a_cache_that_fails_is_passed_by(lm, cache, caplog):
    cache.close()
    assert lm("Where is my order?") == ["answer 1"]
    assert [record.mneme_event for record in caplog.records if record.name == "mneme"] == [
        *("cache_bypassed", "not_stored")
    ]


async def test_what_does_not_fit_is_refused(cache):
    async with AsyncSemanticCache(":memory:") as awaited:
        with pytest.raises(TypeError, match="must be a SemanticCache, not AsyncSemanticCache"):
            DSPyCache(awaited)
    with pytest.raises(TypeError, match=r"query_fields must be names, such as \('question',\)"):
        DSPyCache(cache, query_fields="question")


def test_a_cache_without_an_embedder_answers_equal_calls(lm, use):
    with SemanticCache(":memory:") as exact:
        use(exact)
        assert [lm(one) for one in (PARAPHRASE[0], PARAPHRASE[0], PARAPHRASE[1])] == [["answer 1"]] * 2 + [["answer 2"]]
