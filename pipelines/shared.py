"""Nested pipelines that the four pipelines share; each is one box in the UI.

A source is fitted up to three times: for the training requests on what came before them, for the
holdout on what came before it, and on everything for the release. So neither a training row nor a
figure sees the future. Content similarity learns from page texts alone and is fitted once.

Caching: the server's cache key holds a step's parameters, not the data behind a path. ``configure``
puts the run's date into the settings, which every step takes, so a step is reused only by runs of
the same date; what reads or changes HOME's releases is never reused (``pipelines.placement``).
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from kfp import dsl
from kfp.dsl import HTML, Artifact, Dataset, Input, Model, PipelineTask

from components.candidates.component import candidates
from components.configure.component import configure
from components.content_similarity.component import content_similarity
from components.contract.columns import EVERYTHING, HOLDOUT, TRAIN
from components.evaluate.component import embedding_map, evaluate, gate, smoke
from components.ingest.component import ingest
from components.lists.component import lists
from components.neighbours.component import neighbours
from components.preprocess.component import preprocess
from components.ranker.component import ranker
from components.release.component import from_release, release
from components.rollout.component import rollout
from components.skip_gram.component import skip_gram
from components.transitions.component import transitions
from components.trending.component import trending
from components.two_tower.component import two_tower
from components.validate.component import validate
from pipelines.placement import place

STAGE_NAMES = {TRAIN: "training requests", HOLDOUT: "holdout", EVERYTHING: "release"}


class Prepared(NamedTuple):
    """The data of a run, checked and preprocessed."""

    tables: Dataset
    dataset: Dataset
    statistics: Artifact
    report: HTML
    settings: dict[str, Any]


class CoCounts(NamedTuple):
    """Sources that count which pages go together."""

    transitions: Model
    neighbours: Model


class Embeddings(NamedTuple):
    """Sources that learn vectors."""

    skip_gram: Model
    two_tower: Model


class Judged(NamedTuple):
    """Figures on the holdout."""

    evaluation: Artifact
    report: HTML


class Ranker(NamedTuple):
    """A trained ranker."""

    model: Model


@dsl.pipeline(
    name="prepare", description="Read and quarantine, validate against the last release, preprocess."
)
def prepare(data: str, home: str, settings: dict[str, Any], date: str, beam_runner: str) -> Prepared:
    """Turn the input tables into a dataset."""
    configured = place(configure(settings=settings, date=date, beam_runner=beam_runner))
    tables = place(ingest(data=data, home=home, settings=configured.output))
    checked = place(validate(tables=tables.outputs["tables"], home=home, settings=configured.output))
    # Preprocessing waits for the verdict on the data: an anomaly stops the run here.
    read = preprocess(tables=tables.outputs["tables"], home=home, settings=configured.output)
    dataset = place(read).after(checked)
    return Prepared(
        tables=tables.outputs["tables"],
        dataset=dataset.outputs["dataset"],
        statistics=checked.outputs["statistics"],
        report=checked.outputs["report"],
        settings=configured.output,
    )


@dsl.pipeline(name="co-counts", description="Fit the sources that count: transitions and neighbours.")
def co_counts(dataset: Input[Dataset], before_stage: int, settings: dict[str, Any]) -> CoCounts:
    """Fit the counting sources on the interactions before a stage."""
    following = place(transitions(dataset=dataset, before_stage=before_stage, settings=settings))
    together = place(neighbours(dataset=dataset, before_stage=before_stage, settings=settings))
    return CoCounts(transitions=following.outputs["model"], neighbours=together.outputs["model"])


@dsl.pipeline(name="embeddings", description="Fit the sources that learn vectors: skip-gram and two-tower.")
def embeddings(
    dataset: Input[Dataset], content: Input[Model], before_stage: int, settings: dict[str, Any]
) -> Embeddings:
    """Fit the embedding sources on the interactions before a stage."""
    words = place(skip_gram(dataset=dataset, before_stage=before_stage, settings=settings))
    towers = place(two_tower(dataset=dataset, content=content, before_stage=before_stage, settings=settings))
    return Embeddings(skip_gram=words.outputs["model"], two_tower=towers.outputs["model"])


@dsl.pipeline(
    name="train-ranker", description="Shortlist the training requests and train the DeepFM on them."
)
def train_ranker(
    tables: Input[Dataset],
    dataset: Input[Dataset],
    transitions: Input[Model],
    neighbours: Input[Model],
    skip_gram: Input[Model],
    content: Input[Model],
    two_tower: Input[Model],
    settings: dict[str, Any],
) -> Ranker:
    """Train the ranker on what the sources, fitted before the training requests, propose."""
    shortlists = place(
        candidates(
            tables=tables,
            dataset=dataset,
            transitions=transitions,
            neighbours=neighbours,
            skip_gram=skip_gram,
            content_similarity=content,
            two_tower=two_tower,
            stage=TRAIN,
            settings=settings,
        )
    )
    trained = place(ranker(examples=shortlists.outputs["examples"], settings=settings))
    return Ranker(model=trained.outputs["model"])


@dsl.pipeline(name="judge", description="Shortlist the holdout requests, rank them and measure.")
def judge(
    tables: Input[Dataset],
    dataset: Input[Dataset],
    transitions: Input[Model],
    neighbours: Input[Model],
    skip_gram: Input[Model],
    content: Input[Model],
    two_tower: Input[Model],
    ranker: Input[Model],
    home: str,
    settings: dict[str, Any],
) -> Judged:
    """Measure both stages on requests that none of the parts has seen."""
    shortlists = place(
        candidates(
            tables=tables,
            dataset=dataset,
            transitions=transitions,
            neighbours=neighbours,
            skip_gram=skip_gram,
            content_similarity=content,
            two_tower=two_tower,
            stage=HOLDOUT,
            settings=settings,
        )
    )
    measured = place(
        evaluate(
            dataset=dataset,
            examples=shortlists.outputs["examples"],
            ranker=ranker,
            home=home,
            settings=settings,
        )
    )
    return Judged(evaluation=measured.outputs["evaluation"], report=measured.outputs["report"])


@dsl.pipeline(name="deliver", description="Try, compare with the current release; if good enough, release.")
def deliver(
    dataset: Input[Dataset],
    transitions: Input[Model],
    neighbours: Input[Model],
    skip_gram: Input[Model],
    content: Input[Model],
    two_tower: Input[Model],
    holdout_skip_gram: Input[Model],
    holdout_two_tower: Input[Model],
    ranker: Input[Model],
    evaluation: Input[Artifact],
    statistics: Input[Artifact],
    evaluation_report: Input[HTML],
    validation_report: Input[HTML],
    kind: str,
    home: str,
    settings: dict[str, Any],
) -> None:
    """Pass the gate, then make all parts one release; a gate that holds it back ends the run in red."""
    trend = place(trending(dataset=dataset, before_stage=EVERYTHING, settings=settings))
    listed = place(lists(dataset=dataset, two_tower=two_tower, settings=settings))
    tried = place(
        smoke(
            dataset=dataset,
            transitions=transitions,
            neighbours=neighbours,
            skip_gram=skip_gram,
            content_similarity=content,
            two_tower=two_tower,
            trending=trend.outputs["model"],
            ranker=ranker,
            settings=settings,
        )
    )
    drawn = place(
        embedding_map(
            dataset=dataset,
            skip_gram=skip_gram,
            content_similarity=content,
            two_tower=two_tower,
            settings=settings,
        )
    )
    verdict = place(
        gate(evaluation=evaluation, latency=tried.outputs["latency"], home=home, settings=settings)
    )
    place(
        release(
            dataset=dataset,
            transitions=transitions,
            neighbours=neighbours,
            skip_gram=skip_gram,
            content_similarity=content,
            two_tower=two_tower,
            trending=trend.outputs["model"],
            holdout_skip_gram=holdout_skip_gram,
            holdout_two_tower=holdout_two_tower,
            ranker=ranker,
            lists=listed.outputs["lists"],
            evaluation=evaluation,
            statistics=statistics,
            evaluation_report=evaluation_report,
            validation_report=validation_report,
            embeddings_report=drawn.outputs["report"],
            verdict=verdict.outputs["verdict"],
            kind=kind,
            run_id=dsl.PIPELINE_JOB_NAME_PLACEHOLDER,
            home=home,
            settings=settings,
        )
    )


def fit_co_counts(prepared: PipelineTask, stage: int) -> PipelineTask:
    """Add the counting sources, fitted for a stage, to the pipeline being defined."""
    task = co_counts(
        dataset=prepared.outputs["dataset"], before_stage=stage, settings=prepared.outputs["settings"]
    )
    return task.set_display_name(f"co-counts for the {STAGE_NAMES[stage]}")


def fit_content(prepared: PipelineTask) -> PipelineTask:
    """Add content similarity to the pipeline being defined."""
    return place(
        content_similarity(
            dataset=prepared.outputs["dataset"],
            before_stage=EVERYTHING,
            settings=prepared.outputs["settings"],
        )
    )


def fit_embeddings(prepared: PipelineTask, content: PipelineTask, stage: int) -> PipelineTask:
    """Add the embedding sources, fitted for a stage, to the pipeline being defined."""
    task = embeddings(
        dataset=prepared.outputs["dataset"],
        content=content.outputs["model"],
        before_stage=stage,
        settings=prepared.outputs["settings"],
    )
    return task.set_display_name(f"embeddings for the {STAGE_NAMES[stage]}")


def take(home: str, part: str) -> PipelineTask:
    """Add a part of the current release to the pipeline being defined."""
    return place(from_release(home=home, part=part)).set_display_name(f"{part} from the release")


def finish(
    kind: str,
    home: str,
    prepared: PipelineTask,
    content: PipelineTask,
    *,
    counts: Mapping[int, PipelineTask],
    vectors: Mapping[int, Mapping[str, Any]],
    ranker: Any,
) -> PipelineTask:
    """Add the last part to the pipeline being defined: judge on the holdout, gate, release.

    Parameters
    ----------
    kind, home : str
    prepared, content : PipelineTask
    counts : mapping of int to PipelineTask
        Counting sources fitted for ``HOLDOUT`` and ``EVERYTHING``.
    vectors : mapping of int to mapping
        The artifacts ``skip_gram`` and ``two_tower`` for the same stages.
    ranker : artifact

    Returns
    -------
    PipelineTask
        The one that releases.
    """
    dataset, chosen = prepared.outputs["dataset"], prepared.outputs["settings"]
    measured = judge(
        tables=prepared.outputs["tables"],
        dataset=dataset,
        transitions=counts[HOLDOUT].outputs["transitions"],
        neighbours=counts[HOLDOUT].outputs["neighbours"],
        skip_gram=vectors[HOLDOUT]["skip_gram"],
        content=content.outputs["model"],
        two_tower=vectors[HOLDOUT]["two_tower"],
        ranker=ranker,
        home=home,
        settings=chosen,
    )
    return deliver(
        dataset=dataset,
        transitions=counts[EVERYTHING].outputs["transitions"],
        neighbours=counts[EVERYTHING].outputs["neighbours"],
        skip_gram=vectors[EVERYTHING]["skip_gram"],
        content=content.outputs["model"],
        two_tower=vectors[EVERYTHING]["two_tower"],
        holdout_skip_gram=vectors[HOLDOUT]["skip_gram"],
        holdout_two_tower=vectors[HOLDOUT]["two_tower"],
        ranker=ranker,
        evaluation=measured.outputs["evaluation"],
        statistics=prepared.outputs["statistics"],
        evaluation_report=measured.outputs["report"],
        validation_report=prepared.outputs["report"],
        kind=kind,
        home=home,
        settings=chosen,
    )


def roll_out(kind: str, home: str, prepared: PipelineTask, delivered: PipelineTask) -> None:
    """Add the rollout of what was released, the last step, to the pipeline being defined."""
    shown = rollout(
        home=home, kind=kind, run_id=dsl.PIPELINE_JOB_NAME_PLACEHOLDER, settings=prepared.outputs["settings"]
    )
    place(shown).after(delivered).set_display_name("roll out")


def refit_everything(kind: str, home: str, prepared: PipelineTask) -> PipelineTask:
    """Add all steps after ``prepare``, every model trained anew; returns the task that releases."""
    dataset, chosen = prepared.outputs["dataset"], prepared.outputs["settings"]
    content = fit_content(prepared)
    counts = {stage: fit_co_counts(prepared, stage) for stage in STAGE_NAMES}
    vectors = {stage: fit_embeddings(prepared, content, stage) for stage in STAGE_NAMES}
    trained = train_ranker(
        tables=prepared.outputs["tables"],
        dataset=dataset,
        transitions=counts[TRAIN].outputs["transitions"],
        neighbours=counts[TRAIN].outputs["neighbours"],
        skip_gram=vectors[TRAIN].outputs["skip_gram"],
        content=content.outputs["model"],
        two_tower=vectors[TRAIN].outputs["two_tower"],
        settings=chosen,
    )
    return finish(
        kind,
        home,
        prepared,
        content,
        counts=counts,
        vectors={stage: vectors[stage].outputs for stage in (HOLDOUT, EVERYTHING)},
        ranker=trained.outputs["model"],
    )
