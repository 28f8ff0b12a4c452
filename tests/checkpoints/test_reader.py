"""The reader believes nothing: every damaged, cut, forged or oversized archive is refused, and says where and why."""

import contextlib
import io
import json
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, strategies as st

from checkpoints.archives import MAGIC, block, blocks, body, load, partition, small, together
from mneme import CheckpointError, MemoryStore, SemanticCache
from mneme.testing import HashEmbedder
from mneme.tools.checkpoint import Contents, verify

FINGERPRINT = HashEmbedder(8).fingerprint
SMALL = small()
BLOCKS = blocks(SMALL)


def refuse(data, match=r"refused at byte \d+", **options):
    with pytest.raises(CheckpointError, match=match):
        load(data, **options)
    if not options and "max_" not in match:
        with pytest.raises(CheckpointError, match=match):
            verify(io.BytesIO(data), max_entry_bytes=2**22)


def test_the_sample_is_read_and_put_together_again():
    assert [kind for kind, *_ in BLOCKS] == ["H", "E", "V", "C", "Z"]
    assert len(load(SMALL)) == 2
    assert together(BLOCKS, digest=False) == SMALL
    assert len(load(together(BLOCKS))) == 2


def test_an_archive_can_be_looked_into_without_loading_it():
    found = verify(io.BytesIO(SMALL))
    assert found == Contents(2, {"default": 1, "shop": 1}, len(SMALL), 1_700_000_000.0, FINGERPRINT, 8, None)
    for options in ({"max_archive_bytes": 0}, {"max_entry_bytes": "1"}, {"progress": 1}):
        with pytest.raises((TypeError, ValueError)):
            verify(io.BytesIO(SMALL), **options)


def test_an_archive_that_is_cut_off_anywhere_is_refused():
    for length in range(len(SMALL)):
        refuse(SMALL[:length])


def test_a_flipped_bit_anywhere_is_found():
    for position in range(len(SMALL)):
        for bit in (1, 0x10, 0x80):
            refuse(SMALL[:position] + bytes([SMALL[position] ^ bit]) + SMALL[position + 1 :])


def test_whatever_comes_after_the_end_is_refused():
    for more in (b"\0", b"\n", SMALL):
        refuse(SMALL + more, "comes after its end")


@given(st.binary(max_size=400))
def test_any_bytes_are_refused(data):
    refuse(data)
    refuse(MAGIC + data)


@given(st.data())
def test_a_stretch_that_was_overwritten_is_found(data):
    start = data.draw(st.integers(0, len(SMALL) - 1))
    patch = data.draw(st.binary(min_size=1, max_size=40))[: len(SMALL) - start]
    damaged = SMALL[:start] + patch + SMALL[start + len(patch) :]
    if damaged != SMALL:
        refuse(damaged)


@given(st.permutations(range(len(BLOCKS))), st.integers(1, len(BLOCKS)), st.booleans())
def test_blocks_in_another_order_are_refused(order, count, digest):
    chosen = [BLOCKS[n] for n in order][:count]
    without_counters = digest and chosen == [one for one in BLOCKS if one[0] != "C"]  # which nobody can miss
    if chosen != BLOCKS and not without_counters:
        refuse(together(chosen, digest=digest))


@pytest.mark.parametrize("position", range(1, 4))
def test_a_block_that_is_missing_or_repeated_is_found_by_the_digest(position):
    rest = [*BLOCKS[:position], *BLOCKS[position + 1 :]]
    refuse(together(rest, digest=False))
    refuse(together([*BLOCKS[: position + 1], *BLOCKS[position:]], digest=False))


@given(st.data())
def test_forged_contents_are_refused_or_read_but_never_end_in_another_error(data):
    """Checksums are no protection against somebody who makes them anew."""
    number = data.draw(st.integers(0, len(BLOCKS) - 1))
    content = bytearray(body(BLOCKS[number]))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content)))
        content[at : at + data.draw(st.integers(0, 8))] = data.draw(st.binary(max_size=8))
    forged = [*BLOCKS]
    forged[number] = block(BLOCKS[number][0], bytes(content), data.draw(st.sampled_from([0, 1])))
    try:
        archive = together(forged)
    except ValueError:
        return  # an end that is no JSON any more
    with contextlib.suppress(CheckpointError):
        load(archive)


