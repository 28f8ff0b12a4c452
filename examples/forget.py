"""Forgetting a person: every entry that says so in its metadata, and every byte that is left of it in the files."""

from pathlib import Path

from mneme import SemanticCache
from mneme.embedders import LocalEmbedder

PATH = Path("answers.db")


def found(text: str) -> list[str]:
    """The files of the cache in which *text* is found."""
    return sorted(file.name for file in Path().glob(f"{PATH}*") if text.encode() in file.read_bytes())


def main() -> None:
    """Forget what was kept for one user."""
    with SemanticCache(PATH, LocalEmbedder()) as cache:
        cache.put("Where is my order?", "It went to 17 Elm Street.", metadata={"user_id": 42})
        cache.put("How do I return it?", "With the label in the box.", metadata={"user_id": 7})

        print("before:", found("Elm Street"))
        done = cache.forget(where={"user_id": 42})
        print(f"removed {done.entries}, clean: {done.clean}")
        for sentence in done.remains:  # another process was using the file: it says how to finish
            print(sentence)
        print("after: ", found("Elm Street"))
        print("left:  ", [entry.query for entry in cache.entries()])


if __name__ == "__main__":
    main()
