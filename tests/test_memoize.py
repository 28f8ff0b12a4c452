"""Functions whose calls are answered from a cache."""

import asyncio
import functools

import pytest

from concurrency.crowd import PATIENCE, Gate, Waiters, outcomes, start, until
from mneme import AsyncSemanticCache, CacheInfo, SemanticCache
from mneme.testing import HashEmbedder, ScriptedEmbedder

LASTS = {"ttl": 10, "stale_ttl": 30, "stale_on_error": True}


@pytest.fixture
def cache(cache_path, clock):
    with SemanticCache(cache_path, HashEmbedder(), clock=clock) as cache:
        yield cache
        assert cache.check() == []


@pytest.fixture
def calls():
    return []


@pytest.fixture
def ask(cache, calls):
    """A function of everything that a call may have."""

    @cache.memoize()
    def ask(question, model="small", *extra, temperature=0.0, **rest):
        """Answer a question."""
        calls.append((question, model, extra, temperature, rest))
        return f"answer {len(calls)}"

    return ask


def test_an_equal_call_is_answered_from_the_cache(ask, calls):
    assert ask("What is rain?") == "answer 1"
    assert ask("  what is RAIN? ") == "answer 1"
    assert calls == [("What is rain?", "small", (), 0.0, {})]


def test_a_call_costs_what_the_decorator_was_told(cache):
    @cache.memoize(cost=len)
    def double(text):
        return text * 2

    assert [double("abc"), double("abc"), double("ABC")] == ["abcabc"] * 3
    assert cache.stats().cost_saved == 12


def test_a_similar_question_is_answered_as_well(cache_path, calls):
    embedder = ScriptedEmbedder({"What is rain?": [1, 0], "What's rain?": [0.96, 0.28], "What is snow?": [0, 1]})
    with SemanticCache(cache_path, embedder) as cache:

        def ask(question):
            calls.append(question)
            return f"answer {len(calls)}"

        wide, narrow = cache.memoize()(ask), cache.memoize(similarity_threshold=0.99)(ask)
        assert [wide("What is rain?"), wide("What's rain?"), wide("What is snow?")] == [
            "answer 1",
            "answer 1",
            "answer 2",
        ]
        assert [narrow("What is rain?"), narrow("What's rain?")] == ["answer 1", "answer 3"]


# --- what joins the scope --------------------------------------------------------------------------------------------


def test_every_spelling_of_a_call_is_the_same_call(ask, calls):
    spellings = [
        ask("q"),
        ask("q", "small"),
        ask("q", model="small"),
        ask(question="q"),
        ask(model="small", question="q", temperature=0.0),
    ]
    assert spellings == ["answer 1"] * 5
    assert len(calls) == 1


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [
        (("q", "large"), {}),
        (("q", "small", "more"), {}),
        (("q", "small", "more", "and more"), {}),
        (("q", "small", ["more", "and more"]), {}),
        (("q",), {"temperature": 1.0}),
        (("q",), {"temperature": 0}),  # JSON tells 0 and 0.0 apart; being careful costs one computation
        (("q",), {"seed": 1}),
        (("q",), {"seed": None}),
        (("q",), {"tools": [{"name": "search"}]}),
        (("r",), {}),
    ],
)
def test_every_other_argument_counts(ask, calls, args, kwargs):
    assert ask("q") == "answer 1"
    assert ask(*args, **kwargs) == "answer 2"
    assert ask(*args, **kwargs) == "answer 2"
    assert ask("q") == "answer 1"


def test_two_functions_never_share_entries(cache):
    def first(question):
        return "first"

    def second(question):
        return "second"

    first, second = cache.memoize()(first), cache.memoize()(second)
    assert (first("q"), second("q"), first("q")) == ("first", "second", "first")
    assert cache.get("q") is None


def test_the_scope_and_namespace_given_join_in(cache, calls):
    def ask(question):
        calls.append(question)
        return f"answer {len(calls)}"

    plain = cache.memoize()(ask)
    variants = [
        cache.memoize(scope="prompt 1")(ask),
        cache.memoize(scope="prompt 2")(ask),
        cache.memoize(scope={"prompt": 1})(ask),
        cache.memoize(namespace="tenant")(ask),
    ]
    assert [one("q") for one in (plain, *variants)] == [f"answer {n}" for n in range(1, 6)]
    assert [one("q") for one in (plain, *variants)] == [f"answer {n}" for n in range(1, 6)]
    assert cache.memoize()(ask)("q") == "answer 1"  # decorated again, it is the same function
    assert cache.list_namespaces() == ["default", "tenant"]


