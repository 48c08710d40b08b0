"""The lists step."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import structlog
from pydantic import Field

from components.contract import columns as c
from components.contract.dataset import Dataset
from components.contract.packed import write
from components.contract.query_tower import QueryTower
from components.contract.settings import StepSettings, section
from components.contract.sources import Vectors
from components.lists.best import Lister

log = structlog.get_logger()


class ListsSettings(StepSettings):
    """Settings of the lists step."""

    size: int = Field(0, ge=0, le=2000, description="Pages of each associate's list; 0: no lists")
    workers: int | None = Field(None, ge=1, description="Threads; as many as there are cores if unset")


def run(
    dataset: Path | str,
    two_tower: Path | str,
    lists_out: Path | str,
    settings: Mapping[str, Any] | None = None,
) -> dict[str, float | int | str]:
    """Write the best pages of every associate.

    Parameters
    ----------
    dataset : path
        Preprocessed dataset; lists are as of its last event.
    two_tower : path
        Folder of the two-tower step.
    lists_out : path
        Folder to write (:mod:`components.contract.packed`); with size 0, it holds no lists.
    settings : mapping, optional
        Section ``lists``: :class:`ListsSettings`.

    Returns
    -------
    dict
        ``associates`` with a list, ``bytes_per_associate``, ``seconds``.
    """
    started = time.perf_counter()
    chosen = section(settings, "lists", ListsSettings)
    data = Dataset.load(dataset)
    associates = data.associates.height if chosen.size else 0
    vectors, tower = Vectors.load(Path(two_tower) / "vectors.npz"), QueryTower.load(two_tower)
    parts = Lister(data, vectors, tower, chosen.size).parts(chosen.workers or len(os.sched_getaffinity(0)))
    ids = data.associates[c.ASSOCIATE_ID][:associates]
    size = write(lists_out, data.page_ids, ids, chosen.size, parts)
    figures: dict[str, float | int | str] = {
        "associates": associates,
        "bytes_per_associate": round(size / associates, 1) if associates else 0,
        "seconds": time.perf_counter() - started,
    }
    log.info("listed", **figures)
    return figures
