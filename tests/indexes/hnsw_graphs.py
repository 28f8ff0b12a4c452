"""What the tests of the HNSW index share: which libraries are here, and an index that makes graphs of everything."""

from importlib.util import find_spec

import numpy as np

from mneme.indexes import _hnsw_contents, _hnsw_partition
from mneme.indexes._hnsw_base import BACKENDS
from mneme.indexes._hnsw_graph import Graph

# usearch comes with the test tools. hnswlib needs a compiler: where it is installed, it is tested as well.
LIBRARIES = [name for name in BACKENDS if name == "usearch" or find_spec(name)]
SHAPES = [(name, dtype) for name in LIBRARIES for dtype in ("float32", "float16", "int8")]
SHAPES = [(name, dtype) for name, dtype in SHAPES if name == "usearch" or dtype == "float32"]


def scan_up_to(monkeypatch, rows):
    """Scan partitions of so many rows, and make graphs of larger ones; 0 makes a graph of every partition."""
    monkeypatch.setattr(_hnsw_partition, "SMALL", rows)
    monkeypatch.setattr(_hnsw_contents, "SMALL", rows)


def partition_of(index, name=b"p"):
    return index._contents._partitions[name]


def is_graph(index, name=b"p"):
    return isinstance(partition_of(index, name).serving, Graph)


def units(count, dim, seed=0):
    return _units(np.random.default_rng(seed).standard_normal((count, dim)))


def clustered(count, dim, seed=0):
    """Unit vectors as texts have them: a few topics, and few directions in which most of the variance is."""
    rng = np.random.default_rng(seed)
    spectrum = 1 / np.sqrt(1 + np.arange(dim))
    topics = rng.standard_normal((40, dim)) * spectrum
    return _units(topics[rng.integers(40, size=count)] + 0.8 * rng.standard_normal((count, dim)) * spectrum)


def near(rows, seed, distance=0.3):
    noise = _units(np.random.default_rng(seed).standard_normal(rows.shape))
    return _units(rows + distance * noise)


def _units(rows):
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def best(rows, query, k, floor=-2.0):
    """Ids of the best, of rows held as `{id: vector}`."""
    ids = np.array(list(rows), np.int64)
    scores = np.stack(list(rows.values())).astype(np.float64) @ query.astype(np.float64)
    order = [at for at in np.lexsort((ids, -scores)) if scores[at] >= floor]
    return ids[order[:k]].tolist()


def decided(found, rows, query, k, floor=-2.0):
    """Ids as the cache decides: inexact matches are scored again."""
    if found.errors is None:
        return found.ids.tolist()
    return best({number: rows[number] for number in found.ids.tolist()}, query, k, floor) if len(found.ids) else []


def recall(index, rows, queries, k=10, name=b"p"):
    """The share of the true best *k* that a search finds."""
    hits = 0
    for query, found in zip(queries, index.search(name, queries, floor=-2.0, k=k), strict=True):
        assert set(found.ids.tolist()) <= set(rows), "a row that is not held"
        hits += len(set(best(rows, query, k)) & set(decided(found, rows, query, k)))
    return hits / (k * len(queries))
