"""The KFP interfaces of the release step and of taking over a part of the current release."""

from typing import Any

from kfp import dsl

from components.images import LIGHT


@dsl.component(base_image=LIGHT, install_kfp_package=False)
def release(
    dataset: dsl.Input[dsl.Dataset],
    transitions: dsl.Input[dsl.Model],
    neighbours: dsl.Input[dsl.Model],
    skip_gram: dsl.Input[dsl.Model],
    content_similarity: dsl.Input[dsl.Model],
    two_tower: dsl.Input[dsl.Model],
    trending: dsl.Input[dsl.Model],
    holdout_skip_gram: dsl.Input[dsl.Model],
    holdout_two_tower: dsl.Input[dsl.Model],
    ranker: dsl.Input[dsl.Model],
    lists: dsl.Input[dsl.Artifact],
    evaluation: dsl.Input[dsl.Artifact],
    statistics: dsl.Input[dsl.Artifact],
    evaluation_report: dsl.Input[dsl.HTML],
    validation_report: dsl.Input[dsl.HTML],
    embeddings_report: dsl.Input[dsl.HTML],
    verdict: dsl.Input[dsl.Artifact],
    kind: str,
    run_id: str,
    home: str,
    settings: dict[str, Any],
    metrics: dsl.Output[dsl.Metrics],
) -> None:
    """Write all parts as one release, make it current in one step, keep the last good ones.

    Args:
        dataset: The preprocessed dataset.
        transitions: Next-page lists, fitted on everything.
        neighbours: Neighbour lists, fitted on everything.
        skip_gram: Page embeddings of sessions.
        content_similarity: Neighbours by text.
        two_tower: Retrieval model.
        trending: Trend counters.
        holdout_skip_gram: Page embeddings fitted before the holdout, for honest figures of daily runs.
        holdout_two_tower: The same of the retrieval model.
        ranker: The DeepFM.
        lists: Precomputed lists for a store to hold; left out where lists.size is 0.
        evaluation: Report on the holdout, kept in the release.
        statistics: Statistics of the data, the next run's drift baseline.
        evaluation_report: The evaluation as a page; the release keeps it for the portal.
        validation_report: The same of the data.
        embeddings_report: The same of the page vectors.
        verdict: The gate's; a run that is held back does not come here.
        kind: Pipeline that builds the release: bootstrap, daily, weekly or monthly.
        run_id: Pipeline run, for the lineage.
        home: Folder of the releases.
        settings: Settings of all steps; the section release is read.
        metrics: Name and size of the release.
    """
    from components.release.step import run

    models = {
        "transitions": transitions,
        "neighbours": neighbours,
        "skip_gram": skip_gram,
        "content_similarity": content_similarity,
        "two_tower": two_tower,
        "trending": trending,
        "ranker": ranker,
    }
    taken = {name: model.metadata["release"] for name, model in models.items() if "release" in model.metadata}
    figures = run(
        home,
        kind=kind,
        dataset=dataset.path,
        sources={name: model.path for name, model in models.items() if name != "ranker"},
        holdout={"skip_gram": holdout_skip_gram.path, "two_tower": holdout_two_tower.path},
        ranker=ranker.path,
        evaluation=evaluation.path,
        statistics=statistics.path,
        lists=lists.path,
        reports={
            "evaluation": evaluation_report.path,
            "validation": validation_report.path,
            "embeddings": embeddings_report.path,
        },
        run_id=run_id,
        inherited=taken,
        settings=settings,
    )
    for name, value in figures.items():
        metrics.log_metric(name, value)


@dsl.component(base_image=LIGHT, install_kfp_package=False)
def from_release(
    home: str, part: str, model: dsl.Output[dsl.Model], metrics: dsl.Output[dsl.Metrics]
) -> None:
    """Take a part of the current release over, unchanged.

    Args:
        home: Folder of the releases.
        part: A source's name, or ranker.
        model: The part.
        metrics: Name of the release it comes from.
    """
    from components.release.take import take

    figures = take(home, part, model.path)
    model.metadata["release"] = figures["release"]
    for name, value in figures.items():
        metrics.log_metric(name, value)
