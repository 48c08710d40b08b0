"""The preprocess step: from the checked tables to the dataset that every later step reads."""

from __future__ import annotations

import contextlib
import hashlib
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import polars as pl
import structlog
from apache_beam.io.filesystem import BeamIOError
from apache_beam.io.filesystems import FileSystems
from numpy.typing import NDArray

from components.contract import columns as c
from components.contract.dataset import PAGE_DAY_SCHEMA, Dataset
from components.contract.errors import DataError
from components.contract.settings import section
from components.preprocess import feedback, log, parts, state
from components.preprocess.events import Groups, fingerprints
from components.preprocess.joining import join_completions, join_shards, time_cuts
from components.preprocess.parts import Part
from components.preprocess.sessions import MICROSECONDS
from components.preprocess.settings import PreprocessSettings
from components.preprocess.stages import assign_stages
from components.preprocess.tables import read_associates, read_pages

_logger = structlog.get_logger()


def run(
    tables: Path | str,
    dataset_out: Path | str,
    settings: Mapping[str, Any] | None = None,
    home: Path | str = "",
) -> dict[str, float | int | str]:
    """Turn the tables of a log into the dataset.

    Parameters
    ----------
    tables : path
        Folder with ``events.parquet``, ``pages.parquet`` and, where known, ``associates.parquet``
        and ``report.json``.
    dataset_out : path
        The dataset folder to write.
    settings : mapping or None
        The pipeline's settings; section ``preprocess``.
    home : path
        HOME of the releases; its folder ``state`` keeps the days that are done, so that the next run
        reads only those that changed. Empty: nothing is kept.

    Returns
    -------
    dict
        Counts of events, engagements, interactions, completions, sessions, associates, pages and of
        the interactions in each stage; days in the log and days read.

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
    kept = chosen.state or (str(Path(home) / "state") if str(home) else "")
    with tempfile.TemporaryDirectory(dir=dataset_out.parent, prefix=".preprocess.") as beside:
        work = FileSystems.join(chosen.work, uuid4().hex) if chosen.work else beside
        try:
            dataset, read = _build(tables, chosen, work, kept)
        finally:
            if work != beside:
                with contextlib.suppress(BeamIOError):
                    FileSystems.delete([work])
    dataset.save(dataset_out)
    counts = dataset.meta["counts"]
    _logger.info("preprocessed", **counts, **read)
    return {**counts, **read}


def _build(tables: Path, chosen: PreprocessSettings, work: str, kept: str) -> tuple[Dataset, dict[str, int]]:
    events = tables / "events.parquet"
    groups = Groups(str(events))
    pages = read_pages(tables / "pages.parquet", chosen.page_columns)
    gap = round(chosen.gap_minutes * 60 * MICROSECONDS)
    before = state.load(kept or work, gap, chosen.shards, groups.total)
    same: list[Part] = []
    if before.parts and chosen.incremental:
        days = fingerprints(str(events), len(groups.rows))
        same = before.unchanged(days, pages[c.PAGE_ID])
        todo = sorted(set(days) - {part.day for part in same})
    else:
        todo = groups.days()
    run = uuid4().hex[:8]
    chunks = [(f"{run}-{number:06d}", chunk) for number, chunk in enumerate(groups.chunks(todo))]
    _logger.info(
        "preprocessing", events=groups.total, days=len(todo), unchanged=len(same), runner=chosen.runner
    )
    numbered = before.extended(pages[c.PAGE_ID])
    row = dict(zip(pages[c.PAGE_ID], range(pages.height), strict=True))
    rows = np.array([row.get(page, -1) for page in numbered], np.int32)
    log.process(
        str(events),
        chunks,
        [part.name for part in same],
        numbered=numbered,
        row=rows,
        folder=before.folder,
        work=work,
        gap=gap,
        shards=before.shards,
        runner=chosen.runner,
        options=chosen.runner_options,
    )
    fresh = [parts.read_part(before.folder, name) for name, _ in chunks]
    every = sorted([*same, *fresh], key=lambda part: (part.day, part.name))
    associates = read_associates(
        tables / "associates.parquet",
        [part[c.ASSOCIATE_ID] for part in log.collect(work, "associates")],
        chosen.associate_columns,
    )
    interactions, sessions = join_shards(work, associates[c.ASSOCIATE_ID])
    completions = join_completions(work, associates[c.ASSOCIATE_ID])
    quantiles = [chosen.ranker_quantile, chosen.holdout_quantile] if chosen.protocol == "time" else []
    cuts = time_cuts(before.folder, every, quantiles)
    stage = assign_stages(
        interactions[c.ASSOCIATE].to_numpy(),
        interactions[c.TIME].to_numpy(),
        protocol=chosen.protocol,
        cuts=cuts,
        lastout_train=chosen.lastout_train,
    )
    cells = pl.concat([parts.no_cells(), *(parts.read_cells(before.folder, part) for part in every)])
    report = tables / "report.json"
    inputs = json.loads(report.read_text()).get("files", {}) if report.is_file() else {}
    meta = {
        "protocol": chosen.protocol,
        "cuts": cuts,
        "span": groups.span,
        "gap_seconds": chosen.gap_minutes * 60,
        "completed_by": c.COMPLETE if completions.height else c.VIEW,
        "settings": chosen.model_dump(include={"holdout_quantile", "ranker_quantile", "lastout_train"}),
        "counts": {
            "events": groups.total,
            "unknown_page_events": groups.total - int(cells["events"].sum()),
            "engagements": sum(part.engagements for part in every),
            "interactions": interactions.height,
            "completions": completions.height,
            "sessions": sessions,
            "associates": associates.height,
            "pages": pages.height,
            "fit": int(np.count_nonzero(stage == c.FIT)),
            "train": int(np.count_nonzero(stage == c.TRAIN)),
            "holdout": int(np.count_nonzero(stage == c.HOLDOUT)),
        },
        "sources": {path.stem: _sha256(path) for path in sorted(tables.glob("*.parquet"))},
        "inputs": inputs,
    }
    dataset = Dataset(
        pages=pages,
        associates=associates,
        interactions=interactions.with_columns(pl.Series(c.STAGE, stage, pl.Int8)),
        page_days=_page_days(cells, rows),
        meta=meta,
        completions=completions,
    )
    if kept:
        state.commit(before, numbered, every, inputs)
    return dataset, {"days": len({part.day for part in every}), "days_read": len(todo)}


def _page_days(cells: pl.DataFrame, rows: NDArray[np.int32]) -> pl.DataFrame:
    """Sums by page and day, in the dataset's order and units; a day may lie in several parts."""
    return (
        cells.with_columns(pl.Series(c.PAGE, rows[cells[c.PAGE].to_numpy()]))
        .group_by(c.PAGE, "day")
        .agg(pl.col(feedback.SUMS).sum())
        .with_columns(pl.col(feedback.DECIMALS) / feedback.MILLIONTHS)
        .select(pl.col(name).cast(dtype) for name, dtype in PAGE_DAY_SCHEMA.items())
        .sort(c.PAGE, "day")
    )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
