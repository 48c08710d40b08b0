"""Shared fixtures: one small academy and one small release, made once a session by the real steps."""

import json
from pathlib import Path

import pytest
from hypothesis import settings

# Machines that test are busy: the time of one example says nothing.
settings.register_profile("waymark", deadline=None)
settings.load_profile("waymark")

SMALL = {
    "two_tower": {"epochs": 2},
    "skip_gram": {"epochs": 3},
    "ranker": {"epochs": 2, "ablations": False, "refit": False},
    "candidates": {"train_requests": 400, "holdout_requests": 300},
    "retrieval": {"history_decay": 0.7},
}


def pytest_collection_modifyitems(items):
    # The longest tests first: at the end one worker would wait minutes for the other.
    items.sort(key=lambda item: not item.nodeid.startswith("tests/e2e/"))


@pytest.fixture(scope="session")
def small_academy(tmp_path_factory) -> Path:
    """Contract tables of 150 associates, 80 pages and 20 days, with their true preference."""
    from pipelines.academy.generate import make_academy

    out = tmp_path_factory.mktemp("academy") / "data"
    make_academy(out, associates=150, pages=80, days=20, seed=3)
    return out


def _run_steps(data: Path, root: Path, settings: dict) -> Path:
    from components.candidates import step as candidates
    from components.content_similarity import step as content_similarity
    from components.evaluate import embeddings
    from components.evaluate import step as evaluate
    from components.ingest import step as ingest
    from components.neighbours import step as neighbours
    from components.preprocess import step as preprocess
    from components.ranker import step as ranker
    from components.release import step as release
    from components.skip_gram import step as skip_gram
    from components.transitions import step as transitions
    from components.trending import step as trending
    from components.two_tower import step as two_tower

    work, home = root / "work", root / "home"
    ingest.run(str(data), work / "tables", work / "quarantine", settings)
    preprocess.run(work / "tables", work / "dataset", settings)
    dataset = work / "dataset"
    content = work / "content_similarity"
    content_similarity.run(dataset, content, before_stage=1, settings=settings)

    def sources(stage: int) -> dict[str, Path]:
        at = work / str(stage)
        for step in (transitions, neighbours, trending, skip_gram):
            name = step.__name__.split(".")[-2]
            step.run(dataset, at / name, before_stage=stage, settings=settings)
        two_tower.run(dataset, at / "two_tower", before_stage=stage, content=content, settings=settings)
        names = ("transitions", "neighbours", "trending", "skip_gram", "two_tower")
        return {**{name: at / name for name in names}, "content_similarity": content}

    candidates.run(dataset, sources(1), work / "training", 1, settings, work / "tables")
    candidates.run(dataset, sources(2), work / "holdout", 2, settings, work / "tables")
    ranker.run(work / "training", work / "ranker", settings)
    evaluate.run(
        dataset, work / "holdout", work / "ranker", None, work / "evaluation.json", work / "report.html"
    )
    released = sources(3)
    vectors = {name: released[name] for name in ("two_tower", "skip_gram", "content_similarity")}
    embeddings.run(dataset, vectors, work / "embeddings.html")
    (work / "statistics").mkdir()
    (work / "statistics" / "none.json").write_text(json.dumps({}))
    release.run(
        home,
        kind="bootstrap",
        dataset=dataset,
        sources=released,
        holdout={name: work / "2" / name for name in ("skip_gram", "two_tower")},
        ranker=work / "ranker",
        evaluation=work / "evaluation.json",
        statistics=work / "statistics",
        reports={"evaluation": work / "report.html", "embeddings": work / "embeddings.html"},
        settings=settings,
    )
    return root


@pytest.fixture(scope="session")
def run_steps():
    """A function (data, root, settings) that runs all steps but validate and gate in this process.

    It leaves ``root/home`` with a release and ``root/work`` with every artifact.
    """
    return _run_steps


@pytest.fixture(scope="session")
def small_settings() -> dict:
    """Settings that train fast."""
    return SMALL


@pytest.fixture(scope="session")
def small_run(small_academy, run_steps, tmp_path_factory) -> Path:
    """The steps' artifacts and a HOME with a release of the small academy."""
    return run_steps(small_academy, tmp_path_factory.mktemp("small"), SMALL)


@pytest.fixture(scope="session")
def small_release(small_run) -> Path:
    """HOME with one small release."""
    return small_run / "home"
