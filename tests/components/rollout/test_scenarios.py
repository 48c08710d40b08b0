"""Whole rollouts: real client, HTTP doubles of the API server and Prometheus, simulated KServe and people."""

import itertools
import random

import pytest

from components.contract.errors import ClusterError
from components.contract.inference_service import ANNOTATION, Phase
from components.rollout.errors import ConflictError, RolloutError
from components.rollout.machine import Promote, Rollback, Start
from components.rollout.metrics import Prometheus as Metrics
from components.rollout.settings import RolloutSettings
from tests.components.rollout.kserve import json_state
from tests.components.rollout.kube import Fault
from tests.components.rollout.prometheus import People, Prometheus, Quality
from tests.components.rollout.world import NEW, OLD, OTHER, SETTINGS, Killed, Steady, World

HOURS = RolloutSettings(
    window_seconds=1800,
    min_requests=500,
    block_seconds=60,
    click_lag_seconds=120,
    completion_lag_seconds=240,
    patience_seconds=3600,
)


@pytest.fixture
def world():
    made = World()
    yield made
    made.close()


@pytest.fixture
def prometheus():
    server = Prometheus()
    yield server
    server.close()


def go(world: World, metrics=None, settings=SETTINGS):
    rollout = world.process(metrics or Steady(), settings)
    rollout.act(Start("run", NEW))
    return rollout.drive()


def percents(world: World) -> list[int | None]:
    """canaryTrafficPercent of every patch that changed the spec."""
    return [
        patch["body"]["spec"]["predictor"]["canaryTrafficPercent"]
        for patch in world.api.history
        if "spec" in patch["body"]
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("quality", "phase", "reason"),
    [
        (Quality(), Phase.PROMOTED, ""),
        (Quality(errors=0.05), Phase.ROLLED_BACK, "error rate"),
        (Quality(slow=0.05), Phase.ROLLED_BACK, "p99 latency"),
        (Quality(fallbacks=0.4), Phase.ROLLED_BACK, "fallback rate"),
        (Quality(clicks=0.06), Phase.ROLLED_BACK, "click-through is lower"),
        (Quality(clicks=0.08), Phase.ROLLED_BACK, "click-through is lower"),
        (Quality(completions=0.25), Phase.ROLLED_BACK, "completion is lower"),
    ],
)
def test_by_what_people_meet(world, prometheus, quality, phase, reason):
    People(world, prometheus, {OLD: Quality(), NEW: quality})
    world.sleep(600)
    state = go(world, Metrics(prometheus.url), HOURS)
    assert state.phase is phase, state
    assert reason in state.reason
    set_ = percents(world)
    if phase is Phase.PROMOTED:
        assert set_ == [5, 25, 50, None]
    else:
        # Up to some step, then 0, then the field removed.
        assert set_ == [*[5, 25, 50][: len(set_) - 2], 0, None]
    assert [told.phase for told in world.told] == [phase]
    world.sleep(300)
    release = NEW if phase is Phase.PROMOTED else OLD
    assert world.at_rest == (release, None, {release: 100})


def test_each_step_lasts_its_window(world):
    begun = world.now
    state = go(world)
    assert [step[0] for step in state.steps] == [5, 25, 50]
    seen = [step[2] for step in state.steps]
    assert all(b - a >= SETTINGS.window_seconds for a, b in itertools.pairwise(seen))
    assert world.now - begun < 3 * (SETTINGS.window_seconds + 3 * SETTINGS.poll_seconds) + 200


def test_a_canary_that_never_is_ready(world):
    world.kserve.start_seconds = lambda uri: None if uri == NEW else 20
    state = go(world)
    assert (state.phase, state.reason) == (Phase.ROLLED_BACK, "the canary was not ready after 300 s")
    world.sleep(100)
    assert world.at_rest == (OLD, None, {OLD: 100})


def test_an_old_release_that_does_not_come_up_again_keeps_its_traffic(world):
    world.kserve.start_seconds = lambda uri: 20 if uri == NEW else None
    state = go(world, Steady({"errors": 0.5}))
    assert state.phase is Phase.HELD
    assert "is not up anew" in state.reason
    assert world.at_rest == (OLD, 0, {OLD: 100})


