import json
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.contract import columns as c
from components.contract.dataset import Dataset
from components.contract.errors import DataError
from components.contract.examples import Examples
from components.contract.retrieval import SOURCES
from pipelines.rolling import evaluate_rolling, stretches
from tests.pipelines.test_protocol import FAST


@given(st.lists(st.floats(0, 1e9), min_size=4, max_size=60, unique=True), st.integers(1, 3))
def test_stretches_follow_each_other(times, refits):
    found = stretches(np.array(times), refits)
    assert len(found) == refits
    assert found[-1][2] == np.inf
    for train, start, end in found:
        assert train <= start <= end
    assert [end for _, _, end in found[:-1]] == [start for _, start, _ in found[1:]]


@pytest.mark.parametrize("times", [[], [5.0, 5.0, 5.0]])
def test_a_log_too_short_is_refused(times):
    with pytest.raises(DataError, match="cannot be cut for 2 refits; ask for fewer"):
        stretches(np.array(times), 2)


@pytest.fixture(scope="module")
def rolling(small_academy, tmp_path_factory):
    work = tmp_path_factory.mktemp("rolling")
    return evaluate_rolling(small_academy, 2, FAST, work), work


@pytest.mark.slow
def test_every_stretch_is_judged_once(rolling):
    found, work = rolling
    parts = [Examples.load(work / f"fit_{number}" / "holdout" / "examples") for number in range(3)]
    assert found["two_stage"]["requests"] == sum(map(len, parts))
    for before, after in pairwise(parts):
        assert before.requests["time"].max() < after.requests["time"].min()
    assert (found["protocol"], found["refits"], set(found["sources"])) == ("rolling", 2, set(SOURCES))
    assert 0 < found["two_stage"]["ndcg"] < 1
    assert "Protocol rolling" in (work / "report.html").read_text()
    json.dumps(found)


@pytest.mark.slow
def test_nothing_later_is_in_a_fit(rolling):
    """What is fitted on ends before the first request that it is judged on."""
    _, work = rolling
    known = Dataset.load(work / "fit_1" / "dataset")
    first = Examples.load(work / "fit_1" / "holdout" / "examples").requests["time"].min()
    assert known.before(c.HOLDOUT)[c.TIME].max() < first
    assert known.before(c.TRAIN)[c.TIME].max() < known.before(c.HOLDOUT)[c.TIME].max()


@pytest.mark.slow
def test_before_the_first_fit_the_blend_answers(rolling):
    _, work = rolling
    first = Examples.load(work / "fit_0" / "holdout" / "examples")
    assert not (work / "fit_0" / "ranker").exists()
    learned = [first.sources.index(name) for name in ("transitions", "ease", "skip_gram")]
    # What is learned from others has nothing to say; the trends have.
    assert (first.source_top[:, learned] < 0).all()
    assert (first.source_top[-1, first.sources.index("trend_30d")] >= 0).any()
