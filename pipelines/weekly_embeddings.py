"""Refit counts, trends, content and embeddings, and roll them out; the ranker is the current one."""

from typing import Any

from kfp import dsl

from components.contract.columns import EVERYTHING, HOLDOUT
from pipelines.placement import SITE, lasting
from pipelines.shared import finish, fit_co_counts, fit_content, fit_embeddings, prepare, roll_out, take


@dsl.pipeline(
    name="weekly-embeddings",
    display_name="Weekly embeddings",
    description="Refit counts, trends, content and embeddings. The ranker comes from the current release.",
    pipeline_config=lasting(3),
)
def weekly_embeddings(
    data: str,
    home: str = SITE.home_path,
    settings: dict[str, Any] = {},  # noqa: B006 (KFP copies it)
    date: str = "",
    beam_runner: str = "DirectRunner",
) -> None:
    """Refit counts, trends, content and embeddings. The ranker comes from the current release.

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
    vectors = {stage: fit_embeddings(prepared, content, stage).outputs for stage in (HOLDOUT, EVERYTHING)}
    delivered = finish(
        "weekly",
        home,
        prepared,
        content,
        counts=counts,
        vectors=vectors,
        ranker=take(home, "ranker").outputs["model"],
    )
    roll_out("weekly", home, prepared, delivered)
