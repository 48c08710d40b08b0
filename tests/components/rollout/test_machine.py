import dataclasses
import itertools

import pytest
from pydantic import ValidationError

from components.contract.inference_service import FINAL, Phase, Spec, State, View
from components.rollout.comparison import Judgement, Verdict
from components.rollout.machine import Decision, Look, Promote, Rollback, Start, decide
from components.rollout.settings import RolloutSettings

OLD, NEW, OTHER = "pvc://h/releases/old", "pvc://h/releases/new", "pvc://h/releases/other"
R0, R1, R2, R3 = (f"waymark-predictor-{n:05d}" for n in range(4))
SETTINGS = RolloutSettings(
    steps=(5, 50, 100), window_seconds=100, patience_seconds=50, ready_seconds=300, settle_seconds=60
)
GOOD, BAD, WAIT = (Look(Judgement(verdict, f"it is {verdict}", {})) for verdict in Verdict)
BEGUN, NOW = 1000.0, 1100.0

REST = View("Knative", OLD, None, 7, created=R1, ready=R1, previous=R0, traffic={R1: 100}, latest=100)
# What KServe shows when it has carried out what the phase waits for.
READY = {
    Phase.WAITING: View("Knative", NEW, 5, 8, R2, R2, R0, {R1: 95, R2: 5}, 5),
    Phase.OBSERVING: View("Knative", NEW, 5, 8, R2, R2, R0, {R1: 95, R2: 5}, 5),
    Phase.PROMOTING: View("Knative", NEW, None, 8, R2, R2, R1, {R2: 100}, 100),
    Phase.PROMOTED: View("Knative", NEW, None, 8, R2, R2, R1, {R2: 100}, 100),
    Phase.RESTORING: View("Knative", OLD, 0, 8, R3, R3, R0, {R1: 100, R3: 0}, 0),
    Phase.SETTLING: View("Knative", OLD, None, 8, R3, R3, R1, {R3: 100}, 100),
    Phase.ROLLED_BACK: View("Knative", OLD, None, 8, R3, R3, R1, {R3: 100}, 100),
    Phase.HELD: View("Knative", NEW, 5, 8, R2, R2, R0, {R1: 95, R2: 5}, 5),
}


def state(phase: Phase, since: float = BEGUN, **more) -> State:
    given = {
        "id": "run",
        "phase": phase,
        "stable": OLD,
        "canary": NEW,
        "stable_revision": R1,
        "previous_revision": R0,
        "percent": READY[phase].percent,
        "generation": 8,
        "started": BEGUN,
        "since": since,
        "steps": () if phase is Phase.WAITING else ((5, BEGUN, BEGUN),),
    }
    return State(**(given | more))


EVENTS = {
    "same": Start("run", NEW),
    "again": Start("later", NEW),
    "other": Start("later", OTHER),
    "promote": Promote(),
    "rollback": Rollback(),
    "nothing": Look(),
    "good": GOOD,
    "bad": BAD,
    "wait": WAIT,
}
KEEP, REFUSE = "keep", "refuse"
BACK = (Phase.RESTORING, Spec(OLD, 0))
ON = (Phase.PROMOTING, Spec(NEW, None))
# By phase, for the events in their order: keep, refuse, or the next phase and the change of the spec.
TABLE = {
    None: [
        (Phase.WAITING, Spec(NEW, 5)),
        (Phase.WAITING, Spec(NEW, 5)),
        (Phase.WAITING, Spec(OTHER, 5)),
        REFUSE,
        REFUSE,
        *[KEEP] * 4,
    ],
    Phase.WAITING: [
        *[KEEP, KEEP, REFUSE, ON, BACK],
        *[(Phase.OBSERVING, None), (Phase.OBSERVING, None), BACK, (Phase.OBSERVING, None)],
    ],
    Phase.OBSERVING: [KEEP, KEEP, REFUSE, ON, BACK, KEEP, (Phase.WAITING, Spec(NEW, 50)), BACK, KEEP],
    Phase.PROMOTING: [KEEP, KEEP, REFUSE, REFUSE, BACK, *[(Phase.PROMOTED, None)] * 4],
    Phase.PROMOTED: [KEEP, REFUSE, (Phase.WAITING, Spec(OTHER, 5)), REFUSE, BACK, *[KEEP] * 4],
    Phase.RESTORING: [KEEP, KEEP, REFUSE, REFUSE, REFUSE, *[(Phase.SETTLING, Spec(OLD, None))] * 4],
    Phase.SETTLING: [KEEP, KEEP, REFUSE, REFUSE, REFUSE, *[(Phase.ROLLED_BACK, None)] * 4],
    Phase.ROLLED_BACK: [
        *[KEEP, (Phase.WAITING, Spec(NEW, 5)), (Phase.WAITING, Spec(OTHER, 5)), REFUSE, REFUSE],
        *[KEEP] * 4,
    ],
    Phase.HELD: [KEEP, REFUSE, REFUSE, ON, BACK, *[KEEP] * 4],
}


