import json
from types import SimpleNamespace

import pytest

from components.contract.errors import WaymarkError
from components.evaluate import smoke as step
from components.evaluate.component import smoke

pytestmark = pytest.mark.slow
SOURCES = ("transitions", "neighbours", "skip_gram", "two_tower")


@pytest.fixture
def parts(small_run):
    """Folders of a release's parts, as the steps left them."""
    work = small_run / "work"
    found = {name: work / "3" / name for name in (*SOURCES, "trending")}
    return {
        **found,
        "content_similarity": work / "content_similarity",
        "ranker": work / "ranker",
        "dataset": work / "dataset",
    }


def call(parts, out, settings=None):
    sources = {name: parts[name] for name in (*SOURCES, "content_similarity")}
    return step.run(parts["dataset"], sources, parts["trending"], parts["ranker"], out, settings)


def test_predictions_are_timed_one_by_one(parts, tmp_path):
    figures = call(parts, tmp_path / "latency.json", {"smoke": {"requests": 7}})
    assert json.loads((tmp_path / "latency.json").read_text()) == figures
    assert figures["requests"] == 7
    assert 0 < figures["median_ms"] <= figures["slowest_ms"]
    assert 1 <= figures["shortest_list"] <= 80


def test_slowness_is_seen(parts, tmp_path, monkeypatch):
    """A retriever that takes 50 ms more makes the median at least that."""
    real = step.load_retriever

    def slow(*arguments):
        retriever = real(*arguments)
        shortlist = retriever.shortlist
        monkeypatch.setattr(
            retriever, "shortlist", lambda *given: (step.time.sleep(0.05), shortlist(*given))[1]
        )
        return retriever

    monkeypatch.setattr(step, "load_retriever", slow)
    assert call(parts, tmp_path / "latency.json", {"smoke": {"requests": 5}})["median_ms"] >= 50


def test_parts_that_do_not_fit_are_found(parts, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(WaymarkError, match="holds no ranker"):
        call({**parts, "ranker": tmp_path / "empty"}, tmp_path / "latency.json")


def test_component(parts, tmp_path):
    logged = {}
    smoke.python_func(
        **{name: SimpleNamespace(path=str(path)) for name, path in parts.items()},
        settings={"smoke": {"requests": 3}},
        latency=SimpleNamespace(path=str(tmp_path / "latency.json")),
        metrics=SimpleNamespace(log_metric=logged.__setitem__),
    )
    assert set(logged) == {"requests", "median_ms", "slowest_ms", "shortest_list"}
