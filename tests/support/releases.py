"""Further releases of a HOME, made from the one that is there."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl

from components.contract.release import MANIFEST, Lineage, Release, current, publish, write_release
from components.contract.time import DAY


def copy_home(home: Path, target: Path) -> Path:
    """A HOME of one's own."""
    shutil.copytree(home, target, symlinks=True)
    return target


def next_release(
    home: Path,
    *,
    evaluation: Callable[[dict[str, Any]], None] | None = None,
    pages: Callable[[pl.DataFrame], pl.DataFrame] | None = None,
    reports: dict[str, str] | None = None,
    lists: Path | None = None,
) -> Release:
    """Copy the current release, change it, and publish it as a later one."""
    now = current(home)
    assert now is not None
    found = json.loads(now.evaluation.read_text())
    if evaluation is not None:
        evaluation(found)

    def fill(folder: Path) -> None:
        shutil.copytree(now.root, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns(MANIFEST))
        (folder / "evaluation.json").write_text(json.dumps(found))
        if pages is not None:
            pages(pl.read_parquet(folder / "pages.parquet")).write_parquet(folder / "pages.parquet")
        if lists is not None:
            shutil.copytree(lists, folder / "lists")
        for kind, text in (reports or {}).items():
            (folder / "reports").mkdir(exist_ok=True)
            (folder / "reports" / f"{kind}.html").write_text(text)

    whole = found["two_stage"]
    made = write_release(
        home,
        fill,
        kind="daily",
        last_event=json.loads((now.root / "meta.json").read_text())["span"][1] + DAY,
        metrics={name: whole[name] for name in ("ndcg", "hr", "auc", "log_loss")},
        lineage=Lineage(code="next", run="run-2", parent=now.name, inherited={"ranker": now.name}),
    )
    return publish(home, made.name)
