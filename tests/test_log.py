"""The log speaks to machines: the fields of records, and how formatters get them. That every record has an event is
found in `test_surface`.
"""

import io
import json
import logging
import re
from pathlib import Path

import pytest
import structlog
from pythonjsonlogger.json import JsonFormatter

from mneme import MemoryStore, SemanticCache
from mneme.log import EVENTS, FIELDS, log_fields
from mneme.testing import FailingEmbedder, Faults, FlakyStore, HashEmbedder

PAGE = Path(__file__).parents[1] / "docs" / "logging.md"
QUERY = "Where does Ms Sadowski of flat 7 live?"
ANSWER = "in a flat"

# --- the page --------------------------------------------------------------------------------------------------------


def test_the_page_lists_every_event_and_every_field():
    first_cells = re.findall(r"^\| `([a-z_]+)`", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert sorted(first_cells) == sorted({*EVENTS, *FIELDS})


# --- the fields ------------------------------------------------------------------------------------------------------


def test_fields_clash_with_nothing_that_a_record_has():
    assert all(name.startswith("mneme_") for name in FIELDS)
    record = logging.LogRecord("mneme", logging.INFO, "file", 1, "text", (), None)
    assert not record.__dict__.keys() & set(FIELDS)


def test_what_is_not_known_is_left_out_and_an_error_is_the_name_of_its_class():
    assert log_fields("alarm") == {"mneme_event": "alarm"}
    fields = log_fields("alarm", namespace="shop", error=ValueError(QUERY), path=Path("a.db"), failures=0)
    assert fields == {
        "mneme_event": "alarm",
        "mneme_namespace": "shop",
        "mneme_error": "ValueError",
        "mneme_path": "a.db",
        "mneme_failures": 0,
    }


def test_there_is_a_field_for_every_argument():
    takes = log_fields.__kwdefaults__.keys()
    assert [f"mneme_{name}" for name in ("event", *takes)] == list(FIELDS)


# --- flows -----------------------------------------------------------------------------------------------------------


def refuse(*_):
    raise LookupError(f"a validator, of {QUERY}")


def fail_at_everything(tmp_path):
    """Embedder, hook, validator and store fail in turn."""
    with SemanticCache(":memory:", FailingEmbedder(HashEmbedder(), {1}), metrics_hook=refuse) as cache:
        cache.get(QUERY, namespace="shop")
    file = tmp_path / "answers.db"
    with SemanticCache(file, HashEmbedder()) as cache:
        cache.put(QUERY, ANSWER, namespace="shop")
    with SemanticCache(file, HashEmbedder(), validator=refuse) as cache:
        cache.get(QUERY, namespace="shop")
    faults = Faults()
    store = FlakyStore(MemoryStore(), faults)
    with SemanticCache(embedder=HashEmbedder(), store=store, on_store_error="miss") as cache:
        faults.arm({1})
        cache.get(QUERY, namespace="shop")


def documents(formatter, flow, tmp_path):
    text = io.StringIO()
    handler, logger = logging.StreamHandler(text), logging.getLogger("mneme")
    handler.setFormatter(formatter)
    logger.addHandler(handler)
    try:
        flow(tmp_path)
    finally:
        logger.removeHandler(handler)
    return [json.loads(line) for line in text.getvalue().splitlines()]


def structured():
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[structlog.stdlib.ExtraAdder()],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
    )


@pytest.mark.parametrize("formatter", [JsonFormatter, structured])
def test_json_formatters_get_the_fields_and_no_text(formatter, tmp_path):
    told = documents(formatter(), fail_at_everything, tmp_path)
    events = {document["mneme_event"]: document for document in told}
    assert {"embedder_failure", "hook_failure", "validator_failure", "store_failure"} <= events.keys()
    assert events["embedder_failure"]["mneme_namespace"] == "shop"
    assert events["hook_failure"]["mneme_operation"] in {"embedder_failure", "miss"}
    assert events["validator_failure"]["mneme_error"] == "LookupError"
    assert events["store_failure"]["mneme_failures"] == 1
    fields = [{name: value for name, value in document.items() if name.startswith("mneme_")} for document in told]
    assert all(field.keys() <= set(FIELDS) for field in fields)
    assert "Sadowski" not in str(fields)
    assert ANSWER not in str(fields)