@pytest.mark.parametrize("canary", [{}, {"errors": 0.5}])
def test_killed_anywhere_another_process_goes_on(canary):
    """At the first, second, ... place where a process can die, until there is no further one."""
    for place in itertools.count(1):
        world = World()
        left = [place]

        def dies(left=left) -> bool:
            left[0] -= 1
            return left[0] == 0

        try:
            rollout = world.process(Steady(canary), dies=dies)
            try:
                rollout.act(Start("run", NEW))
                state = rollout.drive()
            except Killed:
                world.sleep(50)
                again = world.process(Steady(canary))
                again.act(Start("run", NEW))
                state = again.drive()
            assert state.phase is (Phase.ROLLED_BACK if canary else Phase.PROMOTED), place
            assert percents(world) == ([5, 0, None] if canary else [5, 25, 50, None]), place
            assert 1 <= len(world.told) <= 2
        finally:
            world.close()
        if left[0] > 0:
            break
    assert place > 30


def test_a_second_rollout_is_refused_and_a_retry_is_not(world):
    first = world.process(Steady())
    first.act(Start("run", NEW))
    with pytest.raises(RolloutError, match="is running"):
        world.process(Steady()).act(Start("second", OTHER))
    world.process(Steady()).act(Start("run", NEW))
    assert first.drive().phase is Phase.PROMOTED
    # The same run again finds its end and does nothing.
    patches = len(world.api.history)
    retry = world.process(Steady())
    retry.act(Start("run", NEW))
    assert retry.drive().phase is Phase.PROMOTED
    assert len(world.api.history) == patches


@pytest.mark.parametrize("mode", ["Standard", "RawDeployment", None])
def test_standard_mode_is_refused(mode):
    world = World(mode=mode)
    try:
        with pytest.raises(RolloutError, match="Knative mode"):
            world.process(Steady()).act(Start("run", NEW))
        assert world.api.history == []
    finally:
        world.close()


def test_serverless_is_knatives_old_name():
    world = World(mode="Serverless")
    try:
        assert go(world).phase is Phase.PROMOTED
    finally:
        world.close()


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        ({"spec": {"predictor": {"canaryTrafficPercent": 90}}}, "canaryTrafficPercent is 90, not 5"),
        ({"spec": {"predictor": {"model": {"storageUri": OTHER}}}}, f"storageUri is {OTHER}"),
        ({"spec": {"predictor": {"minReplicas": 7}}}, "the spec was changed by somebody else"),
        ({"metadata": {"annotations": {"serving.kserve.io/deploymentMode": "Standard"}}}, "deployment mode"),
    ],
)
def test_somebody_elses_change_holds_and_is_left_alone(world, edit, reason):
    rollout = world.process(Steady())
    rollout.act(Start("run", NEW))
    rollout.look()
    world.api.edit(edit)
    spec = world.predictor
    state = rollout.drive()
    assert state.phase is Phase.HELD
    assert reason in state.reason
    assert world.predictor == spec
    assert [told.phase for told in world.told] == [Phase.HELD]


def test_an_annotation_of_another_version_is_left_alone(world):
    world.api.edit({"metadata": {"annotations": {ANNOTATION: '{"version": 2}'}}})
    with pytest.raises(ClusterError, match="another version or was edited"):
        world.process(Steady()).act(Start("run", NEW))
    assert world.api.history == []


def test_kserve_giving_an_older_revision_traffic_holds(world):
    # A second release first, so that there is an older revision.
    assert go(world).phase is Phase.PROMOTED
    world.sleep(200)
    rollout = world.process(Steady())
    rollout.act(Start("next", OTHER))
    world.sleep(60)
    status = world.api.object["status"]
    predictor = status["components"]["predictor"]
    old = predictor["previousRolledoutRevision"]
    traffic = [
        {**target, **({} if target["latestRevision"] else {"revisionName": old})}
        for target in predictor["traffic"]
    ]
    world.api.set_status({**status, "components": {"predictor": {**predictor, "traffic": traffic}}})
    state, _ = rollout.look()
    assert (state.phase, state.reason) == (
        Phase.HELD,
        f"KServe gives 95 % to {old}, older than the stable revision",
    )


