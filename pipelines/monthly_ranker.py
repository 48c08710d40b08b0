"""Train the ranker anew, on sources fitted anew, and release it if it beats the current one."""

from typing import Any

from kfp import dsl

from pipelines.shared import refit_everything


@dsl.pipeline(
    name="monthly-ranker",
    display_name="Monthly ranker",
    description="Train the ranker anew, on sources fitted anew, and release it if it beats the current one.",
)
def monthly_ranker(data: str, home: str, settings: dict[str, Any] = {}, date: str = "") -> None:  # noqa: B006 (KFP copies it)
    """Train the ranker anew, on sources fitted anew, and release it if it beats the current one.

    Args:
        data: Folder or URI with the tables events, pages and associates.
        home: Folder of the releases.
        settings: Settings of the steps that differ from their defaults, as {"two_tower": {"epochs": 3}}.
        date: Day the run stands for. Runs of one date share cached steps; empty means that none is shared.
    """
    refit_everything("monthly", data, home, settings, date)
