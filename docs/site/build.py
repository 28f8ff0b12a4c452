"""Make a site of the documentation: `python docs/site/build.py [DIRECTORY]`, by default build/site.

The pages are written to be read in the repository. They are laid out in one directory for Sphinx, the few that lie
above `docs` beside the others, with a table of contents made from the links of `docs/index.md` and a reference made
from the docstrings. A warning is an error: a link that leads nowhere, a page that nobody links.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
from importlib import import_module
from pathlib import Path

from sphinx.cmd.build import main as sphinx
from sphinx.pycode import ModuleAnalyzer

ROOT = Path(__file__).parents[2]
ABOVE = ("ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")
"""Pages beside the README that belong to the site."""

REFERENCE = {
    "mneme": "the cache, its stores, what it returns and what it raises",
    "mneme.ports": "the contracts: embedder, store, index, codec, clock",
    "mneme.indexes": "indexes, to pass as `index_backend` or to put something around",
    "mneme.stores": "stores, and salvaging a damaged file",
    "mneme.guards": "rules against similar questions that need another answer",
    "mneme.certificates": "how often a hit is wrong, with a guarantee",
    "mneme.embedders": "the local model, and other people's embedders",
    "mneme.embedders.openai": "embeddings over the API of OpenAI",
    "mneme.embedders.bedrock": "embeddings of Amazon Bedrock",
    "mneme.embedders.cohere": "embeddings of Cohere",
    "mneme.embedders.ollama": "embeddings of Ollama",
    "mneme.embedders.voyage": "embeddings of Voyage AI",
    "mneme.llm": "chat requests as queries",
    "mneme.integrations.openai": "the client of OpenAI",
    "mneme.integrations.anthropic": "the client of Anthropic",
    "mneme.integrations.httpx": "transports for httpx",
    "mneme.integrations.httpx2": "transports for httpx2",
    "mneme.integrations.langchain": "the cache of LangChain",
    "mneme.integrations.litellm": "the cache of LiteLLM",
    "mneme.integrations.langchain_agents": "middleware for agents of LangChain",
    "mneme.integrations.llama_index": "a model and a key-value store for LlamaIndex",
    "mneme.integrations.langgraph": "the cache of LangGraph",
    "mneme.integrations.dspy": "the cache of DSPy",
    "mneme.integrations.instructor": "the cache of Instructor",
    "mneme.integrations.pydantic_ai": "a model for agents of PydanticAI",
    "mneme.adapters": "several metrics hooks as one",
    "mneme.adapters.prometheus": "metrics for Prometheus",
    "mneme.adapters.opentelemetry": "metrics and spans for OpenTelemetry",
    "mneme.log": "what records of the log carry for machines",
    "mneme.tools.calibrate": "thresholds from labelled pairs, certificates from labelled requests",
    "mneme.tools.checkpoint": "archives, read without loading them",
    "mneme.tools.migrate": "another embedder for a cache",
    "mneme.ui": "the inspector, and a base for pages of your own",
    "mneme.testing": "contract suites and fakes",
}
"""The public modules, and what is in each."""


def lay_out(pages: Path) -> None:
    """Write every page, with its links made to fit, into the directory *pages*."""
    for source in (ROOT / "docs").iterdir():
        if source.suffix == ".md":
            (pages / source.name).write_text(_links_from_docs(source.read_text(encoding="utf-8")), encoding="utf-8")
        elif source.is_file():
            shutil.copy(source, pages)
        elif source.name == "images":
            shutil.copytree(source, pages / "images")
    for name in ABOVE:
        (pages / name).write_text(_links_from_above((ROOT / name).read_text(encoding="utf-8")), encoding="utf-8")
    for name in ("conf.py", "wide.css"):
        shutil.copy(ROOT / "docs" / "site" / name, pages)
    index = pages / "index.md"
    index.write_text(f"{index.read_text(encoding='utf-8')}\n{_contents()}", encoding="utf-8")
    (pages / "reference").mkdir()
    told: set[int] = set()
    for module in REFERENCE:
        (pages / "reference" / f"{module}.md").write_text(_reference(module, told), encoding="utf-8")


def _links_from_docs(text: str) -> str:
    text = re.sub(rf"\]\(\.\./({'|'.join(map(re.escape, ABOVE))})", r"](\1", text)
    return _only_in_the_repository(text, r"\.\./")


def _links_from_above(text: str) -> str:
    beside = r"(?:LICENSE|(?:src|tests|examples|benchmarks|evaluation|ops)/)"
    return _only_in_the_repository(text.replace("](docs/", "]("), beside)


def _only_in_the_repository(text: str, beginning: str) -> str:
    """Links to files that are not on the site become their texts."""
    return re.sub(rf"\[([^\]]*)\]\({beginning}[^)]*\)", r"\1", text)


def _contents() -> str:
    """Tables of contents, hidden on the page itself, from the sections of the index and the links in them."""
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    tables = []
    for section in index.split("\n## ")[1:]:
        links = re.findall(r"^(?:- |  )\[[^\]]*\]\((?:\.\./)?([\w-]+\.md)\)", section, flags=re.MULTILINE)
        if links:
            tables.append(_toctree(section.splitlines()[0], links))
    return "\n".join([*tables, _toctree("Reference", [f"reference/{module}.md" for module in REFERENCE]), _rest(index)])


def _rest(index: str) -> str:
    linked = set(re.findall(r"([\w-]+\.md)\)", index))
    return _toctree("Project", [name for name in ABOVE if name not in linked])


def _toctree(caption: str, pages: list[str]) -> str:
    return "\n".join(["```{toctree}", ":hidden:", f":caption: {caption}", "", *pages, "```", ""])


def _reference(module: str, told: set[int]) -> str:
    """The page of a module; without what a page before *told* of."""
    loaded = import_module(module)
    things = {name: getattr(loaded, name) for name in loaded.__all__ if not name.startswith("_")}
    names = [name for name, thing in things.items() if not isinstance(thing, type) or id(thing) not in told]
    told.update(id(things[name]) for name in names)
    automodule = [f".. automodule:: {module}", "   :no-members:", ""]
    members = [line for name in sorted(names, key=str.lower) for line in _entry(module, name, things[name])]
    heading = [f"# {module}", "", f"Here: {REFERENCE[module]}.", ""]
    return "\n".join([*heading, "```{eval-rst}", *automodule, *members, "```", ""])


def _entry(module: str, name: str, thing: object) -> list[str]:
    if isinstance(thing, type):
        bases = ["   :show-inheritance:"] if issubclass(thing, BaseException) else []
        return [f".. autoclass:: {module}.{name}", "   :members:", *bases, ""]
    if callable(thing) and hasattr(thing, "__code__"):
        return [f".. autofunction:: {module}.{name}", ""]
    # A value, or a name for a type: its own documentation is about its class. What the source says below it counts.
    said = re.sub(r"(?<!`)`([^`]+)`(?!`)", r"``\1``", _said_of(name))
    return [f".. py:data:: {module}.{name}", "", f"   {said}", ""]


def _said_of(name: str) -> str:
    """What stands below the assignment of a name, in whichever module of the package it is made."""
    for module in [module for module in sys.modules if module.partition(".")[0] == "mneme"]:
        said = ModuleAnalyzer.for_module(module).find_attr_docs().get(("", name))
        if said:
            return " ".join(said).strip()
    return ""


def main() -> int:
    """Build the site; the exit code of Sphinx."""
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # it would fetch a list of prices when it is imported
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "build" / "site"
    with tempfile.TemporaryDirectory() as directory:
        pages = Path(directory)
        lay_out(pages)
        return sphinx(["-W", "--keep-going", "-q", "-b", "html", str(pages), str(target)])


if __name__ == "__main__":
    sys.exit(main())
