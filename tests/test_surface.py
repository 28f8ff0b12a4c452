"""What `import mneme` offers, that both faces of the cache offer the same, and that the log has events."""

import ast
import inspect
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import mneme
import mneme.errors
import mneme.types
from mneme.errors import MnemeError
from mneme.guards import DEFAULT_GUARDS
from mneme.log import EVENTS

SOURCE = Path(mneme.__file__).parents[1]

# --- the module ------------------------------------------------------------------------------------------------------


def test_all_is_sorted_and_names_each_thing_once():
    assert list(mneme.__all__) == sorted(set(mneme.__all__))


def test_all_is_what_the_module_exposes():
    exposed = {name for name, value in vars(mneme).items() if not name.startswith("_") and not ignorable(value)}
    offered = {name for name in mneme.__all__ if not name.startswith("_")}
    assert exposed <= offered, f"exposed, but not in __all__: {sorted(exposed - offered)}"
    missing = [name for name in mneme.__all__ if not hasattr(mneme, name)]  # some may load on first use
    assert not missing, f"in __all__, but not there: {missing}"


def ignorable(value):
    """Submodules that were imported, and `from __future__ import annotations`."""
    return isinstance(value, ModuleType) or type(value).__module__ == "__future__"


def test_the_names_of_the_contract_are_there():
    promised = {
        *("SemanticCache", "AsyncSemanticCache", "MemoryStore", "SQLiteStore"),
        *("Hit", "Entry", "Stats", "Health", "Embedder", "AsyncEmbedder", "Store", "Index"),
        *("as_embedder", "to_sync_embedder", "to_async_embedder", "half_life"),
    }
    assert promised <= set(mneme.__all__)


def test_every_public_class_and_function_has_a_docstring():
    undocumented = [
        name
        for name in mneme.__all__
        if inspect.isroutine(value := getattr(mneme, name)) or inspect.isclass(value)
        # A dataclass without a docstring gets its signature for one.
        if not (doc := inspect.getdoc(value)) or doc.startswith(f"{name}(")
    ]
    assert not undocumented


def test_every_error_is_exported_and_a_child_of_the_root():
    errors = {name for name, value in vars(mneme.errors).items() if inspect.isclass(value)}
    assert errors == set(mneme.errors.__all__)
    assert errors <= set(mneme.__all__)
    for name in errors:
        assert issubclass(getattr(mneme, name), MnemeError)


def test_every_result_type_is_exported():
    results = {name for name in mneme.types.__all__ if inspect.isclass(getattr(mneme.types, name))}
    assert results <= set(mneme.__all__)


