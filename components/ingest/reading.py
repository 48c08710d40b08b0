"""Files of the contract tables as batches of raw rows: Parquet, CSV, JSON Lines, JSON; local or remote."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import polars as pl
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from components.contract.errors import DataError

_FORMATS = (".parquet", ".csv", ".jsonl", ".ndjson", ".json")
_ROWS = 200_000
# One row of CSV or JSON Lines must fit into a block.
_BLOCK = 64 * 2**20
_URI = re.compile(r"^[a-zA-Z][-a-zA-Z0-9+.]+://")


@dataclass(frozen=True)
class Batch:
    """Some rows of a file.

    Attributes
    ----------
    rows : polars.DataFrame
        As the format gives them; CSV columns are all text.
    broken : list of str
        Lines that the format's parser cannot read.
    complaint : str
        What is wrong with the broken lines.
    """

    rows: pl.DataFrame
    broken: list[str]
    complaint: str = ""


def locate(data: str | Path, table: str, scratch: Path) -> list[tuple[str, Path]]:
    """Find the files of one table.

    Parameters
    ----------
    data : str or Path
        A local folder, or a URI of any filesystem that Beam is installed for (``gs://``, ``s3://``,
        ``hdfs://``, ...). It holds ``TABLE.parquet`` (``.csv``, ``.jsonl``, ``.ndjson``, ``.json``,
        the text formats also with ``.gz``), or a folder ``TABLE`` or ``TABLE.parquet`` of parts.
    table : str
    scratch : Path
        Remote files are copied there.

    Returns
    -------
    list of (str, Path)
        The name of each file as the user knows it and where it lies, in the order of the names.
        Empty where the table is absent; files of no bytes are left out.

    Raises
    ------
    DataError
        The folder is missing or the table is there twice.
    """
    text = str(data).removeprefix("file://").rstrip("/") or "/"
    listed = _remote(text, table, scratch) if _URI.match(text) else _local(Path(text), table)
    tops = sorted({name.removeprefix(text).lstrip("/").split("/")[0] for name, _, _ in listed})
    if len(tops) > 1:
        raise DataError(f"{table}: found {' and '.join(tops)} in {text}; keep one of them.")
    if listed and not any(size for _, _, size in listed):
        raise DataError(f"{table}: {listed[0][0]} is empty (0 bytes). Write the table again.")
    return sorted((name, path) for name, path, size in listed if size)


def _is_part(relative: str, table: str) -> bool:
    """Whether a path under the data folder belongs to the table; hidden files and markers do not."""
    first, *rest = relative.split("/")
    if any(piece.startswith((".", "_")) for piece in rest):
        return False
    if rest:
        return first in (table, f"{table}.parquet") and _suffix(rest[-1]) is not None
    return first.startswith(f"{table}.") and first.removesuffix(".gz") in {table + end for end in _FORMATS}


def _suffix(name: str) -> str | None:
    """The format's suffix, without compression."""
    plain = name.lower().removesuffix(".gz")
    return next((end for end in _FORMATS if plain.endswith(end)), None)


def _local(folder: Path, table: str) -> list[tuple[str, Path, int]]:
    if not folder.is_dir():
        raise DataError(f"data: no folder {folder}. Give the folder that holds pages.* and events.*.")
    found = [*folder.glob(f"{table}.*"), *folder.glob(f"{table}/**/*"), *folder.glob(f"{table}.parquet/**/*")]
    return [
        (str(path), path, path.stat().st_size)
        for path in found
        if path.is_file() and _is_part(path.relative_to(folder).as_posix(), table)
    ]


def _remote(uri: str, table: str, scratch: Path) -> list[tuple[str, Path, int]]:
    # Beam knows every filesystem that the pipelines read and write; it is in the image of this step.
    from apache_beam.io.filesystems import FileSystems

    try:
        matches = FileSystems.match([f"{uri}/{table}.*", f"{uri}/{table}/**", f"{uri}/{table}.parquet/**"])
        found = {meta.path: meta.size_in_bytes for match in matches for meta in match.metadata_list}
        listed = []
        for number, (name, size) in enumerate(sorted(found.items())):
            if not _is_part(name.removeprefix(uri).lstrip("/"), table):
                continue
            copy = scratch / f"{table}-{number}-{name.rsplit('/', 1)[-1]}"
            if size:
                # Compression is told from the name later, as for local files.
                with (
                    FileSystems.open(name, compression_type="uncompressed") as source,
                    copy.open("wb") as target,
                ):
                    shutil.copyfileobj(source, target, 2**20)
            listed.append((name, copy, size))
    except Exception as error:
        raise DataError(f"data: cannot read {uri}: {error}") from error
    return listed


