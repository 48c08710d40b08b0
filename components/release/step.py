"""Build, check and publish a release."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast, get_args

import structlog
from pydantic import Field

from components.contract.errors import ReleaseError
from components.contract.release import Kind, prune, publish
from components.contract.settings import StepSettings, section
from components.release.build import build_release
from components.release.served import served

log = structlog.get_logger()


class ReleaseSettings(StepSettings):
    """Settings of the release step."""

    keep: int = Field(3, ge=1, description="Releases kept to roll back to, beside the current one.")
    history: int = Field(500, ge=1, description="Latest interactions of each associate in the release.")


def run(
    home: Path | str,
    *,
    kind: str,
    dataset: Path | str,
    sources: Mapping[str, Path | str],
    holdout: Mapping[str, Path | str],
    ranker: Path | str,
    evaluation: Path | str,
    statistics: Path | str,
    lists: Path | str | None = None,
    reports: Mapping[str, Path | str] | None = None,
    run_id: str = "",
    inherited: Mapping[str, str] | None = None,
    settings: Mapping[str, Any] | None = None,
) -> dict[str, float | int | str]:
    """Write the release, make it current, and delete the oldest that the cluster does not serve.

    Where it cannot be known what the cluster serves, nothing is deleted: a later run does it.

    Parameters
    ----------
    home : Path or str
        Folder of all releases.
    kind, dataset, sources, holdout, ranker, evaluation, statistics, lists, reports, inherited
        See :func:`~components.release.build.build_release`.
    run_id : str
        Pipeline run, for the lineage.
    settings : mapping, optional
        The sections ``release`` and, for where the cluster is, ``rollout`` are read.

    Returns
    -------
    dict
        ``release`` (name), ``files``, ``megabytes``, ``pruned`` and ``seconds``.
    """
    started = time.perf_counter()
    chosen = section(settings, "release", ReleaseSettings)
    built = build_release(
        home,
        kind=_kind(kind),
        dataset=dataset,
        sources=sources,
        holdout=holdout,
        ranker=ranker,
        evaluation=evaluation,
        statistics=statistics,
        history=chosen.history,
        lists=lists,
        reports=reports,
        settings=settings,
        run=run_id,
        inherited=inherited,
    )
    publish(home, built.name)
    needed = served(settings)
    pruned = prune(home, chosen.keep, needed) if needed is not None else []
    files = built.manifest.files
    figures: dict[str, float | int | str] = {
        "release": built.name,
        "files": len(files),
        "megabytes": round(sum(entry.size for entry in files.values()) / 1e6, 2),
        "pruned": len(pruned),
        "seconds": time.perf_counter() - started,
    }
    log.info("release.published", **figures)
    return figures


def _kind(name: str) -> Kind:
    if name not in get_args(Kind):
        raise ReleaseError(f"kind {name!r}: one of {', '.join(get_args(Kind))} is expected")
    return cast(Kind, name)