@pytest.mark.parametrize("phase", TABLE)
@pytest.mark.parametrize("event", EVENTS)
def test_every_event_in_every_state(phase, event):
    before = state(phase) if phase else None
    view = READY[phase] if phase else REST
    found = decide(before, EVENTS[event], view, NOW, SETTINGS)
    expected = TABLE[phase][list(EVENTS).index(event)]
    assert bool(found.refused) == (expected == REFUSE)
    if expected in (KEEP, REFUSE):
        assert (found.state, found.spec) == (before, None)
    else:
        assert found.state is not None
        assert (found.state.phase, found.spec) == expected
        assert found.state.since == NOW
        assert not found.state.notified


VIEWS = {
    **READY,
    "rest": REST,
    "new spec, old status": dataclasses.replace(REST, uri=NEW, percent=5, generation=8),
    "not ready": View("Knative", NEW, 5, 8, R2, R1, R0, {R1: 100}, 5),
    "no status": View("Knative", NEW, 5, 8),
    "old status": View("Knative", OLD, 0, 8, R2, R2, R0, {R1: 95, R2: 5}, 5),
    "torn": View("Knative", OLD, 0, 8, R2, R2, R0, {R1: 100, R2: 0}, 0),
    "standard": dataclasses.replace(READY[Phase.WAITING], mode="Standard"),
    "percent by hand": dataclasses.replace(READY[Phase.WAITING], percent=90, generation=9),
    "release by hand": dataclasses.replace(READY[Phase.WAITING], uri=OTHER, generation=9),
    "other field by hand": dataclasses.replace(READY[Phase.WAITING], generation=9),
    "stray": dataclasses.replace(READY[Phase.WAITING], traffic={R0: 95, R2: 5}),
    "failed": dataclasses.replace(READY[Phase.WAITING], ready_now=False),
}


@pytest.mark.parametrize("at", [BEGUN, BEGUN + 59, BEGUN + 200, BEGUN + 100_000])
@pytest.mark.parametrize("phase", TABLE)
def test_what_always_holds(phase, at):
    before = state(phase) if phase else None
    for (name, view), event in itertools.product(VIEWS.items(), EVENTS.values()):
        found = decide(before, event, view, at, SETTINGS)
        told = (phase, name, event, at, found)
        after = found.state
        if found.refused or after == before:
            assert found.spec is None, told
            continue
        assert after is not None
        look = isinstance(event, Look)
        assert not (look and phase in FINAL), told
        if after.phase is Phase.HELD:
            assert after.reason, told
            assert found.spec is None, told
        if found.spec is None:
            continue
        assert view.mode == "Knative" or not look, told
        new = found.spec
        if new == Spec(NEW, None):
            # All traffic to the canary: only if it is ready, and by a person or a good verdict.
            assert view.ready not in (None, R1), told
            assert view.created == view.ready, told
            assert isinstance(event, Promote) or (phase is Phase.OBSERVING and event is GOOD), told
        elif new == Spec(OLD, None):
            # The percentage goes only when a revision of the stable release will have what it leaves.
            assert phase is Phase.RESTORING, told
            assert view.latest == 0, told
            assert view.created == view.ready, told
            assert at - before.since >= SETTINGS.settle_seconds, told
        elif new.uri == OLD:
            assert new == Spec(OLD, 0), told
        else:
            steps = [0, *SETTINGS.steps]
            from_ = before.percent if phase is Phase.OBSERVING else 0
            assert new.percent == steps[steps.index(from_) + 1], told
            assert isinstance(event, Start) or event is GOOD, told
        assert after.percent == new.percent, told


