"""A cache that audits itself: wrong answers are found in the background, and too many of them raise the alarm."""

import logging
import threading
from collections.abc import Mapping

from mneme import SemanticCache
from mneme.embedders import LocalEmbedder

ANSWERS = {
    "How do I enable dark mode?": "Settings, Display, on.",
    "How do I disable dark mode?": "Settings, Display, off.",
    "How do I enable notifications?": "Settings, Messages, on.",
    "How do I disable notifications?": "Settings, Messages, off.",
    "How do I enable two-factor authentication?": "Settings, Security, on.",
    "How do I disable two-factor authentication?": "Settings, Security, off.",
    "How do I enable automatic updates?": "Settings, System, on.",
    "How do I disable automatic updates?": "Settings, System, off.",
}


def main() -> None:
    """Ask for opposites, which embeddings hardly tell apart."""
    logging.getLogger("mneme").setLevel(logging.ERROR)  # it warns of the alarm that is shown here
    audited = threading.Semaphore(0)

    alarms: list[Mapping[str, object]] = []

    def hook(event: str, fields: Mapping[str, object]) -> None:
        if event == "alarm":
            alarms.append(fields)
        elif event == "audit":
            audited.release()

    cache = SemanticCache(
        ":memory:",
        LocalEmbedder(),
        similarity_threshold=0.8,
        audit_rate=1.0,  # in earnest a few hundredths
        max_false_hit_rate=0.02,
        guards=(),  # one of the default guards would see these three
        metrics_hook=hook,
    )
    with cache:
        for question, answer in ANSWERS.items():
            served = cache.get_or_compute(question, ANSWERS.__getitem__)
            if served != answer:
                print(f"wrong:  {question} {served}")
                audited.acquire()
        for alarm in alarms:
            print(f"ALARM:  {alarm['wrong']} of {alarm['audits']} audits; the threshold is {alarm['raised_to']} now")
        right = sum(cache.get_or_compute(question, ANSWERS.__getitem__) == ANSWERS[question] for question in ANSWERS)
        print(f"now {right} of {len(ANSWERS)} are right")


if __name__ == "__main__":
    main()
