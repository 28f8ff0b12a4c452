"""What the tests of the Redis stores share: a prefix of one's own, and a server that may be ill-treated."""

import contextlib
import itertools

import redis

from mneme.stores import RedisStore
from mneme.testing._store_suite import DIM, FINGERPRINT
from servers.redis import Server

_numbers = itertools.count()


def a_prefix():
    return f"test {next(_numbers)}"


@contextlib.contextmanager
def running(directory, *options):
    """A server of one's own."""
    server = Server(directory / "server", *options).start()
    try:
        yield server
    finally:
        server.stop(kill=True)


@contextlib.contextmanager
def connected(url):
    """A plain client."""
    client = redis.Redis.from_url(url, protocol=2)
    try:
        yield client
    finally:
        client.close()


@contextlib.contextmanager
def opened(url=None, *, fingerprint=FINGERPRINT, dim=DIM, **options):
    """A store that is open, and closed at the end."""
    store = RedisStore(url, **options)
    try:
        store.open(fingerprint, dim)
        yield store
    finally:
        store.close()
