"""KFP component of the transitions step."""

from typing import Any

from kfp import dsl

from components.images import LIGHT


@dsl.component(base_image=LIGHT, install_kfp_package=False)
def transitions(
    dataset: dsl.Input[dsl.Dataset],
    before_stage: int,
    settings: dict[str, Any],
    model: dsl.Output[dsl.Model],
    metrics: dsl.Output[dsl.Metrics],
) -> None:
    """Count what is opened after each page: directed, decayed, shrunk.

    Args:
        dataset: The preprocessed log.
        before_stage: Interactions of this stage and later ones are not looked at.
        settings: Nested settings; section `transitions`.
        model: The next pages of each page, transitions.npz, and a file for each kind of path.
        metrics: Key figures.
    """
    from components.transitions.step import run

    for name, value in run(dataset.path, model.path, before_stage, settings).items():
        metrics.log_metric(name, value)
