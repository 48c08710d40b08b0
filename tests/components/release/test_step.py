import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from kfp import dsl

from components.contract import columns as c
from components.contract import packed
from components.contract.dataset import (
    ASSOCIATE_SCHEMA,
    INTERACTION_SCHEMA,
    PAGE_DAY_SCHEMA,
    PAGE_SCHEMA,
    Dataset,
)
from components.contract.errors import DataError, ReleaseError, WaymarkError
from components.contract.release import SOURCES, current, list_releases, load
from components.contract.time import DAY
from components.release.build import code_version, recent_history
from components.release.component import from_release, release
from components.release.step import run
from components.release.take import take

START = 1793361600.0  # 2026-10-30T12:00:00Z


def dataset(last: float = START, rows: int = 3) -> Dataset:
    """Two associates; the first has ``rows`` interactions, the second one."""
    interactions = pl.DataFrame(
        {
            c.ASSOCIATE: [0] * rows + [1],
            c.PAGE: [0] * rows + [0],
            c.TIME: [last - rows + 1 + row for row in range(rows)] + [last],
            c.ORDINAL: [*range(rows), 0],
            c.SESSION: [0] * (rows + 1),
            c.STAGE: [0] * (rows + 1),
        },
        schema=INTERACTION_SCHEMA,
    )
    pages = pl.DataFrame({c.PAGE_ID: ["P1"]}).with_columns(
        pl.lit(None, dtype=kind).alias(name) for name, kind in PAGE_SCHEMA.items() if name != c.PAGE_ID
    )
    associates = pl.DataFrame({c.ASSOCIATE_ID: ["A1", "A2"]}).with_columns(
        pl.lit(None, dtype=kind).alias(name)
        for name, kind in ASSOCIATE_SCHEMA.items()
        if name != c.ASSOCIATE_ID
    )
    return Dataset(
        pages.select(PAGE_SCHEMA.names()),
        associates.select(ASSOCIATE_SCHEMA.names()),
        interactions,
        pl.DataFrame(schema=PAGE_DAY_SCHEMA),
        {
            "protocol": "time",
            "span": [last - rows, last],
            "sources": {"events": "f00d"},
            "inputs": {"log/events.csv": "beef"},
        },
    )


@pytest.fixture
def parts(tmp_path):
    """Artifacts of a run: what the release step is given."""
    folder = tmp_path / "artifacts"
    dataset().save(folder / "dataset")
    for name in (*SOURCES, "ranker"):
        (folder / name / "inner").mkdir(parents=True)
        (folder / name / "inner" / "weights.npz").write_text(name)
    (folder / "statistics").mkdir()
    (folder / "statistics" / "events.pb").write_bytes(b"\x00")
    (folder / "evaluation").write_text(json.dumps({"two_stage": {"ndcg": 0.31, "roles": {}}}))
    for kind in ("evaluation", "validation", "embeddings"):
        (folder / f"{kind}_report").write_text(f"<p>{kind}</p>")
    return {
        "dataset": folder / "dataset",
        "sources": {name: folder / name for name in SOURCES},
        "holdout": {name: folder / name for name in ("skip_gram", "two_tower")},
        "ranker": folder / "ranker",
        "evaluation": folder / "evaluation",
        "statistics": folder / "statistics",
        "reports": {kind: folder / f"{kind}_report" for kind in ("evaluation", "validation", "embeddings")},
    }


def test_release_holds_every_part_and_becomes_current(tmp_path, parts, monkeypatch):
    monkeypatch.setenv("WAYMARK_VERSION", "v7")
    schema = tmp_path / "home" / "validation" / "schema" / "events.pbtxt"
    schema.parent.mkdir(parents=True)
    schema.write_text("feature {}")
    figures = run(tmp_path / "home", kind="bootstrap", run_id="r1", **parts)
    made = load(tmp_path / "home")
    assert made.name == figures["release"]
    assert made.name.startswith("20261030T120000-")
    for name in SOURCES:
        assert (made.part(name) / "inner" / "weights.npz").read_text() == name
    assert (made.ranker / "inner" / "weights.npz").read_text() == "ranker"
    assert (made.statistics / "events.pb").read_bytes() == b"\x00"
    assert json.loads(made.evaluation.read_text())["two_stage"]["ndcg"] == 0.31
    for kind in ("evaluation", "validation", "embeddings"):
        assert made.part(f"reports/{kind}.html").read_text() == f"<p>{kind}</p>"
        assert f"reports/{kind}.html" in made.manifest.files
    tables = Dataset.load(made.root)
    assert tables.interactions.height == 4
    assert tables.meta["sources"] == {"events": "f00d"}
    manifest = made.manifest
    assert manifest.kind == "bootstrap"
    assert manifest.metrics == {"ndcg": 0.31}
    assert manifest.lineage.run == "r1"
    assert manifest.lineage.parent is None
    assert manifest.lineage.data == {
        "span": [START - 3, START],
        "days": ["2026-10-30", "2026-10-30"],
        "inputs": {"log/events.csv": "beef"},
        "sources": {"events": "f00d"},
        "schema": {"events": hashlib.sha256(b"feature {}").hexdigest()[:12]},
    }
    assert manifest.lineage.code == "v7"
    # A file table, statistics, evaluation: no part is outside the checksums.
    on_disk = {path for path in made.root.rglob("*") if path.is_file()} - {made.root / "manifest.json"}
    assert {made.root / name for name in manifest.files} == on_disk


