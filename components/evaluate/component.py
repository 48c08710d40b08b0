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


@dsl.component(base_image=LIGHT, install_kfp_package=False)
def gate(
    evaluation: dsl.Input[dsl.Artifact],
    home: str,
    settings: dict[str, Any],
    verdict: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
) -> None:
    """Hold the release back when a floor is missed or the champion is better, overall or for a cohort.

    Args:
        evaluation: Figures of the evaluate step.
        home: Folder of the releases.
        settings: Nested settings; section `gate`.
        verdict: Every check with its value and bound.
        metrics: Checks and failures.
    """
    from components.evaluate.gate import run

    for name, value in run(evaluation.path, verdict.path, settings).items():
        metrics.log_metric(name, value)
