import numpy as np
import pytest

from components.contract.errors import DataError
from components.contract.retrieval import SOURCES, RetrievalSettings
from components.evaluate import metrics
from components.ranker.settings import RankerSettings
from components.ranker.training import train
from components.ranker.tuning.measure import measure, ndcg
from components.ranker.tuning.narrowing import between

QUICK = {
    "ranker": {"dimensions": 4, "hidden": [16], "epochs": 3, "batch_requests": 32, "learning_rate": 0.01}
}
MADE = RetrievalSettings()


@pytest.fixture(scope="module")
def toys(ranked_toys):
    return ranked_toys(120, 8)


def test_ndcg_agrees_with_the_evaluation():
    draw = np.random.default_rng(3)
    row = np.repeat(np.arange(50), 15)
    logits = draw.normal(size=750).astype(np.float32)
    label = np.zeros(750, bool)
    label[np.arange(40) * 15 + draw.integers(0, 15, 40)] = True
    expected = metrics.ndcg(*metrics.positions(logits, row.astype(np.int32), label, 50, 1000), 10).mean()
    assert ndcg(logits, row, label, 50) == pytest.approx(expected)


def test_judged_requests_are_not_trained_on(toys, monkeypatch):
    trained_on = []

    def spy(examples, settings, on_epoch=None):
        trained_on.append(examples.requests)
        assert not settings.refit
        return train(examples, settings, on_epoch)

    monkeypatch.setattr("components.ranker.tuning.measure.train", spy)
    for period in (0, 1):
        measure(toys, MADE, QUICK, judged_share=0.25, period=period)
    assert [len(requests) for requests in trained_on] == [90, 60]
    assert trained_on[0].equals(toys.requests[:90])
    assert trained_on[1].equals(toys.requests[:60])


def test_losses_count_missing_pages_as_a_guess_among_all(toys):
    told = []
    found = measure(toys, MADE, QUICK, judged_share=0.25, on_epoch=lambda *at: told.append(at))
    assert [epoch for epoch, _ in told] == list(range(1, len(told) + 1))
    assert found.loss == min(loss for _, loss in told)
    # All requests are answered, so the loss is the ranker's own.
    plain = []
    chosen = RankerSettings.model_validate(QUICK["ranker"])
    train(between(toys, 0, 90), chosen, lambda epoch, loss: plain.append((epoch, loss)))
    assert [loss for _, loss in told] == pytest.approx([loss for _, loss in plain], rel=1e-3)

    # No source may propose, so four of the eight pages stay, by a count that knows nothing.
    settings = {**QUICK, "retrieval": {"quotas": dict.fromkeys(SOURCES, 0), "shortlist": 4}}
    short = []
    halved = measure(toys, MADE, settings, judged_share=0.25, on_epoch=lambda *at: short.append(at[1]))
    assert 0.2 < halved.recall < 0.8
    assert short[0] > 0.2 * np.log(40) + 0.2 * np.log(4) / 2
    assert halved.ndcg <= halved.recall


def test_an_exception_from_on_epoch_ends_the_training(toys):
    def stop(epoch, loss):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure(toys, MADE, QUICK, judged_share=0.25, on_epoch=stop)


def test_too_few_requests_are_named(ranked_toys):
    with pytest.raises(DataError, match="1 training requests are too few"):
        measure(ranked_toys(1, 4), MADE, QUICK, judged_share=0.25)
