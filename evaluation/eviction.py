"""How well the eviction policies keep what is worth keeping: hit rate, cost saved and bytes held, as Markdown tables.

    python evaluation/eviction.py                     # streams that are made, no data needed
    python evaluation/eviction.py --data DIRECTORY    # and CLINC150 with its embeddings, answered by similarity

It drives the rankings that the cache drives, with its batches, without the cache around them; a test compares the two.
An interval is that of the mean over the seeds, at 95 % (Student's t). Bytes held are per cent of what as many average
entries would take. A policy in parentheses is no option of the cache.
"""

from __future__ import annotations

import argparse
import gzip
import json
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mneme._rules.eviction import plan
from mneme._runtime.gdsf import GDSF
from mneme._runtime.ranking import Kept, Ranking
from mneme._runtime.sieve import Sieve

CAPACITIES = (0.05, 0.10, 0.20)
T_95 = {2: 12.71, 3: 4.30, 4: 3.18, 5: 2.78, 6: 2.57, 8: 2.36, 10: 2.26, 15: 2.14, 20: 2.09, 30: 2.05}
"""Student's t at 97.5 %, by how many seeds there are."""


class LRU:
    """What the store does."""

    def __init__(self) -> None:
        self._order: OrderedDict[int, None] = OrderedDict()

    def written(self, entries: list[Kept]) -> None:
        for entry in entries:
            self._order[entry.id] = None

    def hit(self, entry_id: int) -> None:
        self._order.move_to_end(entry_id)

    def removed(self, ids: list[int]) -> None:
        for entry_id in ids:
            self._order.pop(entry_id, None)

    def victims(self, _namespace: str | None, count: int, _spare: object) -> list[int]:
        return [entry_id for entry_id, _ in zip(self._order, range(count), strict=False)]


class SizeBlind(GDSF):
    """GDSF for entries that all count the same against the cap, whatever their size."""

    def written(self, entries: list[Kept]) -> None:  # type: ignore[override]  # a list is all it is given here
        super().written([entry._replace(size=1) for entry in entries])


POLICIES: dict[str, Callable[[], Ranking | LRU]] = {
    "lru": LRU,
    "sieve": Sieve,
    "gdsf": GDSF,
    "(gdsf, sizes ignored)": SizeBlind,
}


class Outcome(NamedTuple):
    """What a policy came to, as shares: of the requests, of all costs, and of the bytes of average entries."""

    hit_rate: float
    cost_saved: float
    bytes_held: float


class Keeper:
    """A cache without answers: which ids it holds, and which go when there are too many."""

    def __init__(self, ranking: Ranking | LRU, cap: int) -> None:
        self.ranking = ranking
        self.held: dict[int, int] = {}
        self._cap = cap

    def put(self, entry: Kept) -> list[int]:
        """Hold this one too; who had to go for it."""
        self.held[entry.id] = entry.size
        self.ranking.written([entry])
        gone: list[int] = []
        for namespace, count in plan({"": len(self.held)}, {}, self._cap):
            gone = self.ranking.victims(namespace, count, {entry.id})
            self.ranking.removed(gone)
            for entry_id in gone:
                del self.held[entry_id]
        return gone


def replayed(requests: np.ndarray, costs: np.ndarray, sizes: np.ndarray, cap: int, policy: str) -> Outcome:
    """A stream of keys through a cache of *cap* entries that answers equal keys."""
    keeper = Keeper(POLICIES[policy](), cap)
    keys, cost_of, size_of = requests.tolist(), costs.tolist(), sizes.tolist()
    held_as: dict[int, int] = {}  # every entry has an id of its own, as in a store
    key_of: dict[int, int] = {}
    hits, saved, total, number = 0, 0.0, 0.0, 0
    for key in keys:
        total += cost_of[key]
        if key in held_as:
            hits += 1
            saved += cost_of[key]
            keeper.ranking.hit(held_as[key])
            continue
        number += 1
        held_as[key], key_of[number] = number, key
        for gone in keeper.put(Kept(number, "", cost_of[key], size_of[key])):
            del held_as[key_of.pop(gone)]
    return Outcome(hits / len(keys), saved / total, _bytes_held(keeper, sizes))


def _bytes_held(keeper: Keeper, sizes: np.ndarray) -> float:
    return sum(keeper.held.values()) / (len(keeper.held) * float(sizes.mean()))


