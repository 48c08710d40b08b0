"""The command line: ``python -m components.ingest``, to look into the quarantine and bring rows back."""

from __future__ import annotations

import hashlib
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, get_args

import orjson
import polars as pl
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from components.contract import columns as c
from components.contract.commands import run as run_commands
from components.contract.errors import DataError
from components.contract.files import atomic_file
from components.contract.tables import BAD_SCHEMA, TABLES, TableName, check, content_id, word
from components.ingest.reading import batches, locate

HELP = """
Look into the quarantine that ingest wrote, and bring rows back once their fault is mended.

Exit status: 0 done, 1 refused or failed, 2 wrong usage.
"""
app = typer.Typer(
    help=HELP,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
out = Console()
# Ingest cuts longer values: such a row is no longer whole.
_CUT = 2000
_NUMBER = "replay:number"
_MESSAGE = r" \(found '[\s\S]*$"

Quarantine = Annotated[Path, typer.Argument(help="quarantine.parquet, or its folder.", exists=True)]
Data = Annotated[Path, typer.Option(help="Folder with the tables, as ingest reads them.", exists=True)]
Only = Annotated[
    str | None, typer.Option(help="Rows whose table, column or reason holds this text; unset: all.")
]
Fix = Annotated[
    list[str] | None,
    typer.Option(
        help="COLUMN=SQL over the row's columns, all text: 'progress=CAST(progress AS DOUBLE) / 100'."
    ),
]


def _file(path: Path) -> Path:
    return path / "quarantine.parquet" if path.is_dir() else path


def _read(path: Path) -> pl.DataFrame:
    try:
        rows = pl.read_parquet(_file(path))
    except (OSError, pl.exceptions.PolarsError) as error:
        raise DataError(f"{_file(path)} cannot be read: {error}") from error
    if missing := BAD_SCHEMA.keys() - set(rows.columns):
        raise DataError(f"{_file(path)} is no quarantine: it lacks {', '.join(sorted(missing))}")
    return rows


def _chosen(only: str | None) -> pl.Expr:
    if only is None:
        return pl.lit(True)
    return pl.any_horizontal(
        pl.col(name).str.contains(only, literal=True).fill_null(False)
        for name in ("table", "column", "reason")
    )


@app.command()
def inspect(
    quarantine: Quarantine,
    only: Only = None,
    examples: Annotated[int, typer.Option(min=0, help="Rows shown for each reason.")] = 2,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")] = False,
) -> None:
    """Count bad rows by reason, with examples.

    python -m components.ingest inspect quarantine.parquet
    """
    rows = _read(quarantine).filter(_chosen(only))
    grouped = (
        rows.with_columns(pl.col("reason").str.replace(_MESSAGE, ""))
        .group_by("table", "column", "reason")
        .agg(pl.len().alias("rows"), pl.col("row").head(examples).alias("examples"))
        .sort("rows", "table", "reason", descending=[True, False, False])
    )
    if json_:
        sys.stdout.write(orjson.dumps(grouped.to_dicts()).decode() + "\n")
        return
    table = Table("rows", "table", "reason", "examples", box=None, header_style="dim")
    for row in grouped.iter_rows(named=True):
        table.add_row(
            f"{row['rows']:,}", row["table"], escape(row["reason"]), escape("\n".join(row["examples"]))
        )
    out.print(table if grouped.height else "no bad rows")


@app.command()
def replay(
    quarantine: Quarantine,
    data: Data,
    only: Only = None,
    fix: Fix = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would come back; write nothing.")
    ] = False,
) -> None:
    """Check bad rows again; write the good ones as a part of their table, which the next ingest reads.

    What is still bad stays in the quarantine. An event comes back once, however often it is replayed:
    the part is named by its content, and ingest counts an event id once.

    python -m components.ingest replay quarantine.parquet --data data --only progress
    --fix "progress=CAST(progress AS DOUBLE) / 100"
    """
    rows = _read(quarantine).with_row_index("number")
    chosen = rows.filter(_chosen(only))
    back: list[int] = []
    # Pages first: events may wait for them.
    for table in sorted(get_args(TableName), key=lambda name: name == "events"):
        mine = chosen.filter((pl.col("table") == table) & (pl.col("column") != "line"))
        if mine.is_empty():
            continue
        good = _again(table, mine, data, fix or [])
        back += good[_NUMBER].to_list()
        if good.is_empty():
            out.print(f"{table}: none of {mine.height:,} rows is good now")
            continue
        part = _part(table, data, good.drop(_NUMBER))
        if not dry_run:
            with atomic_file(part) as aside:
                good.drop(_NUMBER).write_parquet(aside, compression="zstd")
        verb = "would come back" if dry_run else "came back"
        text = f"{table}: {good.height:,} of {mine.height:,} rows {verb} in {part}"
        out.print(text, highlight=False, soft_wrap=True)
    # Only now, when the good rows are on disk: a crash before leaves them in both, never in neither.
    if back and not dry_run:
        stay = rows.filter(~pl.col("number").is_in(back)).drop("number")
        with atomic_file(_file(quarantine)) as aside:
            stay.write_parquet(aside, compression="zstd")
    left = rows.height - (0 if dry_run else len(back))
    out.print(f"{left:,} rows are in quarantine", highlight=False)