def test_an_argument_named_like_the_scopes_own_parts_changes_nothing(cache):
    @cache.memoize(scope="s")
    def ask(question, scope="s", function="f", arguments=None):
        return [scope, function, arguments]

    assert ask("q", function="g") == ["s", "g", None]
    assert ask("q", scope="t") == ["t", "f", None]
    assert ask("q") == ["s", "f", None]


def test_ignored_arguments_do_not_count(cache, calls):
    @cache.memoize(ignore=("client", "trace"))
    def ask(question, client, model="small", trace=None):
        calls.append(client)
        return model

    first, second = object(), object()
    assert ask("q", first) == ask("q", second, trace=object()) == "small"
    assert ask("q", first, "large") == "large"
    assert calls == [first, first]


@pytest.mark.parametrize("value", [object(), {1, 2}, (1, 2), float("nan"), b"bytes", {1: "one"}, [object()]])
def test_an_argument_that_json_cannot_hold_is_refused_with_the_remedy(ask, calls, value):
    with pytest.raises(TypeError, match=r"argument 'model' of .*ask cannot join the scope .*ignore=\('model',\)"):
        ask("q", value)
    assert calls == []


def test_any_number_of_arguments_may_be_ignored_or_named(cache):
    @cache.memoize(ignore=["args", "kwargs"])
    def ask(question, *args, **kwargs):
        return question

    assert ask("q", object(), more=object()) == ask("q") == "q"


# --- which argument is the query -------------------------------------------------------------------------------------


def test_the_first_text_is_the_query(cache):
    @cache.memoize()
    def ask(temperature, question, language="en"):
        return f"{temperature} {question} {language}"

    assert ask(0.5, "What is rain?") == "0.5 What is rain? en"
    assert [entry.query for entry in cache.entries()] == ["What is rain?"]
    [entry] = cache.entries()
    assert entry.scope["arguments"] == {"temperature": 0.5, "language": "en"}


def test_the_query_may_be_named(cache):
    @cache.memoize(query="question")
    def ask(language, question):
        return f"{question} in {language}"

    assert ask("en", "What is rain?") == "What is rain? in en"
    assert ask("fr", "What is rain?") == "What is rain? in fr"
    assert ask(question="what is rain?", language="en") == "What is rain? in en"


def test_the_query_may_be_made_of_the_arguments(cache, calls):
    @cache.memoize(query=lambda messages, **rest: messages[-1]["content"], ignore=("messages",))
    def chat(messages, model="small"):
        calls.append(messages)
        return f"answer of {model}"

    assert chat([{"role": "user", "content": "What is rain?"}]) == "answer of small"
    assert chat([{"role": "system", "content": "Be kind."}, {"role": "user", "content": "what is rain?"}])
    assert chat([{"role": "user", "content": "What is rain?"}], model="large") == "answer of large"
    assert len(calls) == 2


def test_what_a_query_is_made_of_counts_unless_it_is_ignored(cache, calls):
    @cache.memoize(query=lambda messages: messages[-1])
    def chat(messages):
        calls.append(messages)
        return "answer"

    chat(["Be kind.", "What is rain?"])
    chat(["Be rude.", "What is rain?"])
    assert len(calls) == 2


def test_a_call_without_a_text_says_how_to_help(cache):
    ask = cache.memoize(scope="s")(lambda number: number)
    with pytest.raises(TypeError, match=r"no argument of this call of .* is a string; .* query="):
        ask(17)


def test_a_query_that_is_no_text_is_refused(cache):
    ask = cache.memoize(query="number", scope="s")(lambda number: number)
    with pytest.raises(TypeError, match="query must be a str, not int"):
        ask(17)


@pytest.mark.parametrize("options", [{"query": "nobody"}, {"ignore": ("nobody",)}])
def test_an_argument_that_does_not_exist_is_noticed_when_decorating(cache, options):
    with pytest.raises(TypeError, match="has no argument 'nobody'"):
        cache.memoize(scope="s", **options)(lambda question: question)


