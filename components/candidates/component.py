"""KFP component of the candidates step."""

from typing import Any

from kfp import dsl

from components.images import LIGHT


@dsl.component(base_image=LIGHT, install_kfp_package=False)
def candidates(
    tables: dsl.Input[dsl.Dataset],
    dataset: dsl.Input[dsl.Dataset],
    transitions: dsl.Input[dsl.Model],
    neighbours: dsl.Input[dsl.Model],
    skip_gram: dsl.Input[dsl.Model],
    content_similarity: dsl.Input[dsl.Model],
    two_tower: dsl.Input[dsl.Model],
    stage: int,
    settings: dict[str, Any],
    examples: dsl.Output[dsl.Dataset],
    metrics: dsl.Output[dsl.Metrics],
) -> None:
    """Shortlist pages from all sources for every request of a stage, with features and labels.

    Args:
        tables: The checked tables, whose events say what came of the pages that were opened.
        dataset: The preprocessed log.
        transitions: Next-page lists, fitted before the stage.
        neighbours: EASE and item-kNN lists, fitted before the stage.
        skip_gram: Page vectors from sessions, fitted before the stage.
        content_similarity: Similar pages by text.
        two_tower: Page vectors and query tower, fitted before the stage.
        stage: 1 for the ranker's training examples, 2 for the holdout.
        settings: Nested settings; sections `retrieval` and `candidates`.
        examples: Shortlists, features and labels.
        metrics: Requests, candidates a request, recall of the shortlist.
    """
    from components.candidates.step import run

    sources = {
        "transitions": transitions.path,
        "neighbours": neighbours.path,
        "skip_gram": skip_gram.path,
        "content_similarity": content_similarity.path,
        "two_tower": two_tower.path,
    }
    for name, value in run(dataset.path, sources, examples.path, stage, settings, tables.path).items():
        metrics.log_metric(name, value)