@pytest.mark.parametrize(
    ("phase", "view", "at", "reason"),
    [
        (
            Phase.OBSERVING,
            "percent by hand",
            NOW,
            "canaryTrafficPercent is 90, not 5: somebody else changed it",
        ),
        (
            Phase.WAITING,
            "release by hand",
            NOW,
            f"storageUri is {OTHER}, not {NEW}: somebody else changed it",
        ),
        (Phase.OBSERVING, "other field by hand", NOW, "the spec was changed by somebody else"),
        (Phase.OBSERVING, "standard", NOW, "the deployment mode became Standard"),
        (Phase.WAITING, "stray", NOW, f"KServe gives 95 % to {R0}, older than the stable revision"),
        (Phase.WAITING, "no status", 1301, "the status shows no traffic after 300 s"),
        (Phase.OBSERVING, Phase.OBSERVING, 1151, "it is wait"),
        (Phase.PROMOTING, "slow", 1301, "KServe did not give the canary all traffic in time"),
        (Phase.RESTORING, "old status", 1301, "why; its traffic is 0, but the stable release is not up anew"),
        (Phase.SETTLING, "slow", 1301, "why; KServe did not give the stable release all traffic in time"),
    ],
)
def test_doubts_hold(phase, view, at, reason):
    views = VIEWS | {"slow": dataclasses.replace(READY[phase], created="waymark-predictor-00009")}
    found = decide(state(phase, reason="why"), WAIT, views[view], at, SETTINGS)
    assert found.state is not None
    assert (found.state.phase, found.state.reason, found.spec) == (Phase.HELD, reason, None)


@pytest.mark.parametrize(
    ("view", "at", "phase"),
    [
        ("not ready", 1300, Phase.WAITING),
        ("not ready", 1301, Phase.RESTORING),
        ("new spec, old status", 1100, Phase.WAITING),
    ],
)
def test_a_canary_that_is_not_ready(view, at, phase):
    found = decide(state(Phase.WAITING), Look(), VIEWS[view], at, SETTINGS)
    assert found.state is not None
    assert found.state.phase is phase


def test_a_canary_that_fails_later_is_taken_back():
    found = decide(state(Phase.OBSERVING), WAIT, VIEWS["failed"], NOW, SETTINGS)
    assert found.spec == Spec(OLD, 0)


@pytest.mark.parametrize(("at", "phase"), [(BEGUN + 59, Phase.RESTORING), (BEGUN + 60, Phase.SETTLING)])
def test_a_status_that_may_lack_the_new_revision_is_not_believed(at, phase):
    found = decide(state(Phase.RESTORING), Look(), VIEWS["torn"], at, SETTINGS)
    assert found.state is not None
    assert found.state.phase is phase
    # One whose newest ready revision is the canary's never is, nor one that still has the canary's share.
    known = state(Phase.RESTORING, canary_revision=R2)
    assert decide(known, Look(), VIEWS["torn"], at, SETTINGS).spec is None
    assert decide(state(Phase.RESTORING), Look(), VIEWS["old status"], at, SETTINGS).spec is None


@pytest.mark.parametrize(
    ("view", "why"),
    [
        ({"mode": None}, "deployment mode not stated"),
        ({"mode": "Standard"}, "canaryTrafficPercent is ignored outside Knative mode"),
        ({"uri": None}, "no model.storageUri"),
        ({"percent": 10}, "canaryTrafficPercent is 10, set by somebody else"),
        ({"traffic": {}, "latest": None}, "the status shows no traffic"),
        ({"created": R2}, "the service is not at rest"),
        ({"traffic": {R0: 50, R1: 50}}, "the service is not at rest"),
        ({"uri": NEW}, "has all traffic already"),
    ],
)
def test_a_service_that_is_not_fit_is_left_alone(view, why):
    found = decide(None, Start("run", NEW), dataclasses.replace(REST, **view), NOW, SETTINGS)
    assert why in found.refused
    assert found == Decision(None, refused=found.refused)


def test_a_held_rollout_that_a_person_cleaned_up_makes_room():
    assert decide(state(Phase.HELD), Start("later", OTHER), REST, NOW, SETTINGS).spec == Spec(OTHER, 5)
    mended = decide(state(Phase.HELD), Rollback(), REST, NOW, SETTINGS)
    assert mended.state is not None
    assert (mended.state.phase, mended.spec) == (Phase.ROLLED_BACK, None)


def test_a_schedule_of_one_step_promotes_at_once():
    found = decide(None, Start("run", NEW), REST, NOW, SETTINGS.model_copy(update={"steps": (100,)}))
    assert found.state is not None
    assert (found.state.phase, found.spec) == (Phase.PROMOTING, Spec(NEW, None))


def test_generations_are_counted_only_when_the_spec_changes():
    assert decide(None, Start("run", NEW), REST, NOW, SETTINGS).state.generation == 8
    unchanged = dataclasses.replace(READY[Phase.RESTORING], generation=8)
    assert decide(state(Phase.HELD), Rollback(), unchanged, NOW, SETTINGS).state.generation == 8


@pytest.mark.parametrize("steps", [[], [0, 100], [5, 25], [25, 5, 100], [5, 5, 100], [5, 150]])
def test_schedules_that_make_no_sense(steps):
    with pytest.raises(ValidationError, match="per cents that rise"):
        RolloutSettings(steps=steps)