def test_ignore_is_no_single_text(cache):
    with pytest.raises(TypeError, match=r"like \('client',\)"):
        cache.memoize(ignore="client")(lambda question, client: question)


def test_a_call_that_does_not_fit_the_function_is_refused_as_usual(ask):
    with pytest.raises(TypeError, match="question"):
        ask()
    with pytest.raises(TypeError, match="multiple values"):
        ask("q", question="q")


# --- methods ---------------------------------------------------------------------------------------------------------


def test_a_method_is_bound_and_ignores_its_instance_where_told(cache, calls):
    class Model:
        def __init__(self, name):
            self.name = name

        @cache.memoize(ignore=("self",))
        def ask(self, question, style="plain"):
            calls.append(self.name)
            return f"{self.name}: {style}"

    first, second = Model("first"), Model("second")
    assert first.ask("q") == "first: plain"
    assert second.ask(question="q") == "first: plain"
    assert second.ask("q", "verse") == "second: verse"
    assert calls == ["first", "second"]
    assert first.ask.invalidate("q") is True
    assert second.ask("q") == "second: plain"
    assert second.ask.refresh("q") == "second: plain"
    assert Model.ask.cache_info() == first.ask.cache_info() == CacheInfo(hits=1, misses=4)
    assert Model.ask(first, "q") == "second: plain"


def test_an_instance_that_is_not_ignored_is_refused_with_the_remedy(cache):
    class Model:
        @cache.memoize()
        def ask(self, question):
            return question

    with pytest.raises(TypeError, match=r"argument 'self' of .*Model.ask .* ignore=\('self',\)"):
        Model().ask("q")


def test_static_and_class_methods_are_functions_too(cache):
    class Model:
        @staticmethod
        @cache.memoize()
        def static(question):
            return f"static {question}"

        @classmethod
        @cache.memoize(ignore=("cls",))
        def of_class(cls, question):
            return f"{cls.__name__} {question}"

    assert Model.static("q") == Model().static("q") == "static q"
    assert Model.of_class("q") == Model().of_class("q") == "Model q"


# --- what may be decorated -------------------------------------------------------------------------------------------


def _generator(question):
    yield question


async def _async_generator(question):
    yield question


async def _coroutine(question):
    return question


@pytest.mark.parametrize("function", [_generator, _async_generator])
def test_generators_are_refused(cache, function):
    with pytest.raises(TypeError, match="is a generator; memoize a function that returns the whole result"):
        cache.memoize()(function)


@pytest.mark.parametrize("function", [_generator, _async_generator])
async def test_generators_are_refused_by_the_awaited_face(cache_path, function):
    async with AsyncSemanticCache(cache_path) as cache:
        with pytest.raises(TypeError, match="is a generator"):
            cache.memoize()(function)


def test_a_coroutine_function_is_sent_to_the_other_face(cache):
    with pytest.raises(TypeError, match="coroutine function; memoize it with an AsyncSemanticCache"):
        cache.memoize()(_coroutine)


def test_a_coroutine_function_in_disguise_is_found_out_when_called(cache):
    def disguised(question):
        return _coroutine(question)

    ask = cache.memoize()(disguised)
    with pytest.raises(TypeError, match="AsyncSemanticCache"):
        ask("q")


class Asker:
    def __call__(self, question):
        return f"object {question}"


@pytest.mark.parametrize("function", [lambda question: "lambda", functools.partial(str.replace, "q"), Asker()])
def test_what_has_no_name_needs_a_scope_instead(cache, function):
    """Two lambdas have one name: each would give the other's answers."""
    with pytest.raises(TypeError, match="has no name that tells its results from others'; define it with def, or pass"):
        cache.memoize()(function)


def test_lambdas_partial_functions_and_callable_objects_may_be_told_apart_by_scope(cache):
    def ask(question, model):
        return f"{question} to {model}"

    small = cache.memoize(scope="small")(functools.partial(ask, model="small"))
    large = cache.memoize(scope="large")(functools.partial(ask, model="large"))
    assert (small("q"), large("q"), small("q")) == ("q to small", "q to large", "q to small")
    assert cache.memoize(scope={"asker": 1})(Asker())("q") == "object q"
    assert cache.memoize(scope="one")(lambda question: "one")("q") == "one"
    assert cache.memoize(scope="two")(lambda question: "two")("q") == "two"


