"""Whatever is stored, pages have the structure that their templates give them, and the text is read as it was."""

from html.parser import HTMLParser

import pytest
from hypothesis import given, settings, strategies as st
from starlette.testclient import TestClient

from mneme import SemanticCache
from mneme.testing import HashEmbedder
from mneme.ui import inspector

TEXTS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=60).filter(str.strip) | st.sampled_from(
    [
        "<script>",
        "</pre>",
        "'\"><img src=x onerror=alert(1)>",
        "<!--",
        "{{ 1 }}",
        "{% raw %}",
        "&lt;",
        "]]>",
        "\x00",
        "javascript:1",
    ]
)
PATHS = ("/", "/entries", "/entries/1", "/entries/1/remove", "/similar?query=x", "/explain?query=x&threshold=0")
LINKS = ("/", "?", "#")


class Structure(HTMLParser):
    """The tags and attributes of a page, without what is in them; its text; and where it leads."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.shape: list[object] = []
        self.text: list[str] = []
        self.links: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.shape.append((tag, tuple(name for name, _ in attrs)))
        self.links += [value for name, value in attrs if name in ("href", "src", "action", "hx-get")]

    def handle_endtag(self, tag):
        self.shape.append(tag)

    def handle_comment(self, data):
        self.shape.append("comment")

    def handle_data(self, data):
        self.text.append(data)


def pages_of(text: str) -> list[Structure]:
    with SemanticCache(":memory:", HashEmbedder(), validator=lambda _: True) as cache:
        cache.put(
            f"query {text}",
            f"answer {text}",
            namespace=f"n{text}",
            scope=f"s{text}",
            tags=[text],
            metadata={text: text},
        )
        client = TestClient(inspector(cache, writable=True, note=text), base_url="http://localhost")
        fields = {"namespace": f"n{text}", "scope": f"s{text}"}
        return [
            Structure(client.get(path, params=fields).text if "=" not in path else client.get(path).text)
            for path in PATHS
        ]


@pytest.fixture(scope="module")
def plain():
    return [page.shape for page in pages_of("plain")]


@given(TEXTS)
@settings(max_examples=20)
def test_no_text_changes_the_structure_of_a_page_or_leads_elsewhere_or_is_lost(plain, text):
    pages = pages_of(text)
    assert [page.shape for page in pages] == plain
    assert all(link.startswith(LINKS) and not link.startswith("//") for page in pages for link in page.links)
    said = "".join(pages[PATHS.index("/entries/1")].text)
    assert one_kind_of_line_end(f"query {text}") in one_kind_of_line_end(said)


def one_kind_of_line_end(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")
