"""The ciphers of encrypted stores, all of them from the library `cryptography`. Nothing here knows what an entry is.

Texts and answers: XAES-256-GCM (https://c2sp.org/XAES-256-GCM), which is AES-256-GCM under a key derived for each
message from the first half of a nonce of 24 random bytes. With GCM's own 12 bytes random nonces might meet after some
billions of writes; counting them would need a place that no crash, fork or copy of a file sets back.

Names that are looked up: AES-SIV (RFC 5297), which gives equal texts equal ciphertexts. Keys, which must keep their 32
bytes and be read back: AES-256-XTS, a length-preserving cipher; what it is given are hashes, so no two share a block.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers import Cipher
    from cryptography.hazmat.primitives.ciphers.aead import AESSIV
    from cryptography.hazmat.primitives.ciphers.modes import ECB, XTS

__all__ = ["NONCE_BYTES", "TAG_BYTES", "KeyCipher", "NameCipher", "TextCipher", "UnauthenticError"]

NONCE_BYTES = 24
TAG_BYTES = 16
_HALF = 12
_KEY_BYTES = 32
_MISSING = "encryption needs the library cryptography: pip install 'mneme-cache[crypto]'"


class UnauthenticError(Exception):
    """A ciphertext is not what its key encrypted."""


class TextCipher:
    """XAES-256-GCM: every message under a nonce of its own, together with data that is not encrypted but bound to it.

    Thread safety: nothing changes once it is made.
    """

    def __init__(self, key: bytes) -> None:
        try:
            from cryptography.exceptions import InvalidTag  # noqa: PLC0415 - an extra
            from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes  # noqa: PLC0415 - an extra
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415 - an extra
        except ImportError as error:
            raise ImportError(f"{_MISSING} ({error})") from error
        self._invalid = InvalidTag
        self._gcm = AESGCM
        # ECB of single blocks is what CMAC, by which the specification derives keys, comes to for 16 bytes.
        self._blocks: Cipher[ECB] = Cipher(algorithms.AES(key), modes.ECB())  # noqa: S305 - of single blocks only
        zero = int.from_bytes(self._blocks.encryptor().update(bytes(16)), "big") << 1
        subkey = zero & ((1 << 128) - 1) ^ (0x87 if zero >> 128 else 0)
        self._masks = [subkey ^ int.from_bytes(bytes([0, number, 0x58, 0]) + bytes(12), "big") for number in (1, 2)]

    def encrypt(self, text: bytes, bound: bytes, nonce: bytes | None = None) -> tuple[bytes, bytes]:
        """A new nonce, and the ciphertext, which is `TAG_BYTES` longer than the text."""
        if nonce is None:
            nonce = secrets.token_bytes(NONCE_BYTES)
        return nonce, self._gcm(self._derived(nonce)).encrypt(nonce[_HALF:], text, bound)

    def decrypt(self, nonce: bytes, ciphertext: bytes, bound: bytes) -> bytes:
        """The text; raises `UnauthenticError` if a bit of anything was changed."""
        try:
            return self._gcm(self._derived(nonce)).decrypt(nonce[_HALF:], ciphertext, bound)
        except (self._invalid, ValueError) as error:
            raise UnauthenticError from error

    def _derived(self, nonce: bytes) -> bytes:
        half = int.from_bytes(nonce[:_HALF], "big")
        blocks = b"".join((mask ^ half).to_bytes(16, "big") for mask in self._masks)
        return self._blocks.encryptor().update(blocks)


class NameCipher:
    """AES-SIV: equal names have equal ciphertexts. Needs 64 bytes of key.

    Thread safety: nothing changes once it is made.
    """

    def __init__(self, key: bytes) -> None:
        try:
            from cryptography.exceptions import InvalidTag  # noqa: PLC0415 - an extra
            from cryptography.hazmat.primitives.ciphers.aead import AESSIV  # noqa: PLC0415 - an extra
        except ImportError as error:
            raise ImportError(f"{_MISSING} ({error})") from error
        self._invalid = InvalidTag
        self._siv: AESSIV = AESSIV(key)

    def encrypt(self, name: bytes) -> bytes:
        """The same bytes for the same name, `TAG_BYTES` longer."""
        return self._siv.encrypt(b"\0" + name, None)

    def decrypt(self, ciphertext: bytes) -> bytes:
        """The name; raises `UnauthenticError` for what is no ciphertext of one."""
        try:
            return self._siv.decrypt(ciphertext, None)[1:]
        except (self._invalid, ValueError) as error:
            raise UnauthenticError from error


class KeyCipher:
    """AES-256-XTS: 32 bytes for 32 bytes, the same each time, and back. Needs 64 bytes of key.

    Thread safety: nothing changes once it is made.
    """

    def __init__(self, key: bytes) -> None:
        try:
            from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes  # noqa: PLC0415 - an extra
        except ImportError as error:
            raise ImportError(f"{_MISSING} ({error})") from error
        self._cipher: Cipher[XTS] = Cipher(algorithms.AES(key), modes.XTS(b"mneme entry key\0"))

    def encrypt(self, key: bytes) -> bytes:
        return self._cipher.encryptor().update(key)

    def decrypt(self, key: bytes) -> bytes:
        """The key; what is too short or too long to be one, as in a damaged store, as it is."""
        return self._cipher.decryptor().update(key) if len(key) == _KEY_BYTES else key