def test_the_decorated_function_looks_like_the_function(ask):
    assert (ask.__name__, ask.__doc__) == ("ask", "Answer a question.")
    assert ask.__qualname__.endswith("ask.<locals>.ask")
    assert ask.__wrapped__("q", "large") == "answer 1"
    assert ask("q", "large") == "answer 2"  # the call of the function itself left nothing behind


# --- values ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [None, "a text", b"", 0, 0.0, False, [], {}, {"deep": [None, {"a": 1.5}]}])
def test_every_value_comes_back_as_it_was(cache, calls, value):
    @cache.memoize()
    def ask(question):
        calls.append(question)
        return value

    for _ in range(3):
        assert ask("q") == value
        assert type(ask("q")) is type(value)
    assert len(calls) == 1
    assert ask.cache_info() == CacheInfo(hits=5, misses=1)


def test_a_value_that_is_changed_by_its_caller_is_unchanged_for_the_next(cache):
    ask = cache.memoize(scope="s")(lambda question: {"answers": [question]})
    for _ in range(3):
        value = ask("q")
        assert value == {"answers": ["q"]}
        value["answers"].append("changed")


@pytest.mark.parametrize("value", ["", "   ", "[ERROR] down", "[LLM Error] down"])
def test_what_the_validator_refuses_is_returned_and_not_stored(cache, calls, value):
    @cache.memoize()
    def ask(question):
        calls.append(question)
        return value

    assert ask("q") == ask("q") == value
    assert len(calls) == 2
    assert cache.stats().entries == 0
    assert ask.cache_info() == CacheInfo(hits=0, misses=2)


def test_what_cannot_be_stored_is_returned_all_the_same(cache):
    values = []
    ask = cache.memoize(scope="s")(lambda question: values.append(object()) or values[-1])
    assert ask("q") is values[0]
    assert ask("q") is values[1]


def test_exceptions_are_raised_and_not_stored(cache, calls):
    @cache.memoize()
    def ask(question):
        calls.append(question)
        if len(calls) == 1:
            raise LookupError("the model is down")
        return "answer"

    with pytest.raises(LookupError, match="down"):
        ask("q")
    assert ask("q") == ask("q") == "answer"
    assert len(calls) == 2
    assert ask.cache_info() == CacheInfo(hits=1, misses=1)


# --- what a decorated function can do --------------------------------------------------------------------------------


def test_invalidate_removes_what_is_stored_for_one_call(ask, calls):
    assert ask("q") == "answer 1"
    assert ask("q", "large") == "answer 2"
    assert ask.invalidate("q", model="small") is True
    assert ask.invalidate("q") is False
    assert ask.invalidate("never asked") is False
    assert ask("q", "large") == "answer 2"
    assert ask("q") == "answer 3"


def test_refresh_computes_anew_and_replaces(cache, ask, calls):
    assert ask("q") == "answer 1"
    assert ask.refresh("q") == "answer 2"
    assert ask("q") == "answer 2"
    assert ask.refresh("never asked") == "answer 3"
    assert ask("never asked") == "answer 3"
    assert cache.stats().entries == 2
    assert ask.cache_info() == CacheInfo(hits=2, misses=3)


def test_options_reach_the_cache(cache, clock, calls):
    @cache.memoize(tags=("weather",), **LASTS)
    def ask(question):
        calls.append(question)
        if len(calls) == 2:
            raise LookupError("the model is down")
        return f"answer {len(calls)}"

    assert ask("q") == "answer 1"
    [entry] = cache.entries(tags=["weather"])
    assert entry.expires_at == clock.now() + 10
    clock.advance(15)
    assert ask("q") == "answer 1"  # stale, because computing failed
    assert ask("q") == "answer 3"
    assert cache.invalidate(tags=["weather"]) == 1
    assert ask("q") == "answer 4"


def test_jitter_reaches_the_cache(cache, clock):
    ask = cache.memoize(scope="s", ttl=100, jitter=0.5)(lambda question: "answer")
    for number in range(20):
        ask(f"question {number}")
    assert len({entry.expires_at for entry in cache.entries()}) > 5
    assert all(clock.now() + 50 <= entry.expires_at <= clock.now() + 100 for entry in cache.entries())


