import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from components.contract import ranking
from components.contract.errors import DataError, ReleaseError
from components.contract.features import CATEGORICAL, PAGE
from components.contract.ranking import Ranker
from components.ranker.export import save
from components.ranker.settings import RankerSettings
from components.ranker.training import train
from tests.support.build import shaken, toy_examples, with_random_history


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Examples and the folder of a ranker trained on them."""
    examples = toy_examples(30, 5)
    path = tmp_path_factory.mktemp("ranking") / "ranker"
    settings = RankerSettings(dimensions=4, hidden=(8,), epochs=1, refit=False)
    save(train(examples, settings), examples.values, path)
    return examples, path


@pytest.fixture(scope="module")
def attentive(tmp_path_factory):
    """Examples with histories and the folder of a ranker that looks at four pages."""
    examples = with_random_history(toy_examples(30, 5), 6)
    path = tmp_path_factory.mktemp("attentive") / "ranker"
    settings = RankerSettings(dimensions=4, hidden=(8,), epochs=1, refit=False, history_pages=4)
    save(shaken(train(examples, settings)), examples.values, path)
    return examples, path


def test_another_catalogue_names_the_histories_in_its_own_way(attentive):
    examples, path = attentive
    loaded, draw = Ranker(path), np.random.default_rng(0)
    order = draw.permutation(len(examples.values["page_id"]) - 1)
    moved = {**examples.values, "page_id": np.array(["", *examples.values["page_id"][1:][order]])}
    place = np.argsort(order).astype(np.int32)
    codes = examples.categorical.copy()
    codes[:, PAGE] = place[codes[:, PAGE] - 1] + 1
    history = examples.history
    there = history._replace(page=np.where(history.page >= 0, place[history.page], np.int32(-1)))
    np.testing.assert_allclose(
        loaded.bind(moved)(examples.numeric, codes, there),
        loaded.bind(examples.values)(examples.numeric, examples.categorical, history),
        atol=1e-6,
    )


def test_scoring_histories_in_parts_changes_nothing(attentive, monkeypatch):
    examples, path = attentive
    bound, given = Ranker(path).bind(examples.values), (examples.numeric, examples.categorical)
    whole = bound(*given, examples.history)
    monkeypatch.setattr(ranking, "_ROWS", 7)
    np.testing.assert_allclose(bound(*given, examples.history), whole, atol=1e-6)
    alone = [
        bound(*(part[n : n + 1] for part in given), examples.history.of(slice(n, n + 1)))[0] for n in range(9)
    ]
    np.testing.assert_allclose(alone, whole[:9], atol=1e-6)
    assert np.abs(bound(*given, examples.history.hidden(np.ones(len(whole), bool))) - whole).max() > 1e-4


def test_only_so_many_pages_are_looked_at(attentive):
    examples, path = attentive
    bound, given = Ranker(path).bind(examples.values), (examples.numeric, examples.categorical)
    page = examples.history.page.copy()
    page[:, 4:] = 3
    np.testing.assert_array_equal(
        bound(*given, examples.history._replace(page=page)), bound(*given, examples.history)
    )


def test_a_ranker_that_needs_histories_says_so(attentive):
    examples, path = attentive
    ranker = Ranker(path)
    with pytest.raises(DataError, match=r"latest 4 pages .* hold 0"):
        ranker.bind(examples.values)(examples.numeric, examples.categorical)
    with pytest.raises(DataError, match="latest 4 pages, and none are given"):
        ranker(examples.numeric[:1], np.full((1, len(CATEGORICAL)), ""))


@pytest.mark.parametrize("lost", ["attention_in", "attention_age"])
def test_incomplete_attention_is_named(attentive, tmp_path, lost):
    shutil.copytree(attentive[1], tmp_path / "ranker")
    with np.load(tmp_path / "ranker" / "weights.npz") as file:
        parts = {name: file[name] for name in file.files if name != f"0.{lost}"}
    np.savez(tmp_path / "ranker" / "weights.npz", **parts)
    with pytest.raises(ReleaseError, match=r"weights.npz is incomplete .*; train it again"):
        Ranker(tmp_path / "ranker")


@pytest.fixture
def copy(made, tmp_path):
    shutil.copytree(made[1], tmp_path / "ranker")
    return tmp_path / "ranker"


def test_another_catalogue_numbers_its_values_in_its_own_way(made):
    """Bound to a catalogue with gone, new and reordered values, scores are those of the text."""
    examples, path = made
    loaded, draw = Ranker(path), np.random.default_rng(0)
    values = {n: np.array(["", "new one", *draw.permutation(v[2:])]) for n, v in examples.values.items()}
    codes = np.stack([draw.integers(0, len(values[n]), 150) for n in CATEGORICAL], axis=1).astype(np.int32)
    text = np.stack([values[n][codes[:, i]] for i, n in enumerate(CATEGORICAL)], axis=1)
    np.testing.assert_allclose(
        loaded.bind(values)(examples.numeric, codes), loaded(examples.numeric, text), atol=1e-6
    )


def test_scoring_in_parts_changes_nothing(made, monkeypatch):
    examples, path = made
    bound = Ranker(path).bind(examples.values)
    whole = bound(examples.numeric, examples.categorical)
    monkeypatch.setattr(ranking, "_ROWS", 7)
    np.testing.assert_allclose(bound(examples.numeric, examples.categorical), whole, atol=1e-6)


def test_no_candidates(made):
    examples, path = made
    bound = Ranker(path).bind(examples.values)
    assert bound(examples.numeric[:0], examples.categorical[:0]).shape == (0,)


def test_order_of_candidates_does_not_matter(made):
    examples, path = made
    bound = Ranker(path).bind(examples.values)
    back = replace(examples, numeric=examples.numeric[::-1], categorical=examples.categorical[::-1])
    np.testing.assert_allclose(
        bound(back.numeric, back.categorical)[::-1], bound(examples.numeric, examples.categorical), atol=1e-6
    )


def test_missing_folder_is_named(tmp_path):
    with pytest.raises(ReleaseError, match="nowhere holds no ranker"):
        Ranker(tmp_path / "nowhere")


def test_missing_model_is_named(copy):
    (copy / "weights.npz").unlink()
    with pytest.raises(ReleaseError, match="holds no ranker"):
        Ranker(copy)


def test_incomplete_weights_are_named(copy):
    with np.load(copy / "weights.npz") as file:
        parts = {name: file[name] for name in file.files if name != "values.page_id"}
    np.savez(copy / "weights.npz", **parts)
    with pytest.raises(ReleaseError, match=r"incomplete \('values.page_id'\); train it again"):
        Ranker(copy)


def test_other_features_are_refused(copy):
    features = json.loads((copy / "features.json").read_text())
    features["categorical"].reverse()
    (copy / "features.json").write_text(json.dumps(features))
    with pytest.raises(ReleaseError, match="takes other features than this version computes; train it again"):
        Ranker(copy)


def test_what_candidates_share_does_not_matter(made):
    """Alone, a candidate shares every number and code with all others there are."""
    examples, path = made
    bound = Ranker(path).bind(examples.values)
    whole = bound(examples.numeric, examples.categorical)
    alone = [bound(examples.numeric[n : n + 1], examples.categorical[n : n + 1])[0] for n in range(30)]
    np.testing.assert_allclose(alone, whole[:30], atol=1e-6)
