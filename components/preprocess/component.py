"""KFP interface of the preprocess step."""

from typing import Any

from kfp import dsl

from components.images import DATA


@dsl.component(base_image=DATA, install_kfp_package=False)
def preprocess(
    tables: dsl.Input[dsl.Dataset],
    settings: dict[str, Any],
    dataset: dsl.Output[dsl.Dataset],
    metrics: dsl.Output[dsl.Metrics],
    home: str = "",
) -> None:
    """Find sessions, first engagements and daily feedback in the log, and divide it into stages.

    Args:
        tables: Events, pages and associates that ingest has checked.
        settings: The pipeline's settings; section preprocess is read.
        dataset: The tables that every later step reads.
        metrics: Counts of what was found.
        home: HOME of the releases; its folder state keeps days that are done. Empty: every day is read.
    """
    from components.preprocess.step import run

    for name, value in run(tables.path, dataset.path, settings, home).items():
        metrics.log_metric(name, value)
