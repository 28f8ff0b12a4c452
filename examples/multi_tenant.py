"""Tenants and scopes: who may be answered by what, a quota, and forgetting a tenant."""

from mneme import SemanticCache
from mneme.embedders import LocalEmbedder

QUESTION = "What does the premium plan cost?"


def main() -> None:
    """Two tenants, two languages, one cache."""
    with SemanticCache("tenants.db", LocalEmbedder(), namespace_quotas={"trial": 2}) as cache:
        cache.put(QUESTION, "20 EUR", namespace="acme", scope={"language": "en"}, tags=["prices"])
        cache.put(QUESTION, "Zwanzig Euro", namespace="acme", scope={"language": "de"}, tags=["prices"])
        cache.put(QUESTION, "35 EUR", namespace="globex", scope={"language": "en"}, tags=["prices"])

        asked = "How much does the premium plan cost?"
        for namespace, language in (("acme", "en"), ("acme", "de"), ("globex", "en"), ("globex", "de")):
            hit = cache.get(asked, namespace=namespace, scope={"language": language})
            print(f"{namespace}/{language}:", hit.response if hit else "no answer, and nobody else's")

        for number in range(5):
            cache.put(f"Trial question {number}", "...", namespace="trial")
        print("the quota of 2 leaves:", [entry.query for entry in cache.entries(namespace="trial")])

        print("prices changed, removed by tag:", cache.invalidate(tags=["prices"], namespace="acme"))
        print("globex has left, removed:", cache.clear_namespace("globex"))
        print("namespaces now:", cache.list_namespaces())


if __name__ == "__main__":
    main()
