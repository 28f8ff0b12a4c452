"""From labelled data to a threshold: from pairs, as a first idea, and from traffic, as a certificate."""

from mneme import Certificate, SemanticCache
from mneme.embedders import LocalEmbedder
from mneme.tools.calibrate import certify, find_threshold

SAME = [
    ("How do I reset my password?", "How can I reset my password?"),
    ("When does the shop open?", "At what time does the shop open?"),
    ("Where is my parcel?", "Where is my package?"),
]
DIFFERENT = [
    ("How do I reset my password?", "How do I change my address?"),
    ("When does the shop open?", "Where is the shop?"),
    ("Where is my parcel?", "How do I send a parcel?"),
]
OPENINGS = ("How do I", "How can I", "What do I do to", "I would like to", "Please help me", "Is there a way to")
TOPICS = ("reset my password", "change my address", "cancel my order", "pay by invoice", "return a parcel")
ENDINGS = ("", " today", " online", " on my phone", ", please", " at once", " from abroad", " as a guest", " again")


def main() -> None:
    """Calibrate, certify, and serve by the certificate."""
    embedder = LocalEmbedder()

    result = find_threshold(SAME, DIFFERENT, embedder)
    print(f"from pairs:   {result.threshold:g}, precision {result.precision:.2f}, recall {result.recall:.2f}")

    # Traffic in the order in which it came, each query with its right answer. Yours is not as regular as this.
    traffic = [(f"{how} {topic}{end}", topic) for end in ENDINGS for how in OPENINGS for topic in TOPICS]
    outcome = certify(traffic, embedder, max_false_hit_rate=0.05, entries=(0, 1000), grid=[0.9, 0.8, 0.7, 0.6])
    if not isinstance(outcome, Certificate):
        print("from traffic:", outcome.reason)
        return
    print(
        f"from traffic: {outcome.threshold:g}; {outcome.false_hits} of {outcome.hits} hits were wrong, at most "
        f"{outcome.max_false_hit_rate:.0%} are, with a confidence of {outcome.confidence:.0%}"
    )

    with SemanticCache("certified.db", embedder, similarity_threshold="certified") as cache:
        cache.put("How do I reset my password?", "With the link on the sign-in page.")
        print("uncertified: ", cache.get("How can I reset my password?"), "-", cache.certificate().detail)
        cache.use_certificate(outcome)
        hit = cache.get("How can I reset my password?")
        print("certified:   ", None if hit is None else hit.response)


if __name__ == "__main__":
    main()
