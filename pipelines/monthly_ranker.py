"""Train the ranker anew, on sources fitted anew; release it if it beats the current one, and roll it out."""

from typing import Any

from kfp import dsl

from pipelines.placement import SITE, lasting
from pipelines.shared import prepare, refit_everything, roll_out


@dsl.pipeline(
    name="monthly-ranker",
    display_name="Monthly ranker",
    description="Train the ranker anew, on sources fitted anew, and release it if it beats the current one.",
    pipeline_config=lasting(5),
)
def monthly_ranker(
    data: str,
    home: str = SITE.home_path,
    settings: dict[str, Any] = {},  # noqa: B006 (KFP copies it)
    date: str = "",
    beam_runner: str = "DirectRunner",
) -> None:
    """Train the ranker anew, on sources fitted anew, and release it if it beats the current one.

    Args:
        data: Folder or URI with the tables events, pages and associates, like /mnt/waymark/log.
        home: Folder of the releases, on a volume that all steps mount.
        settings: What differs from the steps' defaults, as {"two_tower": {"epochs": 3}}.
        date: Day the run stands for, as 2026-11-24. Runs of one date share steps; empty: nothing is shared.
        beam_runner: Beam's runner of preprocess: DirectRunner, FlinkRunner, SparkRunner or DataflowRunner.
    """
    prepared = prepare(data=data, home=home, settings=settings, date=date, beam_runner=beam_runner)
    delivered = refit_everything("monthly", home, prepared)
    roll_out("monthly", home, prepared, delivered)
