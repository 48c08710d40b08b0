"""KFP component of the ranker step."""

from typing import Any

from kfp import dsl

from components.images import TRAIN


@dsl.component(base_image=TRAIN, install_kfp_package=False)
def ranker(
    examples: dsl.Input[dsl.Dataset],
    settings: dict[str, Any],
    model: dsl.Output[dsl.Model],
    metrics: dsl.Output[dsl.Metrics],
) -> None:
    """Train the DeepFM that orders the shortlist.

    Args:
        examples: Shortlists with features and labels of the training stage.
        settings: Nested settings; section `ranker`.
        model: SavedModel with every lookup inside, and the ablations.
        metrics: Losses, epochs, seconds.
    """
    from components.ranker.step import run

    for name, value in run(examples.path, model.path, settings).items():
        metrics.log_metric(name, value)
