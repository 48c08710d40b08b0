"""KFP interface of the validate step."""

from typing import Any

from kfp import dsl

from components.images import DATA


@dsl.component(base_image=DATA, install_kfp_package=False)
def validate(
    tables: dsl.Input[dsl.Dataset],
    home: str,
    settings: dict[str, Any],
    statistics: dsl.Output[dsl.Artifact],
    report: dsl.Output[dsl.HTML],
    metrics: dsl.Output[dsl.Metrics],
) -> None:
    """Check the tables against the reviewed schema and the data of the current release.

    Args:
        tables: Events, pages and associates that ingest has checked.
        home: HOME of the releases; its current release's statistics are the baseline.
        settings: The pipeline's settings; section validate is read.
        statistics: TFDV statistics, which the release keeps as the next baseline.
        report: Findings and the distribution of each column.
        metrics: Rows and numbers of findings.
    """
    from components.validate.step import run

    for name, value in run(tables.path, home, statistics.path, report.path, settings).items():
        metrics.log_metric(name, value)
