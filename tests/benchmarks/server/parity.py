"""The ``live`` protocol through REST: predict, then post what happened, request by request.

A release is made of what was known at the protocol's cut, served by a real process, and asked in the
order of the log. Its figures should be those that ``evaluate --protocol live`` computes offline.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Annotated, Any

import httpx
import numpy as np
import polars as pl
import typer

from components.contract import columns as c
from components.contract.dataset import Dataset
from components.contract.examples import Examples
from components.contract.time import DAY
from components.release import step as release
from components.trending import step as trending
from pipelines.protocol import evaluate_protocol
from tests.support.running import served

FITTED = ("transitions", "neighbours", "skip_gram", "two_tower")
# The protocol knows no rules.
_RULES = {"mandatory": {"pin": False}, "completed": {"recertify": False}}


def make_release(
    dataset: Path,
    sources: Mapping[str, Path],
    ranker: Path,
    out: Path,
    settings: Mapping[str, Any] | None = None,
    *,
    frozen: bool = True,
) -> Path:
    """A HOME in ``out`` with the release that could be made at the cut.

    Parameters
    ----------
    dataset : Path
        The whole log.
    sources : mapping of str to Path
        Every source, fitted for the holdout.
    ranker : Path
    out : Path
    settings : mapping, optional
    frozen : bool
        Whether the pages' rates stay as they were at the cut, as in a release; the protocol moves them
        from day to day.
    """
    whole = Dataset.load(dataset)
    cut = whole.meta["cuts"][1]
    known = replace(
        whole,
        interactions=whole.before(c.HOLDOUT),
        completions=whole.completions.filter(pl.col(c.TIME) < cut),
        page_days=whole.page_days.filter(pl.col("day") < int(cut // DAY)) if frozen else whole.page_days,
        meta={**whole.meta, "span": [whole.meta["span"][0], cut]},
    )
    known.save(out / "dataset")
    trending.run(out / "dataset", out / "trending", c.EVERYTHING)
    (out / "statistics").mkdir()
    (out / "statistics" / "none.json").write_text("{}")
    (out / "evaluation.json").write_text("{}")
    release.run(
        out / "home",
        kind="bootstrap",
        dataset=out / "dataset",
        sources={**sources, "trending": out / "trending"},
        holdout={name: sources[name] for name in ("skip_gram", "two_tower")},
        ranker=ranker,
        evaluation=out / "evaluation.json",
        statistics=out / "statistics",
        settings=settings,
    )
    return out / "home"


def replay(client: httpx.Client, whole: Dataset, requests: pl.DataFrame) -> tuple[float, float]:
    """Ask and tell in the order of the log; HR and NDCG at 10.

    Parameters
    ----------
    client : httpx.Client
    whole : Dataset
        The holdout's interactions are told.
    requests : polars.DataFrame
        Those that are asked: associate_id, time, target.
    """
    client.put("/v1/rules", json=_RULES).raise_for_status()
    told = whole.interactions.filter(pl.col(c.STAGE) == c.HOLDOUT).sort(c.TIME)
    events = [
        (time, {
            c.ASSOCIATE_ID: whole.associates[c.ASSOCIATE_ID][associate],
            c.PAGE_ID: str(whole.page_ids[page]),
            c.EVENT_TYPE: c.VIEW,
            c.TIMESTAMP: time,
        })
        for time, associate, page in told.select(c.TIME, c.ASSOCIATE, c.PAGE).iter_rows()
    ]  # fmt: skip
    asked = list(requests.select("time", c.ASSOCIATE_ID, "target").iter_rows())
    # Of one moment all are asked before any is told: only what came strictly before counts.
    steps = sorted([(row[0], 0, row) for row in asked] + [(event[0], 1, event) for event in events],
                   key=lambda step: step[:2])  # fmt: skip
    gains = []
    for (_, telling), group in groupby(steps, key=lambda step: step[:2]):
        rows = [row for _, _, row in group]
        if telling:
            answer = client.post("/v1/events", json={"events": [event for _, event in rows]})
            assert answer.status_code == 202, answer.text
            continue
        for time, associate, target in rows:
            instance = {"associate_id": associate, "context": {"time": time}}
            answer = client.post("/v1/models/waymark:predict", json={"instances": [instance]})
            answer.raise_for_status()
            prediction = answer.json()["predictions"][0]
            assert prediction["fallback"] in (None, "cold_start"), prediction["fallback"]
            shown = [item["page_id"] for item in prediction["items"]]
            page = str(whole.page_ids[target])
            gains.append(1 / np.log2(shown.index(page) + 2) if page in shown else 0.0)
    found = np.array(gains)
    return float((found > 0).mean()), float(found.mean())


def measure(data: Path, settings: Mapping[str, Any] | None, work: Path) -> dict[str, Any]:
    """Run the protocol both ways."""
    offline = evaluate_protocol(data, "live", settings, work)["two_stage"]
    sources = {name: work / "holdout" / name for name in FITTED}
    sources["content_similarity"] = work / "content_similarity"
    home = make_release(work / "dataset", sources, work / "ranker", work / "served", settings)
    examples = Examples.load(work / "holdout" / "examples")
    with served(home, WAYMARK_SERVING_DEADLINE_MS="60000") as client:
        hr, ndcg = replay(client, Dataset.load(work / "dataset"), examples.requests)
    return {
        "requests": len(examples),
        "offline": {"hr": offline["hr"], "ndcg": offline["ndcg"]},
        "rest": {"hr": round(hr, 4), "ndcg": round(ndcg, 4)},
    }


def main(data: Annotated[Path, typer.Option(help="Folder of contract tables.")]) -> None:
    """Print the figures as JSON."""
    with tempfile.TemporaryDirectory() as work:
        sys.stdout.write(json.dumps(measure(data, None, Path(work)), indent=1) + "\n")


if __name__ == "__main__":
    typer.run(main)
