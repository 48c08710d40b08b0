"""The candidates step."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from components.candidates.examples import CandidateSettings, make_examples
from components.contract.dataset import Dataset
from components.contract.retrieval import RetrievalSettings
from components.contract.settings import section


def run(
    dataset: Path | str,
    sources: Mapping[str, Path | str],
    examples_out: Path | str,
    stage: int,
    settings: Mapping[str, Any] | None = None,
    tables: Path | str | None = None,
) -> dict[str, float]:
    """Write the examples of a stage; returns key figures.

    See :func:`components.candidates.examples.make_examples`; without ``tables`` nothing is known of
    what came of the pages.
    """
    examples = make_examples(
        Dataset.load(dataset),
        stage,
        sources,
        section(settings, "retrieval", RetrievalSettings),
        section(settings, "candidates", CandidateSettings),
        tables,
    )
    examples.save(examples_out)
    return {
        "requests": len(examples),
        "candidates_per_request": len(examples.row) / len(examples),
        "shortlist_recall": float(examples.label.sum()) / len(examples),
    }
