"""Every flow is failed at its n-th port call, for every n, before and after the call did its work.

What must hold whatever happens: the exception is the promised one, or the failure is not felt; when the fault is gone
the cache is sound; what was acknowledged is there; nothing is there by halves; nothing that was replaced or removed
answers.
"""

import itertools
from dataclasses import dataclass, field

import pytest

from engine.bench import Bench, response, totals
from faces.adapter import Compass, on
from mneme import MemoryStore, SQLiteStore, StoreBackendError
from mneme._engine import notes
from mneme._rules.watching import State, dumped
from mneme._runtime.drive import complete


def known_twenty_apart(bench):
    for number in range(4):
        bench.put(f"question @{number * 20}", f"answer {number}")


@dataclass
class Flow:
    """A flow to be failed."""

    run: object
    """Called with the bench."""
    after: object = dict
    """What is stored when it is done, made from what was known before."""
    setup: object = known_twenty_apart
    options: dict = field(default_factory=dict)
    lookups: int = 0
    """How many lookups it counts."""
    partly: tuple = ()
    """Other states that are whole: the entry is stored but the eviction that goes with it did not happen."""
    result: object = None
    """What it returns."""
    unfelt: dict = field(default_factory=dict)
    """Names of port calls, with a number if only the first, second, ... is meant, at which a failure of this class is
    not felt."""
    calls: bool = True
    """Whether it calls any port at all."""
    instead: dict = field(default_factory=dict)
    """What is returned when a failure at this call is not felt, where that is not `result`."""


def get_expired(bench):
    bench.clock.advance(10)
    return response(bench.cache.get("mortal @100"))


def with_a_mortal(bench):
    known_twenty_apart(bench)
    bench.put("mortal @100", "soon gone", ttl=5)
    bench.dead.add("mortal @100")


def with_a_refused(bench):
    known_twenty_apart(bench)
    bench.put("refused @100", "not for long")
    bench.options["validator"].add("not for long")
    bench.dead.add("refused @100")


def with_a_rejection(bench):
    known_twenty_apart(bench)
    bench.cache.reject(("other @300", "question @20"))


def with_an_alarm(bench):
    """Which has raised the threshold to what all that is asked afterwards reaches."""
    known_twenty_apart(bench)
    core = bench.cache._core
    flow = notes.write_all(core, [("raised", "default", "0.9"), ("watch", "default", dumped(State(alarmed_at=1.0)))])
    bench.face.run(flow) if bench.face.name == "async" else complete(flow)


def flush_due(bench):
    """A miss after a minute: access times are written."""
    for query in bench.known:
        assert bench.cache.get(query)
    bench.clock.advance(61)
    return response(bench.cache.get("nothing @300"))


def without(*queries):
    return lambda known: {query: answer for query, answer in known.items() if query not in queries}


def having(**more):
    return lambda known: {**known, **{query.replace("_", " @"): answer for query, answer in more.items()}}


HOUSEKEEPING = dict.fromkeys(["store.delete", "store.record", "index.remove"], StoreBackendError)
EMBEDDER = {"embedder.embed": Exception, "embedder.embed_many": Exception}
LOOKING = {"store.read": StoreBackendError, "index.search": StoreBackendError}

