"""The evaluation protocols, end to end through both stages, without a release.

``lastout`` holds out each associate's last page; ``live`` fits on the first 80 % of the events and
walks through the rest, histories and trends moving, nothing refitted. The steps are the pipelines'
own; only the split differs.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from components.candidates import step as candidates
from components.candidates.examples import CandidateSettings
from components.content_similarity import step as content_similarity
from components.contract import columns as c
from components.contract.dataset import Dataset
from components.contract.examples import Examples
from components.contract.files import atomic_file
from components.contract.ranking import Ranker
from components.contract.requests import requests_of_stage
from components.contract.settings import section
from components.evaluate.evaluation import evaluate, load_ablations, roc
from components.evaluate.report import render
from components.ingest import step as ingest
from components.neighbours import step as neighbours
from components.preprocess import step as preprocess
from components.ranker import step as ranker
from components.skip_gram import step as skip_gram
from components.transitions import step as transitions
from components.two_tower import step as two_tower
from pipelines.academy.truth import TruePreference

Protocol = Literal["lastout", "live"]
_TRUTH_BATCH = 256


def evaluate_protocol(
    data: Path | str,
    protocol: Protocol,
    settings: Mapping[str, Any] | None,
    workdir: Path | str,
    progress: Callable[[str], None] = lambda name: None,
) -> dict[str, Any]:
    """Run a protocol on a folder of contract tables.

    Parameters
    ----------
    data : Path or str
        Holds ``events.*``, ``pages.*``, perhaps ``associates.*`` and an academy's ``truth/``.
    protocol : {"lastout", "live"}
    settings : mapping or None
        The pipelines' settings; the preprocess section's protocol is set here.
    workdir : Path or str
        Where artifacts go; ``report.html`` is among them.
    progress : callable
        Told the name of each step as it starts.

    Returns
    -------
    dict
        See :func:`components.evaluate.evaluation.evaluate`, with ``protocol`` and ``seconds``.
    """
    started = time.perf_counter()
    work = Path(workdir)
    chosen = dict(settings or {})
    chosen["preprocess"] = {
        **chosen.get("preprocess", {}),
        "protocol": "lastout" if protocol == "lastout" else "time",
    }
    progress("ingest")
    ingest.run(str(data), work / "tables", work / "quarantine", chosen)
    progress("preprocess")
    preprocess.run(work / "tables", work / "dataset", chosen)
    dataset = work / "dataset"
    content = work / "content_similarity"
    progress("content_similarity")
    content_similarity.run(dataset, content, before_stage=c.TRAIN, settings=chosen)
    for stage, name in ((c.TRAIN, "training"), (c.HOLDOUT, "holdout")):
        at = work / name
        for step in (transitions, neighbours, skip_gram):
            label = step.__name__.split(".")[-2]
            progress(f"{label}, {name}")
            step.run(dataset, at / label, before_stage=stage, settings=chosen)
        progress(f"two_tower, {name}")
        two_tower.run(dataset, at / "two_tower", before_stage=stage, content=content, settings=chosen)
        folders = {label: at / label for label in ("transitions", "neighbours", "skip_gram", "two_tower")} | {
            "content_similarity": content
        }
        progress(f"candidates, {name}")
        candidates.run(dataset, folders, at / "examples", stage, chosen)
    progress("ranker")
    ranker.run(work / "training" / "examples", work / "ranker", chosen)
    progress("evaluate")
    examples, tables = Examples.load(work / "holdout" / "examples"), Dataset.load(dataset)
    others = load_ablations(work / "ranker")
    found, tops, probability = evaluate(examples, tables.n_pages, Ranker(work / "ranker"), others)
    truth = Path(data) / "truth"
    if truth.exists():
        progress("true preference")
        _add_true_preference(found, tops, tables, TruePreference.load(truth), chosen)
    found = {"protocol": protocol, "seconds": round(time.perf_counter() - started, 1), **found}
    with atomic_file(work / "report.html") as aside:
        aside.write_text(render(found, roc(probability, examples.label), f"Protocol {protocol}"))
    return found


def _add_true_preference(
    found: dict[str, Any],
    tops: Mapping[str, NDArray[np.int32]],
    dataset: Dataset,
    truth: TruePreference,
    settings: Mapping[str, Any],
) -> None:
    """Write the mean true preference of the ten pages shown beside every row of the evaluation."""
    means = true_preference(tops, dataset, truth, settings)
    for name, value in means.items():
        for part in ("sources", "others"):
            if name in found[part]:
                found[part][name]["true_preference"] = value
        if name in ("two_stage", "blend"):
            found[name]["true_preference"] = value
    best = max(found["sources"], key=lambda name: found["sources"][name]["true_preference"])
    found["true_preference"] = {
        "two_stage": means["two_stage"],
        "best_source": best,
        "best_source_value": means[best],
        "ratio": round(means["two_stage"] / max(means[best], 1e-9), 4),
        "best_possible": means["best_possible"],
    }


def true_preference(
    tops: Mapping[str, NDArray[np.int32]],
    dataset: Dataset,
    truth: TruePreference,
    settings: Mapping[str, Any] | None,
) -> dict[str, float]:
    """Expected true preference at 10: the mean over requests of the mean over the pages shown.

    A list shorter than ten counts its empty places as zero. ``best_possible`` is the mean of the
    ten pages that each associate would like best.
    """
    chosen = section(settings, "candidates", CandidateSettings)
    requests = requests_of_stage(dataset, c.HOLDOUT, chosen.holdout_requests, chosen.seed)
    column = {page_id: i for i, page_id in enumerate(truth.page_ids.tolist())}
    place = np.array([column[page_id] for page_id in dataset.page_ids.tolist()])
    totals = dict.fromkeys([*tops, "best_possible"], 0.0)
    for start in range(0, len(requests), _TRUTH_BATCH):
        part = requests.take(slice(start, start + _TRUTH_BATCH))
        bounds = np.searchsorted(part.seen_row, np.arange(len(part) + 1))
        history = [dataset.page_ids[part.seen_page[a:b]] for a, b in pairwise(bounds)]
        preference = truth.score(part.associate_id, part.time, history)
        rows = np.arange(len(part))[:, None]
        for name, lists in tops.items():
            shown = lists[start : start + len(part)]
            totals[name] += float(np.where(shown >= 0, preference[rows, place[shown]], 0).sum())
        preference[part.seen_row, place[part.seen_page]] = 0
        best = -np.partition(-preference, 9, axis=1)[:, :10] if preference.shape[1] > 10 else preference
        totals["best_possible"] += float(best.sum())
    return {name: round(total / (10 * len(requests)), 5) for name, total in totals.items()}
