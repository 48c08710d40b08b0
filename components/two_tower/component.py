"""The KFP interface of the two-tower step."""

from typing import Any

from kfp import dsl

from components.images import TRAIN


@dsl.component(base_image=TRAIN, install_kfp_package=False)
def two_tower(
    dataset: dsl.Input[dsl.Dataset],
    content: dsl.Input[dsl.Model],
    before_stage: int,
    settings: dict[str, Any],
    model: dsl.Output[dsl.Model],
    metrics: dsl.Output[dsl.Metrics],
) -> None:
    """Train the two-tower retrieval model (TensorFlow Recommenders, in-batch softmax).

    Args:
        dataset: The preprocessed dataset.
        content: The content-similarity source; its page vectors are a feature.
        before_stage: Only interactions of earlier stages are learned from.
        settings: Settings of all steps; the section two_tower is read.
        model: Page vectors and the query tower (NumPy weights and SavedModel).
        metrics: Loss, pace and coverage.
    """
    from components.two_tower.step import run

    figures = run(
        dataset.path, model.path, before_stage=before_stage, content=content.path, settings=settings
    )
    for name, value in figures.items():
        metrics.log_metric(name, value)