def _again(table: TableName, bad: pl.DataFrame, data: Path, fixes: Sequence[str]) -> pl.DataFrame:
    """Rows that pass the contract's checks now, in its types, with their number in the quarantine."""
    decoded = bad["row"].str.json_decode(infer_schema_length=None)
    raw = pl.DataFrame({"row": decoded, _NUMBER: bad["number"]}).unnest("row")
    texts = [name for name, dtype in raw.schema.items() if dtype == pl.String]
    raw = raw.filter(
        ~pl.any_horizontal(pl.lit(False), pl.col(texts).str.len_chars() >= _CUT).fill_null(False)
    )
    # Ingest wrote lists into the row as {"v": [...]}.
    lists = [name for name in texts if TABLES[table].kinds.get(name) == "list"]
    raw = raw.with_columns(pl.col(name).str.replace(r'^\{"v":(.*)\}$', "${1}") for name in lists)
    for text in fixes:
        column, _, expression = text.partition("=")
        if not expression:
            raise DataError(f"--fix {text}: give COLUMN=SQL")
        try:
            raw = raw.with_columns(pl.sql_expr(expression).alias(column.strip()))
        except pl.exceptions.PolarsError as error:
            raise DataError(f"--fix {text}: {error}") from error
    if table != "events":
        found = check(table, raw, where="the quarantine", taken=_keys(table, data), required_present=False)
        return found.rows
    # The checks know no other columns of events: the number takes the place of the id meanwhile.
    own = word(c.EVENT_ID, pl.String()) if c.EVENT_ID in raw.columns else pl.lit(None, pl.String)
    ids = raw.select(pl.col(_NUMBER), own.alias("own"))
    numbered = raw.with_columns(pl.col(_NUMBER).cast(pl.String).alias(c.EVENT_ID)).drop(_NUMBER)
    found = check(
        table, numbered, where="the quarantine", known_pages=_keys("pages", data), required_present=False
    )
    good = found.rows.with_columns(pl.col(c.EVENT_ID).cast(pl.UInt32).alias(_NUMBER)).join(ids, on=_NUMBER)
    return good.with_columns(pl.coalesce("own", content_id()).alias(c.EVENT_ID)).drop("own")


def _keys(table: TableName, data: Path) -> pl.Series:
    """Keys of the good rows that a table holds."""
    key = TABLES[table].key or ""
    found = [pl.Series(key, [], pl.String)]
    with tempfile.TemporaryDirectory() as scratch:
        for name, path in locate(data, table, Path(scratch)):
            for batch in batches(name, path):
                if batch.rows.width:
                    rows = batch.rows.rename(str.strip)
                    found.append(check(table, rows, where=name, required_present=False).rows[key])
    return pl.concat(found)


def _part(table: TableName, data: Path, rows: pl.DataFrame) -> Path:
    """Where the rows go: among the parts of their table, under a name that they decide."""
    for folder in (data / table, data / f"{table}.parquet"):
        if folder.is_dir():
            digest = hashlib.sha256(rows.hash_rows().sort().to_numpy().tobytes()).hexdigest()[:16]
            return folder / f"replayed-{digest}.parquet"
    found = next((path.name for path in sorted(data.glob(f"{table}.*"))), f"{table}.parquet")
    raise DataError(
        f"{table}: {data / found} is one file, and rows come back as a part of a folder. "
        f"Make it one: mkdir {data / table} && mv {data / found} {data / table}/"
    )


def main() -> None:
    """Run the command line; a problem that a person can mend is one plain message."""
    run_commands(app)


if __name__ == "__main__":
    main()
