"""Moving a cache to another embedding model: in place while it answers, and to another file after a break-down."""

from mneme import ReembeddingError, ReembedProgress, SemanticCache
from mneme.testing import FailingEmbedder, HashEmbedder
from mneme.tools.migrate import reembed

OLD, MIDDLE, NEW = HashEmbedder(64), HashEmbedder(128), HashEmbedder(256)  # in place of three models


def tell(now: ReembedProgress) -> None:
    """Say how far it is."""
    if now.seconds_left is not None:
        print(f"  {now.done} of {now.total}, {now.seconds_left:.1f} s left")


def main() -> None:
    """Fill a cache, change it over, and move it elsewhere with a service that breaks down."""
    with SemanticCache("answers.db", OLD, similarity_threshold=0.9) as cache:
        cache.put_many([(f"What is the square of {n}?", n * n) for n in range(300)])
        print("in place:", cache.reembed(MIDDLE, similarity_threshold=0.8, batch_size=100, progress=tell))
        print(cache.get("what's the square of 17"))

    breaks_down = FailingEmbedder(NEW, lambda call: call > 2)
    try:
        reembed("answers.db", "moved.db", breaks_down, batch_size=100, retries=1, retry_seconds=0, progress=tell)
    except ReembeddingError as error:
        print("it stopped:", error)

    report = reembed("answers.db", "moved.db", NEW, batch_size=100, progress=tell)
    print("and went on:", report)
    with SemanticCache("moved.db", NEW) as cache:
        print(cache.get("what's the square of 17", similarity_threshold=0.7))


if __name__ == "__main__":
    main()
