"""A real browser: servers on free ports, pages whose console must stay silent, and what is looked at on every page."""

import contextlib
import io
import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import uvicorn
from PIL import Image
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, Response, expect, sync_playwright

import showcase
from mneme.embedders import LocalEmbedder
from showcase.models import LocalModel
from showcase.state import State

ROOT = Path(__file__).parents[2]
AXE = (Path(__file__).parent / "vendor" / "axe.min.js").read_text(encoding="utf-8")
CHROMIUM = os.environ.get("MNEME_CHROMIUM", "/usr/bin/chromium")
SWITCHES = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"),
)

# A library to be embedded, or a model, on a busy machine; what is there already is not waited for.
expect.set_options(timeout=60_000)


class Look(NamedTuple):
    """How a page is looked at."""

    name: str
    scheme: str
    width: int
    height: int


LOOKS = (Look("light", "light", 1280, 900), Look("dark", "dark", 1280, 900), Look("phone", "light", 360, 740))


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    if not Path(CHROMIUM).exists():
        pytest.exit(f"there is no {CHROMIUM}: `make test-browser` installs it, or says how to", 1)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=list(SWITCHES))
        yield chromium
        chromium.close()


@pytest.fixture
def serve() -> Iterator[Callable[..., str]]:
    """Serve an ASGI application on a free port of 127.0.0.1 until the test ends; its address, without a slash."""
    with contextlib.ExitStack() as running:

        def start(app, *, lifespan: str = "off") -> str:
            listening = socket.create_server(("127.0.0.1", 0))
            running.callback(listening.close)
            config = uvicorn.Config(app, log_level="warning", lifespan=lifespan, timeout_graceful_shutdown=2)
            server = uvicorn.Server(config)
            thread = threading.Thread(target=server.run, args=([listening],))
            thread.start()
            running.callback(thread.join)
            running.callback(setattr, server, "should_exit", True)
            # It listens already: whoever connects before the server accepts waits in the queue.
            return f"http://127.0.0.1:{listening.getsockname()[1]}"

        yield start


class Watched:
    """What went wrong in a page while nobody looked: errors in its console, exceptions, requests to other servers."""

    def __init__(self, page: Page) -> None:
        self.faults: list[str] = []
        self.expected: list[str] = []
        page.on("console", self._said)
        page.on("pageerror", lambda error: self.faults.append(f"exception: {error}"))
        page.on("requestfailed", self._failed)
        page.on("response", self._answered)

    def expect(self, text: str) -> None:
        """Let faults be that contain *text*: the test provokes them."""
        self.expected.append(text)

    def unexpected(self) -> list[str]:
        return [fault for fault in self.faults if not any(text in fault for text in self.expected)]

    def _said(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.faults.append(f"console: {message.text}")

    def _failed(self, request: Request) -> None:
        if request.failure and "ERR_ABORTED" not in request.failure:  # a page that was left before it was there
            self.faults.append(f"failed: {request.url}: {request.failure}")

    def _answered(self, response: Response) -> None:
        if not response.url.startswith(("http://127.0.0.1:", "data:")):
            self.faults.append(f"asked another server: {response.url}")
        elif response.status >= 400:
            self.faults.append(f"status {response.status}: {response.url}")


@pytest.fixture
def page(browser) -> Iterator[Page]:
    """A page of a fresh profile. At the end of the test its console must have been silent: see `watched`."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, reduced_motion="reduce")
    context.set_default_timeout(15_000)
    page = context.new_page()
    page.watched = Watched(page)
    yield page
    context.close()
    assert not page.watched.unexpected()


@pytest.fixture
def watched(page) -> Watched:
    """What the page did wrong so far; `expect` excuses what the test provokes."""
    return page.watched


@pytest.fixture
def examine(page) -> Callable[..., None]:
    """Look at the page that is open: in light, in dark and on a phone it is accessible, and everything has its room.

    With a name, and if MNEME_SCREENSHOTS is set, pictures are written: docs/images/NAME-LOOK.png of each of *pictures*.
    """

    def look(name: str = "", pictures: tuple[str, ...] = ("light",), *, full: bool = False) -> None:
        wrong = []
        for one in LOOKS:
            page.emulate_media(color_scheme=one.scheme, reduced_motion="reduce")
            page.set_viewport_size({"width": one.width, "height": one.height})
            wrong += [f"{one.name}: {fault}" for fault in inaccessible(page)]
            if excess := page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"):
                wrong.append(f"{one.name}: {excess} pixels wider than the screen: {too_wide(page)}")
            wrong += [f"{one.name}: {fault}" for fault in squeezed(page)]
            if name and one.name in pictures and os.environ.get("MNEME_SCREENSHOTS"):
                photograph(page, f"{name}-{one.name}", full=full)
        page.emulate_media(color_scheme="light", reduced_motion="reduce")
        page.set_viewport_size({"width": LOOKS[0].width, "height": LOOKS[0].height})
        assert not wrong, f"{page.url}\n" + "\n".join(wrong)

    return look


def inaccessible(page: Page) -> list[str]:
    """What axe-core finds: every rule of WCAG 2.2 A and AA, and its best practices."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE)  # by the debugger, which the page's policy does not concern
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{rule['id']}: {rule['help']}: {node['html'][:160]} {(node.get('failureSummary') or '')[:200]}"
        for rule in found["violations"]
        for node in rule["nodes"]
    ]


