"""How often a rollout's sequential tests raise a false alarm, and when they find a drop (``make bench``)."""

import math

import numpy as np
import pytest

from components.rollout.comparison import log_evidence
from components.rollout.settings import RolloutSettings
from tests.components.rollout.simulation import Traffic, rollouts

pytestmark = pytest.mark.bench
LIMIT = math.log(2 / RolloutSettings().alpha)


def report(capsys, line: str) -> None:
    with capsys.disabled():
        print(f"\n  {line}")


@pytest.mark.parametrize("traffic", [Traffic(), Traffic(block=10, blocks_a_step=2000), Traffic(rate=0.3)])
def test_false_alarms(traffic, capsys):
    clicks, completions = rollouts(2000, 0.0, seed=1, traffic=traffic)
    alarms = float(((clicks.max(axis=1) >= LIMIT) | (completions.max(axis=1) >= LIMIT)).mean())
    requests = traffic.block * clicks.shape[1]
    report(
        capsys,
        f"2,000 A/A rollouts of {requests:,} requests, a look every {traffic.block}, click-through "
        f"{traffic.rate:.0%}: {alarms:.2%} false alarms",
    )
    assert alarms <= 0.05


@pytest.mark.parametrize("steps", [(5,), (25,), (50,), (5, 25, 50)])
def test_requests_until_a_drop_is_found(steps, capsys):
    traffic = Traffic(steps=steps, blocks_a_step=900 // len(steps), swing=0)
    clicks, _ = rollouts(1000, 0.2, seed=2, traffic=traffic)
    found = clicks >= LIMIT
    first = (np.where(found.any(axis=1), found.argmax(axis=1), np.inf) + 1) * traffic.block
    middle, share = np.median(first), found.any(axis=1).mean()
    report(
        capsys,
        f"click-through 10 %, canary 20 % lower, at {', '.join(map(str, steps))} %: median {middle:,.0f} "
        f"requests, found in {share:.1%} of rollouts of {traffic.block * clicks.shape[1]:,}",
    )
    assert share > 0.5


# One request in ten is clicked, once to three times.
TIMES, CHANCE = np.array([0, 1, 2, 3]), np.array([0.9, 0.0625, 0.025, 0.0125])


@pytest.mark.parametrize("effect", [1.0, float(CHANCE @ TIMES**2 / (CHANCE @ TIMES))])
def test_several_clicks_of_one_request(effect, capsys):
    draw, runs, blocks, size = np.random.default_rng(3), 2000, 600, 100
    share = np.repeat([5, 25, 50], blocks // 3) / 100
    alarms = 0
    for _ in range(runs):
        shown = draw.binomial(size, share)
        clicks = [draw.multinomial(n, CHANCE) @ TIMES for n in (shown, size - shown)]
        alarms += log_evidence(shown, size - shown, *clicks, effect).max() >= LIMIT
    report(
        capsys,
        f"up to three clicks a request, design effect {effect:.2f}: {alarms / runs:.2%} false alarms",
    )
    # Without the effect the test's guarantee is lost: that is why a request counts once.
    assert (alarms / runs <= 0.025) == (effect > 1)
