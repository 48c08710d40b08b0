"""Looks, decides, writes, waits; everything that lasts is on the InferenceService."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

import structlog

from components.contract.inference_service import FINAL, Phase, State
from components.rollout.cluster import Cluster, Service
from components.rollout.comparison import Judgement, Measures, Verdict, judge
from components.rollout.errors import ConflictError, MetricsError, RolloutError
from components.rollout.machine import Decision, Event, Look, decide
from components.rollout.settings import RolloutSettings

log = structlog.get_logger()
_CONFLICTS = 20


class Metrics(Protocol):
    """Where measures come from."""

    def measure(self, state: State, at: float, settings: RolloutSettings) -> Measures:
        """Measure both releases; raises :class:`MetricsError` when it cannot."""


class Rollout:
    """A rollout on one service. It keeps nothing: another process may go on where this one stopped.

    Parameters
    ----------
    cluster : Cluster
    metrics : Metrics
    settings : RolloutSettings
    tell : callable
        Called with the state once a rollout has ended; it must not raise.
    clock, sleep : callable
        Seconds; tests give their own.
    """

    def __init__(
        self,
        cluster: Cluster,
        metrics: Metrics,
        settings: RolloutSettings,
        *,
        tell: Callable[[State], object],
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ):
        self.cluster, self._metrics, self._settings = cluster, metrics, settings
        self._tell, self._clock, self._sleep = tell, clock, sleep

    def await_turn(self, run: str, canary: str) -> Service:
        """Wait while a rollout of another run and release goes on, ``turn_seconds`` at most.

        Returns
        -------
        Service
            As it was last seen; a rollout that still goes on refuses the next one.
        """
        until = self._clock() + self._settings.turn_seconds
        while True:
            service = self.cluster.read()
            state = service.state
            if state is None or state.phase in FINAL or run == state.id or canary == state.canary:
                return service
            if self._clock() >= until:
                return service
            log.info("rollout.waits", for_=state.canary, phase=state.phase)
            self._sleep(self._settings.poll_seconds)

    def act(self, event: Event, dry_run: bool = False) -> Decision:
        """Do what a person asks for, now.

        Raises
        ------
        RolloutError
            It is refused; the message says why.
        ClusterError
            The API server refuses, or cannot be reached.
        """
        for _ in range(_CONFLICTS):
            try:
                decision = self._apply(self.cluster.read(), event, dry_run)
            except ConflictError:
                self._sleep(1)
                continue
            if decision.refused:
                raise RolloutError(decision.refused)
            return decision
        raise RolloutError(f"{self.cluster.name} is changed all the time by somebody else")

    def drive(self, progress: Callable[[State, Judgement | None], None] = lambda *_: None) -> State:
        """Look again and again until the rollout has ended and that has been told.

        Raises
        ------
        ClusterError
            The API server refuses, or cannot be reached; the rollout can be taken up again later.
        """
        while True:
            state, judgement = self.look()
            progress(state, judgement)
            if state.phase not in FINAL:
                self._sleep(self._settings.poll_seconds)
            elif state.notified:
                return state

    def look(self) -> tuple[State, Judgement | None]:
        """Take one look, and the action that follows from it; or tell of an end."""
        service = self.cluster.read()
        state, judgement = service.state, self._judge(service.state)
        if state is None:
            raise RolloutError(f"{self.cluster.name} has no rollout")
        try:
            if state.phase in FINAL and not state.notified:
                # Told before it is noted: after a crash between the two it is told twice, never not at all.
                self._tell(state)
                told = state.model_copy(update={"notified": True})
                self.cluster.write(service, told, None)
                return told, None
            return self._apply(service, Look(judgement)).state or state, judgement
        except ConflictError:
            return state, judgement

    def _apply(self, service: Service, event: Event, dry_run: bool = False) -> Decision:
        """Decide and write."""
        decision = decide(service.state, event, service.view, self._clock(), self._settings)
        if decision.state is not None and (decision.spec or decision.state != service.state):
            self.cluster.write(service, decision.state, decision.spec, dry_run)
            log.info(
                "rollout.written",
                phase=decision.state.phase,
                percent=decision.state.percent,
                reason=decision.state.reason,
                dry_run=dry_run,
            )
        return decision

    def _judge(self, state: State | None) -> Judgement | None:
        """A verdict, while there is a canary to judge."""
        if state is None or not state.steps or state.phase not in (Phase.WAITING, Phase.OBSERVING):
            return None
        now = self._clock()
        try:
            measures = self._metrics.measure(state, now, self._settings)
        except MetricsError as error:
            return Judgement(Verdict.WAIT, str(error), {})
        judgement = judge(measures, now - state.since, self._settings)
        log.info("rollout.judged", percent=state.percent, verdict=judgement.verdict, reason=judgement.reason)
        return judgement
