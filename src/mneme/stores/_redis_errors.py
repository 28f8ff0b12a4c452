"""What the server's and the driver's errors mean to the caller."""

from __future__ import annotations

from mneme.errors import (
    CacheClosedError,
    CorruptCacheError,
    IndexBackendUnavailableError,
    MnemeError,
    SchemaMigrationError,
    StoreBackendError,
)

__all__ = ["AnewError", "ForgottenError", "UnpreparedError", "meaning_of"]

# Found in the name of the error's class or in its text: the driver takes the server's own word from some texts.
_REMEDIES = (
    ("NoPermission", "grant the user the commands that the documentation lists, on the keys of this prefix"),
    ("NOPERM", "grant the user the commands that the documentation lists, on the keys of this prefix"),
    ("can't run this command", "grant the user the commands that the documentation lists, on the keys of this prefix"),
    ("Authentication", "check the user and the password"),
    ("OutOfMemory", "the server's maxmemory is reached: raise it, or limit the cache with max_entries"),
    ("OOM", "the server's maxmemory is reached: raise it, or limit the cache with max_entries"),
    ("MISCONF", "the server cannot save to its disk, and takes no writes until it can"),
    ("ReadOnly", "this is a replica; connect to the primary"),
    ("READONLY", "this is a replica; connect to the primary"),
    ("NOREPLICAS", "too few replicas are connected to the server for a write"),
    ("BusyLoading", "the server is still loading its data; try again later"),
    ("BUSY", "the server is busy with another script; try again later"),
    ("Ask", "the keys are being moved to another node; try again later"),
    ("Moved", "this is a node of a cluster: pass client=redis.cluster.RedisCluster(...)"),
    ("TryAgain", "the keys are being moved to another node; try again later"),
    ("ClusterDown", "the cluster is not complete; try again later"),
    ("No connection available", "every connection was in use for as long as timeout; raise max_connections"),
    ("MaxConnections", "every connection of the client was in use; allow it more"),
    ("Too many connections", "every connection of the client was in use; allow it more"),
    ("max number of clients", "the server allows no more connections; raise its maxclients"),
    (
        "CERTIFICATE_VERIFY_FAILED",
        "name the authority that vouches for the server (?ssl_ca_certs=PATH in the URL), and the host as certified",
    ),
    ("Timeout connecting", "check its address and, with rediss://, whether that port speaks TLS; or raise timeout"),
    (
        "Connection closed by server",
        "check that the server runs, and with redis:// whether that port wants TLS: rediss://",
    ),
    ("Timeout", "the server did not answer in time; raise timeout if it is slow"),
    ("unknown command", "the server must be Redis 6.2 or newer, or Valkey"),
)


class AnewError(StoreBackendError):
    """The data are not those that were opened: the server was restarted, or they were removed or made anew."""


class UnpreparedError(StoreBackendError):
    """The data, or the index of the server, are not prepared for searching."""


class ForgottenError(StoreBackendError):
    """The server does not know the script, and is not to be told before it is clear what else it does not know."""

    def __init__(self, where: str, *, lost: bool) -> None:
        super().__init__(f"{where} does not know the script")
        self.lost = lost
        """A change was sent before, and no answer came."""


_OTHERWISE = "check that the server runs, and its address"

# What the scripts refuse. "{where}" is the store, "{rest}" what the script says besides.
_REFUSALS: dict[str, tuple[type[MnemeError], str]] = {
    "MNEMEGONE": (
        AnewError,
        (
            "{where} began anew: the server was restarted and may have lost the latest changes, or the data were "
            "removed; nothing was done, and doing it again will"
        ),
    ),
    "MNEMEFOREIGN": (
        CorruptCacheError,
        "{where} holds something that is not a mneme store ({rest}), and it was not altered: choose another prefix",
    ),
    "MNEMEEVICTS": (
        StoreBackendError,
        (
            "the server of {where} drops any key when its memory is full (maxmemory-policy {rest}), which would tear "
            "the store: set it to noeviction, or to a policy whose name begins with volatile"
        ),
    ),
    "MNEMENEWER": (
        SchemaMigrationError,
        (
            "{where} was made by a newer version of mneme (its schema is {rest}), and it was not altered: use that "
            "version, or choose another prefix"
        ),
    ),
    "MNEMEDAMAGED": (
        CorruptCacheError,
        "{where} is damaged ({rest}), and was not altered: something else wrote to its keys; delete them all",
    ),
    "MNEMENOSEARCH": (
        IndexBackendUnavailableError,
        (
            "the server of {where} cannot search vectors ({rest}): it needs the query engine, which Redis 8 has built "
            "in and others load as the module RediSearch 2.6 or newer, a single server, its database 0, and a user who "
            "may use the commands FT.*; or choose another index_backend"
        ),
    ),
    "MNEMEUNPREPARED": (UnpreparedError, "{where} cannot be searched: {rest}"),
    "MNEMEDONE": (
        StoreBackendError,
        "{where}: the change was made, but the connection broke, and its result was too long to be kept",
    ),
    "MNEMELATE": (StoreBackendError, "{where}: the change came too late, after another one, and was not made"),
}


def meaning_of(error: BaseException, where: str, *, closed: bool, lost: bool = False) -> MnemeError:
    """The error to raise for *error*, which names the place, the cause and the remedy.

    *lost* says that a change was sent, and no answer came.
    """
    if closed:
        return CacheClosedError(f"the store {where} was closed")
    text = str(error) or type(error).__name__
    word, _, rest = text.partition(" ")
    if word in _REFUSALS:
        meaning, sentence = _REFUSALS[word]
        return meaning(sentence.format(where=where, rest=rest))
    known = f"{type(error).__name__}: {text}"
    if "NoScript" in known or "NOSCRIPT" in known:
        return ForgottenError(where, lost=lost)
    if "WRONGTYPE" in text or "wrong kind of value" in text:
        return CorruptCacheError(f"{where} is damaged ({text}): something else wrote to its keys; delete them all")
    remedy = next((remedy for sign, remedy in _REMEDIES if sign in known), _OTHERWISE)
    fate = "; whether the change was made is not known" if lost else ""
    return StoreBackendError(f"{where} could not be used: {text}; {remedy}{fate}")
