"""Semantic deduplication: reports of the same trouble, in other words, become one cluster.

Each report asks the cache for the nearest one known. If it is the same trouble, the report joins its cluster as an
alias: an entry that equal texts find, and that takes no vector. The guards keep apart what only looks alike.
"""

from mneme import SemanticCache
from mneme.embedders import LocalEmbedder

# What a person sees to be the same stands together; the script is not told.
TROUBLES = (
    (
        "The app crashes when I upload a photo",
        "App crashes when uploading a photo",
        "Uploading a photo crashes the app",
    ),
    ("I cannot log in after the update", "After the update I can't log in", "Since the update I cannot log in"),
    (
        "The invoice shows the wrong address",
        "Wrong address shown on my invoice",
        "My invoice has the wrong address on it",
    ),
    ("Export to PDF produces an empty file", "The PDF export gives me an empty file", "My PDFs are blank"),
    ("Dark mode cannot be turned on", "I can't turn on dark mode"),
    ("Dark mode cannot be turned off", "I can't turn off dark mode"),  # not the one above
    ("Version 4.1 does not start", "version 4.1 won't start"),
    ("Version 4.2 does not start",),  # nor this
    ("Please add a keyboard shortcut for search",),
)


def deduplicate(cache: SemanticCache, reports: list[str]) -> dict[str, list[str]]:
    """Clusters by their first report, in order of appearance."""
    clusters: dict[str, list[str]] = {}
    for report in reports:
        hit = cache.get(report)
        name = report if hit is None else str(hit.response)
        cache.put(report, name)
        clusters.setdefault(name, []).append(report)
    return clusters


def pairs(clusters: list[list[str]]) -> set[frozenset[str]]:
    """Every two reports that are said to be the same."""
    return {frozenset((a, b)) for cluster in clusters for a in cluster for b in cluster if a != b}


def main() -> None:
    """Cluster the reports, as they would come in, and count what was found and what was not."""
    longest = max(map(len, TROUBLES))
    reports = [trouble[i] for i in range(longest) for trouble in TROUBLES if i < len(trouble)]
    truth = pairs([list(trouble) for trouble in TROUBLES])
    embedder = LocalEmbedder()

    # Clustering is not answering: a wrong pair is seen by whoever reads the cluster, so the threshold may be lower.
    with SemanticCache(":memory:", embedder, similarity_threshold=0.8, alias_threshold=0.8) as cache:
        clusters = deduplicate(cache, reports)
        for first, others in clusters.items():
            print(f"{len(others)}x {first}")
            for other in others[1:]:
                print(f"      {other}")

        found = pairs(list(clusters.values()))
        print(f"{len(reports)} reports, {len(clusters)} clusters for {len(TROUBLES)} troubles")
        print(f"of {len(found)} pairs {len(found & truth)} are right; {len(truth - found)} were missed")
        assert found <= truth
        assert len(found) > len(truth) / 2

        vectors = len(cache.lookup(reports[0], k=len(reports)))
        print(f"{cache.stats().entries} entries, {vectors} with a vector")
        assert vectors < cache.stats().entries == len(reports)

        # What a person would be shown beside a new report, the nearest first, whatever the threshold.
        new = "The photo upload makes the app crash"
        print(f"near {new!r}:")
        for near in cache.lookup(new, k=3):
            print(f"  {near.similarity:.2f}  {near.response}")
        assert cache.lookup(new, k=1)[0].response == TROUBLES[0][0]

    with SemanticCache(":memory:", embedder, similarity_threshold=0.8, guards=()) as cache:
        wrong = pairs(list(deduplicate(cache, reports).values())) - truth
        print(f"without guards {len(wrong)} pairs are wrong, among them {sorted(min(wrong, key=sorted))}")
        assert frozenset(("Version 4.1 does not start", "Version 4.2 does not start")) in wrong


if __name__ == "__main__":
    main()