@pytest.mark.parametrize(("single_flight", "waits"), [("semantic", True), ("exact", False)])
def test_paraphrases_wait_if_the_option_says_so(cache_path, single_flight, waits):
    with SemanticCache(cache_path, ScriptedEmbedder({"twin": [1, 0], "paraphrase": [0.96, 0.28]})) as cache:
        waiters, compute = Waiters(cache), Gate("answer")
        ask = cache.memoize(scope="s", single_flight=single_flight)(lambda question: compute())
        futures = [start(ask, "twin")]
        compute.wait_for_calls(1)
        futures.append(start(ask, "paraphrase"))
        if waits:
            waiters.wait_for(twins=1)
        else:
            compute.wait_for_calls(2)
        compute.open()
        assert outcomes(futures) == ["answer", "answer"]
        assert compute.calls == (1 if waits else 2)


def test_sixteen_threads_run_the_function_once(cache):
    waiters, compute = Waiters(cache), Gate("answer")
    ask = cache.memoize(scope="s")(lambda question: compute())
    futures = [start(ask, "q")]
    compute.wait_for_calls(1)
    futures += [start(ask, "q") for _ in range(15)]
    waiters.wait_for(followers=15)
    compute.open()
    assert outcomes(futures) == ["answer"] * 16
    assert ask.cache_info() == CacheInfo(hits=15, misses=1)


def test_a_memoized_function_may_call_itself(cache):
    @cache.memoize(query="text")
    def countdown(text, number):
        return text if number == 0 else countdown(text, number - 1) + "!"

    assert start(countdown, "go", 5).result(PATIENCE) == "go!!!!!"
    assert cache.stats().entries == 6


# --- the awaited face ------------------------------------------------------------------------------------------------


@pytest.fixture
def awaited(cache_path, clock):
    return AsyncSemanticCache(cache_path, HashEmbedder(), clock=clock)


async def test_coroutine_functions_are_memoized(awaited, calls):
    async with awaited as cache:

        @cache.memoize()
        async def ask(question, model="small"):
            """Answer a question."""
            calls.append(question)
            await asyncio.sleep(0)
            return None if model == "none" else f"answer {len(calls)}"

        assert await ask("q") == await ask("Q ") == await ask(question="q", model="small") == "answer 1"
        assert await ask("q", "large") == "answer 2"
        assert [await ask("q", "none"), await ask("q", "none")] == [None, None]
        assert await ask.refresh("q") == "answer 4"
        assert await ask("q") == "answer 4"
        assert await ask.invalidate("q") is True
        assert await ask.invalidate("q") is False
        assert await ask("q") == "answer 5"
        assert ask.cache_info() == CacheInfo(hits=4, misses=5)
        assert (ask.__name__, ask.__doc__) == ("ask", "Answer a question.")
        assert await ask.__wrapped__("q") == "answer 6"


async def test_a_plain_function_is_awaited_on_the_awaited_face(awaited, calls):
    """It runs in a thread, so that it does not hold up the loop."""
    async with awaited as cache:
        compute = Gate("answer")
        ask = cache.memoize(scope="s")(lambda question: compute())
        task = asyncio.ensure_future(ask("q"))
        await until(lambda: compute.calls)
        compute.open()
        assert await task == await ask("q") == "answer"
        assert compute.calls == 1


async def test_a_method_may_be_a_coroutine_function(awaited):
    async with awaited as cache:

        class Model:
            @cache.memoize(ignore=("self",))
            async def ask(self, question):
                return f"answer to {question}"

        assert await Model().ask("q") == await Model().ask("Q") == "answer to q"
        assert Model.ask.cache_info() == CacheInfo(hits=1, misses=1)


async def test_exceptions_of_coroutine_functions_are_not_stored(awaited, calls):
    async with awaited as cache:

        @cache.memoize()
        async def ask(question):
            calls.append(question)
            raise LookupError("the model is down")

        for _ in range(2):
            with pytest.raises(LookupError, match="down"):
                await ask("q")
        assert len(calls) == 2


async def test_sixteen_tasks_run_the_function_once(awaited, calls):
    async with awaited as cache:

        @cache.memoize(tags=("t",))
        async def ask(question):
            calls.append(question)
            await asyncio.sleep(0.001)
            return "answer"

        assert await asyncio.gather(*(ask("q") for _ in range(16))) == ["answer"] * 16
        assert len(calls) == 1
        assert await cache.invalidate(tags=["t"]) == 1
