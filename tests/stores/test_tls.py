"""Postgres and Redis through TLS: certificates are checked, and what is refused says what to do."""

import itertools
from urllib.parse import parse_qs, urlsplit

import pytest

from mneme import (
    AsyncPostgresStore,
    AsyncRedisStore,
    AsyncSemanticCache,
    PostgresStore,
    RedisStore,
    SemanticCache,
    StoreBackendError,
)
from mneme.testing import HashEmbedder
from servers._tls import TLS, write_certificates
from servers.proxy import Proxy
from stores.postgres_schemas import beside

_numbers = itertools.count()


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """Of a server on localhost, and of one that somebody else vouches for."""
    ours, theirs = tmp_path_factory.mktemp("ours"), tmp_path_factory.mktemp("theirs")
    write_certificates(ours)
    write_certificates(theirs)
    return {"ours": ours, "theirs": theirs}


@pytest.fixture(params=["redis", "postgres"])
def secure(request, server_of, certificates):
    """A server behind TLS, and how it is addressed by whoever trusts an authority."""
    address = urlsplit(server_of(request.param))
    if request.param == "redis":
        with TLS(address.port, certificates["ours"] / "server.pem") as tls:
            yield (
                tls,
                lambda ca, host="localhost": f"rediss://{host}:{tls.port}/0?ssl_ca_certs={ca}&ssl_check_hostname=1",
            )
        return
    [directory] = parse_qs(address.query)["host"]
    with TLS(f"{directory}/.s.PGSQL.5432", certificates["ours"] / "server.pem", postgres=True) as tls:
        options = "sslmode=verify-full&sslrootcert"
        yield tls, lambda ca, host="localhost": f"postgresql://postgres@{host}:{tls.port}/postgres?{options}={ca}"


@pytest.fixture
def place(server_of):
    """A schema, or a prefix, of one's own."""
    name = f"tls_{next(_numbers)}"
    yield name
    with beside(server_of("postgres")) as other:
        other.execute(f"DROP SCHEMA IF EXISTS {name} CASCADE")


def blocking(address, place):
    if address.startswith("rediss"):
        return RedisStore(address, prefix=place)
    return PostgresStore(address, schema=place)


def awaited(address, place):
    if address.startswith("rediss"):
        return AsyncRedisStore(address, prefix=place)
    return AsyncPostgresStore(address, schema=place)


def test_a_cache_works_through_tls(secure, certificates, place):
    tls, address = secure
    with SemanticCache(
        store=blocking(address(certificates["ours"] / "ca.pem"), place), embedder=HashEmbedder()
    ) as cache:
        cache.put_many([(f"question {n} of many", "r" * 5000) for n in range(200)])
        assert cache.get("question 7 of many").layer == "exact"
        assert cache.lookup("question 7 of many, please")[0].response == "r" * 5000
    assert tls.handshakes


async def test_an_awaited_cache_works_through_tls(secure, certificates, place):
    tls, address = secure
    store = awaited(address(certificates["ours"] / "ca.pem"), place)
    async with AsyncSemanticCache(store=store, embedder=HashEmbedder()) as cache:
        await cache.put_many([(f"question {n} of many", "r" * 5000) for n in range(200)])
        assert (await cache.get("question 7 of many")).layer == "exact"
        assert len(await cache.entries(limit=1000)) == 200
    assert tls.handshakes


def test_a_connection_that_breaks_is_made_anew_through_tls(secure, certificates, place):
    tls, address = secure
    with SemanticCache(store=blocking(address(certificates["ours"] / "ca.pem"), place), hot_bytes=0) as cache:
        cache.put("q", "r")
        before = tls.handshakes
        tls.break_all()
        assert cache.get("q").response == "r"
        assert tls.handshakes > before


def test_a_server_that_nobody_trusted_vouches_for_is_refused(secure, certificates, place):
    tls, address = secure
    with pytest.raises(StoreBackendError, match=r"certificate verify failed.*(ca_certs|sslrootcert)"):
        SemanticCache(store=blocking(address(certificates["theirs"] / "ca.pem"), place))
    assert not tls.handshakes


def test_a_certificate_for_another_name_is_refused(server_of, certificates, tmp_path, place):
    write_certificates(tmp_path, names=("db.example",), addresses=())
    [directory] = parse_qs(urlsplit(server_of("postgres")).query)["host"]
    with TLS(f"{directory}/.s.PGSQL.5432", tmp_path / "server.pem", postgres=True) as tls:
        address = (
            f"postgresql://postgres@localhost:{tls.port}/postgres?sslmode=verify-full&sslrootcert={tmp_path}/ca.pem"
        )
        with pytest.raises(StoreBackendError, match=r"db\.example.*sslrootcert"):
            SemanticCache(store=PostgresStore(address, schema=place))
    with TLS(urlsplit(server_of("redis")).port, tmp_path / "server.pem") as tls:
        address = f"rediss://localhost:{tls.port}/0?ssl_ca_certs={tmp_path}/ca.pem&ssl_check_hostname=1"
        with pytest.raises(StoreBackendError, match=r"certificate verify failed.*ca_certs"):
            SemanticCache(store=RedisStore(address, prefix=place))


def test_a_port_without_tls_is_told_of(server_of, place):
    port = urlsplit(server_of("redis")).port
    with pytest.raises(StoreBackendError, match="whether that port speaks TLS"):
        SemanticCache(store=RedisStore(f"rediss://localhost:{port}/0", prefix=place, timeout=1))
    [directory] = parse_qs(urlsplit(server_of("postgres")).query)["host"]
    with Proxy(f"{directory}/.s.PGSQL.5432") as proxy:
        address = f"postgresql://postgres@localhost:{proxy.port}/postgres?sslmode=require"
        with pytest.raises(StoreBackendError, match=r"does not support SSL.*sslmode=disable"):
            SemanticCache(store=PostgresStore(address, schema=place))
