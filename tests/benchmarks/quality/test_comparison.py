import json
import re
import subprocess
import sys
from dataclasses import fields

import numpy as np
import pytest

from components.contract import columns as c
from tests.benchmarks.quality.comparison import lead, row
from tests.benchmarks.quality.environment import ROOT
from tests.benchmarks.quality.machine import Steps, peak_mib
from tests.benchmarks.quality.peers.shortlists import Shortlists
from tests.benchmarks.quality.product import write_stages
from tests.benchmarks.quality.report import render
from tests.benchmarks.quality.speed import PEERS
from tests.benchmarks.quality.stages import Stage, positions, quality
from tests.support.build import make_dataset

ints = np.array


def make_stage(history=((0,), (), (3, 1)), target=(1, 2, 0), page=(0, 0, 1, 2), pages=4) -> Stage:
    """Requests with histories, most recent first; all of a history is seen."""
    width = max(map(len, history))
    return Stage(
        user=np.zeros(len(page), np.int32),
        page=ints(page, np.int32),
        time=np.arange(len(page), dtype=float),
        history=ints([[*h, *[-1] * (width - len(h))] for h in history], np.int32),
        seen_row=np.repeat(np.arange(len(history)), [len(h) for h in history]).astype(np.int32),
        seen_page=ints([p for h in history for p in h], np.int32),
        target=ints(target, np.int32),
        pages=pages,
    )


def falling(part: Stage):
    """Page 0 before page 1 and so on; nothing known of who has no history."""
    return np.tile(-np.arange(part.pages, dtype=float), (len(part), 1)), part.history[:, 0] >= 0


def test_positions_mask_seen_pages_and_fall_back_to_popularity():
    better, ties = positions(make_stage(), falling)
    # Page 0 is seen; popularity is 2, 1, 1, 0, so page 2 ties with page 1; pages 3 and 1 are seen.
    assert better.tolist() == [0, 1, 0]
    assert ties.tolist() == [0, 1, 0]


def test_pages_that_a_peer_does_not_know_tie_for_the_last_places():
    def score(part):
        return np.where(np.arange(4) < 2, 1.0, -np.inf)[None].repeat(len(part), 0), np.ones(len(part), bool)

    better, ties = positions(make_stage(history=((0,),), target=(3,)), score)
    assert (better.tolist(), ties.tolist()) == ([1], [1])


def test_quality_is_the_mean_ndcg():
    stage = make_stage(history=((3,), (3,)), target=(0, 2))
    assert quality(stage, falling) == pytest.approx((1 + 1 / 2) / 2)


def test_batches_and_thinning_keep_requests_whole():
    history = [tuple(range(n % 3)) for n in range(1200)]
    stage = make_stage(history=history, target=[3] * 1200)
    parts = list(stage.batches())
    assert [len(part) for part in parts] == [512, 512, 176]
    together = [
        (i * 512 + r, p) for i, s in enumerate(parts) for r, p in zip(s.seen_row, s.seen_page, strict=True)
    ]
    assert together == list(zip(stage.seen_row, stage.seen_page, strict=True))
    thin = stage.thin(7)
    assert len(thin) == 7
    for request in range(7):
        kept = thin.seen_page[thin.seen_row == request].tolist()
        assert kept == [page for page in thin.history[request].tolist() if page >= 0]
    assert stage.thin(5000) is stage


def test_stages_hold_what_the_sources_of_that_stage_saw(tmp_path):
    visits = [(0, 0, 1.0), (0, 1, 2.0, c.TRAIN), (0, 2, 3.0, c.HOLDOUT), (1, 3, 1.5), (1, 0, 4.0, c.HOLDOUT)]
    make_dataset(visits).save(tmp_path / "dataset")
    write_stages(tmp_path, {})
    holdout = Stage.load(tmp_path / "peers" / "holdout.npz")
    assert holdout.page.tolist() == [0, 1, 3]
    assert holdout.target.tolist() == [2, 0]
    assert holdout.history[:, :3].tolist() == [[1, 0, -1], [3, -1, -1]]
    assert list(zip(holdout.seen_row, holdout.seen_page, strict=True)) == [(0, 0), (0, 1), (1, 3)]
    assert holdout.popularity.tolist() == [1, 1, 0, 1, 0]
    training = Stage.load(tmp_path / "peers" / "training.npz")
    assert training.page.tolist() == [0, 3]
    assert training.target.tolist() == [1]
    again = tmp_path / "again.npz"
    training.save(again)
    for field in fields(Stage):
        np.testing.assert_array_equal(getattr(Stage.load(again), field.name), getattr(training, field.name))


