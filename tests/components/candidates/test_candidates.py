import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.candidates.examples import CandidateSettings, make_examples, target_positions
from components.candidates.step import run
from components.contract import columns as c
from components.contract.errors import DataError
from components.contract.examples import Examples
from components.contract.features import CATEGORICAL, NUMERIC
from components.contract.requests import HISTORY
from components.contract.retrieval import SOURCES, RetrievalSettings
from components.contract.time import DAY
from tests.support.build import make_dataset, write_sources

POPULARITY = SOURCES.index("popularity")
# Associates 0 and 1 open page 3 before the holdout; associate 1's last page is 4, and so, a day
# later, is associate 0's; associate 2's is 0.
VISITS = [
    (0, 3, 1 * DAY),
    (1, 3, 2 * DAY, c.TRAIN),
    (2, 1, 3 * DAY),
    (1, 4, 4 * DAY, c.HOLDOUT),
    (0, 4, 5 * DAY, c.HOLDOUT),
    (2, 0, 6 * DAY, c.HOLDOUT),
]
FEEDBACK = [{"page": 4, "day": 4, "impressions": 5, "views": 5}]


def build(tmp_path, protocol="time", visits=VISITS, retrieval=None, **settings):
    dataset = make_dataset(
        visits,
        associate={"role": ["x", None, "y"], "shift": ["day", "day", None]},
        page_days=FEEDBACK,
        protocol=protocol,
    )
    folders = write_sources(dataset, tmp_path)
    return make_examples(
        dataset, c.HOLDOUT, folders, retrieval or RetrievalSettings(), CandidateSettings(**settings)
    )


def numbers(examples, name, page):
    """One feature of a page, by request."""
    return examples.numeric[examples.page == page, NUMERIC.index(name)].tolist()


def test_one_request_for_each_interaction_of_the_stage(tmp_path):
    found = build(tmp_path)
    assert found.requests.select(
        "associate_id", "time", "target", "role", "shift", "history_count"
    ).rows() == [
        ("A1", 4 * DAY, 4, "", "day", 1),
        ("A0", 5 * DAY, 4, "x", "day", 1),
        ("A2", 6 * DAY, 0, "y", "", 1),
    ]
    # Nobody had opened page 4 before day 4, nor page 0 ever.
    assert found.requests["page_age_days"].to_list() == [None, 1.0, None]


def test_labels_mark_the_page_that_was_opened(tmp_path):
    found = build(tmp_path)
    assert found.row.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert found.page[found.row == 0].tolist() == [0, 1, 2, 4]
    assert list(zip(found.row[found.label].tolist(), found.page[found.label].tolist(), strict=True)) == [
        (0, 4),
        (1, 4),
        (2, 0),
    ]
    assert found.numeric.shape == (12, len(NUMERIC))
    assert found.values["role"][found.categorical[:, CATEGORICAL.index("role")]].tolist() == [
        *[""] * 4,
        *["x"] * 4,
        *["y"] * 4,
    ]


def test_a_page_outside_the_shortlist_has_no_label(tmp_path):
    whole = build(tmp_path)
    found = build(tmp_path, retrieval=RetrievalSettings(shortlist=1))
    assert np.bincount(found.row).tolist() == [1, 1, 1]
    assert found.label.sum() <= whole.label.sum()
    targets = found.requests["target"].to_numpy()
    np.testing.assert_array_equal(found.label, found.page == targets[found.row])


def test_time_shows_what_happened_a_moment_before(tmp_path):
    found = build(tmp_path, "time")
    assert numbers(found, "popularity.count", 4) == pytest.approx(np.log1p([0, 1, 2]))
    assert numbers(found, "page_unopened", 4) == [1, 0, 0]
    # Opened before, and not seen: page 1 once; pages 1 and 4 once; pages 3 and 4 twice.
    assert found.source_better[:, POPULARITY].tolist() == [1, 0, 2]
    assert found.source_ties[:, POPULARITY].tolist() == [2, 1, 1]