def test_history_keeps_the_latest_of_each_associate():
    kept = recent_history(dataset(rows=5), 2).interactions
    assert kept[c.ASSOCIATE].to_list() == [0, 0, 1]
    assert kept[c.ORDINAL].to_list() == [3, 4, 0]


def test_completions_stay_however_far_they_lie_back():
    made = dataset(rows=5)
    done = pl.DataFrame([(0, 0, START - 1e8), (1, 0, START)], schema=made.completions.schema, orient="row")
    assert recent_history(replace(made, completions=done), 2).completions.equals(done)


def test_history_limit_is_a_setting(tmp_path, parts):
    run(tmp_path / "home", kind="daily", settings={"release": {"history": 1}}, **parts)
    assert Dataset.load(load(tmp_path / "home").root).interactions.height == 2


def test_lists_are_a_part_where_there_are_any(tmp_path, parts):
    def write_lists(name, people):
        rows = np.zeros((len(people), 2), np.int16)
        ids = pl.Series(people, dtype=pl.String)
        packed.write(tmp_path / name, np.array(["P1"]), ids, 2, [(rows, rows.astype(np.float32))])
        return tmp_path / name

    run(tmp_path / "home", kind="daily", lists=write_lists("none", []), **parts)
    with pytest.raises(ReleaseError, match="holds no lists"):
        load(tmp_path / "home").part("lists")
    dataset(START + DAY).save(parts["dataset"])
    run(tmp_path / "home", kind="daily", lists=write_lists("some", ["A1"]), **parts)
    made = load(tmp_path / "home")
    assert "lists/page.npy" in made.manifest.files
    _, blocks = packed.read(made.part("lists"))
    assert [block.associate_id for block in blocks] == [["A1"]]


def test_old_releases_are_pruned(tmp_path, parts):
    for day in range(5):
        dataset(START + day * DAY).save(parts["dataset"])
        run(tmp_path / "home", kind="daily", settings={"release": {"keep": 2}}, **parts)
    names = [made.name[:8] for made in list_releases(tmp_path / "home")]
    assert names == ["20261103", "20261102"]


def test_what_the_cluster_serves_stays_and_in_doubt_everything_does(tmp_path, parts, monkeypatch):
    """A canary takes longer than four daily releases; then the API is away for a day."""
    home, answers = tmp_path / "home", iter([set(), None, {"x"}, {"first"}, None, {"first"}])
    names = {}

    def served(settings):
        assert settings == {"release": {"keep": 1}}
        answer = next(answers)
        return answer and {names.get(name, name) for name in answer}

    monkeypatch.setattr("components.release.step.served", served)
    kept = []
    for day in range(6):
        dataset(START + day * DAY).save(parts["dataset"])
        figures = run(home, kind="daily", settings={"release": {"keep": 1}}, **parts)
        names.setdefault("first", figures["release"]) if day == 2 else None
        kept.append([made.name[6:8] for made in list_releases(home)])
    assert kept == [["30"], ["31", "30"], ["01"], ["02", "01"], ["03", "02", "01"], ["04", "01"]]


def test_parent_is_the_release_before(tmp_path, parts):
    first = run(tmp_path / "home", kind="bootstrap", **parts)
    dataset(START + DAY).save(parts["dataset"])
    run(tmp_path / "home", kind="daily", **parts)
    assert load(tmp_path / "home").manifest.lineage.parent == first["release"]


def test_empty_log_still_gives_a_release(tmp_path, parts):
    empty = dataset()
    empty = Dataset(
        empty.pages, empty.associates, empty.interactions.clear(), empty.page_days, {"span": [None, None]}
    )
    empty.save(parts["dataset"])
    assert run(tmp_path / "home", kind="bootstrap", **parts)["release"].startswith("19700101T000000-")


