"""`python -m showcase`: serve the showcase to this machine, and say where."""

from __future__ import annotations

import argparse
import socket
import sys
from dataclasses import replace
from pathlib import Path

import uvicorn
from starlette.applications import Starlette

from mneme import MnemeError
from showcase.app import app
from showcase.settings import Settings
from showcase.state import State

HOST = "127.0.0.1"
PORT = 8130


def main(arguments: list[str] | None = None) -> int:
    """Serve until interrupted; what to tell the shell."""
    wanted = _parser().parse_args(arguments)
    try:
        settings = _settings(wanted)
        with _listen(wanted.port) as listening:
            _serve(app(settings), listening)
    except (ImportError, OSError, ValueError, MnemeError) as error:
        print(f"showcase: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:  # uvicorn raises it again when everything is closed
        pass
    return 0


def _serve(made: Starlette, listening: socket.socket) -> None:
    state: State = made.state.showcase
    try:
        state.model.probe()
        print(f"model     {state.model.description}")
        if state.model.trouble:
            print(f"          {state.model.trouble}")
        print(f"cache     {state.file}{'' if state.settings.folder else ' (removed at the end)'}")
        print(f"\n  Open http://{HOST}:{listening.getsockname()[1]}/  (Ctrl-C ends it)\n", flush=True)
        config = uvicorn.Config(made, log_level="warning", access_log=False, timeout_graceful_shutdown=2)
        uvicorn.Server(config).run(sockets=[listening])
    finally:
        state.close()  # done by then, unless it was interrupted before it served


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m showcase",
        description="See in a browser what mneme does. Without --endpoint a small model answers, offline.",
        epilog="Each option can be set by the environment instead: MNEME_SHOWCASE_ENDPOINT and so on. A key is set "
        "by MNEME_SHOWCASE_API_KEY alone, since arguments can be read by everybody on this machine.",
    )
    parser.add_argument("--endpoint", help="an OpenAI-compatible server or an Ollama: http://host:port/v1")
    parser.add_argument("--model", help="the model's name there; by default the first that it has")
    parser.add_argument("--folder", type=Path, help="keep the cache file there; by default it is temporary")
    parser.add_argument("--price", type=float, help="euros for a million tokens of an answer (10)")
    parser.add_argument("--port", type=int, default=PORT, help=f"by default {PORT}; 0 for any that is free")
    return parser


def _settings(wanted: argparse.Namespace) -> Settings:
    told = {name: getattr(wanted, name) for name in ("endpoint", "model", "folder", "price")}
    return replace(Settings.from_environment(), **{name: value for name, value in told.items() if value is not None})


def _listen(port: int) -> socket.socket:
    """The socket, bound at once, so that a port that is taken is known before anything is loaded."""
    try:
        return socket.create_server((HOST, port))
    except (OSError, OverflowError) as error:
        raise OSError(f"port {port} cannot be used ({error}); choose another with PORT=... or --port") from error


if __name__ == "__main__":
    sys.exit(main())
