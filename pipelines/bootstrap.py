"""Train every source and the ranker from a log, and publish the first release."""

from typing import Any

from kfp import dsl

from pipelines.shared import refit_everything


@dsl.pipeline(
    name="bootstrap",
    display_name="Bootstrap",
    description="Train every source and the ranker from a log, and publish the first release.",
)
def bootstrap(data: str, home: str, settings: dict[str, Any] = {}, date: str = "") -> None:  # noqa: B006 (KFP copies it)
    """Train every source and the ranker from a log, and publish the first release.

    Args:
        data: Folder or URI with the tables events, pages and associates.
        home: Folder of the releases.
        settings: Settings of the steps that differ from their defaults, as {"two_tower": {"epochs": 3}}.
        date: Day the run stands for. Runs of one date share cached steps; empty means that none is shared.
    """
    refit_everything("bootstrap", data, home, settings, date)
