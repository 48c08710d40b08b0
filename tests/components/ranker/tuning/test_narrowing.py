import numpy as np
import pytest

from components.candidates.examples import CandidateSettings, make_examples
from components.contract.columns import TRAIN
from components.contract.dataset import Dataset
from components.contract.errors import WaymarkError
from components.contract.features import NUMERIC
from components.contract.retrieval import SOURCE_STEPS, RetrievalSettings
from components.contract.settings import section
from components.ranker.tuning.narrowing import between, narrow
from components.ranker.tuning.space import widened

REQUESTS = CandidateSettings(train_requests=60)


@pytest.fixture(scope="module")
def retrieved(small_run, small_settings):
    """Examples of some requests, retrieved with given settings."""
    dataset = Dataset.load(small_run / "work" / "dataset")
    folders = {name: small_run / "work" / "1" / name for name in SOURCE_STEPS}
    folders["content_similarity"] = small_run / "work" / "content_similarity"
    return lambda settings: make_examples(dataset, TRAIN, folders, settings, REQUESTS)


@pytest.fixture(scope="module")
def made(small_settings):
    return section(widened(small_settings), "retrieval", RetrievalSettings)


@pytest.fixture(scope="module")
def wide(retrieved, made):
    return retrieved(made)


def keys(examples):
    return examples.row.astype(np.int64) * 1000 + examples.page


@pytest.mark.slow
@pytest.mark.parametrize(
    "change",
    [
        {"quota": 12, "shortlist": 80},
        {"quota": 30, "shortlist": 40},
        {"quota": 20, "shortlist": 20, "quotas": {"transitions": 40, "popularity": 5}},
    ],
    ids=str,
)
def test_narrowed_examples_equal_those_of_a_new_retrieval(retrieved, wide, made, change):
    wanted = made.model_copy(update={"quotas": {}, **change})
    true, found = retrieved(wanted), narrow(wide, made, wanted)
    assert np.diff(found.offsets).tolist() == np.diff(true.offsets).tolist()
    if change["shortlist"] < 80:
        assert len(found.row) < len(wide.row)
    # Pages that tie for the last place of a list may change places.
    both, same = np.isin(keys(true), keys(found)), np.isin(keys(found), keys(true))
    assert both.mean() > 0.98
    assert found.label.sum() == pytest.approx(true.label.sum(), abs=1)
    np.testing.assert_array_equal(true.label[both], found.label[same])
    differs = np.abs(true.numeric[both] - found.numeric[same]) > 1e-5
    # Counts of openings are whole numbers and so tie; no other source's scores do.
    tied = [NUMERIC.index(name) for name in ("popularity.rank", "fused_rank")]
    assert differs[:, tied].mean() < 0.02
    assert not np.delete(differs, tied, axis=1).any()
    assert (true.categorical[both] != found.categorical[same]).mean() < 0.001


@pytest.mark.slow
def test_nothing_changes_under_the_same_settings(wide, made):
    found = narrow(wide, made, made)
    for name in ("row", "page", "label", "categorical"):
        np.testing.assert_array_equal(getattr(found, name), getattr(wide, name))
    np.testing.assert_allclose(found.numeric, wide.numeric, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("change", [{"quotas": {"ease": 81}}, {"quota": 90}, {"shortlist": 400}], ids=str)
def test_examples_cannot_widen(wide, change):
    # Of 80 pages no list is longer than 80, so smaller ones than the space's stand for those made.
    small = RetrievalSettings(quota=20, shortlist=30)
    with pytest.raises(WaymarkError, match="smaller quotas or shortlists"):
        narrow(wide, small, small.model_copy(update=change))


@pytest.mark.slow
def test_between_takes_whole_requests(wide):
    part = between(wide, 10, 25)
    assert len(part) == 15
    assert part.requests.equals(wide.requests[10:25])
    assert part.offsets[0] == 0
    assert part.offsets[-1] == len(part.row) == len(part.numeric)
    for name in ("page", "label", "numeric", "categorical"):
        at = slice(wide.offsets[10], wide.offsets[25])
        np.testing.assert_array_equal(getattr(part, name), getattr(wide, name)[at])
    np.testing.assert_array_equal(part.row, wide.row[wide.offsets[10] : wide.offsets[25]] - 10)
    np.testing.assert_array_equal(part.source_top, wide.source_top[10:25])
