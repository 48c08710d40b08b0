import json
import os
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from components.candidates.examples import target_positions
from components.contract import columns as c
from components.contract.dataset import Dataset
from components.contract.requests import requests_of_stage
from components.contract.retrieval import SOURCES
from components.evaluate.metrics import hit_rate, ndcg
from components.ingest import step as ingest
from components.neighbours import step as neighbours
from components.preprocess import step as preprocess
from components.skip_gram import step as skip_gram
from components.transitions import step as transitions
from pipelines.academy.truth import TruePreference
from pipelines.importers.mars import import_mars
from pipelines.protocol import evaluate_protocol, true_preference

MARS = Path(os.environ.get("WAYMARK_MARS", Path(__file__).parents[3] / "shared" / "data" / "mars_en"))
ROOT = Path(__file__).parents[2]
needs_mars = pytest.mark.skipif(
    not MARS.is_dir(), reason=f"MARS-EN is not in {MARS}; set WAYMARK_MARS to its folder"
)
FAST = {
    "two_tower": {"epochs": 1, "min_steps": 20},
    "skip_gram": {"epochs": 2},
    "ranker": {"epochs": 2, "dimensions": 4, "hidden": [16]},
    "candidates": {"train_requests": 300, "holdout_requests": 200},
}


@needs_mars
def test_published_popularity_row(tmp_path):
    """The published numbers of popularity under lastout, from this code's split and positions."""
    import_mars(MARS, tmp_path / "contract")
    ingest.run(str(tmp_path / "contract"), tmp_path / "tables", tmp_path / "quarantine")
    preprocess.run(tmp_path / "tables", tmp_path / "dataset", {"preprocess": {"protocol": "lastout"}})
    dataset = Dataset.load(tmp_path / "dataset")
    requests = requests_of_stage(dataset, c.HOLDOUT)
    assert (len(requests), dataset.n_pages) == (1_898, 1_167)
    counts = np.bincount(dataset.before(c.HOLDOUT)[c.PAGE].to_numpy(), minlength=dataset.n_pages)
    seen = np.zeros((len(requests), dataset.n_pages), bool)
    seen[requests.seen_row, requests.seen_page] = True
    scores = np.broadcast_to(counts.astype(np.float32), seen.shape)
    better, ties = target_positions(scores, requests.target, seen)
    assert round(float(hit_rate(better, ties, 10).mean()), 4) == 0.1712
    assert round(float(ndcg(better, ties, 10).mean()), 4) == 0.0822


@pytest.fixture(scope="module")
def live(small_academy, tmp_path_factory):
    """The live protocol on the small academy: figures, folder, names of the steps."""
    work, told = tmp_path_factory.mktemp("live"), []
    return evaluate_protocol(small_academy, "live", FAST, work, told.append), work, told


@pytest.mark.slow
def test_live_judges_every_part(live):
    found, _, told = live
    assert found["protocol"] == "live"
    assert set(found["sources"]) == set(SOURCES)
    assert set(found["others"]) == {"without_fm", "without_deep"}
    assert 0 < found["two_stage"]["requests"] <= 200
    assert 0 < found["two_stage"]["ndcg"] < 1
    assert told[0] == "ingest"
    assert told[-1] == "true preference"
    assert len(told) == len(set(told))


@pytest.mark.slow
def test_true_preference_stands_beside_every_row(live):
    found, _, _ = live
    rows = [found["two_stage"], found["blend"], *found["sources"].values(), *found["others"].values()]
    values = [row["true_preference"] for row in rows]
    summary = found["true_preference"]
    assert set(summary) == {"two_stage", "best_source", "best_source_value", "ratio", "best_possible"}
    assert all(0 <= value <= summary["best_possible"] for value in values)
    assert summary["two_stage"] == found["two_stage"]["true_preference"] > 0
    assert summary["best_source_value"] == max(s["true_preference"] for s in found["sources"].values())
    assert summary["ratio"] == pytest.approx(summary["two_stage"] / summary["best_source_value"], abs=1e-4)


@pytest.mark.slow
def test_report_is_written(live):
    found, work, _ = live
    page = (work / "report.html").read_text()
    assert "Protocol live" in page
    assert f"<td>{found['two_stage']['ndcg']:.4f}</td>" in page
    assert f"<td>{found['two_stage']['true_preference']:.4f}</td>" in page


