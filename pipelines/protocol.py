"""The evaluation protocols, end to end through both stages, without a release.

``lastout`` holds out each associate's last page; ``live`` fits on the first 80 % of the events and
walks through the rest, histories and trends moving, nothing refitted. The steps are the pipelines'
own; only the split differs.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import polars as pl
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
# Parts that associates are dealt into for cross-fitting.
FOLDS = 10
_TRUTH_BATCH = 256


class Log(NamedTuple):
    """A log's checked tables, its dataset, and content similarity fitted on its pages."""

    tables: Path
    dataset: Path
    content: Path


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
    chosen = with_protocol(settings, protocol)
    log = prepare(data, chosen, work, progress)
    if protocol == "lastout":
        cross_fitted_examples(log, work / "training", chosen, progress)
    else:
        make_examples(log, c.TRAIN, work / "training", chosen, progress)
    make_examples(log, c.HOLDOUT, work / "holdout", chosen, progress)
    progress("ranker")
    ranker.run(work / "training" / "examples", work / "ranker", chosen)
    progress("evaluate")
    examples, tables = Examples.load(work / "holdout" / "examples"), Dataset.load(log.dataset)
    others = load_ablations(work / "ranker")
    found, tops, probability = evaluate(examples, tables.n_pages, Ranker(work / "ranker"), others)
    truth = Path(data) / "truth"
    if truth.exists():
        progress("true preference")
        _add_true_preference(found, tops, tables, TruePreference.load(truth), chosen)
    return write_report(protocol, found, started, examples, probability, work)


def write_report(
    protocol: str,
    found: Mapping[str, Any],
    started: float,
    examples: Examples,
    probability: NDArray[np.floating],
    work: Path,
) -> dict[str, Any]:
    """Write ``report.html``; returns the figures with the protocol's name and its seconds."""
    whole = {"protocol": protocol, "seconds": round(time.perf_counter() - started, 1), **found}
    with atomic_file(work / "report.html") as aside:
        aside.write_text(render(whole, roc(probability, examples.label), f"Protocol {protocol}"))
    return whole


def with_protocol(settings: Mapping[str, Any] | None, protocol: Protocol) -> dict[str, Any]:
    """Settings under which the log is split as the protocol asks.

    Examples
    --------
    >>> with_protocol({"preprocess": {"session_gap_minutes": 20}}, "live")
    {'preprocess': {'session_gap_minutes': 20, 'protocol': 'time'}}
    """
    chosen = dict(settings or {})
    split = "lastout" if protocol == "lastout" else "time"
    chosen["preprocess"] = {**chosen.get("preprocess", {}), "protocol": split}
    return chosen


def prepare(
    data: Path | str, settings: Mapping[str, Any], work: Path, progress: Callable[[str], None]
) -> Log:
    """Read and preprocess a log and fit content similarity."""
    progress("ingest")
    ingest.run(str(data), work / "tables", work / "quarantine", settings)
    progress("preprocess")
    preprocess.run(work / "tables", work / "dataset", settings)
    progress("content_similarity")
    content_similarity.run(
        work / "dataset", work / "content_similarity", before_stage=c.TRAIN, settings=settings
    )
    return Log(work / "tables", work / "dataset", work / "content_similarity")


def make_examples(
    log: Log,
    stage: int,
    at: Path,
    settings: Mapping[str, Any],
    progress: Callable[[str], None],
) -> Path:
    """Fit all sources before a stage and shortlist its requests, in the folder ``at``."""
    for step in (transitions, neighbours, skip_gram):
        label = step.__name__.split(".")[-2]
        progress(f"{label}, {at.name}")
        step.run(log.dataset, at / label, before_stage=stage, settings=settings)
    progress(f"two_tower, {at.name}")
    two_tower.run(log.dataset, at / "two_tower", before_stage=stage, content=log.content, settings=settings)
    folders = {label: at / label for label in ("transitions", "neighbours", "skip_gram", "two_tower")} | {
        "content_similarity": log.content
    }
    progress(f"candidates, {at.name}")
    candidates.run(log.dataset, folders, at / "examples", stage, settings, log.tables)
    return at / "examples"


def cross_fitted_examples(
    log: Log,
    at: Path,
    settings: Mapping[str, Any],
    progress: Callable[[str], None],
) -> Path:
    """Make training examples of all pages but the held-out ones, from sources that know none of them.

    Associates are dealt into folds. For each fold the sources are fitted on the others' pages and on
    the first page of its own associates, whose later pages become the examples: as at the holdout,
    the sources have seen nearly everybody else's log, and never the answer.
    """
    whole = Dataset.load(log.dataset)
    chosen = section(settings, "candidates", CandidateSettings)
    limit = {**settings.get("candidates", {}), "train_requests": max(1, chosen.train_requests // FOLDS)}
    fold = np.random.default_rng(chosen.seed).permutation(whole.associates.height) % FOLDS
    held = whole.column(c.STAGE) == c.HOLDOUT
    parts = []
    for number in range(FOLDS):
        examples = (fold[whole.column(c.ASSOCIATE)] == number) & (whole.column(c.ORDINAL) > 0)
        stage = np.where(held, c.HOLDOUT, np.where(examples, c.TRAIN, c.FIT)).astype(np.int8)
        folder = at / f"fold_{number}"
        split = whole.interactions.with_columns(pl.Series(c.STAGE, stage))
        replace(whole, interactions=split).save(folder / "dataset")
        parts.append(
            make_examples(
                log._replace(dataset=folder / "dataset"),
                c.TRAIN,
                folder,
                {**settings, "candidates": limit},
                progress,
            )
        )
    Examples.concatenate([Examples.load(part) for part in parts]).save(at / "examples")
    return at / "examples"


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
