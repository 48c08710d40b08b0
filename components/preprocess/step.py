"""The preprocess step: from the checked tables to the dataset that every later step reads."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import structlog

from components.contract import columns as c
from components.contract.dataset import INTERACTION_SCHEMA, PAGE_DAY_SCHEMA, Dataset
from components.contract.errors import DataError
from components.contract.settings import section
from components.preprocess import feedback, log
from components.preprocess.sessions import MICROSECONDS
from components.preprocess.settings import PreprocessSettings
from components.preprocess.stages import assign_stages, time_cuts
from components.preprocess.tables import read_associates, read_pages

_logger = structlog.get_logger()
_EVENTS_PER_SHARD = 1_000_000


def run(
    tables: Path | str, dataset_out: Path | str, settings: Mapping[str, Any] | None = None
) -> dict[str, float | int | str]:
    """Turn the tables of a log into the dataset.

    Parameters
    ----------
    tables : path
        Folder with ``events.parquet``, ``pages.parquet`` and, where known, ``associates.parquet``.
    dataset_out : path
        The dataset folder to write.
    settings : mapping or None
        The pipeline's settings; section ``preprocess``.

    Returns
    -------
    dict
        Counts of events, engagements, interactions, sessions, associates, pages and of the
        interactions in each stage.

    Raises
    ------
    DataError
        A table is missing.
    """
    chosen = section(settings, "preprocess", PreprocessSettings)
    tables, dataset_out = Path(tables), Path(dataset_out)
    for name in ("events.parquet", "pages.parquet"):
        if not (tables / name).is_file():
            raise DataError(f"{tables / name} is missing: give preprocess the folder that ingest wrote")
    dataset_out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=dataset_out.parent, prefix=".preprocess.") as beside:
        dataset = _build(tables, chosen, chosen.work or beside)
    dataset.save(dataset_out)
    counts = dataset.meta["counts"]
    _logger.info("preprocessed", **counts)
    return dict(counts)


def _build(tables: Path, chosen: PreprocessSettings, work: str) -> Dataset:
    events = tables / "events.parquet"
    total, span = _extent(events)
    pages = read_pages(tables / "pages.parquet")
    shards = chosen.shards or 1 + total // _EVENTS_PER_SHARD
    _logger.info("preprocessing", events=total, pages=pages.height, shards=shards, runner=chosen.runner)
    log.process(
        str(events),
        pages[c.PAGE_ID],
        work,
        gap=round(chosen.gap_minutes * 60 * MICROSECONDS),
        shards=shards,
        runner=chosen.runner,
        options=chosen.runner_options,
    )
    active = log.collect(work, "associates")
    ids = [part[c.ASSOCIATE_ID] for part in active]
    associates = read_associates(tables / "associates.parquet", ids)
    interactions, sessions = _join_shards(work, active, associates[c.ASSOCIATE_ID])

    times = [part[c.TIME].to_numpy() for part in log.collect(work, "times")]
    seconds = np.concatenate([np.zeros(0, np.int64), *times]) / MICROSECONDS
    quantiles = [chosen.ranker_quantile, chosen.holdout_quantile] if chosen.protocol == "time" else []
    cuts = time_cuts(seconds, quantiles)
    stage = assign_stages(
        interactions[c.ASSOCIATE].to_numpy(),
        interactions[c.TIME].to_numpy(),
        protocol=chosen.protocol,
        cuts=cuts,
        lastout_train=chosen.lastout_train,
    )
    no_cells = pl.DataFrame(schema={"code": pl.Int64, **dict.fromkeys(feedback.SUMS, pl.Int64)})
    cells = pl.concat([no_cells, *log.collect(work, "cells")])
    meta = {
        "protocol": chosen.protocol,
        "cuts": cuts,
        "span": span,
        "gap_seconds": chosen.gap_minutes * 60,
        "settings": chosen.model_dump(include={"holdout_quantile", "ranker_quantile", "lastout_train"}),
        "counts": {
            "events": total,
            "unknown_page_events": total - int(cells["events"].sum()),
            "engagements": len(seconds),
            "interactions": interactions.height,
            "sessions": sessions,
            "associates": associates.height,
            "pages": pages.height,
            "fit": int(np.count_nonzero(stage == c.FIT)),
            "train": int(np.count_nonzero(stage == c.TRAIN)),
            "holdout": int(np.count_nonzero(stage == c.HOLDOUT)),
        },
        "sources": {path.stem: _sha256(path) for path in sorted(tables.glob("*.parquet"))},
    }
    return Dataset(
        pages=pages,
        associates=associates,
        interactions=interactions.with_columns(pl.Series(c.STAGE, stage, pl.Int8)),
        page_days=_page_days(cells, pages.height),
        meta=meta,
    )


def _extent(events: Path) -> tuple[int, list[float]]:
    """Count the events and find the first and last time; 0 and 0 for an empty log."""
    time = pl.col(c.TIMESTAMP).cast(pl.Datetime("us")).dt.timestamp("us") / MICROSECONDS
    scan = pl.scan_parquet(events).select(pl.len(), first=time.min(), last=time.max())
    total, first, last = scan.collect().row(0)
    return total, [first or 0.0, last or 0.0]


def _join_shards(work: str, active: list[pl.DataFrame], ids: pl.Series) -> tuple[pl.DataFrame, int]:
    """Number associates by the dataset's table and sessions through the whole log; count sessions."""
    counts = np.zeros(len(ids), np.int64)
    schema = {name: dtype for name, dtype in INTERACTION_SCHEMA.items() if name != c.STAGE}
    parts = [pl.DataFrame(schema=schema)]
    for known, part in zip(active, log.collect(work, "interactions"), strict=True):
        row = ids.search_sorted(known[c.ASSOCIATE_ID]).to_numpy()
        counts[row] = known["sessions"].to_numpy()
        associate = row[part[c.ASSOCIATE].to_numpy()]
        parts.append(
            part.with_columns(pl.Series(c.ASSOCIATE, associate, pl.Int32), pl.col(c.TIME) / MICROSECONDS)
        )
    # An associate's rows lie together in one shard, in order.
    joined = pl.concat(parts).sort(c.ASSOCIATE, maintain_order=True)
    before = (np.cumsum(counts) - counts)[joined[c.ASSOCIATE].to_numpy()]
    session = pl.Series(c.SESSION, joined[c.SESSION].to_numpy() + before, pl.Int32)
    return joined.with_columns(session), int(counts.sum())


def _page_days(cells: pl.DataFrame, pages: int) -> pl.DataFrame:
    return (
        cells.with_columns(
            pl.col(feedback.DECIMALS) / feedback.MILLIONTHS,
            (pl.col("code") % pages).alias(c.PAGE),
            (pl.col("code") // pages).alias("day"),
        )
        .select(pl.col(name).cast(dtype) for name, dtype in PAGE_DAY_SCHEMA.items())
        .sort(c.PAGE, "day")
    )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
