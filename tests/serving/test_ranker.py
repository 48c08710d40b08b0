"""Both runtimes give one answer; TensorFlow runs on the CPU here."""

import builtins
import shutil
import sys

import numpy as np
import pytest

from components.contract.errors import ReleaseError, WaymarkError
from components.contract.ranking import Ranker
from components.contract.release import load
from components.ranker.export import save
from components.ranker.settings import RankerSettings
from components.ranker.training import train
from serving.engine import Engine
from serving.payloads import Context, Instance
from serving.ranker import SavedModelRanker, load_ranker
from serving.service import Service
from serving.settings import ServingSettings, read_settings
from tests.support.build import shaken, toy_examples, with_random_history

SETTINGS = {"dimensions": 4, "hidden": [8], "epochs": 4, "members": 2, "learning_rate": 0.05}


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Examples and two rankers of different weights."""
    examples, folder = toy_examples(40, 6), tmp_path_factory.mktemp("rankers")
    for name, seed in (("one", 1), ("other", 2)):
        save(train(examples, RankerSettings(**SETTINGS, seed=seed)), examples.values, folder / name)
    return examples, folder / "one", folder / "other"


@pytest.mark.slow
def test_both_runtimes_give_the_same_scores(exported):
    examples, path, _ = exported
    given = (examples.numeric, examples.categorical)
    plain, graph = (load_ranker(path, name).bind(examples.values)(*given) for name in ("numpy", "tensorflow"))
    assert graph.dtype == np.float32
    np.testing.assert_allclose(graph, plain, atol=1e-6)
    assert graph.std() > 1e-4
    one = load_ranker(path, "tensorflow").bind(examples.values)(*(part[:1] for part in given))
    np.testing.assert_allclose(one, plain[:1], atol=1e-6)


@pytest.mark.slow
def test_both_runtimes_look_at_one_history(tmp_path):
    examples = with_random_history(toy_examples(40, 6), 5)
    trained = shaken(train(examples, RankerSettings(**SETTINGS, history_pages=4)))
    save(trained, examples.values, tmp_path / "ranker")
    given = (examples.numeric, examples.categorical, examples.history)
    plain, graph = (
        load_ranker(tmp_path / "ranker", name).bind(examples.values)(*given)
        for name in ("numpy", "tensorflow")
    )
    np.testing.assert_allclose(graph, plain, rtol=1e-5, atol=1e-6)
    assert graph.std() > 1e-4


@pytest.mark.slow
def test_it_is_the_saved_model_that_scores(exported, tmp_path):
    """With another's SavedModel beside the weights, the other's scores come out."""
    examples, path, other = exported
    shutil.copytree(path, tmp_path / "mixed")
    shutil.rmtree(tmp_path / "mixed" / "saved_model")
    shutil.copytree(other / "saved_model", tmp_path / "mixed" / "saved_model")
    given = (examples.numeric, examples.categorical)
    found = load_ranker(tmp_path / "mixed", "tensorflow").bind(examples.values)(*given)
    np.testing.assert_allclose(found, Ranker(other).bind(examples.values)(*given), atol=1e-6)
    assert not np.allclose(found, Ranker(path).bind(examples.values)(*given), atol=1e-4)


@pytest.mark.slow
def test_without_a_saved_model_there_is_no_release(exported, tmp_path):
    shutil.copytree(exported[1], tmp_path / "ranker", ignore=shutil.ignore_patterns("saved_model"))
    with pytest.raises(ReleaseError, match="no SavedModel with the signature score"):
        load_ranker(tmp_path / "ranker", "tensorflow")


@pytest.mark.slow
def test_without_tensorflow_the_message_names_the_way_out(exported, monkeypatch):
    real = builtins.__import__

    def without(name, *arguments, **more):
        if name.partition(".")[0] == "tensorflow":
            raise ImportError(name)
        return real(name, *arguments, **more)

    monkeypatch.delitem(sys.modules, "components.contract.tf")
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(WaymarkError, match=r"WAYMARK_RANKER=tensorflow: .* image serving-gpu"):
        SavedModelRanker(exported[1])


def test_the_variable_is_checked(monkeypatch):
    monkeypatch.setenv("WAYMARK_RANKER", "tensorflow")
    assert read_settings().ranker == "tensorflow"
    monkeypatch.setenv("WAYMARK_RANKER", "torch")
    with pytest.raises(WaymarkError, match=r"^WAYMARK_RANKER: .*'numpy' or 'tensorflow'.*got 'torch'"):
        read_settings()


@pytest.mark.slow
def test_an_engine_answers_the_same_over_either(small_release):
    release = load(small_release)
    plain = Engine(release)
    graph = Service(release, settings=ServingSettings(ranker="tensorflow")).engine
    instances = [
        Instance(associate_id=who, limit=10, context=Context(time=plain.last_event + 60))
        for who in [*plain.examples(20), "nobody"]
    ]
    for one, two in zip(plain.recommend(instances), graph.recommend(instances), strict=True):
        assert two["fallback"] == one["fallback"]
        scores = [[item["score"] for item in answer["items"]] for answer in (one, two)]
        np.testing.assert_allclose(*scores, atol=1e-5)
        pages = [[item["page_id"] for item in answer["items"]] for answer in (one, two)]
        # Pages whose scores are closer than rounding may change places.
        assert sorted(pages[0]) == sorted(pages[1])
