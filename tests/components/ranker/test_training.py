from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.contract.errors import DataError
from components.contract.features import CATEGORICAL
from components.contract.tf import tf
from components.evaluate.metrics import ndcg, positions
from components.ranker.settings import RankerSettings
from components.ranker.training import listwise_loss, outcome_loss, platt, pointwise_loss, score, train
from tests.support.build import continuing_examples, toy_examples, with_random_history

QUICK = RankerSettings(dimensions=4, hidden=(16,), epochs=2, batch_requests=32, learning_rate=0.01)
# Two requests of two and three candidates.
LOGITS = tf.constant([1.0, 2.0, 0.0, 3.0, -1.0])
ROW = tf.constant([0, 0, 1, 1, 1])
LABEL = tf.constant([True, False, False, True, False])


def test_listwise_loss_by_hand():
    first = np.log(np.exp(1) + np.exp(2)) - 1
    second = np.log(np.exp(0) + np.exp(3) + np.exp(-1)) - 3
    assert float(listwise_loss(LOGITS, ROW, LABEL)) == pytest.approx((first + second) / 2, rel=1e-6)


def test_listwise_loss_forgives_the_hopeless():
    p = np.exp([1.0, 3.0]) / [np.exp(1) + np.exp(2), np.exp(0) + np.exp(3) + np.exp(-1)]
    for q in (0.3, 1.0):
        loss = float(listwise_loss(LOGITS, ROW, LABEL, q))
        assert loss == pytest.approx(((1 - p**q) / q).mean(), rel=1e-6)
    # The opened page is all but impossible: cross-entropy has no bound, this one has.
    hopeless = LOGITS - 1000.0 * tf.cast(LABEL, tf.float32)
    assert float(listwise_loss(hopeless, ROW, LABEL, 0.3)) == pytest.approx(1 / 0.3, rel=1e-6)


@pytest.mark.parametrize("q", [0.0, 0.3])
def test_listwise_loss_of_large_logits_and_shifts(q):
    loss = float(listwise_loss(LOGITS + 1000.0, ROW, LABEL, q))
    assert loss == pytest.approx(float(listwise_loss(LOGITS, ROW, LABEL, q)), rel=1e-4)


def test_pointwise_loss_by_hand():
    opened = np.log1p(np.exp(-np.array([1.0, 3.0]))).sum()
    others = np.log1p(np.exp(np.array([2.0, 0.0, -1.0]))).sum()
    assert float(pointwise_loss(LOGITS, ROW, LABEL)) == pytest.approx((opened + others) / 2, rel=1e-6)


@pytest.mark.parametrize(("slope", "intercept"), [(1.0, 0.0), (2.5, -3.0), (0.4, 1.0)])
def test_platt_recovers_what_made_the_labels(slope, intercept):
    draw = np.random.default_rng(4)
    logits = draw.normal(0, 2, 60_000).astype(np.float32)
    label = draw.random(60_000) < 1 / (1 + np.exp(-(slope * logits + intercept)))
    found = platt(logits, label)
    assert found == pytest.approx((slope, intercept), abs=0.08)


@settings(max_examples=50)
@given(pairs=st.lists(st.tuples(st.floats(-50, 50, width=32), st.booleans()), min_size=1, max_size=30))
def test_platt_keeps_the_order(pairs):
    slope, intercept = platt(np.array([p[0] for p in pairs], np.float32), np.array([p[1] for p in pairs]))
    assert slope > 0
    assert np.isfinite([slope, intercept]).all()


def test_one_seed_gives_the_same_scores():
    examples = toy_examples(60, 6)
    first, again = (train(examples, QUICK) for _ in range(2))
    other = train(examples, QUICK.model_copy(update={"seed": 8}))
    one, two, three = (
        score(t.members, examples.numeric, examples.categorical) for t in (first, again, other)
    )
    np.testing.assert_array_equal(one, two)
    assert (first.slope, first.intercept) == (again.slope, again.intercept)
    assert first.figures == again.figures
    assert not np.allclose(one, three)