def test_import_brings_in_numpy_and_the_standard_library_alone():
    script = (
        "import sys, numpy\n"
        "before = set(sys.modules)\n"
        "import mneme\n"
        "new = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
        "print(*sorted(new - set(sys.stdlib_module_names)))\n"
    )
    environment = os.environ | {"PYTHONPATH": str(SOURCE)}
    command = [sys.executable, "-W", "error", "-c", script]
    done = subprocess.run(
        command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert set(done.stdout.split()) - {"numpy"} == {"mneme"}


# --- both faces ------------------------------------------------------------------------------------------------------

# In the order of the documentation.
VERBS = (
    *("get", "get_many", "lookup", "explain", "put", "put_many", "get_or_compute", "memoize", "delete", "invalidate"),
    *("clear", "clear_namespace", "list_namespaces", "vacuum", "compact", "stats", "health", "requantize"),
    *("has_embedder", "similarity_threshold", "set_similarity_threshold", "dumps", "loads", "close"),
)
# None of these takes time: they are not awaited on the async face either.
NOT_AWAITED = {"has_embedder", "memoize", "similarity_threshold", "set_similarity_threshold"}

# Save `validator`: how its default is spelt is not part of the promise.
OPTIONS = {
    "path": None,
    "embedder": None,
    "store": None,
    "similarity_threshold": 0.85,
    "default_ttl": None,
    "max_entries": None,
    "namespace_quotas": None,
    "confidence_fn": None,
    "min_confidence": None,
    "metrics_hook": None,
    "normalize": True,
    "index_backend": "auto",
    "index_options": None,
    "vector_dtype": "float32",
    "multi_process_mode": "single",
    "stale_check_interval": 0.5,
    "on_store_error": "raise",
    "hot_bytes": 64 * 2**20,
    "max_query_bytes": 32_768,
    "max_response_bytes": 4 * 2**20,
    "max_metadata_bytes": 65_536,
    "value_eq": None,
    "value_contrast": False,
    "alias_threshold": None,
    "eviction": "lru",
    "guards": DEFAULT_GUARDS,
    "audit_rate": 0.0,
    "max_false_hit_rate": None,
    "on_alarm": "tighten",
}


def members(face):
    return {name: inspect.getattr_static(face, name) for name in dir(face) if not name.startswith("_")}


def test_both_faces_have_the_same_verbs_and_the_promised_ones_are_among_them():
    sync, asynchronous = members(mneme.SemanticCache), members(mneme.AsyncSemanticCache)
    assert sync.keys() == asynchronous.keys()
    assert set(VERBS) <= sync.keys()


def test_the_constructor_takes_the_promised_options():
    parameters = inspect.signature(mneme.SemanticCache).parameters
    defaults = {name: parameters[name].default for name in OPTIONS if name in parameters}
    assert defaults == OPTIONS
    assert "validator" in parameters
    positional = [name for name, parameter in parameters.items() if parameter.kind is not parameter.KEYWORD_ONLY]
    assert positional == ["path", "embedder"]


@pytest.mark.parametrize("verb", ["__init__", *VERBS])
def test_both_faces_take_and_give_the_same(verb):
    sync, asynchronous = (function_of(face, verb) for face in (mneme.SemanticCache, mneme.AsyncSemanticCache))
    assert described(sync) == described(asynchronous)


def test_no_verb_escapes_the_comparison():
    """Verbs that the promise does not list are compared as well."""
    for verb in sorted(members(mneme.SemanticCache).keys() - set(VERBS)):
        sync, asynchronous = (function_of(face, verb) for face in (mneme.SemanticCache, mneme.AsyncSemanticCache))
        assert described(sync) == described(asynchronous), verb
        assert inspect.getdoc(sync) == inspect.getdoc(asynchronous), verb
        assert inspect.iscoroutinefunction(asynchronous), verb


@pytest.mark.parametrize("verb", VERBS)
def test_both_faces_say_the_same_of_a_verb(verb):
    sync, asynchronous = (function_of(face, verb) for face in (mneme.SemanticCache, mneme.AsyncSemanticCache))
    assert inspect.getdoc(sync)
    assert inspect.getdoc(sync) == inspect.getdoc(asynchronous)


@pytest.mark.parametrize("verb", VERBS)
def test_what_takes_time_is_awaited_on_the_async_face_alone(verb):
    assert not inspect.iscoroutinefunction(function_of(mneme.SemanticCache, verb))
    assert inspect.iscoroutinefunction(function_of(mneme.AsyncSemanticCache, verb)) == (verb not in NOT_AWAITED)


def test_both_faces_are_context_managers():
    assert {"__enter__", "__exit__"} <= set(dir(mneme.SemanticCache))
    assert {"__aenter__", "__aexit__"} <= set(dir(mneme.AsyncSemanticCache))
    assert "__enter__" not in dir(mneme.AsyncSemanticCache)
    assert "__aenter__" not in dir(mneme.SemanticCache)


@pytest.mark.parametrize(
    ("sync", "asynchronous"),
    [
        ("Hit | None", "Hit | None"),
        ("Callable[[str], T]", "Callable[[str], Awaitable[T]]"),
        ("Callable[[str], T]", "Callable[[str], T | Awaitable[T]]"),
        ("Embedder | None", "Embedder | AsyncEmbedder | None"),
        ("SemanticCache", "AsyncSemanticCache"),
        ("Callable[P, R]", "Callable[P, Coroutine[Any, Any, R]]"),
    ],
)
def test_annotations_are_compared_without_regard_to_colour(sync, asynchronous):
    assert colourless(sync) == colourless(asynchronous)


def test_annotations_that_differ_otherwise_are_told_apart():
    assert colourless("Hit | None") != colourless("Hit")
    assert colourless("list[Hit]") != colourless("list[Entry]")


# --- the log ---------------------------------------------------------------------------------------------------------


LEVELS = {"debug", "info", "warning", "error", "exception", "critical", "log"}


def test_whatever_is_logged_has_an_event():
    bare = [
        f"{file}:{line}: pass extra=log_fields(...) of mneme.log, with one of its EVENTS (docs/logging.md)"
        for file in sorted(SOURCE.glob("mneme/**/*.py"))
        for line in bare_calls(file.read_text(encoding="utf-8"))
    ]
    assert not bare, "\n".join(bare)


def bare_calls(source):
    """The line of every call of a logger that is given no `extra=log_fields("event", ...)`, there or just before."""
    for function in ast.walk(ast.parse(source)):
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        made = {
            target.id
            for node in ast.walk(function)
            if isinstance(node, ast.Assign) and is_fields(node.value)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        for node in ast.walk(function):
            if is_logging(node):
                extra = next((word.value for word in node.keywords if word.arg == "extra"), None)
                if not (is_fields(extra) or (isinstance(extra, ast.Name) and extra.id in made)):
                    yield node.lineno


def is_logging(node):
    match node:
        case ast.Call(func=ast.Attribute(attr=level, value=ast.Name(id=name))):
            return level in LEVELS and name in {"logger", "_logger", "log", "_log", "logging"}
    return False


def is_fields(node):
    match node:
        case ast.Call(func=ast.Name(id="log_fields"), args=[ast.Constant(value=event)]):
            return event in EVENTS
    return False


@pytest.mark.parametrize(
    "call",
    [
        'logger.warning("it rains")',
        'logging.warning("it rains")',
        'logger.exception("it rains", extra={"mneme_event": "alarm"})',
        'logger.info("it rains", extra=log_fields("rain"))',
        'logger.info("it rains", extra=extra)',
    ],
)
def test_a_bare_call_is_found(call):
    assert len(list(bare_calls(f"def f():\n    {call}"))) == 1
    assert not list(bare_calls(f"def f():\n    extra = log_fields('alarm')\n    {with_fields(call)}"))


def with_fields(call):
    return re.sub(r"(, extra=.*)?\)$", ", extra=extra)", call)


def test_every_event_is_sent_somewhere():
    sent = set()
    for file in SOURCE.glob("mneme/**/*.py"):
        sent.update(re.findall(r'log_fields\(\s*"([a-z_]+)"', file.read_text(encoding="utf-8")))
    assert sent == set(EVENTS)


# --- comparing -------------------------------------------------------------------------------------------------------


def function_of(face, verb):
    member = inspect.getattr_static(face, verb)
    if isinstance(member, property):
        return member.fget
    return getattr(member, "__func__", member)


def described(function):
    """Names, kinds, defaults and colourless annotations of all parameters, and of the result."""
    signature = inspect.signature(function)
    parameters = [
        (parameter.name, parameter.kind.description, repr(parameter.default), colourless(parameter.annotation))
        for parameter in signature.parameters.values()
    ]
    return parameters, colourless(signature.return_annotation)


def colourless(annotation):
    """An annotation as text, with `Awaitable[X]` and `AsyncX` read as `X`, and unions in order without repetition."""
    if annotation is inspect.Parameter.empty:
        return ""
    text = annotation if isinstance(annotation, str) else re.sub(r"<class '(.*)'>", r"\1", repr(annotation))
    return ast.unparse(Colourless().visit(ast.parse(text, mode="eval").body))


class Colourless(ast.NodeTransformer):
    def visit_Name(self, node):
        return ast.Name(id=node.id.removeprefix("Async"))

    def visit_Subscript(self, node):
        node = self.generic_visit(node)
        match node:
            case ast.Subscript(value=ast.Name(id="Awaitable"), slice=inner):
                return inner
            case ast.Subscript(value=ast.Name(id="Coroutine"), slice=ast.Tuple(elts=[_, _, inner])):
                return inner
        return node

    def visit_BinOp(self, node):
        node = self.generic_visit(node)
        members = sorted(set(ast.unparse(node).split(" | ")))
        return ast.parse(" | ".join(members), mode="eval").body
