"""KFP component of the neighbours step."""

from typing import Any

from kfp import dsl

from components.images import LIGHT


@dsl.component(base_image=LIGHT, install_kfp_package=False)
def neighbours(
    dataset: dsl.Input[dsl.Dataset],
    before_stage: int,
    settings: dict[str, Any],
    model: dsl.Output[dsl.Model],
    metrics: dsl.Output[dsl.Metrics],
) -> None:
    """Fit EASE and item-kNN: pages that the same associates open.

    Args:
        dataset: The preprocessed log.
        before_stage: Interactions of this stage and later ones are not looked at.
        settings: Nested settings; section `neighbours`.
        model: ease.npz and item_knn.npz.
        metrics: Key figures.
    """
    from components.neighbours.step import run

    for name, value in run(dataset.path, model.path, before_stage, settings).items():
        metrics.log_metric(name, value)