def test_one_seed_gives_the_same_scores_with_histories_too():
    examples = with_random_history(toy_examples(60, 6), 5)
    given = (examples.numeric, examples.categorical, examples.history)
    quick = QUICK.model_copy(update={"history_pages": 4, "refit": False})
    one, two = (score(train(examples, quick).members, *given) for _ in range(2))
    np.testing.assert_array_equal(one, two)


def test_examples_without_histories_are_refused_only_where_they_are_needed():
    examples = toy_examples(20, 4)
    old = replace(examples, requests=examples.requests.drop("history_page", "history_time"))
    quick = QUICK.model_copy(update={"epochs": 1, "refit": False})
    assert train(old, quick).figures == train(examples, quick).figures
    with pytest.raises(DataError, match=r"latest 3 pages .* run the candidates step again"):
        train(old, quick.model_copy(update={"history_pages": 3}))


@pytest.mark.slow
def test_the_continuation_of_an_older_page_is_learned_from_the_history():
    """Chance is 0.55. No number and no code says what was opened before: only the history does."""
    examples, unseen = continuing_examples(1500, seed=1), continuing_examples(500, seed=2)

    def gain(pages):
        settings = QUICK.model_copy(
            update={"epochs": 12, "average": 0.95, "refit": False, "dimensions": 8, "history_pages": pages}
        )
        # The loss is half as steep where all pages look alike, as they do for long here: so is the decay.
        found = train(
            examples, settings.model_copy(update={"dropout": 0.0, "field_dropout": 0.1, "l2": 5e-4})
        )
        logits = score(found.members, unseen.numeric, unseen.categorical, unseen.history)
        return ndcg(*positions(logits, unseen.row, unseen.label, 500, 20), 10).mean()

    assert gain(0) < 0.6
    assert gain(6) > 0.8


def test_bins_are_cut_where_opened_pages_are():
    """Nine of ten candidates lie below 1 and all opened pages above: half of the bins are theirs."""
    examples = toy_examples(100, 10)
    draw = np.random.default_rng(3)
    examples.numeric[:, 0] = draw.random(1000) + examples.label
    quick = QUICK.model_copy(update={"epochs": 1, "refit": False, "numeric_bins": 8})
    edges = train(examples, quick).members[0].edges.numpy()[0]
    # One bin in ten of the candidates' half is above 1 too.
    assert (edges[:-1] < 1).sum() in (3, 4)
    assert edges[-1] == pytest.approx(examples.numeric[:, 0].max(), abs=1e-5)


def test_large_seeds_are_seeds_too():
    found = train(
        toy_examples(20, 4), QUICK.model_copy(update={"seed": 20_261_124, "refit": False, "epochs": 1})
    )
    assert np.isfinite(found.figures["validation_loss"])


@pytest.mark.parametrize(
    "change", [{}, {"use_fm": False}, {"use_deep": False}, {"members": 2, "pointwise_weight": 0.1}]
)
@pytest.mark.slow
def test_what_can_be_learned_is_learned(change):
    """Chance is 0.38: ten of twelve places, each as likely."""
    examples, unseen = toy_examples(600, 12, seed=1), toy_examples(300, 12, seed=2)
    trained = train(examples, QUICK.model_copy(update={"epochs": 6, **change}))
    assert len(trained.members) == change.get("members", 1)
    logits = score(trained.members, unseen.numeric, unseen.categorical)
    better, ties = positions(logits, unseen.row, unseen.label, 300, 40)
    assert ndcg(better, ties, 10).mean() > 0.62
    # Calibrated: probabilities sum to about one opened page a request.
    probability = 1 / (1 + np.exp(-(trained.slope * logits + trained.intercept)))
    assert probability.sum() / 300 == pytest.approx(1, abs=0.15)


