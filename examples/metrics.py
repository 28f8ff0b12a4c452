"""Counting with Prometheus, scraped over HTTP. Needs prometheus_client: pip install "mneme-cache[prometheus]".

For OpenTelemetry use `mneme.adapters.opentelemetry.OTelMetricsHook`, which is passed in the same way; for both at once,
`mneme.adapters.compose`. A dashboard for Grafana and alerts for Prometheus are in `ops`.
"""

import urllib.request

from prometheus_client import CollectorRegistry, start_http_server

from mneme import SemanticCache
from mneme.adapters.prometheus import PrometheusMetricsHook
from mneme.testing import HashEmbedder

PRICE = 2e-6  # of a token


def ask_model(question: str) -> dict[str, object]:
    """Stands for a call that takes a while and costs something."""
    return {"text": f"An answer to: {question}", "tokens": 400}


registry = CollectorRegistry()
hook = PrometheusMetricsHook(registry=registry, cache="faq")
server, thread = start_http_server(0, "127.0.0.1", registry)  # a port of your own choice, in earnest

with SemanticCache(":memory:", HashEmbedder(), metrics_hook=hook) as cache:
    hook.watch(cache)  # how many entries there are is asked when somebody scrapes
    for question in ("How long does delivery take?", "how long does DELIVERY take?", "Where is my order?"):
        cache.get_or_compute(question, ask_model, cost=lambda answer: answer["tokens"] * PRICE)
    with urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/metrics") as scrape:
        for line in scrape.read().decode().splitlines():
            if line.startswith(("mneme_hits_total", "mneme_misses_total", "mneme_saved_cost", "mneme_entries")):
                print(line)

server.shutdown()
server.server_close()
thread.join()
