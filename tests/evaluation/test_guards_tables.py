"""The tables of what guards refuse: on real traps they keep what is promised."""

import gzip
import importlib.util
import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest

SOURCE = Path(__file__).parents[2] / "evaluation"
TRAPS = Path(os.environ.get("MNEME_BENCH_DATA", "")) / "traps_dev.jsonl.gz"


def load(name):
    spec = importlib.util.spec_from_file_location(name, SOURCE / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def tables(monkeypatch):
    monkeypatch.syspath_prepend(str(SOURCE))
    yield load("guards")
    sys.modules.pop("intervals", None)


def written(folder, name, rows):
    with gzip.open(folder / name, "wt", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)


# --- tables ----------------------------------------------------------------------------------------------------------


def test_each_kind_of_data_gives_its_tables(tables, tmp_path, capsys, monkeypatch):
    trap = {"a": "How do I enable dark mode?", "b": "How do I disable dark mode?"}
    good = {"a": "How do I enable dark mode?", "b": "How can I enable dark mode?"}
    written(
        tmp_path,
        "traps_dev.jsonl.gz",
        [
            trap | {"category": "negation", "same_answer": False},
            good | {"category": "near_repeat", "same_answer": True},
        ],
    )
    written(tmp_path, "qqp_dev.jsonl.gz", [trap | {"same": 0}, good | {"same": 1}])
    rows = [("wake me at 6", "alarm"), ("wake me at 7", "alarm"), ("play a song", "music"), ("sing a song", "oos")]
    written(tmp_path, "clinc150.jsonl.gz", [{"text": text, "intent": intent} for text, intent in rows])
    np.save(tmp_path / "clinc150_minilm_f16.npy", np.float16([[1, 0], [1, 0.1], [0, 1], [0.1, 1]]))
    monkeypatch.setattr(sys, "argv", ["guards.py", "--data", str(tmp_path), "--threshold", "0.8"])
    assert tables.main() == 0
    told = capsys.readouterr().out
    assert told.count("1/1) | 0.0 % (0.0 to 97.5; 0/1) | 100.0 % (2.5 to 100.0; 1/1) | 100.0 %") == 2
    # The two alarms are refused by their numbers, which the labels call the same; what is out of scope is never right.
    assert "| `numbers` | 0.0 % (0.0 to 84.2; 0/2) | 100.0 % (15.8 to 100.0; 2/2) |" in told


def test_without_data_it_says_so(tables, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["guards.py", "--data", str(tmp_path)])
    assert tables.main() == 2
    assert "--data" in capsys.readouterr().err


@pytest.mark.skipif(not TRAPS.exists(), reason="the labelled data is not at hand: MNEME_BENCH_DATA names its folder")
def test_on_real_traps_a_third_at_most_is_served_and_hardly_a_good_hit_is_lost(tables):
    rows = list(tables._rows(TRAPS))
    similarities = tables._similarities([(row["a"], row["b"]) for row in rows])
    pairs = [
        tables.Pair(row["a"], row["b"], row["same_answer"], row["category"], similarity)
        for row, similarity in zip(rows, similarities, strict=True)
    ]
    near = [pair for pair in pairs if pair.similarity >= 0.9]
    traps, good = ([pair for pair in near if pair.same is same] for same in (False, True))
    assert len(traps) > 30
    assert len(good) > 50
    assert sum(tables.refused_by(pair) is None for pair in traps) <= len(traps) / 3
    assert sum(tables.refused_by(pair) is not None for pair in good) <= len(good) / 100
