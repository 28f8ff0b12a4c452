"""`make servers`: every server that the tests start, for a developer at work. They end with Ctrl-C."""

import contextlib
import importlib
import pkgutil
import tempfile
from pathlib import Path
from threading import Event

import servers


def main():
    with contextlib.ExitStack() as running, contextlib.suppress(KeyboardInterrupt):
        home = Path(running.enter_context(tempfile.TemporaryDirectory(prefix="mneme-servers-")))
        home.chmod(0o755)  # Postgres runs as a user of its own, who must get in
        for found in pkgutil.iter_modules(servers.__path__):
            if not found.name.startswith("_"):
                module = importlib.import_module(f"servers.{found.name}")
                print(f"{found.name:10} {running.enter_context(module.serving(home / found.name))}", flush=True)
        print("ready; Ctrl-C ends them", flush=True)
        Event().wait()


if __name__ == "__main__":
    main()
