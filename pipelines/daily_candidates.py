"""Refresh what moves daily, and roll it out: counts, trends, new pages. Embeddings and ranker stay."""

from typing import Any

from kfp import dsl

from components.contract.columns import EVERYTHING, HOLDOUT
from pipelines.placement import SITE, lasting
from pipelines.shared import finish, fit_co_counts, fit_content, prepare, roll_out, take


@dsl.pipeline(
    name="daily-candidates",
    display_name="Daily candidates",
    description="Refresh what moves daily: counts, trends, new pages. Embeddings and ranker stay.",
    pipeline_config=lasting(2),
)
def daily_candidates(
    data: str,
    home: str = SITE.home_path,
    settings: dict[str, Any] = {},  # noqa: B006 (KFP copies it)
    date: str = "",
    beam_runner: str = "DirectRunner",
) -> None:
    """Refresh what moves daily: counts, trends, new pages. Embeddings and ranker stay.

    Args:
        data: Folder or URI with the tables events, pages and associates, like /mnt/waymark/log.
        home: Folder of the releases, on a volume that all steps mount.
        settings: What differs from the steps' defaults, as {"two_tower": {"epochs": 3}}.
        date: Day the run stands for, as 2026-11-24. Runs of one date share steps; empty: nothing is shared.
        beam_runner: Beam's runner of preprocess: DirectRunner, FlinkRunner, SparkRunner or DataflowRunner.
    """
    prepared = prepare(data=data, home=home, settings=settings, date=date, beam_runner=beam_runner)
    content = fit_content(prepared)
    counts = {stage: fit_co_counts(prepared, stage) for stage in (HOLDOUT, EVERYTHING)}
    released = {name: take(home, name).outputs["model"] for name in ("skip_gram", "two_tower")}
    # Fitted before the holdout of their day, so that today's holdout is new to them.
    earlier = {name: take(home, f"holdout/{name}").outputs["model"] for name in ("skip_gram", "two_tower")}
    delivered = finish(
        "daily",
        home,
        prepared,
        content,
        counts=counts,
        vectors={HOLDOUT: earlier, EVERYTHING: released},
        ranker=take(home, "ranker").outputs["model"],
    )
    roll_out("daily", home, prepared, delivered)
