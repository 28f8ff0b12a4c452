"""The documentation is true: snippets and examples run, links lead somewhere, commands exist."""

import ast
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

import mneme

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
TEXTS = [*PAGES, *sorted(ROOT.glob("docs/**/*.txt"))]
EXAMPLES = sorted(ROOT.glob("examples/**/*.py"))


# --- reading Markdown ------------------------------------------------------------------------------------------------


class Block(NamedTuple):
    """A fenced block: the number of its first line of content (from 1), and what the comment above it says."""

    language: str
    line: int
    lines: list[str]
    comment: str


def blocks(text: str) -> Iterator[Block]:
    """Every fenced block, its content freed of the indentation of its fence."""
    comment, block, indent = "", None, 0
    for number, line in enumerate(text.splitlines(), start=1):
        fence = re.match(r"( *)```(\S*)", line)
        if block is None and fence:
            indent = len(fence[1])
            block = Block(fence[2], number + 1, [], comment)
        elif block is not None and fence:
            yield block
            block, comment = None, ""
        elif block is not None:
            block.lines.append(line[indent:] if not line[:indent].strip() else line)
        elif line.strip():
            comment = line.strip()
    assert block is None, f"the block that begins on line {block.line - 1} does not end"


def without_blocks(text: str) -> str:
    return re.sub(r"^ *```.*?^ *```", "", text, flags=re.MULTILINE | re.DOTALL)


def name_of(file: Path) -> str:
    return file.relative_to(ROOT).as_posix()


