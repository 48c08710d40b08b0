"""Refit counts, trends, content and embeddings. The ranker comes from the current release."""

from typing import Any

from kfp import dsl

from components.contract.columns import EVERYTHING, HOLDOUT
from pipelines.shared import finish, fit_co_counts, fit_content, fit_embeddings, prepare, take


@dsl.pipeline(
    name="weekly-embeddings",
    display_name="Weekly embeddings",
    description="Refit counts, trends, content and embeddings. The ranker comes from the current release.",
)
def weekly_embeddings(data: str, home: str, settings: dict[str, Any] = {}, date: str = "") -> None:  # noqa: B006 (KFP copies it)
    """Refit counts, trends, content and embeddings. The ranker comes from the current release.

    Args:
        data: Folder or URI with the tables events, pages and associates.
        home: Folder of the releases.
        settings: Settings of the steps that differ from their defaults, as {"two_tower": {"epochs": 3}}.
        date: Day the run stands for. Runs of one date share cached steps; empty means that none is shared.
    """
    prepared = prepare(data=data, home=home, settings=settings, date=date)
    content = fit_content(prepared)
    counts = {stage: fit_co_counts(prepared, stage) for stage in (HOLDOUT, EVERYTHING)}
    vectors = {stage: fit_embeddings(prepared, content, stage).outputs for stage in (HOLDOUT, EVERYTHING)}
    finish(
        "weekly",
        home,
        prepared,
        content,
        counts=counts,
        vectors=vectors,
        ranker=take(home, "ranker").outputs["model"],
    )
