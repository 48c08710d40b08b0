"""What the cluster serves is not deleted: the API double, the simulated KServe, a rollout in every phase."""

import json

import pytest
import urllib3
from kubernetes import client

from components.contract.errors import ClusterError
from components.contract.inference_service import ANNOTATION, MODE, Phase
from components.contract.release import list_releases, prune, publish, write_release
from components.contract.time import DAY
from components.release import served as module
from components.release.served import served
from components.rollout.machine import Rollback, Start
from tests.components.rollout.kube import Fault
from tests.components.rollout.world import NEW, OLD, OTHER, Steady, World

SETTINGS = {"rollout": {"storage": "pvc://home", "steps": [5, 100]}}
NAMES = {uri: uri.rpartition("/")[2] for uri in (OLD, NEW, OTHER)}


@pytest.fixture
def world():
    made = World()
    yield made
    made.close()


def asked(world, settings=SETTINGS):
    """The step's question, over HTTP."""
    return served(settings, client.ApiClient(world.api.configuration()))


def test_at_rest_one_release_is_needed(world):
    assert asked(world) == {NAMES[OLD]}


def test_every_phase_of_a_rollout_needs_both(world):
    """Looked at between any two moves, to the promotion and to a rollback after it."""
    rollout = world.process(Steady())
    rollout.act(Start("run", NEW))
    seen = set()
    for step in range(200):
        state, _ = rollout.look()
        seen.add(state.phase)
        assert asked(world) == {NAMES[OLD], NAMES[NEW]}, (step, state.phase)
        if state.phase is Phase.PROMOTED and state.notified:
            rollout.act(Rollback())
        if state.phase is Phase.ROLLED_BACK and state.notified:
            break
        world.sleep(7)
    assert seen >= set(Phase) - {Phase.HELD}


def test_a_change_by_hand_that_is_not_ready_is_a_doubt(world, capsys):
    """The older revision goes on serving, and its storageUri stands nowhere."""
    world.kserve.start_seconds = lambda uri: 60
    world.api.edit({"spec": {"predictor": {"model": {"storageUri": OTHER}}}})
    world.sleep(30)
    assert asked(world) is None
    world.sleep(60)
    assert asked(world) == {NAMES[OTHER]}


def test_a_canary_by_hand_is_a_doubt(world):
    world.api.edit({"spec": {"predictor": {"canaryTrafficPercent": 10, "model": {"storageUri": OTHER}}}})
    world.sleep(120)
    assert world.kserve.shares() == {OTHER: 10, OLD: 90}
    assert asked(world) is None


def test_an_annotation_that_cannot_be_read_is_a_doubt(world):
    world.api.edit({"metadata": {"annotations": {ANNOTATION: '{"version": 2}'}}})
    assert asked(world) is None


def test_without_knative_readiness_is_what_is_told(world):
    world.api.edit({"metadata": {"annotations": {MODE: "Standard"}}})
    for ready, needed in (("True", {NAMES[OLD]}), ("False", None), ("Unknown", None)):
        world.api.set_status({"conditions": [{"type": "PredictorReady", "status": ready}]})
        assert asked(world) == needed


def test_a_service_without_a_release_needs_none():
    fresh = World(settle=False)
    try:
        fresh.api.edit({"spec": {"predictor": {"model": {"storageUri": None}}}})
        assert asked(fresh) == set()
    finally:
        fresh.close()


def test_other_services_of_the_namespace_count_where_they_serve_releases(world):
    def another(name, uri):
        copied = json.loads(json.dumps(world.api.object))
        copied["metadata"]["name"] = name
        copied["spec"]["predictor"]["model"]["storageUri"] = uri
        return copied

    theirs = another("sklearn", "gs://bucket/model")
    # One that is never ready is no reason to keep our releases.
    theirs["status"] = {}
    world.api.others = [another("shadow", OTHER), theirs]
    assert asked(world) == {NAMES[OLD], NAMES[OTHER]}


@pytest.mark.parametrize("kind", ["close_before", "close_after"])
def test_an_api_that_does_not_answer_is_a_doubt(world, kind):
    world.api.faults = lambda method: Fault(kind=kind)
    assert asked(world) is None


@pytest.mark.parametrize(("status", "needed"), [(403, None), (500, None), (404, set())])
def test_what_the_api_refuses(world, status, needed):
    """404 is a cluster without KServe."""
    world.api.faults = lambda method: Fault(kind="status", status=status)
    assert asked(world) == needed


def test_without_a_cluster_nothing_is_asked(monkeypatch):
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setattr(module, "connect", lambda: pytest.fail("asked"))
    assert served({}) == set()


def test_in_a_pod_it_is_asked_whatever_the_settings(monkeypatch):
    def gone():
        raise ClusterError("no")

    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setattr(module, "connect", gone)
    assert served({}) is None


def test_an_unreachable_address_is_a_doubt():
    configuration = client.Configuration()
    configuration.host = "http://127.0.0.1:9"
    configuration.retries = urllib3.Retry(0)
    assert served(SETTINGS, client.ApiClient(configuration)) is None


def test_pruning_leaves_what_is_needed(tmp_path):
    def write(day):
        def fill(into):
            (into / "part").write_text(str(day))

        return write_release(tmp_path, fill, kind="daily", last_event=day * DAY).name

    names = [write(day) for day in range(6)]
    publish(tmp_path, names[5])
    assert prune(tmp_path, 2, {names[1], "20200101T000000-abcdef"}) == [names[0], names[2], names[3]]
    assert {made.name for made in list_releases(tmp_path)} == {names[1], names[4], names[5]}
