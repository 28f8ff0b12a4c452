"""Archives for the tests: made by a cache, and taken apart and put together again by hand, as a stranger would."""

import hashlib
import io
import json
import struct
import zlib

import numpy as np

from mneme import MemoryStore, SemanticCache
from mneme.ports import Counters, Record, Selection, Usage
from mneme.testing import FakeClock, HashEmbedder

HEAD = 16
MAGIC = b"\x93mneme\r\n" + struct.pack("<I", 1)


def small():
    """A small archive with every kind of block."""
    stream = io.BytesIO()
    with SemanticCache(store=MemoryStore(), embedder=HashEmbedder(8), clock=FakeClock(1_700_000_000.0)) as cache:
        cache.put("What is the capital of France?", "Paris", tags=["geo"], metadata={"n": 1}, ttl=60)
        cache.put("A picture", b"\x89PNG", namespace="shop", scope={"size": 1})
        cache.get("What is the capital of France?")
        cache.dumps(stream)
    return stream.getvalue()


def load(data, **options):
    """What a store holds after loading."""
    store = MemoryStore()
    with SemanticCache.loads(io.BytesIO(data), store=store, **options):
        return store.scan(Selection(), limit=100_000, vectors=True)


def blocks(data):
    """The blocks as lists: kind, packing, what is stored, how long it is unpacked."""
    found, at = [], len(MAGIC)
    while at < len(data):
        kind, packing, _, stored, length, _ = struct.unpack_from("<BBHIII", data, at)
        found.append([chr(kind), packing, data[at + HEAD : at + HEAD + stored], length])
        at += HEAD + stored
    return found


def body(block):
    return zlib.decompress(block[2]) if block[1] else block[2]


def block(kind, content, packing=0, length=None):
    stored = zlib.compress(content) if packing == 1 else content
    return [kind, packing, stored, len(content) if length is None else length]


def together(parts, *, digest=True):
    """An archive of these blocks, with proper checksums; the last block gets a proper digest too."""
    data = MAGIC
    for kind, packing, content, said in parts:
        stored, length = content, said
        if digest and kind == "Z":
            stored = json.dumps(json.loads(content) | {"sha256": hashlib.sha256(data).hexdigest()}).encode()
            length = len(stored)
        head = struct.pack("<BBHII", ord(kind), packing, 0, len(stored), length)
        data += head + struct.pack("<I", zlib.crc32(head + stored)) + stored
    return data


def partition(namespace, scope):
    """As the documentation of the format says."""
    name = namespace.encode()
    return hashlib.sha256(str(len(name)).encode() + b":" + name + scope.encode()).digest()[:16]


def records(count, dim=8, seed=0):
    """Records of every kind, for a store."""
    random = np.random.default_rng(seed)
    made = []
    for number in range(count):
        vector = random.standard_normal(dim)
        expires = None if number % 3 else 2e9 + number
        namespace, scope = f"namespace {number % 5} é", "" if number % 2 else json.dumps({"model": number % 4})
        made.append(
            Record(
                key=hashlib.sha256(b"%d" % number).digest(),
                partition=partition(namespace, scope),
                namespace=namespace,
                scope=scope,
                query=f"question {number} 名",
                payload=random.bytes(int(random.integers(0, 200))),
                codec=("text", "bytes", "json", "codec:own")[number % 4],
                metadata="" if number % 2 else json.dumps({"n": number}),
                tags=tuple(f"tag {n} é" for n in range(number % 3)),
                created_at=1e9 + number / 7,
                accessed_at=1.5e9 + number / 3,
                expires_at=expires,
                removable_at=None if expires is None else expires + number % 2,
                compute_seconds=number / 9,
                cost=number / 11,
                vector=None if number % 7 == 6 else (vector / np.linalg.norm(vector)).astype(np.float32),
            )
        )
    return made


def usage():
    return Usage({}, {"namespace 0 é": Counters(1, 2, 3, 4, 5, 6.5), "gone": Counters(misses=2)})
