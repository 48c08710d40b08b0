"""The KFP interface of the lists step."""

from typing import Any

from kfp import dsl

from components.images import LIGHT


@dsl.component(base_image=LIGHT, install_kfp_package=False)
def lists(
    dataset: dsl.Input[dsl.Dataset],
    two_tower: dsl.Input[dsl.Model],
    settings: dict[str, Any],
    lists: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
) -> None:
    """Find the best pages of every associate by the two-tower model, for a store to hold.

    Args:
        dataset: The preprocessed dataset.
        two_tower: The retrieval model that is released.
        settings: Settings of all steps; the section lists is read. With size 0 nobody gets a list.
        lists: Packed lists.
        metrics: Associates, bytes an associate, pace.
    """
    from components.lists.step import run

    for name, value in run(dataset.path, two_tower.path, lists.path, settings).items():
        metrics.log_metric(name, value)
