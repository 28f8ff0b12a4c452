"""Pieces in all the states that adding, sketching, learning anew and removing can bring about, and an index of them."""

from dataclasses import dataclass, field

import numpy as np

from mneme.indexes import ExactIndex
from mneme.indexes._basis import Basis, learn
from mneme.indexes._partition import Partition, Snapshot
from mneme.indexes._piece import GrowingPiece
from mneme.indexes._twins import held_as
from mneme.indexes._view import View

NAME = b"partition"


@dataclass
class Held:
    """An index of one partition, and what it holds."""

    index: ExactIndex
    ids: np.ndarray
    rows: np.ndarray
    pieces: list = field(default_factory=list)

    def publish(self):
        self.index._contents._partitions[NAME].snapshot = Snapshot(View(self.pieces))

    def sketch(self, basis, *, less=0):
        """Sketch every piece, the last one *less* so many rows."""
        for number, piece in enumerate(self.pieces):
            growing = GrowingPiece.sealed(number, NAME, piece)
            growing.sketch(basis, 0, len(piece.ids) - (less if number == len(self.pieces) - 1 else 0))
            self.pieces[number] = growing.now
        self.publish()

    def search(self, queries, floor, k):
        return self.index.search(NAME, queries, floor=floor, k=k)


def learnt(rows):
    *_, basis = learn(rows)
    return basis


def bases(rng, rows):
    """Bases that are good, that know nothing of the rows, that rows lie inside of, and the axes."""
    dim = rows.shape[1]
    wanted = max(1, dim // 4)
    anywhere = np.linalg.qr(rng.standard_normal((dim, wanted)))[0]
    spanning = np.linalg.qr(np.concatenate([rows[:wanted].astype(np.float64).T, anywhere], axis=1))[0][:, :wanted]
    return [learnt(rows), *(Basis(made.astype(np.float32)) for made in (anywhere, spanning, np.eye(dim)[:, :wanted]))]


def cut(rng, rows, dtypes, *, full, chosen, gone=0.0, ids=None):
    """An index whose partition holds these rows in pieces of *full*.

    Each piece is held in one of the *dtypes*, and sketched in one of the *chosen* bases: all of it, some of it, or (the
    basis is `None`) nothing of it. Of the pieces, which may lose every row, *gone* is the share removed.
    """
    index = ExactIndex()
    index.open(rows.shape[1], dtypes[0])
    ids = rng.permutation(np.arange(len(rows)) * 3 - len(rows)) if ids is None else ids
    held = Held(index, ids, rows)
    kept = np.ones(len(rows), np.bool_)
    for number, start in enumerate(range(0, len(rows), full)):
        part = slice(start, start + full)
        columns = held_as(rows[part], dtypes[rng.integers(len(dtypes))])
        piece = GrowingPiece(number, NAME, columns, full)
        piece.extend(held.ids[part], columns)
        basis = chosen[rng.integers(len(chosen))]
        if basis is not None:
            piece.sketch(basis, 0, len(piece) if rng.random() < 0.5 else int(rng.integers(1, len(piece) + 1)))
        dead = np.flatnonzero(rng.random(len(piece)) < rng.choice([0.0, gone, 1.0], p=[0.3, 0.65, 0.05]) * (gone > 0))
        piece.remove(rng.permutation(dead))
        kept[start + dead] = False
        held.pieces.append(piece.now)
    held.ids, held.rows = held.ids[kept], rows[kept]
    index._contents._partitions[NAME] = Partition(NAME, rows.shape[1])
    held.publish()
    return held
