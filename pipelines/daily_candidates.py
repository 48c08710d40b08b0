"""Refresh what moves daily: counts, trends, new pages. Embeddings and ranker stay."""

from typing import Any

from kfp import dsl

from components.contract.columns import EVERYTHING, HOLDOUT
from pipelines.shared import finish, fit_co_counts, fit_content, prepare, take


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
    content = fit_content(prepared)
    counts = {stage: fit_co_counts(prepared, stage) for stage in (HOLDOUT, EVERYTHING)}
    released = {name: take(home, name).outputs["model"] for name in ("skip_gram", "two_tower")}
    # Fitted before the holdout of their day, so that today's holdout is new to them.
    earlier = {name: take(home, f"holdout/{name}").outputs["model"] for name in ("skip_gram", "two_tower")}
    finish(
        "daily",
        home,
        prepared,
        content,
        counts=counts,
        vectors={HOLDOUT: earlier, EVERYTHING: released},
        ranker=take(home, "ranker").outputs["model"],
    )