@pytest.mark.slow
def test_noise_is_not_learned():
    trained = train(toy_examples(300, 12, learnable=False), QUICK.model_copy(update={"epochs": 3}))
    unseen = toy_examples(300, 12, seed=9, learnable=False)
    logits = score(trained.members, unseen.numeric, unseen.categorical)
    better, ties = positions(logits, unseen.row, unseen.label, 300, 40)
    assert ndcg(better, ties, 10).mean() == pytest.approx(0.38, abs=0.07)


def test_outcome_loss_by_hand():
    logits, outcome = tf.constant([0.0, 2.0, 5.0]), tf.constant([1.0, 0.25, np.nan])
    second = 0.25 * np.log1p(np.exp(-2)) + 0.75 * np.log1p(np.exp(2))
    assert float(outcome_loss(logits, outcome)) == pytest.approx((np.log(2) + second) / 3, rel=1e-6)


@pytest.mark.slow
def test_a_share_of_completion_raises_what_is_completed():
    """In these examples a page whose second number is positive is completed when it is opened."""
    examples = toy_examples(600, 12, seed=3)
    quick = QUICK.model_copy(update={"epochs": 10, "average": 0.9, "refit": False, "head_weight": 1.0})
    completed = examples.numeric[:, 1] > 0

    def gap(share):
        trained = train(examples, quick.model_copy(update={"completion_share": share}))
        logits = score(trained.members, examples.numeric, examples.categorical)
        return logits[completed].mean() - logits[~completed].mean()

    # The share is no part of the training: only how its heads are summed differs.
    assert gap(1.0) > gap(0.0) + 0.3


@pytest.mark.slow
def test_what_was_clicked_for_its_place_is_not_held_to_be_wanted():
    """In half of the requests what was shown at the top is opened, whatever it is."""
    examples = toy_examples(800, 12, seed=5, learnable=False)
    pushed = (examples.row % 2 == 0) & (np.arange(len(examples.row)) % 12 == 0)
    first = np.flatnonzero(pushed)
    label = examples.label & ~np.isin(examples.row, examples.row[first])
    label[first] = True
    categorical = examples.categorical.copy()
    code = CATEGORICAL.index("format")
    # The top is always of one format, which else is as good as the others.
    categorical[:, code] = np.where(pushed, 1, np.random.default_rng(1).integers(1, 5, len(pushed)))
    biased = replace(
        examples,
        label=label,
        categorical=categorical,
        position=np.where(pushed, 0, -1).astype(np.int8),
    )
    favoured = categorical[:, code] == 1

    def favour(use_position):
        settings = QUICK.model_copy(
            update={
                "epochs": 20,
                "average": 0.9,
                "refit": False,
                "use_position": use_position,
            }
        )
        logits = score(train(biased, settings).members, biased.numeric, categorical)
        return logits[favoured].mean() - logits[~favoured].mean()

    assert favour(use_position=True) < 0.6 * favour(use_position=False)


def test_training_stops_when_validation_gets_worse():
    trained = train(
        toy_examples(60, 6, learnable=False),
        QUICK.model_copy(
            update={"epochs": 40, "learning_rate": 0.05, "dropout": 0.0, "refit": False, "l2": 0.0}
        ),
    )
    assert trained.figures["epochs"] < 38


def test_requests_whose_page_is_not_on_the_shortlist_are_passed_over():
    examples = toy_examples(30, 4)
    label = examples.label & (examples.row % 2 == 0)
    trained = train(replace(examples, label=label), QUICK)
    assert trained.figures["requests"] == 15


def test_one_answered_request_is_enough_to_train():
    assert train(toy_examples(1, 4), QUICK).figures["requests"] == 1


def test_nothing_to_learn_from_is_explained():
    examples = toy_examples(5, 4)
    with pytest.raises(DataError, match="none of 5 shortlists holds the page"):
        train(replace(examples, label=np.zeros_like(examples.label)), QUICK)