def test_by_hand(world):
    rollout = world.process(Steady())
    for event in (Promote(), Rollback()):
        with pytest.raises(RolloutError, match="there is no canary"):
            rollout.act(event)
    rollout.act(Start("run", NEW))
    with pytest.raises(RolloutError, match="not ready to have all traffic"):
        rollout.act(Promote())
    world.sleep(60)
    rollout.act(Promote())
    assert rollout.drive().phase is Phase.PROMOTED
    # After a promotion too, one command brings the old release back.
    world.sleep(100)
    rollout.act(Rollback("wrong titles"))
    state = rollout.drive()
    assert (state.phase, state.reason) == (Phase.ROLLED_BACK, "wrong titles")
    world.sleep(100)
    assert world.at_rest == (OLD, None, {OLD: 100})


def test_a_dry_run_asks_the_api_server_and_changes_nothing(world):
    rollout = world.process(Steady())
    before = world.api.object
    assert rollout.act(Start("run", NEW), dry_run=True).spec is not None
    assert world.api.object is before
    assert ("PATCH", 200) in world.api.requests


def test_a_busy_api_server_is_waited_for_as_it_asks(world):
    faults = iter([Fault(kind="status", status=429, retry_after="40"), Fault(kind="status", status=500)])
    world.api.faults = lambda method: next(faults, None)
    begun = world.now
    world.process(Steady()).act(Start("run", NEW))
    assert 40 <= world.now - begun <= 43
    assert json_state(world.api)["phase"] == "waiting"


def test_a_connection_that_closes_after_the_patch_does_not_patch_twice(world):
    faults = iter([None, Fault(kind="close_after")])
    world.api.faults = lambda method: next(faults, None)
    world.process(Steady()).act(Start("run", NEW))
    assert ("PATCH", 409) in world.api.requests
    assert percents(world) == [5]


def test_patience_with_the_api_server_ends(world):
    world.api.faults = lambda method: Fault(kind="status", status=503)
    begun = world.now
    with pytest.raises(ClusterError, match="the API server fails for 600 s: 503"):
        world.process(Steady()).act(Start("run", NEW))
    assert 600 <= world.now - begun <= 700


def test_what_the_api_server_refuses_is_told_at_once(world):
    world.api.faults = lambda method: Fault(kind="status", status=403)
    begun = world.now
    with pytest.raises(ClusterError, match="403"):
        world.process(Steady()).act(Start("run", NEW))
    assert world.now == begun


def test_a_rollback_between_reading_and_writing_wins(world):
    """The driver has decided on 25 %; before its patch arrives, somebody rolls back."""
    patches = []

    def rival(method: str) -> None:
        patches.append(method)
        if patches.count("PATCH") == 3:
            world.api.faults = lambda method: None
            world.process(Steady()).act(Rollback("seen by somebody"))

    world.api.faults = rival
    state = go(world)
    assert (state.phase, state.reason) == (Phase.ROLLED_BACK, "seen by somebody")
    assert percents(world) == [5, 0, None]
    assert ("PATCH", 409) in world.api.requests


def test_a_stale_write_is_a_conflict(world):
    rollout = world.process(Steady())
    rollout.act(Start("run", NEW))
    read = rollout.cluster.read()
    world.api.edit({"metadata": {"labels": {"touched": "yes"}}})
    with pytest.raises(ConflictError):
        rollout.cluster.write(read, read.state, None)


def test_annotations_that_make_revisions_do_not_mislead():
    """Unless KServe is told to keep the annotation out of the template, every write makes a revision."""
    for seed in range(5):
        world = World(
            seed, annotations_in_template=True, torn=True, start_seconds=lambda uri: random.choice([10, 60])
        )
        try:
            assert go(world).phase is Phase.PROMOTED
            world.sleep(300)
            assert world.at_rest == (NEW, None, {NEW: 100})
            assert len(world.kserve.revisions) > 5
        finally:
            world.close()
