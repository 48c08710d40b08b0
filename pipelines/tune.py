"""Search for the settings that rank best on this log, with trials in parallel."""

from typing import Any

from kfp import dsl

from components.candidates.component import candidates
from components.contract.columns import TRAIN
from components.ranker.tuning.component import begin_search, finish_search, search, widen
from pipelines.placement import SITE, lasting, place
from pipelines.shared import fit_co_counts, fit_content, fit_embeddings, prepare

DESCRIPTION = "Search for the settings of ranker and shortlist that rank best on this log; releases nothing."


@dsl.pipeline(name="tune", display_name="Tune", description=DESCRIPTION, pipeline_config=lasting(7))
def tune(
    data: str,
    home: str = SITE.home_path,
    settings: dict[str, Any] = {},  # noqa: B006 (KFP copies it)
    date: str = "",
    beam_runner: str = "DirectRunner",
) -> None:
    """Search for the settings of ranker and shortlist that rank best on this log; releases nothing.

    Args:
        data: Folder or URI with the tables events, pages and associates, like /mnt/waymark/log.
        home: Folder of the releases, on a volume that all steps mount; the study is a file in it.
        settings: Settings to start from; section tune has trials, workers and seconds.
        date: Day the run stands for, as 2026-11-24. Runs of one date share steps; empty: nothing is shared.
        beam_runner: Beam's runner of preprocess: DirectRunner, FlinkRunner, SparkRunner or DataflowRunner.
    """
    prepared = prepare(data=data, home=home, settings=settings, date=date, beam_runner=beam_runner)
    dataset, chosen = prepared.outputs["dataset"], prepared.outputs["settings"]
    content = fit_content(prepared)
    counts = fit_co_counts(prepared, TRAIN)
    vectors = fit_embeddings(prepared, content, TRAIN)
    shortlists = place(
        candidates(
            tables=prepared.outputs["tables"],
            dataset=dataset,
            transitions=counts.outputs["transitions"],
            neighbours=counts.outputs["neighbours"],
            skip_gram=vectors.outputs["skip_gram"],
            content_similarity=content.outputs["model"],
            two_tower=vectors.outputs["two_tower"],
            stage=TRAIN,
            settings=place(widen(settings=chosen)).output,
        )
    )
    examples = shortlists.outputs["examples"]
    begun = place(
        begin_search(examples=examples, home=home, run_id=dsl.PIPELINE_JOB_NAME_PLACEHOLDER, settings=chosen)
    )
    study = begun.outputs["study"]
    # The workers share the study's file, so each proposal knows of all trials that have ended.
    # Nothing but artifacts goes into the loop: the local runner mistakes parameters for its items.
    with dsl.ParallelFor(begun.outputs["Output"], name="workers") as worker:
        searched = place(search(examples=examples, study=study, worker=worker))
    place(finish_search(examples=examples, study=study)).after(searched)
