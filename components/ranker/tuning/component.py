"""KFP components of the search."""

from typing import Any

from kfp import dsl

from components.images import TRAIN


@dsl.component(base_image=TRAIN, install_kfp_package=False)
def widen(settings: dict[str, Any]) -> dict[str, Any]:
    """Give the settings whose shortlists contain those of every trial.

    Args:
        settings: Nested settings; section `retrieval`.
    """
    from components.ranker.tuning.space import widened

    return widened(settings)


@dsl.component(base_image=TRAIN, install_kfp_package=False)
def begin_search(
    examples: dsl.Input[dsl.Dataset],
    home: str,
    run_id: str,
    settings: dict[str, Any],
    study: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
) -> list[int]:
    """Make a study under HOME, measure the settings that it starts from, number the workers.

    Args:
        examples: Wide shortlists of the training stage.
        home: Folder that all steps share; studies lie beside the releases.
        run_id: Pipeline run, which names the study.
        settings: Nested settings; sections `tune`, `ranker`, `retrieval`.
        study: Says where the study is: workers write to one file.
        metrics: NDCG@10 of the settings as given.
    """
    from pathlib import Path

    from components.ranker.tuning.step import begin, workers

    path = f"{home}/tuning/{run_id}.journal"
    for name, value in begin(path, {"log": examples.path}, settings).items():
        metrics.log_metric(name, value)
    Path(study.path).write_text(path)
    return workers(settings)


@dsl.component(base_image=TRAIN, install_kfp_package=False)
def search(
    examples: dsl.Input[dsl.Dataset],
    study: dsl.Input[dsl.Artifact],
    worker: int,
    metrics: dsl.Output[dsl.Metrics],
) -> None:
    """Run one worker's trials: propose settings, train on earlier requests, judge on later ones.

    Args:
        examples: Wide shortlists of the training stage.
        study: Says where the study is.
        worker: Number of this worker.
        metrics: Trials run.
    """
    from pathlib import Path

    from components.ranker.tuning.step import search as run

    figures = run(Path(study.path).read_text(), {"log": examples.path}, int(worker))
    for name, value in figures.items():
        metrics.log_metric(name, value)


@dsl.component(base_image=TRAIN, install_kfp_package=False)
def finish_search(
    examples: dsl.Input[dsl.Dataset],
    study: dsl.Input[dsl.Artifact],
    best: dsl.Output[dsl.Artifact],
    report: dsl.Output[dsl.HTML],
    metrics: dsl.Output[dsl.Metrics],
) -> None:
    """Judge the best trials on a second period and write the winner's settings.

    Args:
        examples: Wide shortlists of the training stage.
        study: Says where the study is.
        best: Settings as YAML, as `--settings` takes them.
        report: Gains, history, importances.
        metrics: Gain over the defaults, trials.
    """
    from pathlib import Path

    from components.ranker.tuning.step import finish

    place = Path(study.path).read_text()
    for name, value in finish(place, {"log": examples.path}, best.path, report.path).items():
        metrics.log_metric(name, value)
