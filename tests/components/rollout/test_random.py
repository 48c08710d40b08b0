"""1,000 rollouts with random faults, crashes and hands, over HTTP against the API double."""

import contextlib
import logging
import random
from typing import Any

import pytest
import structlog

from components.contract.errors import ClusterError
from components.contract.inference_service import FINAL, Phase, State
from components.rollout.comparison import Measures
from components.rollout.errors import MetricsError, RolloutError
from components.rollout.machine import Promote, Rollback, Start
from tests.components.rollout.kserve import json_state
from tests.components.rollout.kube import Fault
from tests.components.rollout.world import NEW, OLD, OTHER, Killed, Steady, World

RUNS = 1_000
BAD = [{"errors": 0.2}, {"p99": 2.0}, {"fallbacks": 0.9}]


class Unsteady(Steady):
    """Prometheus is away at times, or never has the canary."""

    def __init__(self, draw: random.Random):
        self.draw = draw
        self.away, self.blind = draw.choice([0, 0, 0.3, 1]), draw.random() < 0.1
        bad = draw.random() < 0.35
        super().__init__(
            draw.choice(BAD) if bad and draw.random() < 0.7 else None, (0.05 if bad else 0.1, 0.1)
        )
        self.harmless = not bad

    def measure(self, state, at, settings) -> Measures:
        if self.draw.random() < self.away:
            raise MetricsError("Prometheus is away")
        found = super().measure(state, at, settings)
        return Measures(None, found.stable, found.clicks, found.completions) if self.blind else found


class Run:
    """One seed: what happens, and what must hold at every moment."""

    def __init__(self, seed: int, api: Any = None):
        self.draw = draw = random.Random(seed)
        start = draw.choice([10, 40, 120])
        ready = draw.random() < 0.85
        self.world = World(
            seed,
            start_seconds=lambda uri: start if uri != NEW or ready else None,
            lag=draw.choice([0, 3, 10]),
            status_lag=draw.choice([0, 5, 25]),
            annotations_in_template=draw.random() < 0.3,
            torn=draw.random() < 0.5,
            api=api,
        )
        self.world.sleep(150)
        self.metrics = Unsteady(draw)
        self.faulty, self.deadly = draw.choice([0, 0.1, 0.3]), draw.choice([0, 0.02, 0.1])
        self.hand = draw.choice(
            [None] * 6 + ["edit", "promote", "rollback", "rival", "rival", "second", "second"]
        )
        self.hand_at = self.world.now + draw.uniform(0, 500)
        self.promotion = self.back = False
        self.highest = 0
        self.taken_back = False
        self.world.api.faults = self.fault
        self.world.each = self.check

    def fault(self, method: str) -> Fault | None:
        if method == "PATCH" and self.hand == "rival" and self.world.now >= self.hand_at:
            # Somebody rolls back between what this process read and what it is about to write.
            self.hand = None
            with contextlib.suppress(RolloutError, ClusterError):
                self.world.process(self.metrics).act(Rollback())
                self.taken_back = True
        if self.draw.random() >= self.faulty:
            return None
        kind = self.draw.choice(["429", "500", "503", "close_before", "close_after", "conflict"])
        if kind == "conflict":
            self.world.api.edit({"metadata": {"labels": {"touched": str(self.draw.random())}}})
            return None
        if kind.startswith("close"):
            return Fault(kind=kind)
        return Fault(kind="status", status=int(kind), retry_after="7" if kind == "429" else None)

    def check(self) -> None:
        """At every moment: the canary has what it was given at most, and all only by promotion."""
        spec = self.world.predictor
        assert spec["model"]["storageUri"] in (OLD, NEW), "a second release was let in"
        if spec["model"]["storageUri"] == NEW:
            percent = spec.get("canaryTrafficPercent")
            self.promotion |= percent is None
            self.highest = max(self.highest, 100 if percent is None else percent)
        shares = self.world.kserve.shares()
        assert shares.get(NEW, 0) <= self.highest, (shares, self.highest)
        assert shares.get(OLD, 0) >= 100 - self.highest, (shares, self.highest)
        assert self.highest <= 50 or self.promotion
        # Taken back it gets nothing any more, whatever KServe is about.
        zero = any(target["latestRevision"] and not target["percent"] for target in self.world.kserve.targets)
        self.back |= zero and not self.promotion
        assert not self.back or not shares.get(NEW), shares

    def interfere(self, process) -> None:
        if self.hand in (None, "rival") or self.world.now < self.hand_at:
            return
        hand, self.hand = self.hand, None
        if hand == "edit":
            self.world.api.edit({"spec": {"predictor": {"minReplicas": 3}}})
        elif hand == "second":
            before = json_state(self.world.api)
            if before["phase"] not in FINAL:
                with pytest.raises(RolloutError):
                    process.act(Start("second", OTHER))
        else:
            try:
                process.act(Promote() if hand == "promote" else Rollback())
            except ClusterError:
                raise
            except RolloutError:
                pass

    def go(self) -> State:
        """Processes until one of them sees the end; each dies sooner or later, or never."""
        alive = []
        for _ in range(400):
            if not alive:
                alive = [self.process() for _ in range(self.draw.choice([1, 1, 1, 2]))]
                taken = False
            process = self.draw.choice(alive)
            try:
                if not taken:
                    process.act(Start("run", NEW))
                    taken = True
                self.interfere(process)
                state, _ = process.look()
                if state.phase in FINAL and state.notified:
                    return state
                self.world.sleep(self.draw.choice([10, 30, 45]))
            except (Killed, ClusterError):
                alive = []
                self.world.sleep(self.draw.uniform(0, 120))
        raise AssertionError(f"no end: {json_state(self.world.api)}")

    def process(self):
        return self.world.process(self.metrics, dies=lambda: self.draw.random() < self.deadly)


def once(seed: int, api: Any = None) -> State:
    """One run, checked to its end."""
    run = Run(seed, api)
    world = run.world
    try:
        state = run.go()
        end = state.phase
        world.api.faults = lambda method: None
        spec = world.predictor
        world.sleep(400)
        assert world.predictor == spec, "something went on after the end"
        uri, percent, shares = world.at_rest
        assert world.told, "nobody was told"
        if end is Phase.PROMOTED:
            assert (uri, percent, shares) == (NEW, None, {NEW: 100})
            assert not run.taken_back, "promoted over a rollback"
            assert run.metrics.harmless or state.reason == "asked for by hand"
        elif end is Phase.ROLLED_BACK:
            assert (uri, percent, shares) == (OLD, None, {OLD: 100})
            assert state.reason
        else:
            assert end is Phase.HELD
            assert state.reason
            assert shares.get(OLD, 0) >= 50 or run.promotion
        assert "second" not in {told.id for told in world.told}
        return state
    finally:
        world.close()


@pytest.fixture
def quiet():
    """Ten thousands of log lines are not worth their time."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    yield
    structlog.reset_defaults()


@pytest.mark.slow
@pytest.mark.usefixtures("quiet")
def test_a_thousand_random_rollouts():
    ends: dict[str, int] = {}
    for seed in range(RUNS):
        try:
            state = once(seed)
        except BaseException as error:
            error.add_note(f"seed {seed}")
            raise
        ends[state.phase] = ends.get(state.phase, 0) + 1
    # Each way to end is met often, or the runs show nothing.
    assert min(ends[phase] for phase in FINAL) >= RUNS // 20, ends