FLOWS = {
    "get, exact": Flow(
        lookups=1, run=lambda b: response(b.cache.get("question @20")), result=("answer 1", "exact"), calls=False
    ),
    "get, exact, cold": Flow(
        lookups=1,
        run=lambda b: response(b.cache.get("question @20")),
        options={"hot_bytes": 0},
        result=("answer 1", "exact"),
    ),
    "get, semantic": Flow(
        lookups=1,
        run=lambda b: response(b.cache.get("other @21")),
        result=("answer 1", "semantic"),
        unfelt=EMBEDDER,
        instead={"embedder.embed": None},
    ),
    "get, semantic, int8": Flow(
        lookups=1,
        run=lambda b: response(b.cache.get("other @21")),
        options={"vector_dtype": "int8"},
        result=("answer 1", "semantic"),
        unfelt=EMBEDDER,
        instead={"embedder.embed": None},
    ),
    "get, miss": Flow(lookups=1, run=lambda b: response(b.cache.get("other @300")), unfelt=EMBEDDER),
    "get, expired": Flow(
        lookups=1, run=get_expired, setup=with_a_mortal, after=without("mortal @100"), unfelt=HOUSEKEEPING | EMBEDDER
    ),
    "get, refused": Flow(
        lookups=1,
        run=lambda b: response(b.cache.get("refused @100")),
        setup=with_a_refused,
        after=without("refused @100"),
        unfelt=HOUSEKEEPING | EMBEDDER | {"store.read 3": StoreBackendError},  # makes sure of what is removed
    ),
    "get, flushing": Flow(lookups=5, run=flush_due, unfelt=HOUSEKEEPING | EMBEDDER),
    "get_many": Flow(
        lookups=3,
        run=lambda b: [response(hit) for hit in b.cache.get_many(["question @0", "other @21", "other @300"])],
        result=[("answer 0", "exact"), ("answer 1", "semantic"), None],
        unfelt=EMBEDDER,
        instead={"embedder.embed_many": [("answer 0", "exact"), None, None]},
    ),
    "lookup": Flow(
        lambda b: [hit.response for hit in b.cache.lookup("other @21", k=1)],
        result=["answer 1"],
        unfelt=EMBEDDER,
        instead={"embedder.embed": []},
    ),
    "explain": Flow(
        lambda b: b.cache.explain("other @21", k=1).reason,
        result="hit_semantic",
        unfelt=EMBEDDER,
        instead={"embedder.embed": "embedder_failure"},
    ),
    "entries": Flow(lambda b: len(b.cache.entries()), result=4),
    "put, new": Flow(lambda b: b.cache.put("question @100", "new"), after=having(question_100="new"), result=True),
    "put, replacing": Flow(
        lambda b: b.cache.put("question @20", "newer"), after=having(question_20="newer"), result=True
    ),
    "put, elsewhere": Flow(  # an equal query whose vector is another's: the old one must not answer
        lambda b: b.cache.put("question @20", "newer", embedding=Compass().embed("@20.2")),
        after=having(question_20="newer"),
        result=True,
    ),
    "put, exact layer alone": Flow(
        lambda b: b.cache.put("question @long", "new"), after=having(question_long="new"), result=True
    ),
    "put_many": Flow(
        lambda b: b.cache.put_many([("question @20", "newer"), ("question @100", "new"), ("question @120", "too")]),
        after=having(question_20="newer", question_100="new", question_120="too"),
        result=3,
    ),
    "put, evicting": Flow(
        lambda b: b.cache.put("question @100", "new"),
        options={"max_entries": 4},
        after=lambda known: having(question_100="new")(without("question @0")(known)),
        partly=(having(question_100="new"),),
        result=True,
        unfelt=HOUSEKEEPING,
    ),
    "put, evicting by quota": Flow(
        lambda b: b.cache.put("question @100", "new"),
        options={"namespace_quotas": {"default": 4}, "max_entries": 100},
        after=lambda known: having(question_100="new")(without("question @0")(known)),
        partly=(having(question_100="new"),),
        result=True,
        unfelt=HOUSEKEEPING,
    ),
    "put, flushing": Flow(
        lambda b: b.clock.advance(61) or b.cache.put("question @100", "new"),
        after=having(question_100="new"),
        result=True,
        unfelt=HOUSEKEEPING,
    ),
    "delete": Flow(lambda b: b.cache.delete("question @20"), after=without("question @20"), result=True),
    "reject": Flow(
        lambda b: b.cache.reject(("other @300", "question @20")),
        result=True,
        unfelt={"store.read": StoreBackendError, "store.write 2": StoreBackendError},  # counting it
    ),
    "reject, exact": Flow(
        lookups=1,
        run=lambda b: b.cache.reject(b.cache.get("question @20")),
        after=without("question @20"),
        result=True,
        unfelt={"store.read 3": StoreBackendError, "store.write": StoreBackendError},
    ),
    "confirm, lifting": Flow(
        lambda b: b.cache.confirm(("other @300", "question @20")),
        setup=with_a_rejection,
        result=True,
        unfelt={"store.read": StoreBackendError, "store.write": StoreBackendError},
    ),
    "watch": Flow(lambda b: b.cache.watch().audits, result=0),
    "reset_alarm": Flow(lambda b: b.cache.reset_alarm(), setup=with_an_alarm, result=True),
    "invalidate": Flow(
        lambda b: b.cache.invalidate(older_than=1.5),
        after=without("question @0", "question @20", "question @40"),
        result=3,
    ),
    "clear": Flow(lambda b: b.cache.clear(), after=lambda known: {}, result=4),
    "vacuum": Flow(
        lambda b: b.clock.advance(10) or b.cache.vacuum(), setup=with_a_mortal, after=without("mortal @100"), result=1
    ),
    "get_or_compute, hit": Flow(
        lookups=1,
        run=lambda b: b.cache.get_or_compute("other @21", lambda query: "computed"),
        result="answer 1",
        unfelt=EMBEDDER | LOOKING,
        instead={"embedder.embed": "computed", "store.read": "computed", "index.search": "computed"},
    ),
    "get_or_compute": Flow(
        lookups=1,
        run=lambda b: b.cache.get_or_compute("question @100", lambda query: "computed"),
        after=having(question_100="computed"),
        result="computed",
        unfelt=EMBEDDER | LOOKING | {"store.write": Exception, "index.add": Exception},
    ),
    "get_or_compute, bypass": Flow(
        lookups=1,
        run=lambda b: b.cache.get_or_compute("question @20", lambda query: "computed", bypass=True),
        after=having(question_20="computed"),
        result="computed",
        unfelt=EMBEDDER | {"store.write": Exception, "index.add": Exception},
    ),
    "requantize": Flow(lambda b: b.cache.requantize("int8")),
    "requantize, to another index": Flow(lambda b: b.cache.requantize("int8"), options={"index_backend": "auto"}),
    "compact": Flow(lookups=1, run=lambda b: b.cache.get("question @0") and b.cache.compact() * 0, result=0),
    "health": Flow(
        lambda b: b.cache.health().healthy,
        result=True,
        unfelt={"store.summary": StoreBackendError},
        instead={"store.summary": False},
    ),
    "check": Flow(lambda b: b.cache.check(), result=[]),
    "stats": Flow(lambda b: b.cache.stats().entries, result=4),
    "list_namespaces": Flow(lambda b: b.cache.list_namespaces(), result=["default"]),
}

