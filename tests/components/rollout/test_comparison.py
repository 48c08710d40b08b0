import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from components.rollout.comparison import (
    DROPS,
    Measures,
    Outcome,
    Served,
    Verdict,
    judge,
    log_evidence,
)
from components.rollout.settings import RolloutSettings
from tests.components.rollout.simulation import Traffic, rollouts

SETTINGS = RolloutSettings(window_seconds=600, min_requests=1000, min_impressions=1000)
FINE = Served(requests=10_000, errors=10, instances=10_000, fallbacks=1_000, p99=0.05)


def outcome(canary: float, stable: float, shown: float = 5_000) -> Outcome:
    """One block."""
    return Outcome(*(np.array([value]) for value in (shown, shown, canary, stable)))


def measures(canary=FINE, stable=FINE, clicks=None, completions=None) -> Measures:
    return Measures(canary, stable, clicks or outcome(500, 500), completions or outcome(250, 250))


def test_equal_releases_pass_after_the_window():
    assert judge(measures(), 600, SETTINGS).verdict is Verdict.GOOD
    early = judge(measures(), 599, SETTINGS)
    assert (early.verdict, early.reason) == (Verdict.WAIT, "599 of 600 s")


@pytest.mark.parametrize(
    ("canary", "reason"),
    [
        # twice the stable rate of 0.001, plus 0.002: 40 of 10,000
        (Served(10_000, 80, 10_000, 1_000, 0.05), "error rate 0.0080 is above 0.0040 (stable: 0.0010)"),
        # 1.5 x 0.05 s + 0.02 s
        (Served(10_000, 10, 10_000, 1_000, 0.096), "p99 latency 0.096 s is above 0.095 s"),
        # 1.5 x 0.1 + 0.05
        (Served(10_000, 10, 10_000, 2_500, 0.05), "fallback rate 0.2500 is above 0.2000 (stable: 0.1000)"),
    ],
)
def test_guardrails(canary, reason):
    found = judge(measures(canary=canary), 1, SETTINGS)
    assert found.verdict is Verdict.BAD
    assert found.reason == reason


def test_at_the_limit_nothing_breaks():
    canary = Served(10_000, 40, 10_000, 2_000, 0.095)
    assert judge(measures(canary=canary), 600, SETTINGS).verdict is Verdict.GOOD


def test_a_fluke_is_no_rollback_but_a_dead_canary_is():
    one = Served(requests=20, errors=1, instances=20, fallbacks=2, p99=0.05)
    dead = Served(requests=20, errors=20, instances=0, fallbacks=0, p99=math.nan)
    assert judge(measures(canary=one), 60, SETTINGS).verdict is Verdict.WAIT
    assert judge(measures(canary=dead), 60, SETTINGS).verdict is Verdict.BAD


def test_the_absolute_limit_holds_where_both_are_bad():
    both = Served(requests=10_000, errors=400, instances=10_000, fallbacks=0, p99=0.05)
    assert judge(measures(canary=both, stable=both), 600, SETTINGS).reason.startswith(
        "error rate 0.0400 is above 0.0200"
    )


def test_a_stable_release_of_a_few_requests_sets_no_limit():
    quiet = Served(requests=10, errors=0, instances=10, fallbacks=0, p99=0.001)
    canary = Served(requests=10_000, errors=100, instances=10_000, fallbacks=1_000, p99=0.4)
    assert (
        judge(measures(canary=canary, stable=quiet), 600, SETTINGS).reason
        == "10 of 1000 requests to the stable release"
    )


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"canary": None}, "Prometheus has no metrics of the canary"),
        ({"stable": None}, "Prometheus has no metrics of the stable release"),
        ({"canary": Served(999, 0, 999, 0, 0.05)}, "999 of 1000 requests to the canary"),
        ({"clicks": outcome(50, 50, shown=999)}, "999 of 1000 impressions of the canary"),
    ],
)
def test_too_little_to_judge_on(given, reason):
    found = judge(measures(**given), 10_000, SETTINGS)
    assert (found.verdict, found.reason) == (Verdict.WAIT, reason)


def test_lower_click_through_and_completion_are_told():
    assert judge(measures(clicks=outcome(350, 500)), 1, SETTINGS).reason.startswith(
        "click-through is lower: 0.0700 against 0.1000 of impressions"
    )
    assert "completion is lower" in judge(measures(completions=outcome(150, 250)), 1, SETTINGS).reason


def test_evidence_by_hand():
    # Shares 1/4; 2 of 10 clicks are the canary's: the mean over r of r^2 (1/4 r + 3/4)^-10.
    ratio = 1 - DROPS
    expected = np.mean(ratio**2 / (0.25 * ratio + 0.75) ** 10)
    assert np.exp(log_evidence([100], [300], [2], [8])[0]) == pytest.approx(expected)


def test_the_alarm_is_kept_when_later_blocks_look_better():
    clicks = Outcome(
        *(np.array(row, float) for row in ([5000, 50_000], [5000, 50_000], [350, 5_300], [500, 5_000]))
    )
    assert log_evidence(clicks.canary_shown, clicks.stable_shown, clicks.canary, clicks.stable)[1] < math.log(
        40
    )
    assert judge(measures(clicks=clicks), 600, SETTINGS).verdict is Verdict.BAD


@settings(max_examples=60)
@given(
    shown=st.integers(1, 9), other=st.integers(1, 9), rate=st.floats(0.01, 1.0), better=st.floats(1.0, 3.0)
)
def test_one_block_is_no_evidence_on_average(shown, other, rate, better):
    """Exactly, over all outcomes of two independent binomials, the canary's rate at least the stable one."""
    mean = 0.0
    for a, b in itertools.product(range(shown + 1), range(other + 1)):
        chance = binom.pmf(a, shown, min(rate * better, 1)) * binom.pmf(b, other, rate)
        mean += chance * np.exp(log_evidence([shown], [other], [a], [b])[0])
    assert mean <= 1 + 1e-9


def test_blocks_with_one_release_only_say_nothing():
    assert log_evidence([0, 100], [100, 0], [0, 0], [30, 0]).tolist() == [0, 0]
    assert log_evidence([], [], [], []).size == 0


def test_a_schedule_and_the_time_of_day_are_no_drop():
    # Pooled, the canary looks worse: its share is large when the rate is low.
    shown, other = np.array([100.0, 5000]), np.array([9900.0, 5000])
    rate = np.array([0.3, 0.05])
    pooled = (shown * rate).sum() / shown.sum(), (other * rate).sum() / other.sum()
    assert pooled[0] < 0.3 * pooled[1]
    assert log_evidence(shown, other, shown * rate, other * rate).max() < 0


@pytest.mark.slow
def test_false_alarms_and_power_of_continuous_looks():
    # 600 A/A rollouts of 60,000 requests, looked at every 100; the guarantee is 5 %.
    limit = math.log(2 / SETTINGS.alpha)
    clicks, completions = rollouts(600, 0.0, seed=20261101)
    alarms = (clicks.max(axis=1) >= limit) | (completions.max(axis=1) >= limit)
    assert alarms.mean() <= 0.05
    # A drop of 20 % at half of the traffic is found, in the middle, before 10,000 requests.
    clicks, _ = rollouts(200, 0.2, seed=20261102, traffic=Traffic(steps=(50,), blocks_a_step=300, swing=0))
    assert np.median(np.argmax(clicks >= limit, axis=1) + 1) * 100 < 10_000
    assert (clicks >= limit).any(axis=1).mean() > 0.95
