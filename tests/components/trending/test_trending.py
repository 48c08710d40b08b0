import numpy as np
import pytest

from components.contract import columns as c
from components.contract.time import DAY
from components.contract.trends import TrendCounters
from components.trending.step import run
from tests.support.build import make_dataset, make_requests

# Three openings a day apart; the last is held out.
VISITS = [(0, 0, DAY), (0, 1, 2 * DAY), (1, 0, 3 * DAY, c.HOLDOUT)]


@pytest.mark.parametrize(("before", "now"), [(c.HOLDOUT, [0.25, 0.5]), (c.EVERYTHING, [1.25, 0.5])])
def test_counters_as_of_the_last_event_that_may_be_seen(tmp_path, before, now):
    dataset = make_dataset(VISITS, pages=2, associate={"role": ["x", None]})
    dataset.save(tmp_path / "dataset")
    figures = run(tmp_path / "dataset", tmp_path / "out", before)
    counters = TrendCounters.load(tmp_path / "out" / "counters.npz")
    requests = make_requests([3 * DAY], role=["x"])
    assert figures["pages_opened"] == 2
    assert counters.groups["role"] == ["", "x"]
    np.testing.assert_allclose(counters.at(requests)["trend_1d"][0], now, rtol=1e-6)
    assert counters.first_opened.tolist() == [DAY, 2 * DAY]


def test_a_log_without_events(tmp_path):
    make_dataset([], pages=2, associates=0).save(tmp_path / "dataset")
    figures = run(tmp_path / "dataset", tmp_path / "out", c.TRAIN)
    assert figures["pages_opened"] == 0
    assert TrendCounters.load(tmp_path / "out" / "counters.npz").pages == 2
