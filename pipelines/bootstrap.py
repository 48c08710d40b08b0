"""Train every source and the ranker from a log, and publish the first release."""

from typing import Any

from kfp import dsl

from pipelines.placement import SITE, lasting
from pipelines.shared import prepare, refit_everything


@dsl.pipeline(
    name="bootstrap",
    display_name="Bootstrap",
    description="Train every source and the ranker from a log, and publish the first release.",
    pipeline_config=lasting(2),
)
def bootstrap(
    data: str,
    home: str = SITE.home_path,
    settings: dict[str, Any] = {},  # noqa: B006 (KFP copies it)
    date: str = "",
    beam_runner: str = "DirectRunner",
) -> None:
    """Train every source and the ranker from a log, and publish the first release.

    Args:
        data: Folder or URI with the tables events, pages and associates, like /mnt/waymark/log.
        home: Folder of the releases, on a volume that all steps mount.
        settings: What differs from the steps' defaults, as {"two_tower": {"epochs": 3}}.
        date: Day the run stands for, as 2026-11-24. Runs of one date share steps; empty: nothing is shared.
        beam_runner: Beam's runner of preprocess: DirectRunner, FlinkRunner, SparkRunner or DataflowRunner.
    """
    prepared = prepare(data=data, home=home, settings=settings, date=date, beam_runner=beam_runner)
    refit_everything("bootstrap", home, prepared)
