import json
from types import SimpleNamespace

import numpy as np
import pytest

from components.contract.features import CATEGORICAL, NUMERIC
from components.contract.ranking import Ranker
from components.contract.tf import tf
from components.ranker.component import ranker
from components.ranker.export import save
from components.ranker.settings import RankerSettings
from components.ranker.training import score, train
from tests.support.build import shaken, toy_examples, with_random_history

SETTINGS = {
    "dimensions": 4,
    "hidden": [8],
    "epochs": 2,
    "members": 2,
    "learning_rate": 0.05,
    "completion_share": 0.5,
    "dwell_share": 0.2,
}


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Examples, the ranker in memory and the folder that it was written to."""
    examples = toy_examples(40, 6)
    trained = train(examples, RankerSettings(**SETTINGS))
    path = tmp_path_factory.mktemp("ranker") / "ranker"
    save(trained, examples.values, path)
    return examples, trained, path


def text_of(examples, codes):
    return np.stack([examples.values[n][codes[:, i]] for i, n in enumerate(CATEGORICAL)], axis=1)


def test_text_codes_memory_and_saved_model_give_the_same_scores(exported):
    examples, trained, path = exported
    logits = score(trained.members, examples.numeric, examples.categorical)
    expected = 1 / (1 + np.exp(-(trained.slope * logits + trained.intercept)))
    loaded = Ranker(path)
    by_text = loaded(examples.numeric, text_of(examples, examples.categorical))
    by_code = loaded.bind(examples.values)(examples.numeric, examples.categorical)
    assert by_text.shape == (240,)
    np.testing.assert_allclose(by_text, expected, atol=1e-6)
    np.testing.assert_allclose(by_code, expected, atol=1e-6)
    np.testing.assert_allclose(by_text, by_code, atol=1e-6)
    model = tf.saved_model.load(str(path / "saved_model"))
    text = np.char.encode(text_of(examples, examples.categorical), "utf-8").astype(object)
    served = model.signatures["serving_default"](
        numeric=tf.constant(examples.numeric), categorical=tf.constant(text, tf.string)
    )
    np.testing.assert_allclose(served["score"].numpy(), expected, atol=1e-6)
    assert ((by_text > 0) & (by_text < 1)).all()


def test_without_histories_the_saved_model_asks_for_none(exported):
    signatures = tf.saved_model.load(str(exported[2] / "saved_model")).signatures
    for name, inputs in (("score", {"numeric", "codes"}), ("serving_default", {"numeric", "categorical"})):
        assert set(signatures[name].structured_input_signature[1]) == inputs


def test_text_codes_memory_and_saved_model_look_at_one_history(tmp_path):
    examples = with_random_history(toy_examples(40, 6), 5)
    trained = shaken(train(examples, RankerSettings(**SETTINGS, history_pages=3, attention_units=4)))
    save(trained, examples.values, tmp_path / "ranker")
    given = (examples.numeric, examples.categorical)
    logits = score(trained.members, *given, examples.history)
    expected = 1 / (1 + np.exp(-(trained.slope * logits + trained.intercept)))
    loaded = Ranker(tmp_path / "ranker")
    assert loaded.history_pages == 3
    np.testing.assert_allclose(
        loaded.bind(examples.values)(*given, examples.history), expected, rtol=1e-5, atol=1e-6
    )

    coded = examples.history.latest(3)
    named = coded._replace(page=examples.values["page_id"][coded.page])
    text = text_of(examples, examples.categorical)
    np.testing.assert_allclose(loaded(examples.numeric, text, named), expected, rtol=1e-5, atol=1e-6)
    signatures = tf.saved_model.load(str(tmp_path / "ranker" / "saved_model")).signatures
    history = {f"history_{name}": tf.constant(part) for name, part in coded._asdict().items()}
    numeric = tf.constant(examples.numeric)
    served = signatures["score"](numeric=numeric, codes=tf.constant(examples.categorical), **history)
    np.testing.assert_allclose(served["score"].numpy(), expected, rtol=1e-5, atol=1e-6)
    history["history_page"] = tf.constant(np.char.encode(named.page, "utf-8").astype(object), tf.string)
    words = tf.constant(np.char.encode(text, "utf-8").astype(object), tf.string)
    served = signatures["serving_default"](numeric=numeric, categorical=words, **history)
    np.testing.assert_allclose(served["score"].numpy(), expected, rtol=1e-5, atol=1e-6)

    # It matters, and pages that the ranker never saw are none.
    blank = named._replace(page=np.full_like(named.page, ""))
    unseen = named._replace(page=np.full(named.page.shape, "Ünseen ✓"))
    without = loaded(examples.numeric, text, blank)
    assert np.abs(without - expected).max() > 1e-4
    np.testing.assert_array_equal(loaded(examples.numeric, text, unseen), without)


def test_unseen_text_is_unknown(exported):
    examples, _, path = exported
    loaded = Ranker(path)
    unknown = loaded(examples.numeric[:3], np.full((3, len(CATEGORICAL)), ""))
    unseen = loaded(examples.numeric[:3], np.full((3, len(CATEGORICAL)), "Ünseen ✓"))
    np.testing.assert_array_equal(unseen, unknown)
    known = loaded(examples.numeric[:3], text_of(examples, examples.categorical[:3]))
    assert not np.allclose(known, unknown)


def test_features_are_written_in_their_order(exported):
    found = json.loads((exported[2] / "features.json").read_text())
    assert tuple(found["numeric"]) == NUMERIC
    assert tuple(found["categorical"]) == CATEGORICAL


@pytest.mark.slow
@pytest.mark.parametrize("pages", [0, 3])
def test_component_exports_the_ranker_and_its_ablations(tmp_path, pages):
    examples = with_random_history(toy_examples(40, 6), 5)
    examples.save(tmp_path / "examples")
    logged = {}
    ranker.python_func(
        examples=SimpleNamespace(path=str(tmp_path / "examples")),
        settings={"ranker": {**SETTINGS, "history_pages": pages}},
        model=SimpleNamespace(path=str(tmp_path / "ranker")),
        metrics=SimpleNamespace(log_metric=logged.__setitem__),
    )
    assert (logged["requests"], logged["candidates"]) == (40, 240)
    folders = [
        tmp_path / "ranker",
        *(tmp_path / "ranker" / "ablations" / n for n in ("without_deep", "without_fm")),
    ]
    # Without the deep network there is nothing that could look at histories.
    assert [Ranker(f).history_pages for f in folders] == [pages, 0, pages]
    given = (examples.numeric, examples.categorical, examples.history)
    whole, *reduced = (Ranker(f).bind(examples.values)(*given) for f in folders)
    for scores in reduced:
        assert np.isfinite(scores).all()
        assert not np.allclose(scores, whole)
