import json

import numpy as np
import pytest

from components.contract.errors import DataError
from components.contract.examples import Examples
from tests.support.build import toy_examples, with_random_history


def test_save_and_load(tmp_path):
    made = toy_examples(6, 4)
    made.save(tmp_path / "examples")
    found = Examples.load(tmp_path / "examples")
    assert found.requests.equals(made.requests)
    assert found.sources == made.sources
    assert len(found) == 6
    for name in (
        "numeric",
        "categorical",
        "row",
        "page",
        "label",
        "position",
        "source_better",
        "source_ties",
        "source_top",
    ):
        np.testing.assert_array_equal(getattr(found, name), getattr(made, name))
        assert getattr(found, name).dtype == getattr(made, name).dtype
    for name, values in made.values.items():
        np.testing.assert_array_equal(found.values[name], values)


def test_histories_go_with_their_requests(tmp_path):
    made = with_random_history(toy_examples(6, 4), 3)
    made.save(tmp_path / "examples")
    found = Examples.load(tmp_path / "examples")
    for one, other in zip(found.history, made.history, strict=True):
        np.testing.assert_array_equal(one, other)
    assert made.history.page.dtype == np.int32
    some = made.take(np.array([4, 1]))
    np.testing.assert_array_equal(some.history.page, made.history.page[[4, 1]])
    assert some.history.row.tolist() == [0] * 4 + [1] * 4
    joined = Examples.concatenate([made.take(np.array([3, 5])), made.take(np.array([0, 4]))])
    np.testing.assert_array_equal(joined.history.opened, made.history.opened[[0, 3, 4, 5]])


def test_examples_of_earlier_versions_know_of_no_page(tmp_path):
    made = toy_examples(6, 4)
    old = Examples(**{**made.__dict__, "requests": made.requests.drop("history_page", "history_time")})
    old.save(tmp_path / "examples")
    found = Examples.load(tmp_path / "examples").history
    assert found.page.shape == found.opened.shape == (6, 0)
    assert found.latest(0).page.shape == (6, 0)
    with pytest.raises(DataError, match="run the candidates step again"):
        found.latest(1)


def test_offsets_also_of_requests_without_candidates():
    made = toy_examples(4, 3)
    kept = made.row != 2
    fewer = Examples(**{**made.__dict__, "row": made.row[kept]})
    assert made.offsets.tolist() == [0, 3, 6, 9, 12]
    assert fewer.offsets.tolist() == [0, 3, 6, 6, 9]


def test_missing_folder_is_named(tmp_path):
    with pytest.raises(DataError, match="nowhere holds no examples"):
        Examples.load(tmp_path / "nowhere")


def test_examples_with_other_features_are_refused(tmp_path):
    toy_examples(2, 3).save(tmp_path / "examples")
    path = tmp_path / "examples" / "meta.json"
    meta = json.loads(path.read_text())
    meta["numeric"][0] = "something else"
    path.write_text(json.dumps(meta))
    with pytest.raises(DataError, match="run the candidates step again"):
        Examples.load(tmp_path / "examples")
