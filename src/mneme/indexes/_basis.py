"""Sketches: a few numbers a row, from which one product tells how similar a row can be at the most.

Every row x (of unit length) has the sketch [P'x, |x - PP'x|, e], where P holds a few orthonormal directions and e is
how far the row as it is held, which is what P'x is worked out from, may be from x. The sketch of a query ends in its
length instead. By Cauchy-Schwarz on what lies outside of P, and on the error,

    q·x <= P'q · P'x + |q - PP'q| |x - PP'x| + |q| e = sketch(q) · sketch(x)

Any orthonormal P is right. One that holds most of the rows' energy rules out most rows: the leading eigenvectors of
their second moments, learnt here from a sample.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from mneme.ports import Matrix, Vector

__all__ = ["Basis", "learn"]

_UNIT = 2.0**-24  # of float32's rounding
_ROUNDS = 4  # of the subspace iteration: a fifth changes nothing that a search would notice
_EXTRA = 12  # directions beyond those wanted, for the iteration to converge on them sooner
_ROWS_AT_ONCE = 256  # of the sample: a millisecond's work
_LONGEST = 1.002  # as long as a vector may be that passes for a unit vector, and a little for the rounding
_DIRECTIONS = 38  # with fewer more rows are left, with more there is more to read; so at 384 and at 768 dimensions


class Basis:
    """Orthonormal directions, the sketches in them, and how far float32 may put a bound below the truth."""

    # With u = 2**-24 and a^ the computed P'x: each of the h products is off by at most (d + 2) u, so that |a^ - P'x| is
    # at most delta = sqrt(h) (d + 2) u. P is orthonormal only to eta = |P'P - I|, which is measured. Then |x|² - |P'x|²
    # is at most |x|² - |a^|² + 2 delta + eta, and what is computed of it is off by at most (d + h + 20) u: with
    # `_slack` under the root no rest comes out too short. A bound adds 2 delta for the parts inside of P, eta for those
    # outside, (h + 3) u for the product of the sketches and 4 u for what is rounded to float32. All that is hundreds of
    # times what was ever seen, and too little to matter.

    def __init__(self, directions: Matrix) -> None:
        """*directions* are the columns, shape `(dim, h)`."""
        self._directions = np.ascontiguousarray(directions, np.float32)
        dim, h = self._directions.shape
        exact = self._directions.astype(np.float64)
        # Not by BLAS, which may wait for busy processors while a file opens. No less than the spectral norm.
        eta = float(np.linalg.norm(np.einsum("ij,ik->jk", exact, exact) - np.eye(h)))
        delta = h**0.5 * (dim + 2) * _UNIT
        self._slack = 2 * delta + eta + (dim + h + 20) * _UNIT
        self.margin = 1.01 * (2 * delta + eta + (h + 7) * _UNIT)
        """To be added to a product of sketches, to be an upper bound for certain."""

    @property
    def columns(self) -> int:
        """How many numbers a sketch has."""
        return int(self._directions.shape[1]) + 2

    @property
    def directions(self) -> Matrix:
        return self._directions

    def sketch(self, rows: Matrix, errors: Vector | float) -> Matrix:
        """The sketches of unit *rows*, shape `(n, h + 2)`, each of which stands for a vector that is so far from it."""
        sketches = np.empty((len(rows), self.columns), np.float32)
        inside = sketches[:, :-2]
        np.matmul(rows, self._directions, out=inside)
        # Not from 1: rows are of unit length only nearly.
        rest = np.einsum("ij,ij->i", rows, rows) - np.einsum("ij,ij->i", inside, inside)
        sketches[:, -2] = np.sqrt(np.maximum(rest, 0.0) + self._slack)
        sketches[:, -1] = errors
        return sketches

    def sketch_queries(self, queries: Matrix) -> Matrix:
        """The sketches of unit *queries*, whose products with those of rows are bounds."""
        if len(queries) > 1:
            return self.sketch(queries, _LONGEST)
        # The same for the usual case, in the fewest steps: each starts with cold caches.
        query = queries[0]
        inside = query @ self._directions
        rest = float(query @ query) - float(inside @ inside)
        sketches = np.empty((1, self.columns), np.float32)
        sketches[0, :-2] = inside
        sketches[0, -2:] = (max(rest, 0.0) + self._slack) ** 0.5, _LONGEST
        return sketches


def learn(sample: Matrix) -> Iterator[Basis | None]:
    """The leading directions of a sample, by subspace iteration in steps of a millisecond; the last is the basis.

    A full decomposition would make whoever happens to call wait for 40 ms (384 dimensions) to 200 ms (768).
    """
    wanted = min(_DIRECTIONS, max(1, sample.shape[1] // 4))
    size = min(wanted + _EXTRA, *sample.shape)
    # A random mix of rows already leans towards the leading directions. The seed is fixed: only speed depends on it.
    chance = np.random.default_rng(0)
    image: Matrix = np.zeros((sample.shape[1], size), np.float32)
    for start in range(0, len(sample), _ROWS_AT_ONCE):
        part = sample[start : start + _ROWS_AT_ONCE]
        image += part.T @ chance.standard_normal((len(part), size), dtype=np.float32)
        yield None
    directions = image
    for _ in range(_ROUNDS):
        directions = _orthonormal(image)
        yield None
        image = np.zeros_like(directions)
        for start in range(0, len(sample), _ROWS_AT_ONCE):
            part = sample[start : start + _ROWS_AT_ONCE]
            image += part.T @ (part @ directions)
            yield None
    # Puts the directions in the order of their energy, to leave out the extra ones.
    _, turn = np.linalg.eigh((directions.T @ image).astype(np.float64))
    yield Basis(_orthonormal(directions @ turn[:, ::-1][:, :wanted].astype(np.float32)))


def _orthonormal(columns: Matrix) -> Matrix:
    """Orthonormal columns with the same span, by way of their small Gram matrix: a fifth of the time of a QR."""
    for _ in range(2):  # once leaves errors of the size of the square root of what float64 can tell apart
        exact: npt.NDArray[np.float64] = columns.astype(np.float64)
        energy, turn = np.linalg.eigh(exact.T @ exact)
        kept = energy > energy[-1] * 1e-9  # a direction without energy is none
        columns = (exact @ (turn[:, kept] / np.sqrt(energy[kept]))).astype(np.float32)
    return columns