def with_document(kind, change):
    number = [found for found, *_ in BLOCKS].index(kind)
    forged = [*BLOCKS]
    forged[number] = block(kind, json.dumps(change(json.loads(body(BLOCKS[number])))).encode())
    return together(forged)


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("H", lambda said: said | {"dim": -1}),
        ("H", lambda said: said | {"dim": None}),
        ("H", lambda said: said | {"dim": True}),
        ("H", lambda said: said | {"fingerprint": 5}),
        ("H", lambda said: said | {"created_at": "today"}),
        ("H", lambda said: said | {"namespaces": [1]}),
        ("H", lambda said: said | {"news": 1}),
        ("H", lambda said: [said]),
        ("C", lambda said: said | {"default": {"hits_exact": -1}}),
        ("C", lambda said: said | {"default": {"hits_exact": 1.5}}),
        ("C", lambda said: said | {"default": {"hits_exact": 2**63}}),
        ("C", lambda said: said | {"default": {"unheard_of": 1}}),
        ("C", lambda said: said | {"default": {"seconds_saved": 1e999}}),
        ("C", lambda said: said | {"default": 3}),
        ("Z", lambda said: said | {"entries": 3}),
        ("Z", lambda said: said | {"entries": "2"}),
        ("Z", lambda said: said | {"more": "2"}),
    ],
)
def test_documents_must_say_what_they_should(kind, change):
    refuse(with_document(kind, change))


def test_documents_nested_without_end_are_refused():
    refuse(together([block("H", b"[" * 100_000), *BLOCKS[1:]]))
    refuse(together([block("H", b'{"a":' * 100_000), *BLOCKS[1:]]))
    refuse(together([block("H", b"9" * 100_000), *BLOCKS[1:]]))


def test_a_newer_version_is_refused_by_name():
    refuse(SMALL[:8] + struct.pack("<I", 2) + SMALL[12:], "version 2.*upgrade")


def test_a_line_end_that_was_translated_is_found():
    refuse(SMALL.replace(b"\r\n", b"\n", 1), "no checkpoint of mneme")


def test_a_block_that_unpacks_to_more_than_it_says_is_refused():
    bomb = b"\0" * 50_000_000
    packed = zlib.compress(bomb, 9)
    entries = ["E", 1, packed, 60_000]
    refuse(together([BLOCKS[0], entries, *BLOCKS[2:]]), "unpacks to another length")
    entries = ["E", 1, packed, len(bomb)]
    refuse(together([BLOCKS[0], entries, *BLOCKS[2:]]), "no more than .* are allowed by max_query_bytes")
    refuse(together([BLOCKS[0], ["E", 1, packed[:-1], 10], *BLOCKS[2:]]))
    refuse(together([BLOCKS[0], ["E", 1, zlib.compress(b"abc") + b"more", 3000], *BLOCKS[2:]]))


def test_many_small_bombs_are_stopped_by_the_limit_of_the_whole():
    namespaces = {"a" * 100_000: {}}
    counters = block("C", json.dumps(namespaces).encode(), 1)
    refuse(together([*BLOCKS[:3], *[counters] * 50, BLOCKS[4]]), "max_archive_bytes=1000000", max_archive_bytes=10**6)


def test_a_length_beyond_the_end_takes_no_memory():
    head = struct.pack("<BBHII", ord("V"), 0, 0, 5_000_000, 5_000_000)
    refuse(MAGIC + SMALL[12:200] + head + struct.pack("<I", 0))


def entries_with(change):
    """The sample with the first entry's numbers and lengths changed."""
    content = bytearray(body(BLOCKS[1]))
    fields = list(struct.unpack_from("<32s16s6d8I", content, 4))
    change(fields)
    struct.pack_into("<32s16s6d8I", content, 4, *fields)
    return together([BLOCKS[0], block("E", bytes(content)), *BLOCKS[2:]])


@pytest.mark.parametrize("number", range(2, 8))
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_times_that_are_no_numbers_are_refused(number, value):
    def change(fields):
        fields[number] = value

    refuse(entries_with(change))


@pytest.mark.parametrize(
    ("number", "value"), [(6, -1.0), (7, -1.0), (8, 0), (8, 8), (8, 1), *((n, 2**32 - 1) for n in range(9, 16))]
)
def test_flags_and_lengths_that_do_not_fit_are_refused(number, value):
    def change(fields):
        fields[number] = value

    refuse(entries_with(change))


def test_an_entry_in_the_partition_of_another_tenant_is_refused():
    def change(fields):
        fields[1] = partition("shop", "")

    refuse(entries_with(change), "partition of another namespace")


