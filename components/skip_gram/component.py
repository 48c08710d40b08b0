"""The KFP interface of the skip-gram step."""

from typing import Any

from kfp import dsl

from components.images import LIGHT


@dsl.component(base_image=LIGHT, install_kfp_package=False)
def skip_gram(
    dataset: dsl.Input[dsl.Dataset],
    before_stage: int,
    settings: dict[str, Any],
    model: dsl.Output[dsl.Model],
    metrics: dsl.Output[dsl.Metrics],
) -> None:
    """Learn page embeddings from sessions read as sentences (Word2Vec, skip-gram).

    Args:
        dataset: The preprocessed dataset.
        before_stage: Only interactions of earlier stages are learned from.
        settings: Settings of all steps; the section skip_gram is read.
        model: Page vectors and neighbour lists.
        metrics: Coverage, loss and time.
    """
    from components.skip_gram.step import run

    for name, value in run(dataset.path, model.path, before_stage=before_stage, settings=settings).items():
        metrics.log_metric(name, value)
