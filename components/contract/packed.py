"""Lists of pages for many associates in one Arrow file, and one list as the few bytes that a store holds."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from components.contract import columns as c
from components.contract.errors import DataError
from components.contract.files import atomic_file

FILE = "lists.arrow"
_SCORE = np.dtype("<f2")


class Block(NamedTuple):
    """Lists of N associates.

    Attributes
    ----------
    associate_id : pyarrow.Array of large_string, length N
    page : array of int, shape (N, K)
        Rows of the catalogue, best first; -1 pads.
    score : array of float16, shape (N, K)
        Descending; 0 where padded.
    """

    associate_id: pa.Array
    page: NDArray[np.signedinteger[Any]]
    score: NDArray[np.float16]

    def packed(self) -> list[bytes]:
        """One value for each associate: K rows, then K scores, little-endian; see :func:`unpack`."""
        width = self.page.dtype.itemsize + _SCORE.itemsize
        size = self.page.shape[1] * width
        both = [np.ascontiguousarray(self.page), np.ascontiguousarray(self.score, _SCORE)]
        whole = np.concatenate([part.view(np.uint8) for part in both], axis=1).tobytes()
        return [whole[at : at + size] for at in range(0, len(whole), size)]


def page_type(pages: int) -> np.dtype[Any]:
    """Type of a row of a catalogue of so many pages: two bytes where they suffice.

    Examples
    --------
    >>> page_type(5000).itemsize, page_type(32769).itemsize
    (2, 4)
    """
    return np.dtype("<i2") if pages <= 2**15 else np.dtype("<i4")


def unpack(value: bytes, pages: int) -> tuple[NDArray[np.signedinteger[Any]], NDArray[np.float16]]:
    """Read one list: rows of a catalogue of ``pages`` pages, best first, and scores.

    Examples
    --------
    >>> block = Block(pa.array(["a"], pa.large_string()), np.array([[7, 2, -1]], "<i2"),
    ...               np.array([[0.5, 0.25, 0]], np.float16))
    >>> rows, scores = unpack(block.packed()[0], 5000)
    >>> rows.tolist(), scores.tolist()
    ([7, 2], [0.5, 0.25])
    """
    kind = page_type(pages)
    size = len(value) // (kind.itemsize + _SCORE.itemsize)
    rows = np.frombuffer(value, kind, size)
    scores = np.frombuffer(value, _SCORE, size, offset=size * kind.itemsize)
    listed = rows >= 0
    return rows[listed], scores[listed]


def write(folder: Path | str, page_ids: NDArray[np.str_], size: int, blocks: Iterable[Block]) -> int:
    """Write lists as they come; one block is held at a time. Returns the bytes written.

    Parameters
    ----------
    folder : Path or str
    page_ids : array of str, shape (P,)
        The catalogue that rows refer to.
    size : int
        Pages of a list, K.
    blocks : iterable of Block
    """
    kind = page_type(len(page_ids))
    fields = {
        c.ASSOCIATE_ID: pa.large_string(),
        c.PAGE: pa.list_(pa.from_numpy_dtype(kind), size),
        "score": pa.list_(pa.float16(), size),
    }
    schema = pa.schema(fields, metadata={"pages": json.dumps(page_ids.tolist())})
    with atomic_file(Path(folder) / FILE) as aside:
        with pa.OSFile(str(aside), "wb") as file, pa.ipc.new_file(file, schema) as writer:
            for ids, page, score in blocks:
                flat = (page.astype(kind, copy=False), score.astype(np.float16, copy=False))
                arrays = [pa.FixedSizeListArray.from_arrays(pa.array(part.ravel()), size) for part in flat]
                writer.write_batch(pa.record_batch([ids, *arrays], schema=schema))
        return aside.stat().st_size


def read(folder: Path | str) -> tuple[NDArray[np.str_], Iterator[Block]]:
    """Read the catalogue, and the lists block by block.

    Raises
    ------
    DataError
        The folder holds no lists.
    """
    path = Path(folder) / FILE
    try:
        file = pa.ipc.open_file(pa.memory_map(str(path)))
    except (OSError, pa.ArrowInvalid) as error:
        raise DataError(f"{path} holds no lists: {error}") from error
    pages = np.array(json.loads(file.schema.metadata[b"pages"]), np.str_)
    return pages, map(_block, map(file.get_batch, range(file.num_record_batches)))


def holds_lists(folder: Path | str) -> bool:
    """Whether anybody has a list."""
    with pa.memory_map(str(Path(folder) / FILE)) as file:
        return pa.ipc.open_file(file).num_record_batches > 0


def _block(batch: pa.RecordBatch) -> Block:
    def table(name: str) -> NDArray[Any]:
        column = batch[name]
        return column.flatten().to_numpy().reshape(len(column), column.type.list_size)

    return Block(batch[c.ASSOCIATE_ID], table(c.PAGE), table("score"))
