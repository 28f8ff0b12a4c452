"""Small numbers in place of the index's own, so that all that it does for many rows it does for few."""

from contextlib import contextmanager

import pytest

from mneme.indexes import _basis, _contents, _partition, _piece, _search, _twins, _view

_WHERE = {
    "COPIED": (_piece,),
    "_NUMBERS": (_piece,),
    "_MOVED": (_contents,),
    "_SMALLEST": (_piece,),
    "_FRESH": (_contents,),
    "_ROWS_A_STEP": (_contents,),
    "_WORTH_SKETCHES": (_partition,),
    "_SAMPLE": (_partition,),
    "_OUTGROWN": (_partition,),
    "_SKETCHED_AT_ONCE": (_partition,),
    "_BEHIND": (_partition,),
    "_DIRECTIONS": (_basis,),
    "_EXTRA": (_basis,),
    "_ROWS_AT_ONCE": (_basis,),
    "_PRODUCTS_AT_ONCE": (_search,),
    "_MANY": (_search,),
    "_FIRST": (_twins,),
    "_SAMPLED": (_twins,),
    "_KINDS": (_twins,),
    "_FEW": (_search,),
    "_GROWTH": (_search,),
    "_PROBED": (_search,),
    "_HOPELESS": (_search,),
    "_DOUBTFUL": (_search,),
    "_WORTH_PICKING": (_search,),
    "_SCORED_AT_ONCE": (_search,),
    "_LARGE": (_search,),
    "_GATHERED": (_view,),
    "_STALLED": (_view,),
}

PIECES = {
    "COPIED": 16,
    "_NUMBERS": 128,
    "_MOVED": 4,
    "_FRESH": 5,
    "_WORTH_SKETCHES": 64,
    "_SAMPLE": 12,
    "_OUTGROWN": 3,
    "_SKETCHED_AT_ONCE": 6,
    "_BEHIND": 3,
    "_DIRECTIONS": 3,
    "_EXTRA": 2,
    "_ROWS_AT_ONCE": 5,
}
"""Pieces of sixteen rows and more, sketched from a dozen on and learnt anew after three dozen."""

SEARCH = {"_MANY": 6, "_FEW": 4, "_GROWTH": 2, "_PROBED": 3, "_SCORED_AT_ONCE": 5}
"""A search that goes round several times over a few dozen rows."""


@contextmanager
def small(**numbers):
    """While inside, the numbers are these."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in numbers.items():
            for module in _WHERE[name]:
                patch.setattr(module, name, value)
        yield
