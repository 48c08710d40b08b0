"""The KFP interface of the ingest step."""

from typing import Any

from kfp import dsl

from components.images import DATA


@dsl.component(base_image=DATA, install_kfp_package=False)
def ingest(
    data: str,
    settings: dict[str, Any],
    tables: dsl.Output[dsl.Dataset],
    quarantine: dsl.Output[dsl.Dataset],
    metrics: dsl.Output[dsl.Metrics],
    home: str = "",
    snapshot: str = "",
) -> None:
    """Read events, pages and associates; keep good rows typed, put bad ones into quarantine with a reason.

    Args:
        data: Folder or URI that holds events.*, pages.* and perhaps associates.*.
        settings: Settings of all steps; this one reads the section "ingest".
        tables: Typed tables and report.json.
        quarantine: Bad rows with their reason.
        metrics: Rows kept and bad, duplicates, days spanned.
        home: Folder of the releases; events that a store was drained into lie in its folder "feedback".
        snapshot: Date or version of the data; a new value makes KFP's cache read the files again.
    """
    from components.ingest.step import run

    for name, value in run(data, tables.path, quarantine.path, settings, home).items():
        metrics.log_metric(name, value)