@pytest.mark.slow
def test_one_seed_gives_the_same_figures(live, small_academy, tmp_path):
    again = evaluate_protocol(small_academy, "live", FAST, tmp_path)
    assert {**again, "seconds": 0} == {**live[0], "seconds": 0}


@pytest.mark.slow
def test_sources_learn_nothing_of_the_holdout(live, small_academy, tmp_path):
    """Fitted to a log that ends where the holdout begins, they are the same to the last bit."""
    work = live[1]
    cut = Dataset.load(work / "dataset").meta["cuts"][1]
    events = pl.concat(
        pl.read_parquet(path) for path in sorted(small_academy.glob("events.parquet/*/*.parquet"))
    )
    early = events.filter(pl.col("timestamp").dt.timestamp("us") / 1e6 < cut)
    assert 0 < early.height < events.height
    early.write_parquet(tmp_path / "events.parquet")
    for name in ("pages", "associates"):
        shutil.copy(small_academy / f"{name}.parquet", tmp_path)
    ingest.run(str(tmp_path), tmp_path / "tables", tmp_path / "quarantine")
    preprocess.run(tmp_path / "tables", tmp_path / "dataset")
    for step in (transitions, neighbours, skip_gram):
        name = step.__name__.split(".")[-2]
        step.run(tmp_path / "dataset", tmp_path / name, before_stage=c.EVERYTHING, settings=FAST)
        files = sorted((work / "holdout" / name).glob("*.npz"))
        assert files
        for file in files:
            with np.load(file) as fitted, np.load(tmp_path / name / file.name) as again:
                for part in fitted.files:
                    np.testing.assert_array_equal(again[part], fitted[part], err_msg=f"{name} {part}")


@pytest.mark.slow
def test_lastout_holds_out_each_associates_last_page(small_academy, tmp_path):
    found = evaluate_protocol(
        small_academy, "lastout", {**FAST, "ranker": {**FAST["ranker"], "ablations": False}}, tmp_path
    )
    dataset = Dataset.load(tmp_path / "dataset")
    held = dataset.interactions.filter(pl.col(c.STAGE) == c.HOLDOUT)
    assert held[c.ASSOCIATE].is_unique().all()
    assert found["two_stage"]["requests"] == min(200, held.height)
    assert found["others"] == {}


@pytest.mark.slow
def test_true_preference_of_the_best_lists_is_the_best_possible(live, small_academy):
    dataset = Dataset.load(live[1] / "dataset")
    truth = TruePreference.load(small_academy / "truth")
    requests = requests_of_stage(dataset, c.HOLDOUT, 200, 7)
    bounds = np.searchsorted(requests.seen_row, np.arange(len(requests) + 1))
    history = [dataset.page_ids[requests.seen_page[a:b]] for a, b in pairwise(bounds)]
    place = [truth.page_ids.tolist().index(page) for page in dataset.page_ids.tolist()]
    preference = truth.score(requests.associate_id, requests.time, history)[:, place]
    preference[requests.seen_row, requests.seen_page] = 0
    best = np.argsort(-preference, axis=1)[:, :10].astype(np.int32)
    half = np.where(np.arange(10) < 5, best, -1)
    found = true_preference(
        {"best": best, "none": np.full_like(best, -1), "half": half}, dataset, truth, FAST
    )
    top = -np.sort(-preference, axis=1)
    assert found["best"] == found["best_possible"] == pytest.approx(top[:, :10].mean(), abs=1e-5)
    assert found["none"] == 0
    # Empty places count as nothing.
    assert found["half"] == pytest.approx(top[:, :5].sum() / (10 * len(requests)), abs=1e-5)


@pytest.mark.slow
def test_the_command_prints_json_and_nothing_else(small_academy, tmp_path):
    settings = tmp_path / "settings.json"
    fast = {"epochs": 1, "ablations": False, "refit": False}
    settings.write_text(json.dumps({"ranker": fast, "two_tower": {"epochs": 1}, "skip_gram": {"epochs": 1}}))
    command = [sys.executable, "-m", "pipelines", "evaluate", "--data", str(small_academy)]
    command += ["--protocol", "live", "--json", "--settings", str(settings)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert found["protocol"] == "live"
    assert found["true_preference"]["two_stage"] > 0
