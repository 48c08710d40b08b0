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
    """Check the tables against the reviewed schema, the days before and the current release.

    Args:
        tables: Events, pages and associates that ingest has checked, and its report.
        home: HOME of the releases; its folder validation keeps schema, days and acknowledgements.
        settings: The pipeline's settings; section validate and the run's date are read.
        statistics: TFDV statistics, which the release keeps as the next baseline.
        report: Findings and the distribution of each column.
        metrics: Rows, days judged and numbers of findings.
    """
    from components.validate.step import run

    for name, value in run(tables.path, home, statistics.path, report.path, settings).items():
        metrics.log_metric(name, value)
