import numpy as np
import pytest

from components.validate.expected import compare, distance, forecast, log_chance_of_none

WEEK = np.arange(29) % 7


def test_growth_and_rhythm_are_expected():
    days = np.arange(28)
    counts = (1000 * 1.02**days * np.array([1, 1, 1, 1, 1.2, 0.8, 0.5])[days % 7])[:, None]
    found = forecast(counts, days % 7, 0)
    assert found.mean[0] == pytest.approx(1000 * 1.02**28, rel=0.002)
    # Its spread is that of counts: at least Poisson's.
    assert found.sd[0] >= 1 / np.sqrt(found.mean[0])


def test_a_gap_and_a_flood_before_do_not_move_what_is_expected():
    rng = np.random.default_rng(0)
    counts = rng.poisson(500, (28, 1)).astype(float)
    clean = forecast(counts, np.arange(28) % 7, 0)
    spoilt = counts.copy()
    spoilt[14], spoilt[21] = 0, 5000
    found = forecast(spoilt, np.arange(28) % 7, 0)
    assert abs(found.log[0] - clean.log[0]) < 0.1
    assert found.sd[0] < 2 * clean.sd[0]


def test_many_columns_are_forecast_as_if_alone():
    counts = np.random.default_rng(1).poisson([20, 300, 4000], (28, 3)).astype(float)
    together = forecast(counts, np.arange(28) % 7, 3)
    for column in range(3):
        alone = forecast(counts[:, [column]], np.arange(28) % 7, 3)
        assert together.log[column] == pytest.approx(alone.log[0])


def test_overdispersion_makes_quiet_more_likely():
    assert log_chance_of_none(np.array([20.0]), 3.0)[0] > log_chance_of_none(np.array([20.0]), 1.0)[0]


@pytest.mark.parametrize("measure", ["linf", "js"])
def test_false_alarms_are_as_rare_as_asked_for(measure):
    """Multinomial days of one distribution: at a chance of 1 in 100, few of 1,000 are beyond the limit."""
    rng = np.random.default_rng(2)
    shares = np.array([0.5, 0.2, 0.15, 0.1, 0.05])
    beyond = 0
    for _ in range(1000):
        found = compare(rng.multinomial(2000, shares, 29).astype(float), WEEK, measure, [0.01])
        beyond += found.value > found.limits[0]
    assert beyond <= 30


@pytest.mark.parametrize("measure", ["linf", "js"])
def test_a_small_day_is_allowed_more(measure):
    rng = np.random.default_rng(3)
    shares = np.array([0.6, 0.3, 0.1])
    beyond = 0
    for _ in range(300):
        counts = rng.multinomial(5000, shares, 29)
        counts[-1] = rng.multinomial(100, shares)
        found = compare(counts.astype(float), WEEK, measure, [0.001])
        beyond += found.value > found.limits[0]
    assert beyond <= 3


def test_a_shift_is_beyond_chance():
    rng = np.random.default_rng(4)
    counts = rng.multinomial(2000, [0.6, 0.3, 0.1], 29).astype(float)
    counts[-1] = rng.multinomial(2000, [0.5, 0.4, 0.1])
    found = compare(counts, WEEK, "linf", [1e-5])
    assert found.value > found.limits[0]
    assert found.weekly
    assert found.reference == pytest.approx([0.6, 0.3, 0.1], abs=0.02)


def test_weekdays_are_compared_with_their_like():
    """Weekends have another mix: a Sunday like other Sundays is no news, a Tuesday like one is."""
    rng = np.random.default_rng(5)
    counts = np.array(
        [rng.multinomial(2000, [0.2, 0.8] if day % 7 >= 5 else [0.7, 0.3]) for day in range(34)]
    )
    weekday = np.arange(34) % 7
    sunday = compare(counts[:28].astype(float), weekday[:28], "linf", [1e-4])
    assert sunday.value < sunday.limits[0]
    counts[29] = counts[27]
    tuesday = compare(counts[:30].astype(float), weekday[:30], "linf", [1e-4])
    assert tuesday.value > tuesday.limits[0]


def test_distances_are_those_of_tfdv():
    """The same two samples through TFDV's comparators."""
    import polars as pl
    import tensorflow_data_validation as tfdv
    from tensorflow_metadata.proto.v0.schema_pb2 import Schema

    rows = np.array([[30, 60, 10], [50, 20, 30]], float)
    words = [np.repeat(["a", "b", "c"], row.astype(int)) for row in rows]
    statistics = [
        tfdv.generate_statistics_from_dataframe(pl.DataFrame({"word": word}).to_pandas()) for word in words
    ]
    for measure, name in (("linf", "infinity_norm"), ("js", "jensen_shannon_divergence")):
        schema = Schema()
        feature = schema.feature.add(name="word", type="BYTES")
        getattr(feature.drift_comparator, name).threshold = 1e-9
        found = tfdv.validate_statistics(statistics[0], schema, previous_statistics=statistics[1])
        [measured] = found.drift_skew_info[0].drift_measurements
        assert distance(rows[:1], rows[1:], measure)[0] == pytest.approx(measured.value, abs=1e-6)