def too_wide(page: Page) -> list[str]:
    return page.evaluate(
        """() => [...document.querySelectorAll('main *, header *, footer *')]
            .filter(e => e.getBoundingClientRect().right > document.documentElement.clientWidth + 1)
            .slice(0, 5).map(e => e.outerHTML.slice(0, 120))"""
    )


def squeezed(page: Page) -> list[str]:
    """Numbers that are broken over two lines, and tables that stand out of what they are in."""
    return page.evaluate(
        """() => {
            const broken = cell => {
                const texts = document.createTreeWalker(cell, NodeFilter.SHOW_TEXT);
                while (texts.nextNode()) {
                    const text = document.createRange();
                    text.selectNodeContents(texts.currentNode);
                    if (new Set([...text.getClientRects()].map(box => box.top)).size > 1) return true;
                }
                return false;
            };
            const numbers = [...document.querySelectorAll('td.number')].filter(broken);
            const tables = [...document.querySelectorAll('main table')].filter(table =>
                table.getBoundingClientRect().right > table.parentElement.getBoundingClientRect().right + 1);
            return [
                ...numbers.map(cell => `a number on two lines: ${cell.outerHTML.slice(0, 120)}`),
                ...tables.map(table => `a table wider than its place: ${table.outerHTML.slice(0, 120)}`),
            ];
        }"""
    )


def photograph(page: Page, name: str, *, full: bool = False) -> None:
    path = ROOT / "docs" / "images" / f"{name}.png"
    path.parent.mkdir(exist_ok=True)
    page.evaluate("document.activeElement && document.activeElement.blur()")
    taken = page.screenshot(full_page=full, animations="disabled")  # given a path, it leaves threads behind
    with Image.open(io.BytesIO(taken)) as picture:  # flat colours: 128 of them are enough, and a third of the bytes
        picture.convert("RGB").quantize(128, dither=Image.Dither.NONE).save(path, optimize=True)


# --- the showcase ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def embedder() -> LocalEmbedder:
    return LocalEmbedder()


@pytest.fixture(scope="session")
def model() -> LocalModel:
    """The small language model; `make test-browser` installs it. Loaded once."""
    return LocalModel()


@pytest.fixture
def showcased(serve, embedder, model) -> tuple[str, State]:
    """The showcase with both real models: its address, and what its pages share."""
    made = showcase.app(showcase.Settings(embedder=embedder, answers=model))
    return serve(made, lifespan="on"), made.state.showcase
