"""What an entry takes in each kind of store: `python benchmarks/store_sizes.py`. `mneme plan` has its figures from it.

Starts the servers of the tests, fills each with entries of random text and random vectors, which nothing can compress,
and asks the server what they take. For DynamoDB the sizes of the items are summed as its documentation says.
"""

import contextlib
import importlib
import os
import sys
import tempfile
import tracemalloc
import uuid
from pathlib import Path
from typing import Any, TypeAlias

import boto3
import numpy as np
import psycopg
import redis

from mneme import DynamoDBStore, MemoryStore, PostgresStore, RedisStore, SemanticCache, SQLiteStore
from mneme.ports import Vector

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

Shape: TypeAlias = "tuple[int, int, int]"
SHAPES: list[Shape] = [
    (384, 80, 200),
    (384, 80, 1000),
    (384, 80, 4000),
    (768, 80, 1000),
    (1536, 80, 1000),
    (0, 80, 1000),
]
"""Dimensions (0: no vectors), bytes of a query, bytes of a response."""
COUNT, FEW = 4000, 400
"""Entries; on DynamoDB, whose stand-in is slow."""
REGION = "eu-central-1"


class Noise:
    """An embedder that is never called."""

    def __init__(self, dim: int) -> None:
        self.dim = dim
        self.fingerprint = f"noise;dim={dim}"

    def embed(self, text: str) -> Vector:
        raise NotImplementedError(text)


def fill(store: Any, shape: Shape, count: int, **options: Any) -> None:
    dim, query_bytes, response_bytes = shape
    random = np.random.default_rng(0)

    def text(length: int) -> str:
        return random.bytes(length // 2 + 1).hex()[:length]

    with SemanticCache(store=store, embedder=Noise(dim) if dim else None, **options) as cache:
        for start in range(0, count, 200):
            cache.put_many(
                {
                    "query": f"{start + number:08d}{text(query_bytes - 8)}",
                    "response": text(response_bytes),
                    **({"embedding": random.standard_normal(dim, dtype=np.float32)} if dim else {}),
                }
                for number in range(200)
            )


def sqlite(_: str, shape: Shape) -> float:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "a.db")
        fill(SQLiteStore(path), shape, COUNT, index_options={"path": None})
        with SemanticCache(path) as cache:
            cache.compact()
        return path.stat().st_size / COUNT


def memory(_: str, shape: Shape) -> float:
    tracemalloc.start()
    store = MemoryStore()
    store.close = lambda: None
    before = tracemalloc.get_traced_memory()[0]
    fill(store, shape, COUNT, hot_bytes=0)
    taken = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    return taken / COUNT


def postgres(address: str, shape: Shape, **options: Any) -> float:
    schema = f"s{uuid.uuid4().hex[:8]}"
    fill(PostgresStore(address, schema=schema), shape, COUNT, **options)
    with psycopg.connect(address, autocommit=True) as other:
        for (table,) in other.execute("SELECT tablename FROM pg_tables WHERE schemaname = %s", (schema,)).fetchall():
            other.execute(f"VACUUM FULL {schema}.{table}")
        found = other.execute(
            "SELECT sum(pg_total_relation_size(oid)) FROM pg_class WHERE relnamespace = %s::regnamespace "
            "AND relkind = 'r'",
            (schema,),
        ).fetchone()
        other.execute(f"DROP SCHEMA {schema} CASCADE")
    return float(found[0]) / COUNT


def redis_(address: str, shape: Shape, **options: Any) -> float:
    with contextlib.closing(redis.Redis.from_url(address)) as client:
        client.execute_command("FLUSHALL", "SYNC")
        before = client.info("memory")["used_memory"]
        fill(RedisStore(address, prefix="sizes"), shape, COUNT, **options)
        taken = client.info("memory")["used_memory"] - before
        client.execute_command("FLUSHALL", "SYNC")
    return taken / COUNT


def dynamodb(address: str, shape: Shape) -> float:
    os.environ |= {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
    fill(DynamoDBStore("sizes", region_name=REGION, endpoint_url=address, create_table=True), shape, FEW)
    client = boto3.session.Session().client("dynamodb", region_name=REGION, endpoint_url=address)
    pages = client.get_paginator("scan").paginate(TableName="sizes")
    items = (item for page in pages for item in page["Items"])
    taken = sum(100 + sum(len(name) + size(value) for name, value in item.items()) for item in items)
    client.delete_table(TableName="sizes")
    client.close()
    return taken / FEW


def size(value: dict[str, Any]) -> int:
    ((kind, held),) = value.items()
    if kind == "N":
        return len(held.strip("-0.")) // 2 + 2
    if kind in ("M", "L"):
        inner = held.items() if kind == "M" else (("", one) for one in held)
        return 3 + sum(1 + len(name) + size(one) for name, one in inner)
    return 1 if kind in ("BOOL", "NULL") else len(held.encode() if isinstance(held, str) else held)


KINDS = {
    "sqlite": (None, sqlite),
    "memory": (None, memory),
    "postgres": ("postgres", postgres),
    "postgres, searching": ("postgres", lambda *at: postgres(*at, index_backend="store")),
    "redis": ("redis", redis_),
    "redis, searching": ("redis_search", lambda *at: redis_(*at, index_backend="store")),
    "dynamodb": ("dynamodb", dynamodb),
}


def main() -> None:
    wanted = sys.argv[1:] or list(KINDS)
    with contextlib.ExitStack() as running:
        home = Path(running.enter_context(tempfile.TemporaryDirectory(prefix="mneme-sizes-")))
        home.chmod(0o755)  # Postgres runs as a user of its own, who must get in
        addresses = {None: None}
        print("store, dimensions, bytes of a query and of a response: bytes an entry")
        for kind in wanted:
            server, measure = KINDS[kind]
            if server not in addresses:
                module = importlib.import_module(f"servers.{server}")
                addresses[server] = running.enter_context(module.serving(home / server))
            for shape in SHAPES:
                if shape[0] or "searching" not in kind:
                    print(f"{kind:20} {shape!s:18} {measure(addresses[server], shape):8.0f}", flush=True)


if __name__ == "__main__":
    main()