def batches(name: str, path: Path) -> Iterator[Batch]:
    """Read a file piece by piece.

    Parameters
    ----------
    name : str
        The file's name for messages.
    path : Path
        Where it lies; its suffix tells the format.

    Raises
    ------
    DataError
        The file is not what its suffix says; the message names it.
    """
    suffix = _suffix(path.name)
    try:
        if suffix == ".parquet":
            for part in pa.parquet.ParquetFile(path).iter_batches(batch_size=_ROWS):
                yield Batch(pl.DataFrame(pl.from_arrow(part)), [])
        elif suffix == ".csv":
            yield from _csv(path)
        else:
            yield from _json(path)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DataError(f"{name} cannot be read as {suffix}: {error}") from error


def _csv(path: Path) -> Iterator[Batch]:
    with pa.input_stream(path) as raw:
        first = io.TextIOWrapper(raw, encoding="utf-8-sig", newline="").readline()
    # Spreadsheets of many countries write semicolons.
    delimiter = max(",;\t", key=first.count)
    header = [column.strip() for column in next(csv.reader([first], delimiter=delimiter), [])]
    if len(set(header)) < len(header):
        raise pa.ArrowInvalid(f"the header names a column twice: {', '.join(header)}")
    broken: list[str] = []

    def keep(row: pa.csv.InvalidRow) -> str:
        broken.append(row.text)
        return "skip"

    # utf-8-sig above and Arrow both skip a byte order mark.
    with pa.input_stream(path) as stream:
        reader = pa.csv.open_csv(
            stream,
            read_options=pa.csv.ReadOptions(column_names=header, skip_rows=1, block_size=_BLOCK),
            parse_options=pa.csv.ParseOptions(
                delimiter=delimiter, newlines_in_values=True, invalid_row_handler=keep
            ),
            convert_options=pa.csv.ConvertOptions(
                column_types={column: pa.string() for column in header},
                null_values=[""],
                strings_can_be_null=True,
            ),
        )
        complaint = f"line has not the {len(header)} fields of the header"
        for part in reader:
            yield Batch(pl.DataFrame(pl.from_arrow(part)), broken.copy(), complaint)
            broken.clear()
        if broken:
            yield Batch(pl.DataFrame(schema=dict.fromkeys(header, pl.String)), broken, complaint)


def _json(path: Path) -> Iterator[Batch]:
    with pa.input_stream(path) as stream:
        rest = b""
        while block := stream.read(_BLOCK):
            block = rest + block
            if block.lstrip()[:1] == b"[":
                yield _lines([orjson.dumps(row) for row in _loads(block + stream.read())])
                return
            # Whole lines only; the rest waits for the next block.
            end = block.rfind(b"\n") + 1
            rest = block[end:]
            yield from _whole_lines(block[:end])
        yield from _whole_lines(rest)


def _whole_lines(block: bytes) -> Iterator[Batch]:
    if not block.strip():
        return
    try:
        yield Batch(_frame(block), [])
    except pl.exceptions.PolarsError:
        yield _lines(block.splitlines())


def _frame(lines: bytes) -> pl.DataFrame:
    # All rows are looked at: a column of numbers and words becomes text.
    return pl.read_ndjson(io.BytesIO(lines), infer_schema_length=None)


def _lines(lines: list[bytes]) -> Batch:
    """Read a block that holds broken lines: find those one by one, the others as usual."""
    good: list[bytes] = []
    broken: list[bytes] = []
    for line in filter(None, map(bytes.strip, lines)):
        try:
            row = _loads(line)
        except ValueError:
            row = None
        if isinstance(row, dict):
            good.append(orjson.dumps(row))
        else:
            broken.append(line)
    rows = _frame(b"\n".join(good)) if good else pl.DataFrame()
    return Batch(rows, [line.decode(errors="replace") for line in broken], "line is no JSON object")


def _loads(text: bytes) -> Any:
    """Parse JSON, and what Python writes beyond it: a NaN is null, an infinity stays to be complained of."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return json.loads(text, parse_constant=lambda word: None if word == "NaN" else word)
