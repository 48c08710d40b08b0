"""Lists of pages for many associates in plain arrays on disk, and one list as the bytes that a store holds.

::

    associates.parquet pages.parquet     ids, by row
    page.npy score.npy                   rows of pages, best first, and scores: one row an associate
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from components.contract import columns as c
from components.contract.encoding import text
from components.contract.errors import DataError
from components.contract.files import atomic_folder

_SCORE = np.dtype("<f2")
# Lists read at a time.
_BLOCK = 4096
Rows = NDArray[np.signedinteger[Any]]


class Block(NamedTuple):
    """Lists of N associates.

    Attributes
    ----------
    associate_id : list of str, length N
    page : array of int, shape (N, K)
        Rows of the catalogue, best first; -1 pads.
    score : array of float16, shape (N, K)
        Descending; 0 where padded.
    """

    associate_id: list[str]
    page: Rows
    score: NDArray[np.float16]

    def packed(self) -> list[bytes]:
        """One value for each associate: K rows, then K scores, little-endian; see :func:`unpack`."""
        both = [np.ascontiguousarray(part).view(np.uint8) for part in (self.page, self.score)]
        whole = np.concatenate(both, axis=1)
        size, data = whole.shape[1], whole.tobytes()
        return [data[at : at + size] for at in range(0, len(data), size)]


def page_type(pages: int) -> np.dtype[Any]:
    """Type of a row of a catalogue of so many pages: two bytes where they suffice.

    Examples
    --------
    >>> page_type(5000).itemsize, page_type(32769).itemsize
    (2, 4)
    """
    return np.dtype("<i2") if pages <= 2**15 else np.dtype("<i4")


def unpack(value: bytes, pages: int) -> tuple[Rows, NDArray[np.float16]]:
    """Read one list: rows of a catalogue of ``pages`` pages, best first, and scores.

    Examples
    --------
    >>> block = Block(["a"], np.array([[7, 2, -1]], "<i2"), np.array([[0.5, 0.25, 0]], np.float16))
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


def write(
    folder: Path | str,
    page_ids: NDArray[np.str_],
    associate_ids: pl.Series,
    size: int,
    parts: Iterable[tuple[Rows, NDArray[np.floating[Any]]]],
) -> int:
    """Write lists as they come; one part is held at a time. Returns the bytes written.

    Parameters
    ----------
    folder : Path or str
    page_ids : array of str, shape (P,)
        The catalogue that rows refer to.
    associate_ids : polars.Series of str, length N
    size : int
        Pages of a list, K.
    parts : iterable of (array of int, array of float), shapes (n, K)
        Pages and scores of the next n associates; N in all.
    """
    with atomic_folder(folder) as aside:
        associate_ids.alias(c.ASSOCIATE_ID).to_frame().write_parquet(aside / "associates.parquet")
        pl.DataFrame({c.PAGE_ID: page_ids}).write_parquet(aside / "pages.parquet")
        shape = (len(associate_ids), size)
        if shape[0] and size:
            kinds = {"page": page_type(len(page_ids)), "score": _SCORE}
            files = [
                np.lib.format.open_memmap(aside / f"{name}.npy", mode="w+", dtype=kind, shape=shape)
                for name, kind in kinds.items()
            ]
            done = 0
            for part in parts:
                for file, values in zip(files, part, strict=True):
                    file[done : done + len(values)] = values
                done += len(part[0])
            for file in files:
                file.flush()
        return sum(path.stat().st_size for path in aside.iterdir())


def holds_lists(folder: Path | str) -> bool:
    """Whether anybody has a list."""
    return (Path(folder) / "page.npy").is_file()


def read(folder: Path | str) -> tuple[NDArray[np.str_], Iterator[Block]]:
    """Read the catalogue, and the lists block by block.

    Raises
    ------
    DataError
        The folder holds no lists.
    """
    pages, ids = names(folder)
    return pages, _blocks(folder, ids) if holds_lists(folder) else iter(())


def names(folder: Path | str) -> tuple[NDArray[np.str_], pl.Series]:
    """Ids of the pages and the associates, by row.

    Raises
    ------
    DataError
        The folder holds no lists.
    """
    folder = Path(folder)
    try:
        pages = text(pl.read_parquet(folder / "pages.parquet")[c.PAGE_ID])
        ids = pl.read_parquet(folder / "associates.parquet")[c.ASSOCIATE_ID]
    except OSError as error:
        raise DataError(f"{folder} holds no lists: {error}") from error
    return pages, ids


def arrays(folder: Path | str) -> tuple[Rows, NDArray[np.float16]]:
    """Pages and scores of all lists, (N, K), read from their files only where they are looked at."""
    page, score = (np.load(Path(folder) / f"{name}.npy", mmap_mode="r") for name in ("page", "score"))
    return page, score


def _blocks(folder: Path | str, ids: pl.Series) -> Iterator[Block]:
    page, score = arrays(folder)
    for at in range(0, len(ids), _BLOCK):
        rows = slice(at, at + _BLOCK)
        yield Block(ids[rows].to_list(), np.asarray(page[rows]), np.asarray(score[rows]))
