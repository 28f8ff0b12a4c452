"""The `mneme` command. It stands on the public surface alone, and needs the extra `cli`."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import NoReturn

__all__ = ["main"]

_EXTRA = ("click", "rich")


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command with *arguments* (`sys.argv` by default) and exit with its code.

    The code is 0 when all is well, 1 for "no", 2 for wrong usage, 3 for a failure, 130 when interrupted.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        # Not at the top: without the extra, importing this module still works and the user is told what to install.
        from mneme.cli._run import run  # noqa: PLC0415 - needs the extra
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _EXTRA:
            raise
        install = "pip install 'mneme-cache[cli]', or in a clone: pip install '.[cli]'"
        message = f"the command needs {error.name!r}, which is not installed; run: {install}"
        if "--json" in given:
            message = json.dumps({"error": {"type": "ModuleNotFoundError", "message": message}})
        else:
            message = f"mneme: {message}"
        sys.stderr.write(message + "\n")
        sys.exit(3)
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(run(given))
