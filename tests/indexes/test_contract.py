"""The exact index keeps the contract of all indexes, in each dtype."""

from mneme.indexes import ExactIndex
from mneme.testing import IndexContract


class TestFloat32(IndexContract):
    def make_index(self):
        return ExactIndex()


class TestFloat16(TestFloat32):
    dtype = "float16"


class TestInt8(TestFloat32):
    dtype = "int8"
