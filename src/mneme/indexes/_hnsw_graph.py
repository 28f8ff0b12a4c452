"""The rows of a large partition, in a graph: a node for each distinct vector, and the ids that have it.

Equal vectors share a node, also with one that died. A graph in which each had its own would fall apart: its neighbours
would be its copies and nothing else. With 128 copies of each of fifty vectors a quarter of all searches went wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial
from hashlib import blake2b
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from mneme._rules.similarity import product_error
from mneme.indexes._gate import Gate
from mneme.indexes._hnsw_base import Base, Found, Nodes, Rows, Settings
from mneme.indexes._hnsw_pick import decided, nothing, possible, survivors
from mneme.indexes._quantise import Columns, estimate
from mneme.ports import Matches, Matrix, Vector

__all__ = ["Graph", "GraphState"]

_AT_ONCE = 8  # nodes added, for each thread, while searches wait: a few milliseconds
_ALONE = 16  # rows from which several threads add them
_SLACK = 0.05
"""How far a library's own similarity may be off besides quantisation, as it may sum in float16: more than was seen."""
_NONE = 0
"""The digest of a node that the library may not have."""
_ROW_BYTES = 230  # of the tables, for each id


class GraphState(NamedTuple):
    """What a graph is, besides its `Base`: arrays alone, as they go to a file."""

    digests: npt.NDArray[np.uint64]
    """Of every node."""
    extras: Columns
    """What belongs to the rows of the nodes: nothing for float32, errors for float16, errors and scales for int8."""
    ids: npt.NDArray[np.int64]
    nodes: Nodes
    """Of each id the node that has its vector."""


class _Asked(NamedTuple):
    """One query of a search, and the same as rows are held."""

    query: Vector
    encoded: Columns
    floor: float
    k: int