def test_shortlists_keep_the_latest_answered_requests_for_validation():
    row = np.repeat(np.arange(20), 2).astype(np.int32)
    label = np.tile([True, False], 20)
    # Request 3's shortlist lacks the page that was opened.
    label[6] = False
    lists = Shortlists(
        np.arange(40, dtype=np.float32)[:, None], np.zeros((40, 1), np.int32), row, label, ["a"], [1]
    )
    whole, early, late = lists.split()
    assert whole.row.tolist() == np.repeat(np.arange(19), 2).tolist()
    assert whole.numeric[:8, 0].tolist() == [0, 1, 2, 3, 4, 5, 8, 9]
    assert len(early.row) + len(late.row) == len(whole.row)
    assert late.numeric[:, 0].tolist() == [34, 35, 36, 37, 38, 39]
    assert late.quality(late.label.astype(float)) == 1
    assert late.quality(-late.label.astype(float)) == pytest.approx(1 / np.log2(3))


def test_a_lead_is_paired():
    rng = np.random.default_rng(1)
    own = rng.integers(0, 30, 300), np.zeros(300, int)
    associate = rng.integers(0, 80, 300)
    assert lead(own, own, associate) == {
        "hr_lead": 0, "hr_lead_interval": [0, 0], "ndcg_lead": 0, "ndcg_lead_interval": [0, 0]
    }  # fmt: skip
    # One request in ten differs: its interval is far narrower than that of either mean.
    worse = np.where(np.arange(300) % 10 == 0, 30, own[0]), own[1]
    found = row(own, worse, associate, {"seconds": 3})
    width = np.diff(found["hr_lead_interval"])[0]
    assert 0 < found["hr_lead"] < 0.1
    assert width < np.diff(found["hr_interval"])[0] / 2
    assert found["seconds"] == 3


def test_steps_measure_each_ones_own_peak():
    told = []
    steps = Steps(told.append)
    steps("large")
    np.ones(80 * 2**17).sum()
    steps("small")
    steps("")
    assert told == ["large", "small", ""]
    assert set(steps.found) == {"large", "small"}
    assert steps.found["large"]["peak_mib"] >= steps.found["small"]["peak_mib"] + 60
    assert steps.found["large"]["seconds"] >= 0
    assert peak_mib() > 0


def test_a_worker_answers_on_a_line_of_its_own():
    code = "from tests.benchmarks.quality.machine import take_turns\n"
    code += "take_turns({'a': lambda: print('noise') or 5, 'b': lambda: 7})"
    done = subprocess.run(
        [sys.executable, "-c", code], input="a\nb\na\n", capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert [json.loads(line)["rows"] for line in done.stdout.splitlines()] == [5, 7, 5]
    assert "noise" in done.stderr


def test_the_page_orders_peers_and_needs_nothing_else():
    own, peer = (ints([0, 1]), ints([0, 0])), (ints([4, 20]), ints([0, 0]))
    who = ints(["a", "b"])
    speed = {"examples_per_second": 9, "ratio": 3.0, "cpu_ratio": 2.5}
    speed |= {"ratio_range": [2, 4], "cpu_ratio_range": [2.4, 2.6]}
    found = {
        "protocol": "live",
        "pages": 30,
        "machine": {"processor": "X < Y", "cores": 2, "memory_mib": 100, "python": "3"},
        "waymark": row(own, own, who, {}),
        "catalogue": {"als": row(own, peer, who, {"seconds": 1.5}), "ease": row(own, own, who, {})},
        "rankers": {"lightgbm_lambdarank": row(own, peer, who, {})},
        "steps": {"ingest": {"seconds": 1.0, "peak_mib": 40}},
        "speed": {
            "threads": 2, "rows": 10, "turns": 3, "waymark_examples_per_second": 300,
            "peers": dict.fromkeys(PEERS, speed),
        },
    }  # fmt: skip
    page = render(found)
    assert page.index("<td>ease</td>") < page.index("<td>als</td>")
    assert "lightgbm lambdarank" in page
    assert "X &lt; Y" in page
    assert "<td>3.00</td><td>2 to 4</td><td>2.50</td><td>2.4 to 2.6</td>" in page
    assert "<script" not in page
    assert not re.search(r"<link|<img|\bsrc=|@import|url\(http", page)
