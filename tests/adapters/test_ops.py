"""The dashboard and the rules name metrics and labels that there are."""

import json
import re
from pathlib import Path

import prometheus_client
import pytest
import yaml

from mneme.adapters._measures import METRICS
from mneme.adapters.prometheus import PrometheusMetricsHook

OPS = Path(__file__).parents[2] / "ops"
DASHBOARD = json.loads((OPS / "grafana-dashboard.json").read_text(encoding="utf-8"))
RULES = [
    rule
    for group in yaml.safe_load((OPS / "prometheus-rules.yml").read_text("utf-8"))["groups"]
    for rule in group["rules"]
]
EXPRESSIONS = [
    *(target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]),
    *(variable["definition"] for variable in DASHBOARD["templating"]["list"] if "definition" in variable),
    *(rule["expr"] for rule in RULES),
]
RECORDED = {rule["record"] for rule in RULES if "record" in rule}


@pytest.fixture(scope="module")
def samples():
    """The labels of every sample, by its name, once every metric was touched."""
    registry = prometheus_client.CollectorRegistry()
    hook = PrometheusMetricsHook(registry=registry)
    for metric in METRICS:
        labels = ("c", "n", "x") if metric.label else ("c", "n")
        hook._families.by_name[metric.name].labels(*labels)
    return {sample.name: set(sample.labels) for family in registry.collect() for sample in family.samples}


def names_in(expression):
    return set(re.findall(r"\bmneme[\w:]*", expression))


def test_there_are_expressions_and_they_name_metrics():
    assert len(EXPRESSIONS) > 30
    assert all(names_in(expression) for expression in EXPRESSIONS)


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_an_expression_names_metrics_and_labels_that_there_are(expression, samples):
    names = names_in(expression)
    assert names <= samples.keys() | RECORDED
    known = {"le", "cache"}.union(*(samples.get(name, set()) for name in names))
    used = {label for group in re.findall(r"by \(([^)]*)\)", expression) for label in re.split(r",\s*", group)}
    used |= set(re.findall(r"[{,]\s*(\w+)\s*(?:=~?|!=|!~)", expression))
    assert used <= known
    assert expression.count("(") == expression.count(")")
    assert expression.count("{") == expression.count("}")


def test_every_metric_is_shown(samples):
    shown = set().union(*map(names_in, EXPRESSIONS))
    left = {metric.prometheus for metric in METRICS if not any(name.startswith(metric.prometheus) for name in shown)}
    assert left == {"mneme_put_bytes", "mneme_embedded", "mneme_index_tombstones"}  # of interest to few


def test_legends_name_labels_of_their_expression():
    for panel in DASHBOARD["panels"]:
        for target in panel["targets"]:
            grouped = {
                label for group in re.findall(r"by \(([^)]*)\)", target["expr"]) for label in re.split(r",\s*", group)
            }
            assert set(re.findall(r"{{(\w+)}}", target["legendFormat"])) <= grouped


def test_panels_have_numbers_of_their_own_and_do_not_overlap():
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    taken = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert place["x"] + place["w"] <= 24
        assert not cells & taken
        taken |= cells


def test_an_alert_says_how_bad_it_is_and_what_it_means():
    alerts = [rule for rule in RULES if "alert" in rule]
    assert len({rule["alert"] for rule in alerts}) == len(alerts) == 9
    for rule in alerts:
        assert rule["labels"]["severity"] in {"info", "warning", "critical"}
        assert "$labels.cache" in rule["annotations"]["summary"]
        assert "by (cache" in rule["expr"] or names_in(rule["expr"]) <= RECORDED
