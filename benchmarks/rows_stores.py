"""Caches on a server: what a lookup costs beside one round trip of the bare client, in the same run."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit, urlunsplit

from data import ROOT
from harness import Budget, Row, measure
from workshop import NoEmbedder, Workshop, answer, batches, items, topic

from mneme import DynamoDBStore, Hit, PostgresStore, RedisStore, SemanticCache, Store

DIM = 384
ENTRIES = {"redis": 10_000, "postgres": 10_000, "dynamodb": 500}
CALLS = {"redis": 500, "postgres": 500, "dynamodb": 50}
THRESHOLD = 0.999
ROUND_TRIP = 1.3
"""That an exact lookup may take of a round trip; a similar one needs another."""
AWAY = 0.5e-3
"""Seconds that a crossing of the network takes, as between two hosts of a data centre."""

Bare = Callable[[str], Any]


@contextmanager
def _server(name: str) -> Iterator[str]:
    """The server that the tests use, in a directory that every user may enter: Postgres runs as another one."""
    sys.path.insert(0, str(ROOT / "tests"))
    try:
        serving = importlib.import_module(f"servers.{name}").serving
    finally:
        sys.path.pop(0)
    with tempfile.TemporaryDirectory(prefix="mneme-bench-server-") as directory:
        Path(directory).chmod(0o755)
        with serving(Path(directory, name)) as address:
            yield address


def _redis(address: str, stack: ExitStack) -> tuple[Store, Bare]:
    import redis  # noqa: PLC0415 -- one of several clients

    client = stack.enter_context(redis.Redis.from_url(address))
    return RedisStore(address), _stored_in(client.set, client.get)


def _postgres(address: str, stack: ExitStack) -> tuple[Store, Bare]:
    import psycopg  # noqa: PLC0415 -- one of several clients

    client = stack.enter_context(psycopg.connect(address, autocommit=True))
    client.execute("CREATE TABLE bare (key text PRIMARY KEY, payload bytea NOT NULL)")
    return PostgresStore(address), _stored_in(
        lambda query, text: client.execute(
            "INSERT INTO bare VALUES (%s, %s) ON CONFLICT DO NOTHING", (query, text.encode())
        ),
        lambda query: client.execute("SELECT payload FROM bare WHERE key = %s", (query,)).fetchone()[0],  # type: ignore[index]
    )


def _dynamodb(address: str, stack: ExitStack) -> tuple[Store, Bare]:
    import boto3  # noqa: PLC0415 -- one of several clients

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        os.environ.setdefault(name, "bench")
    client = boto3.client("dynamodb", region_name="eu-central-1", endpoint_url=address)
    stack.callback(client.close)
    client.create_table(
        TableName="bare",
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    store = DynamoDBStore("cache", create_table=True, region_name="eu-central-1", endpoint_url=address)
    return store, _stored_in(
        lambda query, text: client.put_item(TableName="bare", Item={"pk": {"S": query}, "payload": {"S": text}}),
        lambda query: client.get_item(TableName="bare", Key={"pk": {"S": query}}, ConsistentRead=True)["Item"],
    )


def _stored_in(put: Callable[[str, str], Any], get: Bare) -> Bare:
    """Reads what a query's answer is; it is put there when it is first asked for, which the first call is for."""
    known: set[str] = set()

    def read(query: str) -> Any:
        if query not in known:
            put(query, answer(query))
            known.add(query)
        return get(query)

    return read


BARE: dict[str, Callable[[str, ExitStack], tuple[Store, Bare]]] = {
    "redis": _redis,
    "postgres": _postgres,
    "dynamodb": _dynamodb,
}


@topic("stores")
def stores(shop: Workshop) -> Iterator[Row]:
    for name, make in BARE.items():
        with ExitStack() as stack:
            address = stack.enter_context(_server(name))
            yield from _rows(name, *make(address, stack), shop)
        with ExitStack() as stack:
            address = stack.enter_context(_from_afar(stack.enter_context(_server(name))))
            yield from _rows(f"{name} a millisecond away", *make(address, stack), shop)


@contextmanager
def _from_afar(address: str) -> Iterator[str]:
    """The address of a proxy in a process of its own, through which the server is `AWAY`."""
    where = urlsplit(address)
    socket = parse_qs(where.query).get("host")
    target = f"{socket[0]}/.s.PGSQL.5432" if socket else str(where.port)
    command = [sys.executable, "-m", "servers.proxy", target, str(AWAY)]
    with subprocess.Popen(  # noqa: S603 -- our own module
        command, cwd=ROOT / "tests", stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin is not None and process.stdout is not None  # noqa: PT018 -- pipes, as was said
        place = f"{where.username}@127.0.0.1" if where.username else "127.0.0.1"
        yield urlunsplit((where.scheme, f"{place}:{int(process.stdout.readline())}", where.path, "", ""))
        process.stdin.close()


def _rows(where: str, store: Store, bare: Bare, shop: Workshop) -> Iterator[Row]:
    name = where.partition(" ")[0]
    count, calls = ENTRIES[name], CALLS[name]
    queries, vectors = shop.stored[:count], shop.corpus.vectors(DIM)[:count]
    with SemanticCache(
        store=store, embedder=NoEmbedder(DIM), hot_bytes=0, similarity_threshold=THRESHOLD, guards=()
    ) as cache:
        for batch in batches(items(queries, vectors), 1000):
            assert cache.put_many(batch) == len(batch)
        number_of = {query: number for number, query in enumerate(queries)}
        asked = [shop.random.sample(queries, min(calls, count)) for _ in range(shop.rounds(5))]
        for query in {query for some in asked for query in some}:
            bare(query)
        floor = (f"one read by key, the bare client of {name}", bare)
        yield measure(
            f"exact hit, {where}, {count:,} entries",
            floor=floor,
            operation=cache.get,
            rounds=asked,
            check=_all("exact"),
            floor_check=_no_check,
            budget=Budget(ROUND_TRIP),
            by_turns=True,
        )
        yield measure(
            f"semantic hit, {where}, {count:,} x {DIM}",
            floor=floor,
            operation=lambda query: cache.get(f"{query}, in other words", embedding=vectors[number_of[query]]),
            rounds=asked,
            check=_all("semantic"),
            floor_check=_no_check,
            budget=Budget(2 * ROUND_TRIP),
            by_turns=True,
        )


def _all(layer: str) -> Callable[[Sequence[Hit | None]], None]:
    def check(hits: Sequence[Hit | None]) -> None:
        assert all(hit is not None and hit.layer == layer and hit.response == answer(hit.query) for hit in hits)

    return check


def _no_check(results: Sequence[Any]) -> None:
    assert None not in results
