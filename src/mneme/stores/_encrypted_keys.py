"""The keys of encrypted stores: which there are, which one encrypts, and what is derived from them."""

from __future__ import annotations

import base64
import hmac
import json
import secrets
from collections.abc import Mapping
from typing import Any

__all__ = ["KEY_BYTES", "KeyRing", "derived"]

KEY_BYTES = 32
_LONGEST_NAME = 64


class KeyRing:
    """Keys by name: the newest encrypts, all of them decrypt. Beside them a secret by which entries are found.

    The *lookup* secret turns keys, namespaces, scopes and tags into names that can be looked up and not guessed. It
    stays as long as the store does; to change it as well, copy the entries into a store with another ring.

    A ring is never changed: `with_key` and `without` make others. Its representation shows names, never keys.

    Args:
        keys: 32 random bytes each, by a name of at most 64 characters, oldest first.
        lookup: 32 random bytes.

    Raises:
        TypeError, ValueError: A key is not 32 bytes, a name is too long, there is none, or two are equal.

    Thread safety: immutable.

    Example:
        ```python
        ring = KeyRing.generate("2026-01")
        os.environ["CACHE_KEYS"] = ring.to_json()  # or a secret manager
        ring = KeyRing.from_json(os.environ["CACHE_KEYS"]).with_key("2026-02")
        ```
    """

    def __init__(self, keys: Mapping[str, bytes], *, lookup: bytes) -> None:
        if not isinstance(keys, Mapping):
            raise TypeError(f"keys must be a mapping from names to bytes, not {type(keys).__name__}")
        if not keys:
            raise ValueError("a key ring needs at least one key; KeyRing.generate makes one")
        for name, key in keys.items():
            if not isinstance(name, str):
                raise TypeError(f"keys are named by str, not {type(name).__name__}")
            if not name or not name.isascii() or len(name) > _LONGEST_NAME:
                raise ValueError(f"the name of a key is 1 to {_LONGEST_NAME} ASCII characters, got {name!r}")
            _check(key, f"the key {name!r}")
        _check(lookup, "lookup")
        if len({lookup, *keys.values()}) != len(keys) + 1:
            raise ValueError("two keys of the ring are equal; each must be 32 random bytes of its own")
        self._keys = dict(keys)
        self._lookup = lookup

    @classmethod
    def generate(cls, name: str = "1") -> KeyRing:
        """A new ring with one key, made by the system's source of secrets."""
        return cls({name: secrets.token_bytes(KEY_BYTES)}, lookup=secrets.token_bytes(KEY_BYTES))

    @classmethod
    def from_json(cls, text: str) -> KeyRing:
        """The ring that `to_json` wrote.

        Raises:
            TypeError, ValueError: It is no such text. The message does not quote it.
        """
        try:
            held: Any = json.loads(text)
            keys = {name: base64.b64decode(key, validate=True) for name, key in held["keys"].items()}
            lookup = base64.b64decode(held["lookup"], validate=True)
        except (AttributeError, KeyError, TypeError, ValueError):
            raise ValueError("this is no key ring; pass the text that KeyRing.to_json gave") from None
        return cls(keys, lookup=lookup)

    def to_json(self) -> str:
        """The ring as a text, **keys and all**: to be kept as a secret, apart from the store."""
        encoded = {name: base64.b64encode(key).decode() for name, key in self._keys.items()}
        return json.dumps({"lookup": base64.b64encode(self._lookup).decode(), "keys": encoded})

    def with_key(self, name: str, key: bytes | None = None) -> KeyRing:
        """A ring that encrypts with a new key, random unless it is given, and decrypts with the others too."""
        if name in self._keys:
            raise ValueError(f"there is a key {name!r} already; choose another name")
        return KeyRing(
            {**self._keys, name: secrets.token_bytes(KEY_BYTES) if key is None else key}, lookup=self._lookup
        )

    def without(self, name: str) -> KeyRing:
        """A ring without one key, which can no longer decrypt what that one encrypted: `rotate` first."""
        if name not in self._keys:
            raise ValueError(f"there is no key {name!r}; there are {', '.join(map(repr, self._keys))}")
        return KeyRing({other: key for other, key in self._keys.items() if other != name}, lookup=self._lookup)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the keys, oldest first: the last one encrypts."""
        return tuple(self._keys)

    @property
    def newest(self) -> str:
        """Name of the key that encrypts."""
        return self.names[-1]

    def __repr__(self) -> str:
        return f"<KeyRing {', '.join(self._keys)}>"

    def _secrets(self) -> tuple[Mapping[str, bytes], bytes]:
        """The keys by name, and the lookup secret; for the stores beside this file."""
        return self._keys, self._lookup


def derived(secret: bytes, purpose: bytes, length: int) -> bytes:
    """So many bytes that say nothing of *secret*, for one *purpose*: HKDF-Expand of RFC 5869 with SHA-256."""
    block, made = b"", b""
    while len(made) < length:
        block = hmac.digest(secret, block + purpose + bytes([len(made) // 32 + 1]), "sha256")
        made += block
    return made[:length]


def _check(key: object, what: str) -> None:
    if not isinstance(key, bytes):
        raise TypeError(f"{what} must be bytes, not {type(key).__name__}")
    if len(key) != KEY_BYTES:
        raise ValueError(f"{what} must have {KEY_BYTES} bytes, not {len(key)}: secrets.token_bytes(32) makes one")