def test_lastout_hides_the_stage_and_its_feedback(tmp_path):
    found = build(tmp_path, "lastout")
    assert numbers(found, "popularity.count", 4) == [0, 0, 0]
    assert numbers(found, "page_unopened", 4) == [1, 1, 1]
    # Request 2 comes after page 4's five views.
    assert numbers(found, "click_rate", 4) == [0, 0, 0]
    assert numbers(build(tmp_path, "time"), "click_rate", 4)[2] > 0
    # Opened before, and not seen: page 1 once, page 1 once, page 3 twice; all the rest tie.
    assert found.source_better[:, POPULARITY].tolist() == [1, 1, 1]
    assert found.source_ties[:, POPULARITY].tolist() == [2, 2, 2]
    assert found.requests["page_age_days"].to_list() == [None, None, None]


def test_each_sources_ten_best(tmp_path):
    found = build(tmp_path)
    assert found.source_top.shape == (3, len(SOURCES), 10)
    # Before request 2: pages 3 and 4 twice, page 1 (seen) once.
    assert found.source_top[2, POPULARITY].tolist() == [3, 4, *[-1] * 8]


def test_histories_hold_what_was_opened_strictly_before(tmp_path):
    found = build(tmp_path).history
    assert found.page[:, :2].tolist() == [[3, -1], [3, -1], [1, -1]]
    assert found.opened[:, 0].tolist() == [2 * DAY, 1 * DAY, 3 * DAY]
    assert found.page.shape == (3, HISTORY)
    np.testing.assert_array_equal(np.isnan(found.opened), found.page < 0)


def test_pages_opened_in_one_moment_know_nothing_of_each_other(tmp_path):
    others = [(1, 0, 1.0), (2, 0, 1.0)]
    visits = [*others, (0, 0, 1.0), (0, 1, 2.0), *((0, page, 3.0, c.HOLDOUT) for page in (2, 3, 4))]
    found = build(tmp_path, visits=visits)
    assert found.requests["target"].to_list() == [2, 3, 4]
    assert found.history.page[:, :3].tolist() == [[1, 0, -1]] * 3
    assert found.history.opened[:, :2].tolist() == [[2.0, 1.0]] * 3


def test_limits_and_seed(tmp_path):
    some = build(tmp_path, holdout_requests=2, seed=1)
    again = build(tmp_path, holdout_requests=2, seed=1)
    assert len(some) == 2
    assert some.requests.equals(again.requests)
    np.testing.assert_array_equal(some.numeric, again.numeric)


def test_a_stage_without_requests_is_explained(tmp_path):
    with pytest.raises(DataError, match="no first engagement falls into the holdout part"):
        build(tmp_path, visits=VISITS[:3])


def test_step_writes_what_was_made(tmp_path):
    made = build(tmp_path)
    make_dataset(
        VISITS,
        associate={"role": ["x", None, "y"], "shift": ["day", "day", None]},
        page_days=FEEDBACK,
    ).save(tmp_path / "dataset")
    folders = {p.name: p for p in tmp_path.iterdir() if p.name != "dataset"}
    figures = run(tmp_path / "dataset", folders, tmp_path / "examples", c.HOLDOUT)
    assert figures == {"requests": 3, "candidates_per_request": 4.0, "shortlist_recall": 1.0}
    found = Examples.load(tmp_path / "examples")
    np.testing.assert_array_equal(found.numeric, made.numeric)
    np.testing.assert_array_equal(found.label, made.label)


@given(
    scores=st.lists(st.lists(st.integers(0, 3), min_size=6, max_size=6), min_size=1, max_size=4),
    seen=st.sets(st.integers(1, 5)),
)
def test_positions_against_a_loop(scores, seen):
    array = np.array(scores, np.float32)
    mask = np.zeros(array.shape, bool)
    mask[:, list(seen)] = True
    better, ties = target_positions(array, np.zeros(len(scores), np.int32), mask)
    for row, values in enumerate(scores):
        others = [values[page] for page in range(1, 6) if page not in seen]
        assert better[row] == sum(value > values[0] for value in others)
        assert ties[row] == sum(value == values[0] for value in others)