class Graph:
    """A `Base`, and which of its nodes are which rows. A node without an id is dead: found, and passed over.

    Thread safety: one writer at a time. `stage` and `columns_of` may run beside searches; `hide`, and what `stage`
    returned, need the gate to themselves.
    """

    def __init__(self, base: Base, settings: Settings, extras: int) -> None:
        """*extras* is the number of columns besides the rows."""
        self._base = base
        self._settings = settings
        self._size = 0
        self._living = 0
        self._uses = np.zeros(0, np.int32)  # how many ids a node has
        self._ids = np.zeros(0, np.int64)  # the first of them
        self._others: dict[int, list[int]] = {}  # and the rest, of the few nodes that have more
        self._extras: Columns = tuple(np.zeros(0, np.float32) for _ in range(extras))
        self._digests = np.zeros(0, np.uint64)
        self._node_of: dict[int, int] = {}
        self._node_with: dict[int, int] = {}

    @classmethod
    def restored(cls, base: Base, settings: Settings, state: GraphState) -> Graph:
        made = cls(base, settings, len(state.extras))
        made._size = len(state.digests)
        made._grow(made._size)
        made._digests[:] = state.digests
        for held, extra in zip(made._extras, state.extras, strict=True):
            held[:] = extra
        made._node_with = dict(zip(state.digests.tolist(), range(made._size), strict=True))
        made._node_with.pop(_NONE, None)
        made._show(state.ids.tolist(), state.nodes.tolist())
        if len(made) != len(state.ids):
            raise ValueError("an id is in it twice")
        return made

    def state(self) -> GraphState:
        count = len(self._node_of)
        return GraphState(
            self._digests[: self._size].copy(),
            tuple(extra[: self._size].copy() for extra in self._extras),
            np.fromiter(self._node_of.keys(), np.int64, count),
            np.fromiter(self._node_of.values(), np.int64, count),
        )

    def dump(self) -> bytes | bytearray:
        return self._base.dump()

    def __len__(self) -> int:
        return len(self._node_of)

    def __contains__(self, entry_id: int) -> bool:
        return entry_id in self._node_of

    @property
    def dead(self) -> int:
        """Nodes that no id has."""
        return self._size - self._living

    def ids(self) -> list[int]:
        return list(self._node_of)

    def columns_of(self, ids: Sequence[int]) -> Columns:
        return self._columns(np.array([self._node_of[entry_id] for entry_id in ids], np.int64))

    def stage(self, ids: Sequence[int], columns: Columns, gate: Gate | None) -> Callable[[], None]:
        """Add what nodes these rows lack, which nobody sees; what is returned shows the rows, and cannot fail.

        Searches wait behind the *gate*, if there is one, for a few nodes at a time.
        """
        digests = _digests(columns)
        nodes = self._existing(digests, columns)
        first_of: dict[int, int] = {}  # of rows that are equal to one another, the first is added
        new = [at for at, node in enumerate(nodes) if node < 0 and first_of.setdefault(digests[at], at) == at]
        if new:
            first = self._size
            self._add([digests[at] for at in new], columns, new, gate)
            numbers = {digests[at]: first + number for number, at in enumerate(new)}
            nodes = [numbers[digests[at]] if node < 0 else node for at, node in enumerate(nodes)]
        return partial(self._show, ids, nodes)

    def hide(self, ids: Sequence[int]) -> None:
        """Rows of these ids, if they are here, are no more."""
        for entry_id in ids:
            node = self._node_of.pop(entry_id, None)
            if node is None:
                continue
            self._uses[node] -= 1
            others = self._others.get(node)
            if not others:
                self._living -= 1
            elif self._ids[node] == entry_id:
                self._ids[node] = others.pop()
            else:
                others.remove(entry_id)
            if others is not None and not others:
                del self._others[node]

    def search(self, queries: Matrix, encoded: Columns, floor: float, k: int) -> list[Matches]:
        """About the best *k* for each query; *encoded* are the queries as rows are held."""
        if not self._living:
            return [nothing(exact=not self._extras) for _ in queries]
        wanted = max(self._settings.ef, k)
        # Dead nodes are found like others: so many more are asked for.
        count = min(self._size, -(-wanted * self._size // self._living))
        answers = []
        for at, found in enumerate(self._base.search(encoded[0], count)):
            asked = _Asked(queries[at], tuple(column[at : at + 1] for column in encoded), floor, k)
            living = self._with_enough_life(asked.encoded[0], found, count, max(k, wanted // 2))
            answers.append(self._matches(living, asked))
        return answers

    def nbytes(self) -> int:
        arrays: list[npt.NDArray[Any]] = [self._uses, self._ids, self._digests, *self._extras]
        return self._base.nbytes() + sum(array.nbytes for array in arrays) + _ROW_BYTES * len(self._node_with)

    # --- adding ------------------------------------------------------------------------------------------------------

    def _existing(self, digests: list[int], columns: Columns) -> list[int]:
        """For each row the node that has its vector, or -1."""
        nodes = [self._node_with.get(digest, -1) for digest in digests]
        at = [number for number, node in enumerate(nodes) if node >= 0]
        if at:
            held = self._columns(np.array([nodes[number] for number in at], np.int64))
            for number, same in zip(at, equal_rows(held, tuple(column[at] for column in columns)), strict=True):
                if not same:  # another vector of the same digest
                    nodes[number] = -1
        return nodes

    def _add(self, digests: list[int], columns: Columns, which: list[int], gate: Gate | None) -> None:
        rows = columns[0] if len(which) == len(columns[0]) else columns[0][which]
        first, end = self._size, self._size + len(which)
        self._grow(end)
        self._digests[first:end] = digests
        for held, extra in zip(self._extras, columns[1:], strict=True):
            held[first:end] = extra[which]
        threads = self._settings.threads if len(which) >= _ALONE else 1
        step = _AT_ONCE * threads if gate else len(which)
        for start in range(first, end, step):
            with gate.exclusive() if gate else nullcontext():
                self._add_some(start, rows[start - first : start - first + step], threads)

    def _add_some(self, first: int, rows: Rows, threads: int) -> None:
        end = first + len(rows)
        try:
            self._base.add(first, rows, threads)
        except BaseException:
            self._digests[first:end] = _NONE  # some were taken, some not: all are dead, and stay so
            raise
        finally:
            self._size = end
        self._node_with.update(zip(self._digests[first:end].tolist(), range(first, end), strict=True))

    def _grow(self, needed: int) -> None:
        room = len(self._ids)
        if needed <= room:
            return
        room = max(needed, room + room // 2)
        # New arrays in place of resized ones: a search may be reading them.
        self._uses = _resized(self._uses, room)
        self._ids = _resized(self._ids, room)
        self._digests = _resized(self._digests, room)
        self._extras = tuple(_resized(extra, room) for extra in self._extras)

    def _show(self, ids: Sequence[int], nodes: Sequence[int]) -> None:
        for entry_id, node in zip(ids, nodes, strict=True):
            if self._uses[node]:
                self._others.setdefault(node, []).append(entry_id)
            else:
                self._ids[node] = entry_id
                self._living += 1
            self._uses[node] += 1
            self._node_of[entry_id] = node

    # --- searching ---------------------------------------------------------------------------------------------------

    def _with_enough_life(
        self, query: Any, found: tuple[Nodes, Vector], count: int, enough: int
    ) -> tuple[Nodes, Vector]:
        """The living of those found; of more, if too few are: where many rows died close together."""
        enough = min(enough, self._living)
        while True:
            nodes, similarities = found
            living = self._uses[nodes] > 0
            if np.count_nonzero(living) >= enough or len(nodes) < count or count >= self._size:
                return nodes[living], similarities[living]
            count = min(4 * count, self._size)
            (found,) = self._base.search(query, count)

    def _matches(self, found: Found, asked: _Asked) -> Matches:
        nodes, rough = found
        query, encoded, floor, k = asked
        if self._extras:
            # Both are quantised, and the cosine of int8 moves each onto the sphere, which at most doubles its error.
            reach = np.float32(_SLACK) + 2 * (self._extras[0][nodes] + encoded[1])
        else:
            reach = np.float32(2 * product_error(len(query)))
        nodes = nodes[survivors(rough, reach, floor, k)]
        if not len(nodes):
            return nothing(exact=not self._extras)
        columns = self._columns(nodes)
        ids, rows_of = self._ids_of(nodes)
        if rows_of is not None:
            columns = tuple(column[rows_of] for column in columns)
        if not self._extras:
            return decided(columns[0], ids, query, floor, k)
        return possible(estimate(columns, query[None])[0], columns[1], ids, query, floor=floor, k=k)

    def _ids_of(self, nodes: Nodes) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.intp] | None]:
        """The ids of these nodes, and of each the position of its node, if they are not one to one."""
        ids = self._ids[nodes]
        if not self._others or not (self._uses[nodes] > 1).any():
            return ids, None
        more = [self._others.get(node, []) for node in nodes.tolist()]
        counts = [len(others) for others in more]
        rest = np.array([entry_id for others in more for entry_id in others], np.int64)
        positions = np.arange(len(nodes))
        return np.concatenate([ids, rest]), np.concatenate([positions, np.repeat(positions, counts)])

    def _columns(self, nodes: Nodes) -> Columns:
        return (self._base.rows(nodes), *(extra[nodes] for extra in self._extras))


def equal_rows(some: Columns, others: Columns) -> npt.NDArray[np.bool_]:
    """Where these columns say the same."""
    same = (some[0] == others[0]).all(axis=1)
    for extra, other in zip(some[1:], others[1:], strict=True):
        same &= extra == other
    return np.asarray(same)


def _digests(columns: Columns) -> list[int]:
    parts = [np.ascontiguousarray(column) for column in columns]
    return [
        int.from_bytes(blake2b(b"".join(part[at].tobytes() for part in parts), digest_size=8).digest(), "little")
        for at in range(len(parts[0]))
    ]


def _resized(array: npt.NDArray[Any], room: int) -> npt.NDArray[Any]:
    grown = np.zeros(room, array.dtype)
    grown[: len(array)] = array
    return grown
