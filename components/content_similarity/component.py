"""The KFP interface of the content-similarity step."""

from typing import Any

from kfp import dsl

from components.images import LIGHT


@dsl.component(base_image=LIGHT, install_kfp_package=False)
def content_similarity(
    dataset: dsl.Input[dsl.Dataset],
    before_stage: int,
    settings: dict[str, Any],
    model: dsl.Output[dsl.Model],
    metrics: dsl.Output[dsl.Metrics],
) -> None:
    """Find keywords of page texts (TextRank with IDF) and similar pages (soft cosine over word vectors).

    Args:
        dataset: The preprocessed dataset.
        before_stage: Without effect: a text is known when its page appears.
        settings: Settings of all steps; the section content_similarity is read.
        model: Neighbour lists, page vectors and keywords.
        metrics: Coverage, vocabulary and time.
    """
    from components.content_similarity.step import run

    for name, value in run(dataset.path, model.path, before_stage=before_stage, settings=settings).items():
        metrics.log_metric(name, value)
