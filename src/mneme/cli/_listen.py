"""Where `mneme ui` listens."""

from __future__ import annotations

import errno
import ipaddress
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import click

from mneme.cli._failure import Failure


def is_ours(host: str) -> bool:
    """Whether only this machine reaches *host*."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def is_everywhere(host: str) -> bool:
    """Whether it means every address of this machine."""
    return host.strip("[]") in ("0.0.0.0", "::")  # noqa: S104 - compared, not bound


@contextmanager
def listening(host: str, port: int) -> Iterator[socket.socket]:
    """A socket that listens on *host*; port 0 is any that is free.

    Raises:
        Failure: The port is taken, or may not be used.
        click.UsageError: There is no such address here.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)[0]
        listening = socket.create_server((str(address[0]), port), family=family)
    except (socket.gaierror, UnicodeError) as error:
        raise click.UsageError(f"--host {host!r} is no address: {error}") from error
    except PermissionError as error:
        raise Failure(
            f"port {port} needs more rights; choose one above 1023, or leave --port out", "PermissionError"
        ) from error
    except OSError as error:
        if error.errno == errno.EADDRNOTAVAIL:
            raise click.UsageError(f"--host {host} is no address of this machine") from error
        if error.errno != errno.EADDRINUSE:
            raise
        message = f"port {port} on {host} is in use; choose another, or leave --port out for one that is free"
        raise Failure(message, "AddressInUse") from error
    with listening:
        yield listening


def url_of(listening: socket.socket) -> str:
    """How a browser on this machine calls it."""
    name, port = listening.getsockname()[:2]
    called = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(name, str(name))  # noqa: S104 - compared, not bound
    return f"http://{f'[{called}]' if ':' in called else called}:{port}"
