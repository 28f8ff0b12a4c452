"""Exact search by falling bound. Pure functions of what they are given.

Of a row three things can be known, each for less than the next: a bound (one short product with its sketch), an
estimate with an error (the product with the row as it is held), and the score, which decides. Only rows whose bound
reaches the bar are estimated, and only those whose estimate does are scored. The bar is the floor that the caller
asked for, or higher, once *k* rows are known to reach more.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mneme._rules.similarity import product_error, score
from mneme.indexes._bar import Bar, high_value
from mneme.indexes._fast import Coded, code
from mneme.indexes._piece import Positions
from mneme.indexes._twins import first_of_twins
from mneme.indexes._vectors import LONGEST
from mneme.indexes._view import View
from mneme.ports import Matches, Matrix, Vector

__all__ = ["nothing", "search"]

_PRODUCTS_AT_ONCE = 2**24  # 64 MiB of float32: a large batch of queries over a large partition is cut into pieces
_FEW = 512  # so many rows are read at once; of more, those with the best bounds first, to raise the bar
_GROWTH = 8  # every further round reads so many times more rows
_GLANCED = 256  # bounds that most often suffice to see that bounds help
_LOOKED_AT = 4096  # of which that is judged otherwise
_PROBED = 96  # rows read to see where the bar may come to lie
_DOUBTFUL = 0.25  # the share of bounds above the bar from which it is seen to where the bar comes to lie
_HOPELESS = 0.4  # the share above that from which a plain scan costs less
_WORTH_PICKING = 0.125  # the share of rows up to which to pick them out costs less than a plain scan by all processors
_SCORED_AT_ONCE = 256  # rows whose products in float64 stay in the processor's cache
_MANY = 1024  # rows at the bar from which it pays to see whether they are copies of one another
_WORTH_CODING = 128  # rows from which coding the query, ten microseconds, is made up for
_LARGE = 2**17  # numbers read plainly from which searches take turns


def nothing(dtype: str) -> Matches:
    """What is found where nothing is held."""
    errors = None if dtype == "float32" else np.empty(0, np.float32)
    return Matches(np.empty(0, np.int64), np.empty(0, np.float32), errors)


def search(
    view: View, queries: Matrix, floor: float, k: int, turns: AbstractContextManager[object]
) -> Iterator[Matches]:
    """For each query the best *k* rows at or above *floor*; where rows are quantised, every row that may be one.

    Whoever reads many rows plainly does so inside of *turns*.
    """
    step = max(1, _PRODUCTS_AT_ONCE // max(1, view.count))
    for start in range(0, len(queries), step):
        part = queries[start : start + step]
        searches = [_Search(view, query, floor, k) for query in part]
        _read_plainly(view, part, searches, turns, sketched=False)
        if view.sketched:
            _read_by_bounds(view, part, searches, turns)
        for one in searches:
            yield one.matches()


def _read_plainly(
    view: View, queries: Matrix, searches: Sequence[_Search], turns: AbstractContextManager[object], *, sketched: bool
) -> None:
    count = view.count - view.plain if sketched else view.plain
    if not count:
        return
    with turns if count * queries.shape[1] > _LARGE else nullcontext():
        coded = searches[0].coded(count) if len(searches) == 1 else None
        for start, errors, products in view.products(queries, coded, sketched=sketched):
            for one, estimates in zip(searches, products, strict=True):
                one.consider(start, estimates, errors)


def _read_by_bounds(
    view: View, queries: Matrix, searches: Sequence[_Search], turns: AbstractContextManager[object]
) -> None:
    sketches = view.query_sketches(queries)
    probed = view.sketched[len(view.sketched) // 2]
    hopeful: list[int] = []
    hopeless: list[int] = []
    for number, one in enumerate(searches):
        (hopeless if one.is_hopeless(probed, sketches, number) else hopeful).append(number)
    if hopeful:
        chosen = np.array(hopeful, np.intp)
        for number, bounds in zip(hopeful, view.bounds(sketches, chosen), strict=True):
            if not searches[number].read_best_first(bounds):
                hopeless.append(number)
    if hopeless:
        ones = [searches[number] for number in hopeless]
        for one in ones:
            one.start_again()
        _read_plainly(view, queries[hopeless], ones, turns, sketched=True)


class _Candidates(NamedTuple):
    """Rows that may belong to the best, in rising positions."""

    positions: Positions
    estimates: Vector
    reaches: Vector
    """How far an estimate may be from the score; one for all where rows are exact."""


class _Search:
    """One query's way through a view, and what it found."""

    def __init__(self, view: View, query: Vector, floor: float, k: int) -> None:
        self._view = view
        self._query = query
        self._floor = floor
        self._k = k
        self._bar = Bar(floor, k)
        self._rounding = product_error(len(query))
        self._coding = view.coding_error
        self._coded: Coded | None = None
        self._found: list[_Candidates] = []
        self._before_bounds = 0
        """How many of them are of rows without sketches."""

    def consider(self, where: int | Positions, estimates: Vector, errors: Vector | None) -> None:
        """Consider rows at these positions, or from this one on, with these estimates and errors."""
        reaches = self._reaches(errors)
        is_near = self._are_near(estimates, reaches)
        count = np.count_nonzero(is_near)
        if not count:
            return
        if count > max(self._k, _MANY) and self._bar.value == self._floor:
            some = is_near[:_LOOKED_AT].nonzero()[0]
            self._raise_by(estimates[some], reaches if errors is None else reaches[some])
            is_near = self._are_near(estimates, reaches)
            count = np.count_nonzero(is_near)
        if count > max(self._k, _MANY):
            near = self._first_of_twins(where, is_near, all_near=count == len(is_near))
        else:
            (near,) = is_near.nonzero()
        estimates = _within(estimates[near])
        reaches = reaches if errors is None else reaches[near]
        self._bar.raise_to(estimates - reaches)
        self._found.append(_Candidates(near + where if isinstance(where, int) else where[near], estimates, reaches))

    def _are_near(self, estimates: Vector, reaches: Vector) -> npt.NDArray[np.bool_]:
        least = np.float32(self._bar.value - self._rounding)
        # Where one number reaches for all, without making an array of sums.
        near: npt.NDArray[np.bool_] = (
            estimates >= least - reaches if len(reaches) == 1 else estimates + reaches >= least
        )
        return near

    def _raise_by(self, estimates: Vector, reaches: Vector) -> None:
        """Raise the bar to what the best of some rows score, which are considered later on as well."""
        trial = Bar(self._bar.value, self._k)
        trial.raise_to(_within(estimates) - reaches)
        self._bar.value = trial.value

    def _first_of_twins(self, where: int | Positions, is_near: npt.NDArray[np.bool_], *, all_near: bool) -> Positions:
        if all_near and isinstance(where, int):  # to gather what lies in a row would take longer than all the rest
            at = slice(where, where + len(is_near))
            return first_of_twins(self._view.ids(at), self._view.marks(at), self._k)
        (near,) = is_near.nonzero()
        among = near + where if isinstance(where, int) else where[near]
        return near[first_of_twins(self._view.ids(among), self._view.marks(among), self._k)]

    def _reaches(self, errors: Vector | None) -> Vector:
        """How far each estimate may be from the score; one for all where rows are exact."""
        if errors is None:
            return np.full(1, self._rounding, np.float32)
        # Rounded sums of three numbers of size one: another slack covers them. What the query is off by counts as often
        # as a row is long, which is a unit vector and the error at the most.
        slack = 2 * self._rounding + LONGEST * self._coding
        reaches: Vector = errors * np.float32(LONGEST + self._coding) + np.float32(slack)
        return reaches

    def coded(self, count: int) -> Coded | None:
        """The query as int8 rows are multiplied with it, if any are, and if *count* rows are worth coding it for."""
        if self._coded is None and self._coding and count > _WORTH_CODING:
            self._coded = code(self._query)
        return self._coded

    def is_hopeless(self, probed: int, sketches: dict[int, Matrix], query: int) -> bool:
        """Whether the bounds in one piece rule out too few of its rows, even with the bar that its best rows set."""
        self._before_bounds = len(self._found)
        if self._are_few_above(self._view.bounds_in(probed, sketches, query, _GLANCED), _DOUBTFUL):
            return False
        bounds = self._view.bounds_in(probed, sketches, query, _LOOKED_AT)
        # Not minus infinity, where there are but few rows left in the piece.
        best = np.flatnonzero(bounds >= max(float(high_value(bounds, _PROBED)), -3.0))
        best = best[: 2 * _PROBED] + self._view.starts[probed]  # of equal bounds there may be any number
        self._raise_by(self._estimates(best), self._reaches(self._view.errors(best)))
        return not self._are_few_above(bounds, _HOPELESS)

    def _are_few_above(self, bounds: Vector, share: float) -> bool:
        return int(np.count_nonzero(bounds >= self._least_bound())) <= share * len(bounds)

    def _least_bound(self) -> np.float32:
        least: np.float32 = np.float32(self._bar.value - self._view.margin)
        return least

    def read_best_first(self, bounds: Vector) -> bool:
        """Consider every row whose bound reaches the bar; give up, and say `False`, if those are most of them."""
        (left,) = (bounds >= self._least_bound()).nonzero()
        take = _FEW
        while len(left) > take:
            if take > _FEW and len(left) > _WORTH_PICKING * len(bounds):
                return False
            ours = bounds[left]
            best = ours >= high_value(ours, take)
            if best.all():
                break
            self._read(left[best])
            left = left[~best & (ours >= self._least_bound())]
            take *= _GROWTH
        if len(left):
            self._read(left)
        return True

    def _read(self, positions: Positions) -> None:
        self.consider(positions, self._estimates(positions), self._view.errors(positions))

    def _estimates(self, positions: Positions) -> Vector:
        return self._view.estimates(positions, self._query, self.coded(len(positions)))

    def start_again(self) -> None:
        """Forget what was found by bounds. What the bar is at stays true."""
        del self._found[self._before_bounds :]
        self._bar = Bar(self._bar.value, self._k)
        for found in self._found:
            self._bar.raise_to(found.estimates - found.reaches)

    def matches(self) -> Matches:
        """What was found, when everything was considered."""
        view = self._view
        if not self._found:
            return self._nothing()
        positions, estimates, reaches = self._found[0]
        if view.exact and len(self._found) == 1 and self._bar.value == self._floor:
            return self._scored(positions)  # the usual hit
        if len(self._found) > 1:
            positions, estimates, many = map(np.concatenate, zip(*self._found, strict=True))
            reaches = reaches if view.exact else many
        highest = estimates + reaches
        # Errors have room for the rounding of this sum. In float64: comparing in float32 would round the bar.
        (kept,) = (highest.astype(np.float64) >= self._bar.value).nonzero()
        if not len(kept):
            return self._nothing()
        if len(self._found) > 1:
            kept = kept[np.argsort(positions[kept], kind="stable")]  # in runs already
        if view.exact:
            return self._scored(positions[kept])
        found = view.ids(positions[kept])
        best = np.lexsort((found, -highest[kept]))
        chosen = kept[best]
        return Matches(found[best], estimates[chosen], reaches[chosen])

    def _nothing(self) -> Matches:
        return nothing("float32" if self._view.exact else "int8")

    def _scored(self, positions: Positions) -> Matches:
        ids = self._view.ids(positions)
        if len(positions) <= _SCORED_AT_ONCE:
            return self._best(ids, score(self._view.rows(positions), self._query))
        # Thousands of rows at the bar: copies of one another. In order of their ids, so that a later one must score
        # more than the k-th best to count; a product by BLAS, whose sums are in another order, says which cannot.
        order = np.argsort(ids)
        query = self._query.astype(np.float64)
        slack = (len(query) + 4) * 2.0**-52
        best = nothing("float32")
        for start in range(0, len(order), _SCORED_AT_ONCE):
            part = np.sort(order[start : start + _SCORED_AT_ONCE])
            rows = self._view.rows(positions[part])
            if len(best.ids) == self._k:
                least = best.similarities[-1]
                if least >= 1:
                    break
                above = np.flatnonzero((rows.astype(np.float64) @ query + slack).astype(np.float32) > least)
                part, rows = part[above], rows[above]
            scores = np.concatenate([best.similarities, score(rows, self._query)])
            best = self._best(np.concatenate([best.ids, ids[part]]), scores)
        return best

    def _best(self, ids: npt.NDArray[np.int64], scores: Vector) -> Matches:
        # In float64: comparing in float32 would round the floor, up or down.
        (kept,) = (scores.astype(np.float64) >= self._floor).nonzero()
        best = kept[np.lexsort((ids[kept], -scores[kept]))[: self._k]]
        return Matches(ids[best], scores[best], None)


def _within(estimates: Vector) -> Vector:
    """Moved into [-1, 1], where every score lies: they come nearer, and of lengths that are 1 only nearly they must."""
    # Not `clip`, which takes three times as long for a few.
    within: Vector = np.minimum(np.maximum(estimates, np.float32(-1)), np.float32(1))
    return within
