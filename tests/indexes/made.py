"""Vectors to search among, from those that bounds tell much about to those they tell nothing, and a naive scan."""

import numpy as np


def unit(rows):
    """Rows divided by their lengths, as float32."""
    rows = np.atleast_2d(np.asarray(rows, np.float64))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def _falling(rng, count, dim):
    """As of sentences: few directions hold most of the energy."""
    energies = 1 / (1 + np.arange(dim))
    return rng.standard_normal((count, dim)) * energies @ np.linalg.qr(rng.standard_normal((dim, dim)))[0]


def _one_hot(rng, count, dim):
    return np.eye(dim)[rng.integers(dim, size=count)]


def _corners(rng, count, dim):
    """Many at exactly equal angles to one another."""
    rows = rng.integers(-1, 2, (count, dim))
    rows[~rows.any(axis=1)] = 1
    return rows


_FAMILIES = {
    "falling": _falling,
    "isotropic": lambda rng, count, dim: rng.standard_normal((count, dim)),
    "equal": lambda rng, count, dim: np.repeat(rng.standard_normal((1, dim)), count, axis=0),
    "nearly equal": lambda rng, count, dim: rng.standard_normal(dim) + 1e-4 * rng.standard_normal((count, dim)),
    "copies": lambda rng, count, dim: rng.standard_normal((5, dim))[rng.integers(5, size=count)],
    "two clusters": lambda rng, count, dim: (
        rng.standard_normal((2, dim))[rng.integers(2, size=count)] + 0.05 * rng.standard_normal((count, dim))
    ),
    "one-hot": _one_hot,
    "low rank": lambda rng, count, dim: rng.standard_normal((count, 3)) @ rng.standard_normal((3, dim)),
    "opposite": lambda rng, count, dim: rng.choice([-1.0, 1.0], (count, 1)) * rng.standard_normal((1, dim)),
    "corners": _corners,
}
FAMILIES = list(_FAMILIES)


def vectors(family, rng, count, dim, *, stretched=False):
    """Unit vectors; *stretched* ones have the lengths that barely pass for 1."""
    rows = unit(_FAMILIES[family](rng, count, dim))
    if stretched:
        squares = 1 + 1.95e-3 * rng.choice([-1, 0, 1], count)
        rows *= np.sqrt(squares)[:, None].astype(np.float32)
    return rows


def queries(rng, rows, count):
    """Rows themselves, opposite ones, some near rows, and some anywhere."""
    chosen = rows[rng.integers(len(rows), size=count)].astype(np.float64)
    noise = rng.standard_normal(chosen.shape) / chosen.shape[1] ** 0.5
    kinds = [chosen, -chosen, unit(chosen + 0.3 * noise), unit(chosen + 1e-5 * noise), unit(noise)]
    return np.stack(kinds)[rng.integers(len(kinds), size=count), np.arange(count)].astype(np.float32)


def similarities(rows, query):
    """In float64, rounded once at the end."""
    products = (rows.astype(np.float64) * query.astype(np.float64)).sum(axis=1)
    return np.clip(products, -1, 1).astype(np.float32)


def best(ids, scores, floor, k):
    """Ids and similarities of the best *k* at or above *floor*, by a scan of everything."""
    kept = np.flatnonzero(scores.astype(np.float64) >= floor)
    order = kept[np.lexsort((ids[kept], -scores[kept]))[:k]]
    return ids[order].tolist(), scores[order].tolist()


def check(found, ids, scores, floor, k):
    """Assert that *found* is what the scan finds: exactly, or, where there are errors, once it is scored again."""
    expected = best(ids, scores, floor, k)
    if found.errors is None:
        assert (found.ids.tolist(), found.similarities.tolist()) == expected
        return
    order = np.argsort(ids)
    at = order[np.searchsorted(ids[order], found.ids) % len(order)] if len(ids) else np.empty(0, np.intp)
    assert ids[at].tolist() == found.ids.tolist(), "an id was found that is not there"
    assert len(set(found.ids.tolist())) == len(found.ids), "an id was found twice"
    gaps = np.abs(scores[at].astype(np.float64) - found.similarities)
    assert (gaps <= found.errors).all(), "a similarity is further from the truth than its error says"
    assert best(found.ids, scores[at], floor, k) == expected, "one of the best is missing"
