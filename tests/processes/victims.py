"""What the processes do that are killed, starved of disk space or set against each other. Runs outside pytest."""

import json
import os
import random
import resource
import signal
import sys
from pathlib import Path

from mneme import SemanticCache, SQLiteStore, StoreBackendError
from mneme.testing import HashEmbedder

CAP = 40


class TickingClock:
    """Never gives the same time twice, so that which entry was used longest ago is certain. Later rounds are later."""

    def __init__(self, number):
        self.time = 1_700_000_000.0 + 10_000.0 * number

    def now(self):
        self.time += 0.001
        return self.time


def say(*words):
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


def open_cache(path, number, *, evicting):
    return SemanticCache(path, HashEmbedder(), clock=TickingClock(number), max_entries=CAP if evicting else None)


def steps(number):
    """What the victim of one round does, for ever: a verb, and the queries that it writes or removes."""
    draw = random.Random(number)
    known = []
    count = 0
    while True:
        verb = draw.choices(["put", "get_or_compute", "put_many", "delete", "invalidate"], [8, 4, 4, 2, 1])[0]
        if verb in ("delete", "invalidate"):
            if known:
                yield verb, [draw.choice(known)]
            continue
        size = draw.choice([2, 5, 30]) if verb == "put_many" else 1
        queries = []
        for _ in range(size):
            again = known and verb != "get_or_compute" and draw.random() < 0.2
            count += not again
            queries.append(draw.choice(known) if again else f"query {count} of round {number} and word{count}x{number}")
        queries = list(dict.fromkeys(queries))
        known += [query for query in queries if query not in known]
        yield verb, queries


def value_of(query, number, step):
    """Which write of which round a response comes from, and long enough for the log to be carried over at times."""
    return f"{number}/{step}/{query}/" + "x" * (200 + 37 * step % 1500)


def place_of(query):
    """Namespace and scope depend on the query alone."""
    draw = random.Random(query)
    return {"namespace": draw.choice(["default", "b"]), "scope": draw.choice([None, "s", {"model": 1}])}


def write_until_killed(path, number, evicting):
    cache = open_cache(path, number, evicting=evicting)
    say("opened")
    for step, (verb, queries) in enumerate(steps(number), 1):
        values = {query: value_of(query, number, step) for query in queries}
        [first, *_] = queries
        if verb == "put":
            cache.put(first, values[first], tags=(first,), **place_of(first))
        elif verb == "get_or_compute":
            cache.get_or_compute(first, values.get, tags=(first,), similarity_threshold=1.0, **place_of(first))
        elif verb == "put_many":
            cache.put_many(
                {"query": query, "response": value, "tags": (query,), **place_of(query)}
                for query, value in values.items()
            )
        elif verb == "delete":
            cache.delete(first, **place_of(first))
        else:
            cache.invalidate(tags=[first])
        say("done", step)


def serve():
    """Fork a victim for each line read, so that Python and NumPy are started once and not a thousand times."""
    for line in sys.stdin:
        path, number, evicting = line.rstrip("\n").split("\t")
        pid = os.fork()
        if pid == 0:
            try:
                write_until_killed(path, int(number), evicting == "True")
            except BaseException as error:  # noqa: BLE001 -- whatever it is, the parent shall hear of it
                say("failed", repr(error))
            finally:
                os._exit(1)
        say("pid", pid)
        os.waitpid(pid, 0)
        say("end")


# --- a full disk -----------------------------------------------------------------------------------------------------


def run_out_of_space(path):
    """Let no file grow any further, look what still works, and lift the limit again."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    cache = SemanticCache(path, HashEmbedder())
    kept = {f"early question {n}": "x" * 500 + str(n) for n in range(20)}
    cache.put_many(kept.items())
    largest = max(Path(path + suffix).stat().st_size for suffix in ("", "-wal"))
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest + 20_000, hard))
    errors = []
    for n in range(100):
        error = refusal(cache, "put", f"question {n} for the last space", "y" * 2000)
        if error is None:
            kept[f"question {n} for the last space"] = "y" * 2000
        else:
            errors.append(error)
    assert errors, "the limit was not felt"
    for verb, *arguments in [
        ("put", "early question 3", "replaced" * 400),
        ("put_many", [(f"batch {n}", "z" * 2000) for n in range(20)]),
    ]:
        error = refusal(cache, verb, *arguments)
        assert error, f"{verb} found some space"
        errors.append(error)
    assert cache.get_or_compute("a computed question", lambda _: "computed" * 400) == "computed" * 400
    assert cache.get_or_compute("a computed question", lambda _: "anew" * 800) == "anew" * 800, "it was not stored"
    still_answers(cache, kept)
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    for query in ("after the flood", "early question 3"):
        assert cache.put(query, "there is space again")
        kept[query] = "there is space again"
    assert cache.get_or_compute("a computed question", lambda _: "stored") == "stored"
    kept["a computed question"] = "stored"
    still_answers(cache, kept)
    cache.close()
    Path(f"{path}.json").write_text(json.dumps({"kept": kept, "errors": errors}), encoding="utf-8")


def refusal(cache, verb, *arguments, **options):
    """What the cache says when it cannot do something; `None` when it can."""
    try:
        getattr(cache, verb)(*arguments, **options)
    except StoreBackendError as error:
        return str(error)
    return None


def still_answers(cache, kept):
    assert cache.check() == []
    assert cache.stats().entries == len(kept)
    for query, value in kept.items():
        assert cache.get(query).response == value
        assert cache.get(f"{query}?", similarity_threshold=0.99).response == value
    assert cache.get("an unheard of thing") is None
    assert cache.health().healthy


# --- two processes at one file ---------------------------------------------------------------------------------------


def write_beside_others(path, name, number):
    """Write entries to places that the others write to as well; say which were acknowledged, and what went wrong."""
    draw = random.Random(name)
    written, errors = {}, []
    with SemanticCache(store=SQLiteStore(path, busy_timeout=30.0), embedder=HashEmbedder()) as cache:
        say("opened")
        sys.stdin.readline()  # until all are there
        for n in range(number):
            query = draw.choice(list(written)) if written and draw.random() < 0.2 else f"query {n} by {name}{n}"
            place = (
                {"namespace": f"n{n % 7}", "scope": draw.choice([None, f"s{n % 5}"])} if query not in written else {}
            )
            place = place or {key: written[query][key] for key in ("namespace", "scope")}
            value = f"{name} {n}"
            gone = query in written and draw.random() < 0.15
            error = refusal(cache, "delete", query, **place) if gone else refusal(cache, "put", query, value, **place)
            if error is not None:
                errors.append(error)
            elif gone:
                del written[query]
            else:
                written[query] = {"value": value, **place}
    Path(f"{path}.{name}.json").write_text(json.dumps({"written": written, "errors": errors}), encoding="utf-8")
