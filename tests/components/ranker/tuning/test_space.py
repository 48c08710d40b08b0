import optuna
import pytest

from components.contract.retrieval import SOURCES, RetrievalSettings
from components.contract.settings import section
from components.ranker.settings import RankerSettings
from components.ranker.tuning.space import KINDS, SPACE, settings_of, widened


def draw(seed):
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed))
    return study.ask(SPACE).params


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("base", [None, {"retrieval": {"quota": 100, "quotas": {"ease": 7}}}])
def test_every_point_is_valid_and_within_what_is_retrieved(seed, base):
    settings = settings_of(draw(seed), base)
    ranker = section(settings, "ranker", RankerSettings)
    assert 1 <= len(ranker.hidden) <= 3
    assert all(upper == lower // 2 for lower, upper in zip(ranker.hidden, ranker.hidden[1:], strict=False))
    wanted = section(settings, "retrieval", RetrievalSettings)
    made = section(widened(base), "retrieval", RetrievalSettings)
    assert wanted.shortlist <= made.shortlist
    assert all(wanted.quota_of(name) <= made.quota_of(name) for name in SOURCES)


def test_defaults_are_within_what_is_retrieved():
    default, made = RetrievalSettings(), section(widened(None), "retrieval", RetrievalSettings)
    assert default.shortlist <= made.shortlist
    assert all(default.quota_of(name) <= made.quota_of(name) for name in SOURCES)


def test_every_source_is_of_a_kind_that_is_searched():
    assert set(KINDS) == set(SOURCES)
    assert {f"quota_{kind}" for kind in KINDS.values()} <= set(SPACE)
    assert KINDS["transitions"] == "likeness"
    assert KINDS["trend_1d"] == KINDS["popularity"] == "trends"


def test_defaults_of_the_ranker_lie_in_the_space():
    ranker = RankerSettings()
    for name in ("dimensions", "learning_rate", "l2", "dropout", "field_dropout", "history_pages"):
        assert SPACE[name].low <= getattr(ranker, name) <= SPACE[name].high


def test_numbers_are_written_as_measured():
    settings = settings_of({"learning_rate": 0.00123456, "dropout": 0.25})
    assert settings["ranker"] == {"learning_rate": 0.00123, "dropout": 0.25}
