"""`mneme demo`: the library at its main job, on real input, with every figure measured while one watches."""

from mneme.cli.demo._command import demo

__all__ = ["demo"]
