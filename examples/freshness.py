"""TTLs, a stale answer while a new one is computed, and one when computing fails. The clock is moved by hand."""

import logging
import threading
from typing import Any

from mneme import SemanticCache
from mneme.embedders import LocalEmbedder
from mneme.testing import FakeClock

QUESTION = "What is the exchange rate?"
OPTIONS: dict[str, Any] = {"ttl": "5m", "jitter": 0.1, "stale_ttl": "1h"}


def main() -> None:
    """Let an answer age."""
    logging.getLogger("mneme").setLevel(logging.ERROR)  # it warns of the failure that is shown here
    clock = FakeClock()
    with SemanticCache("rates.db", LocalEmbedder(), clock=clock) as cache:
        print("computed:  ", cache.get_or_compute(QUESTION, lambda _: "1.08", **OPTIONS))
        clock.advance(200)
        print("fresh:     ", cache.get_or_compute(QUESTION, lambda _: "never called", **OPTIONS))

        clock.advance(200)
        print("get, 400 s:", cache.get(QUESTION))
        started, finish = threading.Event(), threading.Event()

        def slow(_: str) -> str:
            started.set()
            finish.wait()
            return "1.09"

        leader = threading.Thread(target=cache.get_or_compute, args=(QUESTION, slow), kwargs=OPTIONS)
        leader.start()
        started.wait()
        print("meanwhile: ", cache.get_or_compute(QUESTION, slow, **OPTIONS), "(stale, at once)")
        finish.set()
        leader.join()
        print("then:      ", cache.get_or_compute(QUESTION, slow, **OPTIONS))

        def down(_: str) -> str:
            raise ConnectionError("the service is down")

        clock.advance(600)
        print("it is down:", cache.get_or_compute(QUESTION, down, **OPTIONS, stale_on_error=True), "(stale)")
        clock.advance(3600)
        try:
            cache.get_or_compute(QUESTION, down, **OPTIONS, stale_on_error=True)
        except ConnectionError as error:
            print("too old:   ", error)


if __name__ == "__main__":
    main()
