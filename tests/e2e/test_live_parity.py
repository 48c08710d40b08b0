import json

import pytest

from components.contract.dataset import Dataset
from components.contract.examples import Examples
from tests.benchmarks.server.parity import FITTED, make_release, replay
from tests.support.running import served

pytestmark = pytest.mark.slow


def test_the_live_protocol_gives_the_same_figures_through_rest(small_run, small_settings, tmp_path):
    work = small_run / "work"
    sources = {name: work / "2" / name for name in FITTED}
    sources["content_similarity"] = work / "content_similarity"
    home = make_release(work / "dataset", sources, work / "ranker", tmp_path, small_settings, frozen=False)
    examples = Examples.load(work / "holdout")
    with served(home, WAYMARK_SERVING_DEADLINE_MS="60000") as client:
        hr, ndcg = replay(client, Dataset.load(work / "dataset"), examples.requests)
    offline = json.loads((work / "evaluation.json").read_text())["two_stage"]
    assert hr == pytest.approx(offline["hr"], abs=0.005)
    assert ndcg == pytest.approx(offline["ndcg"], abs=0.005)
