"""The rollout as a pure state machine: what was decided, what is seen, and what to do next.

No input or output happens here and no clock is read: the cluster's state, the verdict on the
measures and the time all come in as values, so a crash between any two looks loses nothing.

How KServe (Knative mode) carries out a change, from its reconcilers:

- ``canaryTrafficPercent: p`` gives p % to the *latest ready* revision and the rest to the last
  one that had 100 %. Before the canary is ready the latest ready one is the stable one.
- Without the field the latest ready revision has 100 %. So a rollback that removed the field
  together with the old ``storageUri`` would give everything to the canary until the old release is up
  again. Here the percentage goes to 0 with the old ``storageUri`` in one patch, and the field is
  removed once a revision of the old release is ready.
"""

from __future__ import annotations

from dataclasses import dataclass

from components.contract.inference_service import FINAL, Phase, Spec, State, View
from components.rollout.comparison import Judgement, Verdict
from components.rollout.settings import RolloutSettings


@dataclass(frozen=True)
class Start:
    """A person or a pipeline asks for a rollout."""

    id: str
    canary: str


@dataclass(frozen=True)
class Promote:
    """A person wants the canary to have all traffic now."""


@dataclass(frozen=True)
class Rollback:
    """A person wants the stable release back."""

    reason: str = "asked for by hand"


@dataclass(frozen=True)
class Look:
    """Time has passed; the verdict is there while there is a canary to judge."""

    judgement: Judgement | None = None


Event = Start | Promote | Rollback | Look


@dataclass(frozen=True)
class Decision:
    """The state from now on, and the change to make with it, in one patch; or why nothing is done."""

    state: State | None
    spec: Spec | None = None
    refused: str = ""


def decide(state: State | None, event: Event, view: View, at: float, settings: RolloutSettings) -> Decision:
    """Decide on one event.

    Parameters
    ----------
    state : State or None
        None before the service's first rollout.
    event : Start, Promote, Rollback or Look
    view : View
        The InferenceService, as it is now.
    at : float
        Time, epoch seconds.
    settings : RolloutSettings

    Returns
    -------
    Decision
        A state equal to the one given, without a spec, means that there is nothing to write.
    """
    turn = _Turn(state, view, at, settings)
    match event:
        case Start():
            return turn.start(event)
        case Promote():
            return turn.promote()
        case Rollback(reason):
            return turn.roll_back_by_hand(reason)
        case Look(judgement):
            return turn.look(judgement)