@pytest.mark.parametrize("metadata", [b"[1]", b"nul", b"{]", b"\xff", b"[" * 100_000])
def test_metadata_that_are_no_object_are_refused(metadata):
    content = body(BLOCKS[1])
    *fixed, namespace, scope, query, codec, old, tags, response = struct.unpack_from("<32s16s6d8I", content, 4)
    at = 4 + 128 + namespace + scope + query + codec
    lengths = (namespace, scope, query, codec, len(metadata), tags, response)
    head = content[:4] + struct.pack("<32s16s6d8I", *fixed, *lengths)
    forged = head + content[4 + 128 : at] + metadata + content[at + old :]
    refuse(together([BLOCKS[0], block("E", forged), *BLOCKS[2:]]), "of an entry (are|cannot)|max_metadata_bytes")


def test_two_entries_of_one_key_are_refused_wherever_they_are():
    content = body(BLOCKS[1])
    length = struct.calcsize("<32s16s6d8I")
    second = 4 + length + sum(struct.unpack_from("<7I", content, 4 + length - 28))
    other = content[second : second + 32]

    def same(fields):
        fields[0] = other

    refuse(entries_with(same), "two entries of one key")
    doubled = [BLOCKS[0], BLOCKS[1], BLOCKS[2], BLOCKS[1], BLOCKS[2], BLOCKS[3]]
    end = block("Z", json.dumps(json.loads(body(BLOCKS[4])) | {"entries": 4}).encode())
    refuse(together([*doubled, end]), "two entries of one key")


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0, 2.0, 1e30])
def test_vectors_that_are_no_unit_vectors_are_refused(value):
    matrix = np.frombuffer(body(BLOCKS[2]), "<f4").reshape(2, 8).copy()
    matrix[1] = 0
    matrix[1, 3] = value
    refuse(together([*BLOCKS[:2], block("V", matrix.tobytes()), *BLOCKS[3:]]), "has not the length 1")


def test_vectors_that_are_too_many_or_too_few_are_refused():
    matrix = body(BLOCKS[2])
    for wrong in (matrix[:-32], matrix + matrix, b"", matrix[:-1]):
        refuse(together([*BLOCKS[:2], block("V", wrong), *BLOCKS[3:]]))
    refuse(together([BLOCKS[0], BLOCKS[1], *BLOCKS[3:]]), "vectors .* are missing")
    refuse(together([BLOCKS[0], BLOCKS[1], BLOCKS[2], BLOCKS[2], *BLOCKS[3:]]), "wrong order")


@pytest.mark.parametrize(
    "damage", [lambda data: data[:-1], lambda data: data[:-20] + b"x" * 20, lambda data: data + b"!"]
)
def test_a_refused_archive_leaves_nothing_behind(damage, tmp_path):
    data = damage(SMALL)
    with pytest.raises(CheckpointError):
        SemanticCache.loads(io.BytesIO(data), tmp_path / "new.db")
    assert list(tmp_path.iterdir()) == []
    store = Watched()
    with pytest.raises(CheckpointError):
        SemanticCache.loads(io.BytesIO(data), store=store)
    assert store.wrote == 0


class Watched(MemoryStore):
    wrote = 0

    def write(self, records):
        self.wrote += 1
        return super().write(records)


def test_a_source_that_fails_is_told_of(tmp_path):
    class Broken(io.RawIOBase):
        def readable(self):
            return True

        def readinto(self, buffer):
            raise OSError(5, "the disk is ill")

    for target in ({"path": tmp_path / "new.db"}, {"store": MemoryStore()}):
        with pytest.raises(CheckpointError, match="the disk is ill"):
            SemanticCache.loads(Broken(), **target)
    assert list(tmp_path.iterdir()) == []


def test_an_archive_that_claims_a_huge_dimension_gets_no_more_room_for_its_entries():
    header = json.loads(body(BLOCKS[0]))
    header["dim"] = 2**27
    entries = ["E", 1, zlib.compress(bytes(60_000_000), 9), 60_000_000]
    refuse(together([block("H", json.dumps(header).encode()), entries, *BLOCKS[2:]]), "no more than .* are allowed")


def test_vectors_that_are_packed_are_refused():
    vectors = BLOCKS[2]
    packed = block("V", body(vectors), 1)
    refuse(together([*BLOCKS[:2], packed, *BLOCKS[3:]]), "packed in an unknown way")