def test_missing_parts_are_named_and_nothing_is_published(tmp_path, parts):
    home = tmp_path / "home"
    without = {name: path for name, path in parts["sources"].items() if name != "trending"}
    with pytest.raises(ReleaseError, match="trending"):
        run(home, kind="daily", **{**parts, "sources": without})
    with pytest.raises(ReleaseError, match="ranker"):
        run(home, kind="daily", **{**parts, "ranker": tmp_path / "nowhere"})
    with pytest.raises(ReleaseError, match="evaluation"):
        run(home, kind="daily", **{**parts, "evaluation": tmp_path / "nowhere"})
    with pytest.raises(DataError, match="no preprocessed dataset"):
        run(home, kind="daily", **{**parts, "dataset": tmp_path / "nowhere"})
    with pytest.raises(ReleaseError, match="kind 'hourly'"):
        run(home, kind="hourly", **parts)
    with pytest.raises(WaymarkError, match=r"settings\.release\.keep"):
        run(home, kind="daily", settings={"release": {"keep": 0}}, **parts)
    assert current(home) is None
    assert list_releases(home) == []


def test_take_copies_a_part_of_the_current_release(tmp_path, parts):
    made = run(tmp_path / "home", kind="bootstrap", **parts)
    figures = take(tmp_path / "home", "two_tower", tmp_path / "out")
    assert figures == {"release": made["release"]}
    assert (tmp_path / "out" / "inner" / "weights.npz").read_text() == "two_tower"


def test_take_needs_a_sound_release(tmp_path, parts):
    with pytest.raises(ReleaseError, match="run the bootstrap pipeline first"):
        take(tmp_path / "home", "ranker", tmp_path / "out")
    run(tmp_path / "home", kind="bootstrap", **parts)
    (load(tmp_path / "home").ranker / "inner" / "weights.npz").write_text("altered")
    with pytest.raises(ReleaseError, match=r"weights\.npz"):
        take(tmp_path / "home", "ranker", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_components_hand_over_paths_and_record_what_was_inherited(tmp_path, parts):
    home = str(tmp_path / "home")

    def artifact(kind, path: Path):
        return kind(name=path.name, uri=str(path))

    models = {name: artifact(dsl.Model, path) for name, path in parts["sources"].items()}
    models["ranker"] = artifact(dsl.Model, parts["ranker"])
    for name, path in parts["holdout"].items():
        models[f"holdout_{name}"] = artifact(dsl.Model, path)
    packed.write(tmp_path / "lists", np.array(["P1"]), pl.Series([], dtype=pl.String), 2, [])
    rest = {
        "lists": artifact(dsl.Artifact, tmp_path / "lists"),
        "dataset": artifact(dsl.Dataset, parts["dataset"]),
        "evaluation": artifact(dsl.Artifact, parts["evaluation"]),
        "statistics": artifact(dsl.Artifact, parts["statistics"]),
        **{f"{kind}_report": artifact(dsl.HTML, path) for kind, path in parts["reports"].items()},
        "verdict": dsl.Artifact(),
        "home": home,
        "settings": {},
    }
    metrics = dsl.Metrics()
    release.python_func(kind="bootstrap", run_id="r1", metrics=metrics, **models, **rest)
    first = load(home)
    assert metrics.metadata["release"] == first.name
    assert first.manifest.lineage.inherited == {}

    assert sorted(path.name for path in first.part("holdout").iterdir()) == ["skip_gram", "two_tower"]

    taken, metrics = artifact(dsl.Model, tmp_path / "taken"), dsl.Metrics()
    from_release.python_func(home=home, part="ranker", model=taken, metrics=metrics)
    assert taken.metadata["release"] == metrics.metadata["release"] == first.name

    dataset(START + DAY).save(parts["dataset"])
    release.python_func(
        kind="daily", run_id="r2", metrics=dsl.Metrics(), **{**models, "ranker": taken}, **rest
    )
    second = load(home)
    assert second.name > first.name
    assert second.manifest.lineage.inherited == {"ranker": first.name}


def test_code_version_of_a_checkout_and_of_neither(tmp_path, monkeypatch):
    monkeypatch.delenv("WAYMARK_VERSION", raising=False)
    monkeypatch.setenv("GIT_DIR", str(tmp_path))
    assert code_version() == "unknown"
    monkeypatch.setenv("WAYMARK_VERSION", "v7")
    assert code_version() == "v7"