def made(seed: int, *, keys: int, requests: int, skew: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A Zipf stream over keys, whose costs and sizes are lognormal, and independent of how often they are asked for."""
    rng = np.random.default_rng(seed)
    weights = 1 / np.arange(1, keys + 1) ** skew
    stream = rng.permutation(keys)[rng.choice(keys, requests, p=weights / weights.sum())]
    return stream, rng.lognormal(0, 1.5, keys), rng.lognormal(7, 1, keys).astype(int) + 1


class Sentences(NamedTuple):
    """Requests with their unit vectors, and what they are about."""

    vectors: np.ndarray
    intents: np.ndarray


def load(directory: Path) -> Sentences:
    """CLINC150, without what is out of scope."""
    with gzip.open(directory / "clinc150.jsonl.gz", "rt", encoding="utf-8") as file:
        names = [json.loads(line)["intent"] for line in file]
    vectors = np.load(directory / "clinc150_minilm_f16.npy").astype(np.float32)
    inside = np.array([name != "oos" for name in names])
    _, intents = np.unique(np.array(names)[inside], return_inverse=True)
    return Sentences(vectors[inside], intents)


def answered(sentences: Sentences, seed: int, share: float, policy: str, *, requests: int, threshold: float) -> Outcome:
    """A stream of sentences, some intents far more often than others, answered by the most similar one that is held.

    The capacity is a share of a quarter of the requests: about so many entries a cache without a cap comes to hold.
    """
    cap = round(share * requests / 4)
    rng = np.random.default_rng(seed)
    count = int(sentences.intents.max()) + 1
    weights = rng.permutation(1 / np.arange(1, count + 1))[sentences.intents]
    stream = rng.choice(len(sentences.intents), requests, p=weights / weights.sum())
    costs = rng.lognormal(0, 1.5, count)[sentences.intents]
    sizes = rng.lognormal(7, 1, len(sentences.intents)).astype(int) + 1
    keeper = Keeper(POLICIES[policy](), cap)
    rows = np.zeros((cap + cap // 256 + 2, sentences.vectors.shape[1]), np.float32)
    ids = np.zeros(len(rows), int)
    place: dict[int, int] = {}
    free = list(range(len(rows)))
    hits, saved = 0, 0.0
    for number, which in enumerate(stream.tolist(), 1):
        similarities = rows @ sentences.vectors[which]
        best = int(similarities.argmax())
        if similarities[best] >= threshold:
            hits += 1
            saved += costs[which]
            keeper.ranking.hit(int(ids[best]))
            continue
        row = free.pop()
        rows[row], ids[row], place[number] = sentences.vectors[which], number, row
        for gone in keeper.put(Kept(number, "", float(costs[which]), int(sizes[which]))):
            rows[place[gone]] = 0
            free.append(place.pop(gone))
    return Outcome(hits / requests, saved / float(costs[stream].sum()), _bytes_held(keeper, sizes))


def on_made(streams: Sequence[tuple[np.ndarray, ...]], seed: int, share: float, policy: str) -> Outcome:
    """One of the streams that were made; the capacity is a share of the keys."""
    requests, costs, sizes = streams[seed]
    return replayed(requests, costs, sizes, round(share * len(costs)), policy)


def interval(values: list[float]) -> str:
    """Mean and half width of its interval, in per cent."""
    if len(values) < 2:
        return f"{100 * values[0]:.1f}"
    steps = [n for n in T_95 if n <= len(values)]
    half = T_95[max(steps)] * float(np.std(values, ddof=1)) / len(values) ** 0.5
    return f"{100 * float(np.mean(values)):.1f} ± {100 * half:.1f}"


def table(measure: Callable[[int, float, str], Outcome], seeds: int) -> Iterator[str]:
    """A row for each capacity and policy; *measure* is given a seed, a capacity as a share, and a policy."""
    yield "| capacity | policy | hit rate, % | cost saved, % | cost saved beyond lru, points | bytes held, % |"
    yield "|---|---|---|---|---|---|"
    for share in CAPACITIES:
        plain: list[Outcome] = []
        for policy in POLICIES:
            found = [measure(seed, share, policy) for seed in range(seeds)]
            plain = plain or found
            hits, cost, size = (interval([outcome[at] for outcome in found]) for at in range(3))
            # On the same streams, so that how these differ from one another does not count.
            beyond = interval([one.cost_saved - other.cost_saved for one, other in zip(found, plain, strict=True)])
            yield f"| {share:.0%} | {policy} | {hits} | {cost} | {'' if found is plain else beyond} | {size} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--keys", type=int, default=5_000, help="how many there are; capacities are shares of it")
    parser.add_argument("--requests", type=int, default=25_000)
    parser.add_argument("--data", type=Path, help="a directory with clinc150.jsonl.gz and clinc150_minilm_f16.npy")
    parser.add_argument("--threshold", type=float, default=0.85, help="of the answers by similarity")
    options = parser.parse_args()
    for skew in (0.8, 1.0):
        print(f"\nZipf {skew}, {options.keys} keys, {options.requests} requests, {options.seeds} seeds:\n")
        streams = [made(s, keys=options.keys, requests=options.requests, skew=skew) for s in range(options.seeds)]
        print(*table(partial(on_made, streams), options.seeds), sep="\n")
    if options.data is not None:
        sentences = load(options.data)
        requests, seeds = options.requests // 5, min(options.seeds, 5)
        print(f"\nCLINC150 by similarity at {options.threshold}, {requests} requests, {seeds} seeds:\n")
        measure = partial(answered, sentences, requests=requests, threshold=options.threshold)
        print(*table(measure, seeds), sep="\n")


if __name__ == "__main__":
    main()
