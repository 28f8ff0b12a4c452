"""Imports point downwards. The table below is the architecture; the test reads every import in `src/mneme`."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "mneme"

# Each unit (a module or package right under `mneme`) and the other units it may import.
CONTRACTS = ("errors", "types", "certificates", "log", "records", "capabilities", "ports")
RULES = (*CONTRACTS, "_rules")
MACHINERY = (*RULES, "_runtime", "_engine")
BACKENDS = (*MACHINERY, "indexes", "stores")
MAY_IMPORT = {
    # 1
    "errors": (),
    "types": (),
    "certificates": (),
    "log": (),
    # 2
    "records": (),
    "capabilities": ("errors", "types", "records"),
    "ports": ("errors", "types", "records", "capabilities"),
    # 3
    "_rules": CONTRACTS,
    "guards": RULES,
    # 4: flows stand on the runtime, never the other way round
    "_runtime": RULES,
    "_engine": (*RULES, "_runtime"),
    # 5: a backend knows neither the engine nor another kind of backend
    "indexes": RULES,
    "stores": RULES,
    # 6: both faces offer the decorator; the async one takes its documentation from the other
    "decorators": BACKENDS,
    "_assemble": BACKENDS,
    "_restore": (*BACKENDS, "_assemble"),
    "cache": (*BACKENDS, "_assemble", "_restore", "decorators"),
    "async_cache": (*BACKENDS, "_assemble", "_restore", "decorators", "cache"),
    # 7: tools that work on whole stores, beneath any cache
    "tools": (*BACKENDS, "_assemble", "cache", "async_cache", "embedders", "calibration", "cli", "mneme"),
    "__main__": ("cli",),
}
# 7: every other public unit. It uses what users use: `from mneme import ...` and the public modules, save these:
SURFACE = "mneme"
BEHIND_THE_SURFACE = ("cache", "async_cache", "decorators")

# Decisions and flows are handed time, chance and waiting, and leave input and output to the ports.
PURE = ("_rules", "_engine")
IMPURE = (
    *("asyncio", "concurrent", "multiprocessing", "queue", "threading"),
    *("random", "secrets", "time"),
    *("select", "socket", "sqlite3", "subprocess"),
)


def test_every_import_points_downwards():
    files = sorted(SOURCE.rglob("*.py"))
    names = {module_name(file) for file in files}
    assert "mneme.ports" in names
    found = [
        f"{file.relative_to(SOURCE.parent)}:{line}: {what}"
        for file in files
        for line, what in violations(module_name(file), file.read_text(encoding="utf-8"), names)
    ]
    assert not found, "\n".join(found)


def test_every_private_unit_has_a_place_in_the_table():
    units = {path.stem for path in SOURCE.iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()}
    private = {unit for unit in units if unit.startswith("_")} - {"__init__"}
    assert private <= MAY_IMPORT.keys()


KNOWN = {"mneme", "mneme.cli", "mneme.cli._tables", "mneme.stores.memory", *(f"mneme.{unit}" for unit in MAY_IMPORT)}


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("mneme.errors", "from mneme.types import Hit"),
        ("mneme.ports", "from mneme._rules import keys"),
        ("mneme._rules.keys", "import time"),
        ("mneme._rules.keys", "from mneme.stores import MemoryStore"),
        ("mneme._runtime.hot", "from mneme._engine.lookup import lookup"),
        ("mneme._engine.lookup", "import asyncio.locks"),
        ("mneme._engine.lookup", "from concurrent.futures import Future"),
        ("mneme._engine.lookup", "def f():\n    import threading"),
        ("mneme._engine.lookup", "if TYPE_CHECKING:\n    from mneme.stores import MemoryStore"),
        ("mneme.stores.memory", "from mneme.indexes.exact import NumpyIndex"),
        ("mneme.stores.memory", "from ..indexes import NumpyIndex"),
        ("mneme.stores.memory", "from .. import indexes"),
        ("mneme.stores.memory", "from mneme import SemanticCache"),
        ("mneme.stores.memory", "import mneme._engine.lookup"),
        ("mneme.stores.memory", "import_module('mneme._engine.lookup')"),
        ("mneme.stores", "from .._engine import lookup"),
        ("mneme.indexes.exact", "import mneme"),
        ("mneme.cache", "from mneme.async_cache import AsyncSemanticCache"),
        ("mneme.cache", "from mneme.testing import FakeClock"),
        ("mneme.testing.clock", "from mneme._runtime.clock import WallClock"),
        ("mneme.testing.clock", "from mneme import _rules"),
        ("mneme.testing.clock", "from mneme.cache import SemanticCache"),
        ("mneme.testing.clock", "from mneme.stores._sql import SCHEMA"),
        ("mneme.testing.clock", "from mneme.stores import _sql"),
        ("mneme.testing.clock", "from mneme.cli._tables import table"),
        ("mneme._novelty", "from mneme.errors import MnemeError"),
    ],
)
def test_an_import_upwards_is_reported(module, source):
    assert len(list(violations(module, source, KNOWN))) == 1


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("mneme", "from mneme.cache import SemanticCache"),
        ("mneme._rules.keys", "import logging, hashlib\nfrom datetime import timedelta"),
        ("mneme._rules.keys", "from mneme._rules.codec import check_json"),
        ("mneme._runtime.clock", "import time"),
        ("mneme._engine.lookup", "from mneme._rules.keys import key\nfrom mneme.ports import Store"),
        ("mneme.stores.sqlite", "import sqlite3\nfrom mneme.stores import _sql\nfrom ._sql import SCHEMA"),
        ("mneme.stores", "from .memory import MemoryStore"),
        ("mneme.cache", "from mneme._engine import lookup\nfrom mneme.stores import MemoryStore"),
        ("mneme.testing.clock", "from mneme import SemanticCache, ports\nfrom mneme.stores import MemoryStore"),
        ("mneme.cli", "from mneme.cli._tables import table\nfrom mneme import __version__\nimport mneme.errors"),
    ],
)
def test_an_import_downwards_is_not_reported(module, source):
    assert list(violations(module, source, KNOWN)) == []


# --- the checker -----------------------------------------------------------------------------------------------------


def module_name(file: Path) -> str:
    parts = file.relative_to(SOURCE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def violations(module: str, source: str, names: set[str]) -> Iterator[tuple[int, str]]:
    """The line and the fault of every import in *source* that the table forbids."""
    unit = unit_of(module)
    if unit.startswith("_") and unit not in MAY_IMPORT:
        yield 1, f"{module} is private and has no place in the table"
        return
    for line, target in imports(module, source, names):
        if target.split(".")[0] != SURFACE:
            if unit in PURE and target.split(".")[0] in IMPURE:
                yield line, f"{unit} is pure and imports {target}"
        elif unit not in (SURFACE, unit_of(target)) and not allowed(unit, target):
            yield line, f"{unit} may not import {target}"


def allowed(unit: str, target: str) -> bool:
    if unit in MAY_IMPORT:
        return unit_of(target) in MAY_IMPORT[unit]
    private = any(part.startswith("_") and not part.endswith("__") for part in target.split("."))
    return not private and unit_of(target) not in BEHIND_THE_SURFACE


def unit_of(name: str) -> str:
    """`stores` for `mneme.stores.sqlite`, and `mneme` for the surface itself."""
    parts = name.split(".")
    return parts[1] if len(parts) > 1 else parts[0]


def imports(module: str, source: str, names: set[str]) -> Iterator[tuple[int, str]]:
    """Every module imported, wherever in the file. From other units of mneme, the imported name is part of it."""
    package = module if is_package(module, names) else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import():
                for alias in node.names:
                    yield node.lineno, alias.name
            case ast.ImportFrom():
                base = node.module or ""
                if node.level:
                    above = package.split(".")[: len(package.split(".")) - node.level + 1]
                    base = ".".join([*above, base] if base else above)
                for alias in node.names:
                    yield node.lineno, full_name(base, alias.name, names)
            case ast.Call(
                func=ast.Name(id="import_module" | "__import__") | ast.Attribute(attr="import_module"),
                args=[ast.Constant(value=str(name)), *_],
            ):
                yield node.lineno, name


def full_name(base: str, name: str, names: set[str]) -> str:
    """`from mneme import ports` imports a module, `from mneme import Hit` something of the surface."""
    full = f"{base}.{name}"
    return base if base == SURFACE and full not in names else full


def is_package(module: str, names: set[str]) -> bool:
    return any(name.startswith(f"{module}.") for name in names)
