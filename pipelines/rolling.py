"""The ``rolling`` protocol: the log in order, sources and ranker refitted again and again.

``live`` fits once and walks on; here everything is fitted anew before each stretch of the log, on what was
known then, as the product's own schedule does. Before the first fit there is no ranker, and the blend of the
sources answers: the trends, above all, which need no fit. So the whole log is judged, and with it everybody's
first page.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from components.contract import columns as c
from components.contract.dataset import Dataset
from components.contract.errors import DataError
from components.contract.examples import Examples
from components.contract.features import NUMERIC
from components.contract.ranking import Ranker
from components.evaluate.evaluation import judge_scores, ranker_scores
from components.ranker import step as ranker
from pipelines.protocol import make_examples, prepare, with_protocol, write_report

# Share of the known log, its latest, that the ranker learns from: a quarter, as the shipped quantiles say.
_TRAIN_SHARE = 0.25
_BLEND = NUMERIC.index("fused_rank")


def stretches(times: NDArray[np.float64], refits: int) -> list[tuple[float, float, float]]:
    """When the ranker's requests, the judged requests and what follows them begin, for each refit.

    The log is cut into ``refits + 1`` parts with as many interactions each; a fit comes before each but the
    first.

    Raises
    ------
    DataError
        The log is too short.

    Examples
    --------
    >>> stretches(np.arange(12.0), 2)
    [(2.25, 4.0, 8.0), (5.25, 8.0, inf)]
    """
    ordered = np.sort(times)
    places = len(ordered) * np.arange(1, refits + 1) // (refits + 1)
    cuts = [float(ordered[place]) for place in places if place > 0]
    if len(cuts) < refits or cuts[0] == ordered[0]:
        raise DataError(f"events: {len(times)} interactions cannot be cut for {refits} refits; ask for fewer")
    ends = [*cuts[1:], np.inf]
    known = [ordered[: np.searchsorted(ordered, cut)] for cut in cuts]
    trains = [float(np.quantile(part, 1 - _TRAIN_SHARE)) for part in known]
    return list(zip(trains, cuts, ends, strict=True))


def _shares(examples: Examples) -> NDArray[np.float32]:
    """Each candidate's share of its request's fused ranks: the blend's stand-in for a probability."""
    fused = examples.numeric[:, _BLEND]
    total = np.bincount(examples.row, fused).astype(np.float32)
    return np.asarray(fused / total[examples.row], np.float32)


def evaluate_rolling(
    data: Path | str,
    refits: int,
    settings: Mapping[str, Any] | None,
    workdir: Path | str,
    progress: Callable[[str], None] = lambda name: None,
) -> dict[str, Any]:
    """Run the protocol on a folder of contract tables.

    Parameters
    ----------
    data : Path or str
    refits : int
    settings : mapping or None
        The pipelines' settings.
    workdir : Path or str
        Where artifacts go; ``report.html`` is among them.
    progress : callable
        Told the name of each step as it starts.

    Returns
    -------
    dict
        As :func:`pipelines.protocol.evaluate_protocol` gives, without ablations.
    """
    started = time.perf_counter()
    work = Path(workdir)
    chosen = with_protocol(settings, "live")
    chosen["ranker"] = {**chosen.get("ranker", {}), "ablations": False}
    log = prepare(data, chosen, work, progress)
    whole = Dataset.load(log.dataset)
    times = whole.column(c.TIME)
    parts = stretches(times, refits)
    judged, scores = [], []
    for number, (train, start, end) in enumerate([(-np.inf, -np.inf, parts[0][1]), *parts]):
        folder = work / f"fit_{number}"
        # Neither step looks at what is later; leaving it out saves time.
        stage = np.searchsorted([train, start], times, side="right").astype(np.int8)
        known = whole.interactions.with_columns(pl.Series(c.STAGE, stage)).filter(pl.col(c.TIME) < end)
        meta = {**whole.meta, "cuts": [train, start]}
        replace(whole, interactions=known, meta=meta).save(folder / "dataset")
        part = log._replace(dataset=folder / "dataset")
        make_examples(part, c.HOLDOUT, folder / "holdout", chosen, progress)
        examples = Examples.load(folder / "holdout" / "examples")
        judged.append(examples)
        if number == 0:
            scores.append(_shares(examples))
            continue
        make_examples(part, c.TRAIN, folder / "training", chosen, progress)
        progress(f"ranker, {folder.name}")
        ranker.run(folder / "training" / "examples", folder / "ranker", chosen)
        scores.append(ranker_scores(Ranker(folder / "ranker"), examples))
    progress("evaluate")
    # The parts follow each other, so joining them in time order keeps the candidates' order.
    examples, probability = Examples.concatenate(judged), np.concatenate(scores)
    found, _ = judge_scores(examples, whole.n_pages, probability)
    return write_report("rolling", {"refits": refits, **found}, started, examples, probability, work)
