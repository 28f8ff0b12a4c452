"""`mneme ui`: what is in a cache, in a browser."""

from __future__ import annotations

import os
import secrets
import signal
import sys
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import urlencode

import click

from mneme import Embedder
from mneme.cli import _options as options
from mneme.cli._command import Command
from mneme.cli._complete import as_file, embedders, namespaces
from mneme.cli._failure import Failure, asking
from mneme.cli._listen import is_everywhere, is_ours, listening, url_of
from mneme.cli._open import find_embedder, opened_at
from mneme.cli._out import Out, is_terminal

if TYPE_CHECKING:
    from mneme import KeyRing  # it needs the extra `crypto`


@click.command(
    cls=Command,
    usual="ended by Ctrl-C",
    epilog="""\b
Examples:
  mneme ui answers.db
  mneme ui answers.db --port 8642 --no-browser
  mneme ui answers.db --write --namespace shop
  mneme ui answers.db --embedder my_project.vectors:embedder
  mneme ui redis://localhost:6379/0 --prefix answers""",
)
@click.argument("cache", metavar="CACHE", shell_complete=as_file)
@click.option("--write", is_flag=True, help="Let entries be removed.")
@click.option("--namespace", shell_complete=namespaces, help="Begin with this one's entries.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Where to listen [any port that is free].")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--allow-network", is_flag=True, help="Let --host be an address that other machines reach.")
@click.option("--no-browser", is_flag=True, help="Only print the address.")
@click.option(
    "--embedder",
    metavar="NAME",
    shell_complete=embedders,
    help="What makes vectors: local, MODULE:ATTRIBUTE, or none [local if it is the cache's].",
)
@click.option("--keys", type=click.Path(path_type=Path), help="A file with the key ring of an encrypted cache.")
@options.prefix_option
@options.json_option
def ui(
    *,
    cache: str,
    write: bool,
    namespace: str | None,
    port: int,
    host: str,
    allow_network: bool,
    no_browser: bool,
    embedder: str | None,
    keys: Path | None,
    prefix: str,
    as_json: bool,
) -> None:
    """Show what is in CACHE, a file or the URL of a server, in a browser, until Ctrl-C.

    Nothing is changed, unless --write lets entries be removed. Listens on this machine alone, and lets in whoever has
    the address that it prints: it ends in a token.
    """
    out = Out(as_json=as_json)
    if not is_ours(host) and not allow_network:
        raise click.UsageError(
            f"--host {host} can be reached from other machines, and what they are sent is not encrypted: who listens "
            f"on the way gets the token and whatever is shown. Leave it out and use `ssh -L`, or pass --allow-network"
        )
    ring = None if keys is None else _ring(keys)
    found, note = _embedder(cache, prefix, ring, embedder)
    uvicorn, pages = _needed()
    with (
        _ended_politely(),
        listening(host, port) as socket,
        opened_at(cache, prefix, ring, embedder=found, multi_process_mode="stale-tolerant") as shown,
    ):
        token, ticket = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
        # Of all the names of this machine none is known here. Who comes without the token gets nothing anyway.
        hosts = None if is_everywhere(host) else {*pages.LOOPBACK, host.strip("[]").lower()}
        app = pages.inspector(shown, token=token, ticket=ticket, writable=write, note=note, hosts=hosts)
        address = _address(url_of(socket), namespace, token)
        out.document({"url": address, "writable": write, "embedder": getattr(found, "fingerprint", None), "note": note})
        out.command(address)
        if note:
            out.hint(note)
        out.hint(f"{'entries can be removed' if write else 'read only'}; Ctrl-C ends it")
        if not no_browser and is_terminal(sys.stdout) and _has_windows():
            # Others on this machine can read the command line of a browser, so this one opens the pages only once.
            webbrowser.open(_address(url_of(socket), namespace, ticket))
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,  # it would hold the token
            lifespan="off",
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=2,
        )
        uvicorn.Server(config).run(sockets=[socket])


def _address(home: str, namespace: str | None, token: str) -> str:
    if namespace is None:
        return f"{home}/?{urlencode({'token': token})}"
    return f"{home}/entries?{urlencode({'namespace': namespace, 'token': token})}"


def _needed() -> tuple[Any, Any]:
    """The server and the pages.

    Raises:
        ImportError: The extra is not installed.
    """
    try:
        import uvicorn  # noqa: PLC0415 - only this command needs the extra

        from mneme import ui as pages  # noqa: PLC0415 - the same
    except ImportError as error:
        raise ImportError(
            f"`mneme ui` needs {error.name!r}, which is not installed; run: pip install 'mneme-cache[ui]'"
        ) from error
    return uvicorn, pages


def _embedder(cache: str, prefix: str, ring: KeyRing | None, choice: str | None) -> tuple[Embedder | None, str]:
    """The embedder to search by meaning with, and what is to be said if there is none."""
    if choice == "none":
        return None, ""
    with opened_at(cache, prefix, ring) as looked:
        bound = looked.stats().embedder_fingerprint
    if bound is None:  # to ask with one must not bind the cache to it
        return None, ""
    if choice is not None:
        return find_embedder(choice), ""
    try:
        local = find_embedder("local")
    except ImportError:
        return None, "There is no search by meaning: the extra `local` is not installed, and no --embedder was given."
    if local is not None and bound.endswith(local.fingerprint):  # an encrypted store adds its own before it
        return local, ""
    return None, f"There is no search by meaning: the vectors were made by {bound}; pass that as --embedder."


def _ring(file: Path) -> KeyRing:
    from mneme import KeyRing  # noqa: PLC0415 - only who has keys needs the extra

    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Failure(f"cannot read the key ring in {str(file)!r}: {error}", type(error).__name__) from error
    with asking():
        return KeyRing.from_json(text)


def _has_windows() -> bool:
    """Whether a browser would open beside the terminal: a text browser would open in it, and wait for the server."""
    return sys.platform in ("win32", "darwin") or bool({"DISPLAY", "WAYLAND_DISPLAY"} & os.environ.keys())


@contextmanager
def _ended_politely() -> Iterator[None]:
    """Make of Ctrl-C an end like any other, and let SIGTERM close the cache before it ends the process."""

    def end(number: int, _: object) -> NoReturn:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    except KeyboardInterrupt:
        click.echo(err=True)  # below the ^C
    finally:
        signal.signal(signal.SIGTERM, before)
