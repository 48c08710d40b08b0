"""Refresh what moves daily: counts, trends, new pages. Embeddings and ranker stay."""

from typing import Any

from kfp import dsl

from components.contract.columns import EVERYTHING, HOLDOUT
from pipelines.shared import deliver, fit_co_counts, fit_content, judge, prepare, take


@dsl.pipeline(
    name="daily-candidates",
    display_name="Daily candidates",
    description="Refresh what moves daily: counts, trends, new pages. Embeddings and ranker stay.",
)
def daily_candidates(data: str, home: str, settings: dict[str, Any] = {}, date: str = "") -> None:  # noqa: B006 (KFP copies it)
    """Refresh what moves daily: counts, trends, new pages. Embeddings and ranker stay.

    Args:
        data: Folder or URI with the tables events, pages and associates.
        home: Folder of the releases.
        settings: Settings of the steps that differ from their defaults, as {"two_tower": {"epochs": 3}}.
        date: Day the run stands for. Runs of one date share cached steps; empty means that none is shared.
    """
    prepared = prepare(data=data, home=home, settings=settings, date=date)
    dataset, chosen = prepared.outputs["dataset"], prepared.outputs["settings"]
    content = fit_content(prepared)
    counts = {stage: fit_co_counts(prepared, stage) for stage in (HOLDOUT, EVERYTHING)}
    words = take(home, "skip_gram").outputs["model"]
    towers = take(home, "two_tower").outputs["model"]
    earlier_words = take(home, "holdout/skip_gram").outputs["model"]
    earlier_towers = take(home, "holdout/two_tower").outputs["model"]
    deep = take(home, "ranker").outputs["model"]
    measured = judge(
        dataset=dataset,
        transitions=counts[HOLDOUT].outputs["transitions"],
        neighbours=counts[HOLDOUT].outputs["neighbours"],
        skip_gram=earlier_words,
        content=content.outputs["model"],
        two_tower=earlier_towers,
        ranker=deep,
        home=home,
        settings=chosen,
    )
    deliver(
        dataset=dataset,
        transitions=counts[EVERYTHING].outputs["transitions"],
        neighbours=counts[EVERYTHING].outputs["neighbours"],
        skip_gram=words,
        content=content.outputs["model"],
        two_tower=towers,
        holdout_skip_gram=earlier_words,
        holdout_two_tower=earlier_towers,
        ranker=deep,
        evaluation=measured.outputs["evaluation"],
        statistics=prepared.outputs["statistics"],
        kind="daily",
        home=home,
        settings=chosen,
    )
