"""Entries as an encrypted store hands them on: what is readable, what is looked up, and what is sealed.

Readable stay ids, sequence numbers, the times that a store selects by, and sizes. Key, partition, namespace and tags
are looked up, so equal ones stay equal, under names that nobody can guess. All else is sealed in one message that is
bound to the key of its entry: query, response and metadata, which stand where the response was and are as long as
before; and behind them what is left, vector and all, as text where the codec was.
"""

from __future__ import annotations

import base64
import binascii
import json
import struct
from collections.abc import Callable
from functools import lru_cache
from hmac import digest
from typing import NamedTuple

import numpy as np

from mneme.errors import DecryptionError
from mneme.ports import Record
from mneme.stores._encrypted_cipher import NONCE_BYTES, KeyCipher, NameCipher, TextCipher, UnauthenticError
from mneme.stores._encrypted_keys import KeyRing, derived

__all__ = ["Sealer"]

SEALED = "sealed:"
"""What the codec of a sealed entry begins with."""
_VERSION = 1
_LENGTHS = struct.Struct(">IIIB")  # of response, query and head; whether there is a vector
_BOUND = struct.Struct(">BQ")
_STORED = np.dtype("<f4")
_REMEMBERED = 4096


class _Envelope(NamedTuple):
    """The sealed message of one row, and by which key."""

    name: str
    nonce: bytes
    ciphertext: bytes


class Sealer:
    """Seals and unseals.

    Thread safety: nothing changes once it is made, save what is remembered of names.
    """

    def __init__(self, ring: KeyRing) -> None:
        keys, lookup = ring._secrets()  # noqa: SLF001 - it belongs to the ring, and to nobody else
        self._texts = {name: TextCipher(derived(key, b"mneme text 1", 32)) for name, key in keys.items()}
        self.newest = ring.newest
        self.names = ring.names
        self.check = digest(lookup, b"mneme check 1", "sha256")[:6].hex()
        """By which the right ring is known, and nothing else."""
        self._keys = KeyCipher(derived(lookup, b"mneme key 1", 64))
        siv = NameCipher(derived(lookup, b"mneme name 1", 64))
        partition, tag = derived(lookup, b"mneme partition 1", 32), derived(lookup, b"mneme tag 1", 32)
        remember = lru_cache(maxsize=_REMEMBERED)
        self.key: Callable[[bytes], bytes] = self._keys.encrypt
        self.own_key: Callable[[bytes], bytes] = self._keys.decrypt
        self.namespace: Callable[[str], str] = remember(lambda name: _text_of(siv.encrypt(name.encode())))
        self.own_namespace: Callable[[str], str] = remember(lambda text: siv.decrypt(_bytes_of(text)).decode())
        """Raises `UnauthenticError`."""
        self.partition: Callable[[bytes], bytes] = remember(lambda own: digest(partition, own, "sha256")[:16])
        self.tag: Callable[[str], str] = remember(lambda own: _text_of(digest(tag, own.encode(), "sha256")[:18]))

    def seal(self, record: Record) -> Record:
        """The record to be stored. It has no vector."""
        query, metadata = record.query.encode(), record.metadata.encode()
        head = json.dumps(
            [
                *(record.namespace, record.scope, record.codec, record.tags),
                *(record.created_at, record.expires_at, record.removable_at, record.compute_seconds, record.cost),
            ]
        ).encode()
        vector = b"" if record.vector is None else np.asarray(record.vector, dtype=_STORED).tobytes()
        lengths = _LENGTHS.pack(len(record.payload), len(query), len(head), record.vector is not None)
        body = b"".join((record.payload, query, metadata))
        key, size = self.key(record.key), len(body)
        text = b"".join((body, lengths, record.key, record.partition, head, vector))
        nonce, ciphertext = self._texts[self.newest].encrypt(text, _bound(key, size, self.newest))
        name = self.newest.encode()
        rest = b"".join((bytes([_VERSION, len(name)]), name, nonce, ciphertext[size:]))
        return record._replace(
            key=key,
            partition=self.partition(record.partition),
            namespace=self.namespace(record.namespace),
            scope="",
            query="",
            payload=ciphertext[:size],
            codec=SEALED + _text_of(rest),
            metadata="",
            tags=tuple(map(self.tag, record.tags)),
            compute_seconds=0.0,
            cost=0.0,
            vector=None,
        )

    def unseal(self, stored: Record, *, vectors: bool) -> Record | None:
        """The record that was sealed; `None` if it was not sealed by this ring, or is not what was.

        Raises:
            DecryptionError: The key that sealed it is not in the ring.
        """
        try:
            envelope = _envelope(stored)
            if envelope.name not in self._texts:
                raise DecryptionError(
                    f"an entry was encrypted with the key {envelope.name!r}, which is not in the key ring "
                    f"({', '.join(map(repr, self.names))}); add it"
                )
            size = len(stored.payload)
            bound = _bound(stored.key, size, envelope.name)
            text = self._texts[envelope.name].decrypt(envelope.nonce, envelope.ciphertext, bound)
        except (UnauthenticError, ValueError):
            return None
        payload, query, head, has_vector = _LENGTHS.unpack_from(text, size)
        at = size + _LENGTHS.size
        facts = json.loads(text[at + 48 : at + 48 + head])
        namespace, scope, codec, tags, created, expires, removable, compute, cost = facts
        vector = np.frombuffer(text[at + 48 + head :], _STORED) if vectors and has_vector else None
        return stored._replace(
            key=text[at : at + 32],
            partition=text[at + 32 : at + 48],
            namespace=namespace,
            scope=scope,
            query=text[payload : payload + query].decode(),
            payload=text[:payload],
            codec=codec,
            metadata=text[payload + query : size].decode(),
            tags=tuple(tags),
            # Those beside it are for selecting by; whoever changes them does not make an entry younger.
            created_at=created,
            expires_at=expires,
            removable_at=removable,
            compute_seconds=compute,
            cost=cost,
            vector=None if vector is None else vector.astype(np.float32, copy=False),
        )

    @staticmethod
    def name_of(stored: Record) -> str | None:
        """By which key a stored record was sealed; `None` if it was not."""
        try:
            return _envelope(stored).name
        except (UnauthenticError, ValueError):
            return None


def _envelope(stored: Record) -> _Envelope:
    """Raises `UnauthenticError` or `ValueError` for what is no sealed row."""
    if not stored.codec.startswith(SEALED):
        raise ValueError("it is not sealed")
    rest = _bytes_of(stored.codec.removeprefix(SEALED))
    if len(rest) < 2 or rest[0] != _VERSION:
        raise ValueError("it was sealed in another way")
    at = 2 + rest[1]
    return _Envelope(rest[2:at].decode(), rest[at : at + NONCE_BYTES], stored.payload + rest[at + NONCE_BYTES :])


def _bound(key: bytes, size: int, name: str) -> bytes:
    """What a message is bound to: its row, where it is cut in two, and the name of its key."""
    return b"".join((_BOUND.pack(_VERSION, size), key, name.encode()))


def _text_of(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode()


def _bytes_of(text: str) -> bytes:
    """Raises `UnauthenticError` for what is not in base64."""
    try:
        return base64.b64decode(text, altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise UnauthenticError from error
