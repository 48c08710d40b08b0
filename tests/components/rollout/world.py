"""A cluster in simulated time: API double, simulated KServe, and processes that may be killed anywhere."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from kubernetes import client

from components.contract.inference_service import State
from components.rollout.cluster import Cluster
from components.rollout.comparison import Measures, Outcome, Served
from components.rollout.driver import Metrics, Rollout
from components.rollout.settings import RolloutSettings
from tests.components.rollout.kserve import KServe
from tests.components.rollout.kube import ApiServer

OLD = "pvc://home/releases/20261001T000000-aaaaaa"
NEW = "pvc://home/releases/20261101T000000-bbbbbb"
OTHER = "pvc://home/releases/20261115T000000-cccccc"
SETTINGS = RolloutSettings(
    window_seconds=120,
    min_requests=50,
    patience_seconds=600,
    ready_seconds=300,
    poll_seconds=30,
    block_seconds=30,
)


class Killed(BaseException):
    """The process dies here: nothing after it runs."""


class Doomed(client.ApiClient):
    """The real client of a process that may die before a request or after its answer."""

    dies: Callable[[], bool] = staticmethod(lambda: False)
    meet: Callable[[str, Callable[[], Any]], Any]

    def call_api(self, path: str, method: str, *args: Any, **kwargs: Any) -> Any:
        if self.dies():
            raise Killed("before the request")
        call = partial(super().call_api, path, method, *args, **kwargs)
        answer = self.meet(method, call)
        if self.dies():
            raise Killed("after the answer")
        return answer


class World:
    """``now`` is epoch seconds; sleeping lets KServe work. Another ``api`` may take the double's place."""

    def __init__(
        self,
        seed: int = 0,
        mode: str | None = "Knative",
        settle: bool = True,
        api: Any = None,
        **kserve: Any,
    ):
        self.now = 1_800_000_000.0
        self.api = api or ApiServer("waymark", OLD, mode)
        self.kserve = KServe(self.api, random.Random(seed), **kserve)
        self.told: list[State] = []
        self.each: Callable[[], None] = lambda: None
        if settle:
            self.sleep(90)

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        until = self.now + seconds
        while self.now < until:
            self.now = min(self.now + 5, until)
            self.kserve.tick(self.now)
            self.each()

    def process(
        self,
        metrics: Metrics,
        settings: RolloutSettings = SETTINGS,
        dies: Callable[[], bool] = lambda: False,
        patience: float = 600,
    ) -> Rollout:
        """A new process: nothing is left of earlier ones but the cluster."""
        api = Doomed(self.api.configuration())
        api.dies, api.meet = dies, self.api.meet  # type: ignore[method-assign]
        cluster = Cluster(api, *self.api.key, patience=patience, clock=self.clock, sleep=self.sleep)
        return Rollout(cluster, metrics, settings, tell=self.told.append, clock=self.clock, sleep=self.sleep)

    @property
    def predictor(self) -> dict[str, Any]:
        return self.api.object["spec"]["predictor"]

    @property
    def at_rest(self) -> tuple[str, int | None, dict[str, float]]:
        """storageUri, percentage and the real shares."""
        shares = {uri: share for uri, share in self.kserve.shares().items() if share}
        return self.predictor["model"]["storageUri"], self.predictor.get("canaryTrafficPercent"), shares

    def close(self) -> None:
        self.api.close()


class Steady:
    """Measures of two releases whose rates are given; the canary's may differ."""

    def __init__(self, canary: dict[str, float] | None = None, clicks: tuple[float, float] = (0.1, 0.1)):
        self.canary, self.clicks = canary or {}, clicks

    def measure(self, state: State, at: float, settings: RolloutSettings) -> Measures:
        """1,000 requests a minute, shared by the percentage; exactly the expected clicks."""
        usual = {"errors": 0.001, "fallbacks": 0.1, "p99": 0.05}
        minutes = (at - state.steps[-1][2]) / 60

        def served(share: float, rates: dict[str, float]) -> Served:
            n = round(1000 * minutes * share)
            return Served(n, round(rates["errors"] * n), n, round(rates["fallbacks"] * n), rates["p99"])

        part = (state.percent or 0) / 100
        blocks = max(int((at - state.started) // settings.block_seconds), 1)
        shown = [np.full(blocks, 1000.0 * share) for share in (part, 1 - part)]
        return Measures(
            served(part, usual | self.canary),
            served(1 - part, usual),
            Outcome(*shown, shown[0] * self.clicks[0], shown[1] * self.clicks[1]),
            Outcome(*shown, shown[0] * 0.05, shown[1] * 0.05),
        )
