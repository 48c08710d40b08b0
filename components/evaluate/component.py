"""KFP components of the evaluate and gate steps."""

from typing import Any

from kfp import dsl

from components.images import LIGHT, TRAIN


@dsl.component(base_image=TRAIN, install_kfp_package=False)
def evaluate(
    dataset: dsl.Input[dsl.Dataset],
    examples: dsl.Input[dsl.Dataset],
    ranker: dsl.Input[dsl.Model],
    home: str,
    settings: dict[str, Any],
    evaluation: dsl.Output[dsl.Artifact],
    report: dsl.Output[dsl.HTML],
    roc: dsl.Output[dsl.ClassificationMetrics],
    metrics: dsl.Output[dsl.Metrics],
) -> None:
    """Judge the two stages on the holdout, beside each source, the ablations and the champion.

    Args:
        dataset: The preprocessed log.
        examples: Shortlists of the holdout stage.
        ranker: The ranker to judge.
        home: Folder of the releases; the current one's ranker is the champion.
        settings: Nested settings.
        evaluation: All figures as JSON.
        report: The same as a page.
        roc: ROC curve of the ranker's probabilities.
        metrics: HR, NDCG, MRR at 10, AUC, log loss, calibration error, recall, coverage.
    """
    from components.evaluate.step import run

    figures, curve = run(
        dataset.path, examples.path, ranker.path, home, evaluation.path, report.path, settings
    )
    for name, value in figures.items():
        metrics.log_metric(name, value)
    roc.log_roc_curve(curve["fpr"], curve["tpr"], curve["threshold"])


@dsl.component(base_image=TRAIN, install_kfp_package=False)
def smoke(
    dataset: dsl.Input[dsl.Dataset],
    transitions: dsl.Input[dsl.Model],
    neighbours: dsl.Input[dsl.Model],
    skip_gram: dsl.Input[dsl.Model],
    content_similarity: dsl.Input[dsl.Model],
    two_tower: dsl.Input[dsl.Model],
    trending: dsl.Input[dsl.Model],
    ranker: dsl.Input[dsl.Model],
    settings: dict[str, Any],
    latency: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
) -> None:
    """Put the parts of the coming release together and time a few predictions.

    Args:
        dataset: The preprocessed log.
        transitions: Next-page lists, fitted on everything.
        neighbours: Neighbour lists, fitted on everything.
        skip_gram: Page embeddings of sessions.
        content_similarity: Neighbours by text.
        two_tower: Retrieval model.
        trending: Trend counters.
        ranker: The DeepFM.
        settings: Settings of all steps; the sections smoke and retrieval are read.
        latency: Milliseconds a prediction, as JSON.
        metrics: The same.
    """
    from components.evaluate.smoke import run

    sources = {
        "transitions": transitions.path,
        "neighbours": neighbours.path,
        "skip_gram": skip_gram.path,
        "content_similarity": content_similarity.path,
        "two_tower": two_tower.path,
    }
    figures = run(dataset.path, sources, trending.path, ranker.path, latency.path, settings)
    for name, value in figures.items():
        metrics.log_metric(name, value)


@dsl.component(base_image=LIGHT, install_kfp_package=False)
def embedding_map(
    dataset: dsl.Input[dsl.Dataset],
    skip_gram: dsl.Input[dsl.Model],
    content_similarity: dsl.Input[dsl.Model],
    two_tower: dsl.Input[dsl.Model],
    settings: dict[str, Any],
    report: dsl.Output[dsl.HTML],
    metrics: dsl.Output[dsl.Metrics],
) -> None:
    """Draw the pages as the sources that learn vectors see them.

    Args:
        dataset: The preprocessed log.
        skip_gram: Page embeddings of sessions.
        content_similarity: Vectors of texts.
        two_tower: Retrieval model.
        settings: Settings of all steps; none is read.
        report: A map of each.
        metrics: How often a page's neighbours are of its topic.
    """
    from components.evaluate.embeddings import run

    sources = {
        "two_tower": two_tower.path,
        "skip_gram": skip_gram.path,
        "content_similarity": content_similarity.path,
    }
    for name, value in run(dataset.path, sources, report.path, settings).items():
        metrics.log_metric(name, value)


@dsl.component(base_image=LIGHT, install_kfp_package=False)
def gate(
    evaluation: dsl.Input[dsl.Artifact],
    latency: dsl.Input[dsl.Artifact],
    home: str,
    settings: dict[str, Any],
    verdict: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
) -> None:
    """Hold the release back when a bound is missed or the champion is better, overall or for a cohort.

    Args:
        evaluation: Figures of the evaluate step.
        latency: Figures of the smoke step.
        home: Folder of the releases; the current one's figures are compared with.
        settings: Settings of all steps; the section gate is read.
        verdict: Every check with its value, bound and reason.
        metrics: Checks and failures.
    """
    from components.evaluate.gate import run

    figures = run(evaluation.path, latency.path, home, verdict.path, settings)
    for name, value in figures.items():
        metrics.log_metric(name, value)
