"""Gather the parts of a pipeline run into one release folder."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from components.contract import columns as c
from components.contract.dataset import Dataset
from components.contract.errors import ReleaseError
from components.contract.packed import holds_lists
from components.contract.release import SOURCES, Kind, Lineage, Release, current, write_release


def recent_history(dataset: Dataset, limit: int) -> Dataset:
    """The dataset with the last ``limit`` interactions of each associate.

    Interactions are sorted by associate and time, so the last rows of an associate are the newest.
    Completions stay: a training that lies far back must not be asked for again.
    """
    recent = dataset.interactions.group_by(c.ASSOCIATE, maintain_order=True).tail(limit)
    return replace(dataset, interactions=recent.select(dataset.interactions.columns))


def code_version() -> str:
    """Version of the code: ``WAYMARK_VERSION``, which images set, or ``git describe`` of a checkout."""
    if given := os.environ.get("WAYMARK_VERSION"):
        return given
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--tags"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
        return described.stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return "unknown"


def schema_versions(home: Path | str) -> dict[str, str]:
    """Version of each table's schema as validation holds it in HOME: the beginning of its hash."""
    files = sorted((Path(home) / "validation" / "schema").glob("*.pbtxt"))
    return {file.stem: hashlib.sha256(file.read_bytes()).hexdigest()[:12] for file in files}


def _place(source: Path, target: Path) -> None:
    """Copy a part; one that is a single file goes into a folder of the part's name."""
    if source.is_dir():
        shutil.copytree(source, target)
    elif source.is_file():
        target.mkdir(parents=True)
        shutil.copy2(source, target / source.name)
    else:
        raise ReleaseError(f"the release's part {target.name} is missing: {source}")


def _one_file(path: Path) -> Path:
    """The JSON file of an artifact that is one, or a folder with one."""
    if path.is_dir():
        found = sorted(path.glob("*.json"))
        if len(found) != 1:
            raise ReleaseError(f"{path} should hold one JSON file, found {len(found)}")
        return found[0]
    if not path.is_file():
        raise ReleaseError(f"the evaluation is missing: {path}")
    return path


def headline(evaluation: Mapping[str, Any]) -> dict[str, float | int | str]:
    """Plain figures of an evaluation report, those of the two stages together first.

    Examples
    --------
    >>> headline({"lift": 1.2, "two_stage": {"ndcg": 0.3, "by_rank": [1, 2]}, "others": {"a": {}}})
    {'ndcg': 0.3, 'lift': 1.2}
    """
    figures = {**evaluation.get("two_stage", {}), **evaluation}
    return {name: value for name, value in figures.items() if isinstance(value, float | int | str)}


def build_release(
    home: Path | str,
    *,
    kind: Kind,
    dataset: Path | str,
    sources: Mapping[str, Path | str],
    holdout: Mapping[str, Path | str],
    ranker: Path | str,
    evaluation: Path | str,
    statistics: Path | str,
    history: int,
    lists: Path | str | None = None,
    reports: Mapping[str, Path | str] | None = None,
    settings: Mapping[str, Any] | None = None,
    run: str = "",
    inherited: Mapping[str, str] | None = None,
) -> Release:
    """Write a release under ``home``; the current pointer does not move.

    Parameters
    ----------
    home : Path or str
    kind : str
        Pipeline that builds it.
    dataset : Path or str
        Preprocessed dataset.
    sources : mapping
        Folder of each of :data:`~components.contract.release.SOURCES`, fitted on everything.
    holdout : mapping
        Folders of the embedding sources fitted before the holdout: a daily run, which takes the
        embeddings over, judges with these, so that its figures do not come from the holdout itself.
    ranker, evaluation, statistics : Path or str
        The other parts.
    history : int
        Interactions kept for each associate.
    lists : Path or str, optional
        Packed lists; a folder without any is left out.
    reports : mapping, optional
        HTML files by kind; they become ``reports/<kind>.html``.
    settings : mapping, optional
        The run's settings: the server retrieves with the ones that the ranker was trained with.
    run : str
        Pipeline run, for the lineage.
    inherited : mapping, optional
        Parts taken from an earlier release, and its name.

    Raises
    ------
    ReleaseError
        A part is missing.
    """
    missing = sorted(set(SOURCES) - set(sources))
    if missing:
        raise ReleaseError(f"the release lacks the sources {', '.join(missing)}")
    data = Dataset.load(dataset)
    report = _one_file(Path(evaluation))
    parent = current(home)

    def fill(folder: Path) -> None:
        tables = folder / "tables"
        recent_history(data, history).save(tables)
        for file in tables.iterdir():
            file.rename(folder / file.name)
        tables.rmdir()
        for name in SOURCES:
            _place(Path(sources[name]), folder / "sources" / name)
        for name, path in holdout.items():
            _place(Path(path), folder / "holdout" / name)
        _place(Path(ranker), folder / "ranker")
        _place(Path(statistics), folder / "statistics")
        if lists is not None and holds_lists(lists):
            _place(Path(lists), folder / "lists")
        shutil.copyfile(report, folder / "evaluation.json")
        for kind_of_report, path in (reports or {}).items():
            (folder / "reports").mkdir(exist_ok=True)
            shutil.copyfile(path, folder / "reports" / f"{kind_of_report}.html")
        (folder / "settings.json").write_text(json.dumps(dict(settings or {}), indent=1))

    span = data.meta.get("span") or [0.0, 0.0]
    return write_release(
        home,
        fill,
        kind=kind,
        last_event=float(span[-1] or 0.0),
        metrics=headline(json.loads(report.read_text())),
        lineage=Lineage(
            data={
                "span": span,
                "days": [f"{datetime.fromtimestamp(moment or 0, UTC):%Y-%m-%d}" for moment in span],
                "inputs": data.meta.get("inputs", {}),
                "sources": data.meta.get("sources", {}),
                "schema": schema_versions(home),
            },
            code=code_version(),
            run=run,
            parent=parent.name if parent else None,
            inherited=dict(inherited or {}),
        ),
    )