def run(
    arguments: list[str], directory: Path, settings: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run Python as a reader would who has made these settings, save that a warning is an error."""
    environment = os.environ | {"PYTHONPATH": str(Path(mneme.__file__).parents[1]), "PYTHONIOENCODING": "utf-8"}
    environment |= settings or {}
    command = [sys.executable, "-W", "error", *arguments]
    return subprocess.run(
        command,
        cwd=directory,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )


# --- snippets and examples -------------------------------------------------------------------------------------------


def script_of(page: str) -> str:
    """All python blocks of a page as one script, each on the lines where the page has it: tracebacks fit the page."""
    script = [""] * len(page.splitlines())
    for block in blocks(page):
        if block.language == "python" and not exempt(block):
            script[block.line - 1 : block.line - 1 + len(block.lines)] = block.lines
    return "\n".join(script) + "\n"


def exempt(block: Block) -> bool:
    """`<!-- not run: reason -->` right above a block exempts it; without a reason it does not."""
    return re.fullmatch(r"<!-- not run: \S.* -->", block.comment) is not None


def runnable() -> dict[str, str]:
    scripts = {name_of(page): script_of(page.read_text(encoding="utf-8")) for page in PAGES}
    scripts |= {name_of(example): example.read_text(encoding="utf-8") for example in EXAMPLES}
    return {name: script for name, script in scripts.items() if script.strip()}


def settings_for(script: str, server_of: Callable[[str], str]) -> dict[str, str]:
    """What a reader has in the environment who has the servers that *script* needs.

    A script that needs another server than DynamoDB reads its address from MNEME_<NAME>_SERVER.
    """
    servers = re.findall(r"\bMNEME_([A-Z_]+)_SERVER\b", script)
    settings = {f"MNEME_{server}_SERVER": server_of(server.lower()) for server in servers}
    if "DynamoDBStore(" in script:
        settings |= {
            "AWS_ENDPOINT_URL_DYNAMODB": server_of("dynamodb"),
            "AWS_DEFAULT_REGION": "eu-central-1",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
        }
    return settings


@pytest.mark.parametrize("name", runnable())
def test_the_code_on_a_page_or_in_an_example_runs(name, tmp_path, server_of):
    script = ROOT / name
    if script.suffix != ".py":
        script = tmp_path / f"{script.name}.py"
        script.write_text(runnable()[name], encoding="utf-8")
    (tmp_path / "here").mkdir()
    done = run([str(script)], tmp_path / "here", settings_for(runnable()[name], server_of))
    assert done.returncode == 0, f"{name}\n{done.stdout}\n{done.stderr}"


def test_the_readme_has_code_to_paste():
    assert "README.md" in runnable()


# --- links -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_relative_link_leads_somewhere(page):
    dead = dead_links(page)
    assert not dead, f"{name_of(page)}: {dead}"


def test_the_index_lists_every_page_once():
    """The site takes its order and its sections from these lines."""
    listed = re.findall(
        r"^(?:- |  )\[[^\]]*\]\(([\w-]+\.md)\)", (ROOT / "docs/index.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert sorted(listed) == sorted(page.name for page in ROOT.glob("docs/*.md") if page.name != "index.md")


def test_every_module_that_a_page_imports_from_is_in_the_reference():
    build = ast.parse((ROOT / "docs/site/build.py").read_text(encoding="utf-8"))
    constants = {node.targets[0].id: node.value for node in build.body if isinstance(node, ast.Assign)}
    scripts = "".join(script_of(page.read_text(encoding="utf-8")) for page in PAGES)
    imported = set(re.findall(r"^ *from (mneme[\w.]*) import", scripts, flags=re.MULTILINE))
    assert imported <= ast.literal_eval(constants["REFERENCE"]).keys()


def test_every_example_is_named_on_a_page():
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    assert [name_of(example) for example in EXAMPLES if f"examples/{example.name}" not in text] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_to_elsewhere_are_https_and_clickable(page):
    prose = re.sub(r"`[^`\n]*`", "", without_blocks(page.read_text(encoding="utf-8")))
    assert re.findall(r"\]\((?!https:|mailto:)[a-z]+:[^)]*\)", prose) == []
    assert re.findall(r"(?<![(<\[])\bhttps?://\S+", prose) == [], "in angle brackets, or as the target of a text"


def dead_links(page: Path) -> list[str]:
    return [link for link in links(page.read_text(encoding="utf-8")) if not leads_somewhere(page, link)]


def links(text: str) -> list[str]:
    prose = re.sub(r"`[^`\n]*`", "", without_blocks(text))
    targets = re.findall(r"\]\(<?([^)\s>]+)", prose) + re.findall(r"^\[[^\]]+\]:\s+(\S+)", prose, flags=re.MULTILINE)
    return [target for target in targets if not re.match(r"[a-z]+:", target)]


def leads_somewhere(page: Path, link: str) -> bool:
    path, _, anchor = link.partition("#")
    target = (page.parent / path).resolve() if path else page
    if not target.exists():
        return False
    return not anchor or anchor in anchors(target.read_text(encoding="utf-8"))


def anchors(text: str) -> set[str]:
    """What headings are called in links: lower case, hyphens for blanks, no punctuation, a number if repeated."""
    found: set[str] = set()
    for heading in re.findall(r"^#{1,6} +(.+?)[ #]*$", without_blocks(text), flags=re.MULTILINE):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        slug = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        names = (slug, *(f"{slug}-{n}" for n in range(1, 99)))
        found.add(next(name for name in names if name not in found))
    return found


# --- commands --------------------------------------------------------------------------------------------------------


def test_every_command_mentioned_exists_with_its_options(tmp_path):
    wrong, helps = [], {}
    for page in PAGES:
        for command, options in commands(page.read_text(encoding="utf-8")):
            if command not in helps:
                call = f"import sys; from mneme.cli import main; sys.argv = ['mneme', {command!r}, '--help']; main()"
                done = run(["-c", call], tmp_path)
                helps[command] = done.stdout if done.returncode == 0 else None
            if helps[command] is None:
                wrong.append(f"{name_of(page)}: mneme {command}")
            else:
                unknown = options - set(re.findall(r"--[a-z][a-z-]*", helps[command]))
                wrong.extend(f"{name_of(page)}: mneme {command} {option}" for option in sorted(unknown))
    assert not wrong, "\n".join(wrong)


def commands(text: str) -> Iterator[tuple[str, set[str]]]:
    """Every `mneme <command>` in code, with the long options that follow it."""
    code = re.findall(r"`([^`\n]+)`", without_blocks(text))
    for block in blocks(text):
        if block.language != "python":
            code += block.lines
    for line in code:
        if match := re.match(r"\s*(?:\$ )?(?:\S*/)?mneme ([a-z][a-z-]*)([^|#]*)", line):
            yield match[1], set(re.findall(r"(?<=\s)--[a-z][a-z-]*", match[2]))


# --- manners ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", TEXTS, ids=lambda page: page.name)
def test_no_page_names_a_path_of_the_machine_it_was_written_on(page):
    found = re.findall(
        r"(?<![\w.])(?:/(?:home|root|Users|work|tmp|opt)/|[A-Z]:\\)\S*", page.read_text(encoding="utf-8")
    )
    assert not found


# --- these checks can fail -------------------------------------------------------------------------------------------

SAMPLE = """# A sample, `twice`

[to itself](#a-sample-twice) [second](#again-1) [away](https://example.org) [gone](nowhere.md) [gone too](#nowhere)
`[not a link](nowhere.md)`

## Again
## Again

```python
x = 1
```

1. In a list:
   ```python
   print(x)
   ```

<!-- not run: it is a sample -->
```python
raise SystemExit("exempt")
```

<!-- not run: -->
```python
print("no reason, no exemption")
```

```console
$ mneme stats cache.db --json | cat --show-all
mneme-cache is not a command
```

Then `mneme get` and `import mneme` and `.venv/bin/mneme demo --fast`.
"""


def test_the_script_of_a_page_keeps_its_lines():
    lines = script_of(SAMPLE).splitlines()
    assert {n: line for n, line in enumerate(lines, start=1) if line} == {
        10: "x = 1",
        15: "print(x)",
        25: 'print("no reason, no exemption")',
    }


def test_dead_links_are_found(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(SAMPLE, encoding="utf-8")
    assert dead_links(page) == ["nowhere.md", "#nowhere"]


def test_commands_are_found():
    assert list(commands(SAMPLE)) == [("get", set()), ("demo", {"--fast"}), ("stats", {"--json"})]
