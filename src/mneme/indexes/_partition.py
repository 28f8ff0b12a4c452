"""One partition as its writer sees it: the pieces, and the chores that keep its searches fast."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mneme.indexes._basis import Basis, learn
from mneme.indexes._piece import GrowingPiece, Piece, room_beside
from mneme.indexes._quantise import Columns, decode
from mneme.indexes._vectors import without_warnings
from mneme.indexes._view import View
from mneme.ports import Matrix, Vector

__all__ = ["Checkpoint", "Fresh", "Partition", "Snapshot"]

_WORTH_SKETCHES = 2**20
"""Numbers in a partition from which reading sketches first takes less time than reading them all."""
_SAMPLE = 4096
"""Rows that a basis is learnt from: from a quarter of them, searches would have twice as much to read."""
_OUTGROWN = 4
"""A basis is learnt anew when so many times the rows have been added that had been when it was learnt."""
_SKETCHED_AT_ONCE = 1024
"""Rows: a millisecond or two."""
_BEHIND = 256
"""Rows that may wait for their sketches."""

Fresh = tuple[tuple[int, Vector], ...]
"""Ids and vectors that were put one by one, and wait to be added together."""


class Snapshot:
    """What a search works on. Never changes."""

    __slots__ = ("fresh", "view")

    def __init__(self, view: View, fresh: Fresh = ()) -> None:
        self.view = view
        self.fresh = fresh


class Checkpoint(NamedTuple):
    """How a partition was."""

    lengths: dict[GrowingPiece, int]
    """Of its pieces, in their order."""
    then: list[Piece]
    rows: int
    added: int


class Partition:
    """The rows of one partition. One thread at a time, but for `snapshot` and `settled`, which anybody may read."""

    __slots__ = (
        "_added",
        "_basis",
        "_chores",
        "_dim",
        "_learnt_at",
        "key",
        "pieces",
        "rows",
        "sample_bytes",
        "settled",
        "snapshot",
    )

    def __init__(self, key: bytes, dim: int) -> None:
        self.key = key
        self.snapshot = Snapshot(View(()))
        self.pieces: list[GrowingPiece] = []
        self.rows = 0
        """How many there are, without those that are fresh."""
        self.settled = True
        """Nothing is to be learnt or sketched."""
        self.sample_bytes = 0
        """Of the rows that are being learnt from."""
        self._dim = dim
        self._basis: Basis | None = None
        self._added = 0
        self._learnt_at = 0
        self._chores: Iterator[None] = iter(())

    def append(self, ids: npt.NDArray[np.int64], columns: Columns, numbers: Iterator[int]) -> None:
        """Add rows at the end. New pieces are numbered by *numbers*.

        Nobody sees them before `publish`; `roll_back` undoes it.
        """
        start = 0
        while start < len(ids):
            piece = next((one for one in reversed(self.pieces) if one.room and one.resembles(columns)), None)
            if piece is None:
                room = room_beside(max(self.rows, len(ids)), self._dim)
                piece = GrowingPiece(next(numbers), self.key, columns, room)
                self.pieces.append(piece)
            part = slice(start, start + piece.room)
            piece.extend(ids[part], tuple(column[part] for column in columns))
            start = part.stop
        self.rows += len(ids)
        self._added += len(ids)

    def publish(self) -> None:
        """Let searches see what was changed, all at once."""
        self.show(self.prepared(self.snapshot.fresh))

    def prepared(self, fresh: Fresh) -> Snapshot:
        """What searches are to see."""
        return Snapshot(View([piece.now for piece in self.pieces]), fresh)

    def show(self, snapshot: Snapshot) -> None:
        """Let searches see what was prepared. Twice is as good as once."""
        self.snapshot = snapshot
        self.settled = not self._is_due()
        if self.settled:
            self.drop_chores()

    def wait_with(self, fresh: Fresh) -> None:
        """Let searches see these rows, which wait to be added. Nothing else has changed."""
        self.snapshot = Snapshot(self.snapshot.view, fresh)

    def checkpoint(self) -> Checkpoint:
        """What `roll_back` needs to return to the present."""
        lengths = {piece: len(piece) for piece in self.pieces}
        return Checkpoint(lengths, [piece.now for piece in self.pieces], self.rows, self._added)

    def roll_back(self, checkpoint: Checkpoint) -> None:
        """As if nothing had happened since."""
        _, then, self.rows, self._added = checkpoint
        self.pieces = list(checkpoint.lengths)
        for piece, now in zip(self.pieces, then, strict=True):
            piece.now = now

    @classmethod
    def restored(cls, key: bytes, dim: int, pieces: Sequence[GrowingPiece]) -> Partition:
        """A partition that holds nothing but these pieces."""
        made = cls(key, dim)
        made.pieces = list(pieces)
        made.rows = made._added = sum(piece.alive for piece in pieces)
        made._basis = next((piece.now.basis for piece in pieces if piece.now.basis is not None), None)
        made._learnt_at = made._added if made._basis is not None else 0
        made.publish()
        return made

    def catch_up_on_chores(self) -> None:
        """Do all there is to do, and sketch even the rows that might wait."""
        while not self.settled and self.do_chores(16):
            pass
        with suppress(MemoryError), without_warnings():
            for piece in self.pieces:
                if self._basis is not None and piece.now.basis is self._basis and piece.now.sketched < len(piece):
                    piece.sketch(self._basis, piece.now.sketched, len(piece))
        self.publish()

    def do_chores(self, steps: int) -> bool:
        """A part of what there is to do, in steps of a millisecond or two; whether there was memory for it.

        If not, it stays undone.
        """
        try:
            with without_warnings():
                for _ in range(steps):
                    if next(self._chores, self) is self:
                        if not self._is_due():
                            break
                        self._chores = self._keep_up()
            self.publish()
        except MemoryError:
            return False
        return True

    def drop_chores(self) -> None:
        """Leave undone what was begun, and let go of what it holds."""
        # As it refers to the partition, memory would otherwise wait for the garbage collector.
        self._chores = iter(())

    def _is_due(self) -> bool:
        return self.rows * self._dim >= _WORTH_SKETCHES and (self._must_learn() or self._behind() is not None)

    def _must_learn(self) -> bool:
        return self._basis is None or self._added >= _OUTGROWN * self._learnt_at

    def _behind(self) -> GrowingPiece | None:
        """A piece that lacks sketches, or has old ones."""
        # The last ones first: that is where rows are added.
        for piece in reversed(self.pieces):
            missing = len(piece) - piece.now.sketched
            if piece.now.basis is not self._basis or missing >= (_BEHIND if piece.room else 1):
                return piece
        return None

    def _keep_up(self) -> Iterator[None]:
        """Pieces may come and go between two steps."""
        if self._must_learn():
            yield from self._learn()
        while self._basis is not None and (piece := self._behind()) is not None:
            start = piece.now.sketched if piece.now.basis is self._basis else 0
            piece.sketch(self._basis, start, _SKETCHED_AT_ONCE)
            yield

    def _learn(self) -> Iterator[None]:
        """By itself, so that the sample is let go of as soon as there is a basis."""
        added, sample = self._added, self._sample(_SAMPLE)
        self.sample_bytes = sample.nbytes
        try:
            yield
            for basis in learn(sample):
                if basis is not None:
                    self._basis, self._learnt_at = basis, added
                yield
        finally:
            self.sample_bytes = 0

    def some_vectors(self, count: int) -> Matrix:
        """Unit vectors like those that are held here."""
        vectors = self._sample(count)
        return np.ascontiguousarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)

    def _sample(self, count: int) -> Matrix:
        """Rows from all over the partition; some of them gone, which does no harm."""
        lengths = np.cumsum([len(piece) for piece in self.pieces])
        chosen = np.linspace(0, lengths[-1] - 1, min(count, int(lengths[-1]))).astype(np.intp)
        parts = []
        for piece, end in zip(self.pieces, lengths.tolist(), strict=True):
            piece.now.check_rows()
            at = chosen[(chosen < end) & (chosen >= end - len(piece))] - (end - len(piece))
            parts.append(decode(tuple(column[at] for column in piece.now.columns)))
        return np.concatenate(parts)

    def remove(self, held: Mapping[GrowingPiece, list[int]]) -> None:
        """Take out rows of the ids that pieces hold.

        Nobody sees it before `publish`; `roll_back` undoes it.
        """
        for piece, ids in held.items():
            piece.remove(piece.positions_of(ids))
            self.rows -= len(ids)
        self.pieces = [piece for piece in self.pieces if piece.alive]

    def sparse_piece(self) -> GrowingPiece | None:
        """A piece that keeps more memory than its rows are worth, if there is one."""
        return next((piece for piece in self.pieces if piece.is_sparse), None)