@dataclass(frozen=True)
class _Turn:
    """One decision; the methods of a phase are called with a state only."""

    state: State | None
    view: View
    at: float
    settings: RolloutSettings

    def enter(self, phase: Phase, spec: Spec | None = None, reason: str = "", **more: object) -> Decision:
        view, update = (
            self.view,
            {"phase": phase, "since": self.at, "reason": reason, "notified": False, **more},
        )
        if spec is not None:
            update["percent"] = spec.percent
            if view.generation is not None:
                # The API server counts changes of the spec; the patch's lock lets none come between.
                update["generation"] = view.generation + (spec != Spec(view.uri or "", view.percent))
        return Decision(self.kept.model_copy(update=update), spec)

    def hold(self, reason: str) -> Decision:
        return self.enter(Phase.HELD, reason=reason)

    def restore(self, reason: str) -> Decision:
        canary = self.view.ready if self.view.ready != self.kept.stable_revision else None
        return self.enter(Phase.RESTORING, Spec(self.kept.stable, 0), reason, canary_revision=canary)

    def refuse(self, reason: str) -> Decision:
        return Decision(self.state, refused=reason)

    @property
    def kept(self) -> State:
        assert self.state is not None
        return self.state

    @property
    def name(self) -> str:
        return self.state.phase if self.state else "idle"

    @property
    def canary_ready(self) -> bool:
        """Whether the newest revision is ready and not the stable one."""
        return self.view.settled and self.view.ready != self.kept.stable_revision

    def start(self, event: Start) -> Decision:
        state, view = self.state, self.view
        if state is not None:
            # A retry of the same run, or a process that takes the rollout up.
            if event.id == state.id or (state.phase not in FINAL and event.canary == state.canary):
                return Decision(state)
            if state.phase not in FINAL:
                return self.refuse(f"a rollout of {state.canary} is running ({state.phase})")
            if state.phase is Phase.HELD and not view.whole:
                return self.refuse(f"a rollout of {state.canary} is held: promote it or roll it back first")
        if problem := self.unfit():
            return self.refuse(problem)
        if event.canary == view.uri:
            return self.refuse(f"{view.uri} has all traffic already")
        assert view.uri is not None
        assert view.ready is not None
        begun = State(
            id=event.id,
            phase=Phase.WAITING,
            stable=view.uri,
            canary=event.canary,
            stable_revision=view.ready,
            previous_revision=view.previous if view.previous != view.ready else None,
            percent=None,
            started=self.at,
            since=self.at,
        )
        return _Turn(begun, view, self.at, self.settings).climb()

    def unfit(self) -> str:
        """Why no rollout can start on the service as it is."""
        view = self.view
        if view.mode != "Knative":
            return (
                f"deployment mode {view.mode or 'not stated'}: canaryTrafficPercent is ignored outside "
                "Knative mode; annotate the service with serving.kserve.io/deploymentMode: Knative"
            )
        if view.uri is None:
            return "the service has no model.storageUri: give it its first release by hand"
        if view.percent is not None:
            return f"canaryTrafficPercent is {view.percent}, set by somebody else: remove it first"
        if not view.traffic:
            return "the status shows no traffic: is KServe running?"
        if not view.whole:
            seen = f"newest revision {view.created}, ready {view.ready}, traffic {dict(view.traffic)}"
            return f"the service is not at rest: {seen}"
        return ""

    def climb(self) -> Decision:
        """Give the canary the next share."""
        step = next(step for step in self.settings.steps if step > (self.kept.percent or 0))
        if step == 100:
            return self.enter(Phase.PROMOTING, Spec(self.kept.canary, None))
        return self.enter(Phase.WAITING, Spec(self.kept.canary, step))

    def promote(self) -> Decision:
        if self.state is None or self.state.phase not in (Phase.WAITING, Phase.OBSERVING, Phase.HELD):
            return self.refuse(f"there is no canary to promote (state: {self.name})")
        view = self.view
        if view.uri != self.state.canary or not self.canary_ready:
            seen = f"storageUri {view.uri}, newest revision {view.created}, ready {view.ready}"
            return self.refuse(f"{self.state.canary} is not ready to have all traffic: {seen}")
        return self.enter(Phase.PROMOTING, Spec(self.state.canary, None), "asked for by hand")

    def roll_back_by_hand(self, reason: str) -> Decision:
        state, view = self.state, self.view
        if state is None or state.phase in (Phase.RESTORING, Phase.SETTLING, Phase.ROLLED_BACK):
            return self.refuse(f"there is no canary to roll back (state: {self.name})")
        if view.uri == state.stable and view.whole:
            return self.enter(Phase.ROLLED_BACK, reason=reason, percent=None)
        if view.uri not in (state.stable, state.canary):
            return self.refuse(f"storageUri is {view.uri}, neither {state.stable} nor {state.canary}")
        return self.restore(reason)

    def look(self, judgement: Judgement | None) -> Decision:
        if self.state is None or self.state.phase in FINAL:
            return Decision(self.state)
        if doubt := self.doubt():
            return self.hold(doubt)
        late = self.at - self.state.since > self.settings.ready_seconds
        match self.state.phase:
            case Phase.WAITING | Phase.OBSERVING if judgement and judgement.verdict is Verdict.BAD:
                return self.restore(judgement.reason)
            case Phase.WAITING:
                return self.wait(late)
            case Phase.OBSERVING:
                return self.observe(judgement)
            case Phase.PROMOTING:
                return self.finish_promotion(late)
            case Phase.RESTORING:
                return self.finish_restoring(late)
            case _:
                return self.settle(late)

    def doubt(self) -> str:
        """What a rollout did not expect to find."""
        state, view = self.kept, self.view
        uri = state.stable if state.phase in (Phase.RESTORING, Phase.SETTLING) else state.canary
        stray = view.traffic.get(state.previous_revision or "", 0)
        if view.mode != "Knative":
            return f"the deployment mode became {view.mode}"
        if view.uri != uri:
            return f"storageUri is {view.uri}, not {uri}: somebody else changed it"
        if view.percent != state.percent:
            return f"canaryTrafficPercent is {view.percent}, not {state.percent}: somebody else changed it"
        if None not in (state.generation, view.generation) and view.generation != state.generation:
            return "the spec was changed by somebody else"
        if stray and state.phase in (Phase.WAITING, Phase.OBSERVING):
            return f"KServe gives {stray} % to {state.previous_revision}, older than the stable revision"
        return ""

    def wait(self, late: bool) -> Decision:
        state = self.kept
        if self.canary_ready and self.view.latest == state.percent:
            return self.enter(Phase.OBSERVING, steps=(*state.steps, (state.percent, state.since, self.at)))
        if late and self.view.latest is None:
            return self.hold(f"the status shows no traffic after {self.settings.ready_seconds:.0f} s")
        if late:
            return self.restore(f"the canary was not ready after {self.settings.ready_seconds:.0f} s")
        return Decision(state)

    def observe(self, judgement: Judgement | None) -> Decision:
        state, settings = self.kept, self.settings
        if self.view.ready_now is False:
            return self.restore("the predictor is not ready any more")
        if judgement and judgement.verdict is Verdict.GOOD and self.view.latest == state.percent:
            return self.climb()
        if self.at - state.since > settings.window_seconds + settings.patience_seconds:
            return self.hold(judgement.reason if judgement else "nothing is known of the canary")
        return Decision(state)

    def finish_promotion(self, late: bool) -> Decision:
        if self.canary_ready and self.view.latest == 100:
            return self.enter(Phase.PROMOTED, reason=self.kept.reason)
        return (
            self.hold("KServe did not give the canary all traffic in time") if late else Decision(self.state)
        )

    def finish_restoring(self, late: bool) -> Decision:
        state, view = self.kept, self.view
        waited = self.at - state.since >= self.settings.settle_seconds
        # A status from before the patch still has the canary's share; one from right after it may lack the
        # new revision. On either, removing the percentage could give the canary all traffic.
        if view.settled and view.latest == 0 and view.ready != state.canary_revision and waited:
            return self.enter(Phase.SETTLING, Spec(state.stable, None), state.reason)
        if late:
            return self.hold(f"{state.reason}; its traffic is 0, but the stable release is not up anew")
        return Decision(state)

    def settle(self, late: bool) -> Decision:
        if self.view.settled and self.view.latest == 100:
            return self.enter(Phase.ROLLED_BACK, reason=self.kept.reason)
        if late:
            return self.hold(
                f"{self.kept.reason}; KServe did not give the stable release all traffic in time"
            )
        return Decision(self.state)
