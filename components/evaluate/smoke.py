"""Put the parts of a release together, ask for pages one request at a time, and take the time."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from components.contract import columns as c
from components.contract.dataset import Dataset
from components.contract.errors import DataError
from components.contract.features import FeatureBuilder
from components.contract.files import atomic_file
from components.contract.ranking import Ranker
from components.contract.requests import requests_of_stage
from components.contract.retrieval import RetrievalSettings, load_retriever
from components.contract.settings import StepSettings, section
from components.contract.trends import TrendCounters

_WARM_UP = 3


class SmokeSettings(StepSettings):
    """How many requests are timed."""

    requests: int = Field(30, ge=1, description="Predictions that are timed, after a few that are not")


def run(
    dataset: Path | str,
    sources: Mapping[str, Path | str],
    trending: Path | str,
    ranker: Path | str,
    latency_out: Path | str,
    settings: Mapping[str, Any] | None = None,
) -> dict[str, float]:
    """Time both stages on requests of the holdout, each alone, as the server gets them.

    Parameters
    ----------
    dataset : path
    sources : mapping of str to path
        Folder of each source step, fitted on everything.
    trending, ranker : path
    latency_out : path
        JSON file to write, with the figures.
    settings : mapping, optional
        The sections ``retrieval`` and ``smoke`` are read.

    Returns
    -------
    dict
        ``requests``, ``median_ms``, ``slowest_ms`` and ``shortest_list``, the fewest pages that a
        request got.

    Raises
    ------
    DataError
        A prediction is no probability.
    """
    data = Dataset.load(dataset)
    chosen = section(settings, "smoke", SmokeSettings)
    retriever = load_retriever(data.pages, sources, section(settings, "retrieval", RetrievalSettings))
    features, counters = FeatureBuilder(data), TrendCounters.load(Path(trending) / "counters.npz")
    rank = Ranker(ranker).bind(features.values)
    requests = requests_of_stage(data, c.HOLDOUT, _WARM_UP + chosen.requests)
    seconds, sizes = [], []
    for one in requests.chunks(1):
        started = time.perf_counter()
        shortlist = retriever.shortlist(one, counters.at(one))
        made = features(one, shortlist, counters.first_opened)
        score = rank(made.numeric, made.categorical, made.history)
        seconds.append(time.perf_counter() - started)
        sizes.append(len(score))
        if not np.all((score >= 0) & (score <= 1)):
            raise DataError("ranker: a prediction is no probability between 0 and 1; train it again")
    # The first calls read the weights in; a log of few requests is timed with them.
    timed = np.array(seconds[_WARM_UP:] or seconds)
    figures = {
        "requests": len(timed),
        "median_ms": round(float(np.median(timed)) * 1000, 2),
        "slowest_ms": round(float(timed.max()) * 1000, 2),
        "shortest_list": min(sizes),
    }
    with atomic_file(latency_out) as aside:
        aside.write_text(json.dumps(figures))
    return figures