WAYS = {
    "store error": (StoreBackendError("the disk is full"), False),
    "unexpected error": (RuntimeError("unexpected"), False),
    "out of memory": (MemoryError(), False),
    "interrupt": (KeyboardInterrupt(), False),
    "unexpected error afterwards": (RuntimeError("unexpected"), True),
    "interrupt afterwards": (KeyboardInterrupt(), True),
}


class Refusing(set):
    """A validator that refuses what it holds."""

    def __call__(self, answer):
        return answer not in self


def prepared(flow, face, store):
    bench = Bench(face, store, **{"validator": Refusing(), **flow.options})
    bench.open()
    flow.setup(bench)
    return bench


def fail_everywhere(flow, error, *, after, face_name="sync", directory=None):
    """Run the flow again and again, failing one call later each time, until none is left to fail; how many were."""
    for position in itertools.count(1):
        path = directory and directory / f"{position}.db"
        with on(face_name) as face:
            bench = prepared(flow, face, SQLiteStore(path) if path else MemoryStore())
            try:
                before = bench.counted()
                bench.faults.arm({position}, error=error, after=after)
                outcome, raised = None, None
                try:
                    outcome = flow.run(bench)
                except BaseException as caught:  # noqa: BLE001 -- an interrupt is among what is thrown
                    raised = caught
                bench.faults.lift()
                fired = list(bench.faults.fired)
                lookups = bench.counted() - before
                judge(flow, bench, position, outcome=outcome, raised=raised, error=error, after=after)
                twice = fired == ["store.record"] and after
                if twice:
                    assert lookups >= flow.lookups  # nobody can know whether what failed was written
                else:
                    assert lookups in ({0, flow.lookups - 1, flow.lookups} if raised else {flow.lookups})
                bench.left = bench.state(), totals(bench.cache)
            finally:
                bench.faults.lift()
                bench.cache.close()
            if path:
                bench.verify_again(path, counters=not twice)
        if not fired:
            return position - 1
    return None


def judge(flow, bench, position, *, outcome, raised, error, after):
    """Whether the failure of the call in this position had the consequences it should have."""
    if not bench.faults.fired:
        assert raised is None
        assert outcome == flow.result
        bench.verify([flow.after(bench.known)])
        return
    [call] = bench.faults.fired
    number = bench.faults.calls[:position].count(call)
    before, done = bench.known, flow.after(bench.known)
    whole = [before, done, *(make(bench.known) for make in flow.partly)]
    if any(isinstance(error, flow.unfelt.get(name, ())) for name in (call, f"{call} {number}")):
        assert raised is None, f"a failure of {call} was felt"
        if call in flow.instead and not after:
            assert outcome == flow.instead[call]
        bench.verify(whole)
        return
    assert raised is error, f"a failure of {call} did not come through"
    if isinstance(error, StoreBackendError) and call in {"store.write", "store.delete"}:
        whole = [before]  # which is what a store promises when it raises its own error
    bench.verify(whole)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", FLOWS)
def test_a_flow_survives_a_failure_at_any_port_call(name, way):
    error, after = WAYS[way]
    flow = FLOWS[name]
    assert bool(fail_everywhere(flow, error, after=after)) == flow.calls


@pytest.mark.parametrize("way", ["store error", "unexpected error afterwards"])
@pytest.mark.parametrize("name", FLOWS)
def test_a_flow_of_the_async_face_does_too(name, way):
    error, after = WAYS[way]
    flow = FLOWS[name]
    assert bool(fail_everywhere(flow, error, after=after, face_name="async")) == flow.calls


@pytest.mark.parametrize("way", ["store error", "interrupt afterwards"])
@pytest.mark.parametrize("name", FLOWS)
def test_what_is_in_the_file_afterwards_is_what_the_cache_held(name, way, tmp_path):
    error, after = WAYS[way]
    flow = FLOWS[name]
    assert bool(fail_everywhere(flow, error, after=after, directory=tmp_path)) == flow.calls
