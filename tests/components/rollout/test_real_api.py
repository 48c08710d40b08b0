"""Rollouts against a real kube-apiserver: KServe's CRD, our roles, service accounts' tokens.

The controller is the simulated one, the clock too; HTTP, storage, conflicts, schema and rights are real.
"""

import os
from pathlib import Path

import pytest
import yaml
from kubernetes import client

from components.contract.errors import ClusterError
from components.contract.inference_service import ANNOTATION, FINAL, Phase
from components.release.served import served
from components.rollout.errors import ConflictError, RolloutError
from components.rollout.machine import Promote, Rollback, Start
from manifests.check.build import MANIFESTS, build_overlay
from tests.components.rollout.real import RealApi
from tests.components.rollout.test_random import once, quiet  # noqa: F401
from tests.components.rollout.world import NEW, OLD, OTHER, Killed, Steady, World
from tests.support.control_plane import ControlPlane, binaries

NAMESPACE = "waymark"
RIGHTS = ("Namespace", "ServiceAccount", "Role", "RoleBinding")


@pytest.fixture(scope="module")
def plane(tmp_path_factory):
    """An API server with KServe's CRD and what the overlay says of namespace, accounts and rights."""
    binaries()
    folder = Path(os.environ.get("WAYMARK_CRDS", MANIFESTS.parents[1] / "shared" / "crds"))
    crd = folder / "serving.kserve.io_inferenceservices.yaml"
    if not crd.is_file():
        pytest.skip(f"no {crd.name} in {folder}: WAYMARK_CRDS names a folder with KServe's CRDs")
    made = ControlPlane(tmp_path_factory.mktemp("plane"))
    try:
        made.install(without_empty_defaults(yaml.load(crd.read_text(), Loader=yaml.CSafeLoader)))
        with made.client() as api:
            for kind in RIGHTS:
                for item in build_overlay("local"):
                    if item["kind"] == kind:
                        create(api, item)
        yield made
    finally:
        made.kill()


def without_empty_defaults(part):
    """API servers as old as 1.20 take a default of "" for null, which is then no string."""
    if isinstance(part, list):
        return [without_empty_defaults(item) for item in part]
    if not isinstance(part, dict):
        return part
    return {name: without_empty_defaults(to) for name, to in part.items() if (name, to) != ("default", "")}


def create(api, item):
    core, rights = client.CoreV1Api(api), client.RbacAuthorizationV1Api(api)
    match item["kind"]:
        case "Namespace":
            core.create_namespace(item)
        case "ServiceAccount":
            core.create_namespaced_service_account(NAMESPACE, item)
        case "Role":
            rights.create_namespaced_role(NAMESPACE, item)
        case "RoleBinding":
            rights.create_namespaced_role_binding(NAMESPACE, item)


@pytest.fixture(scope="module")
def manifest():
    """The InferenceService that is applied to a cluster, and its first release, given by hand."""
    [found] = [item for item in build_overlay("local") if item["kind"] == "InferenceService"]
    found["spec"]["predictor"]["model"]["storageUri"] = OLD
    return found


@pytest.fixture
def make(plane, manifest):
    """Worlds over the real API; each has the service anew."""
    worlds = []

    def made(**kserve) -> World:
        while worlds:
            worlds.pop().close()
        api = RealApi(plane, plane.token_of("waymark-rollout", NAMESPACE), manifest)
        worlds.append(World(api=api, **kserve))
        return worlds[-1]

    yield made
    for world in worlds:
        world.close()


@pytest.fixture
def world(make):
    return make()


def go(world, canary=None, **process):
    rollout = world.process(Steady(canary), **process)
    rollout.act(Start("run", NEW))
    return rollout.drive()


def test_a_good_release_is_promoted_and_taken_back_by_hand(world):
    state = go(world)
    assert state.phase is Phase.PROMOTED
    assert [step[0] for step in state.steps] == [5, 25, 50]
    world.sleep(100)
    assert world.at_rest == (NEW, None, {NEW: 100})
    rollout = world.process(Steady())
    rollout.act(Rollback("wrong titles"))
    state = rollout.drive()
    assert (state.phase, state.reason) == (Phase.ROLLED_BACK, "wrong titles")
    world.sleep(100)
    assert world.at_rest == (OLD, None, {OLD: 100})
    steps = [(OLD, None), (NEW, 5), (NEW, 25), (NEW, 50), (NEW, None), (OLD, 0), (OLD, None)]
    assert world.api.specs == steps


@pytest.mark.parametrize("canary", [{"errors": 0.5}, {"p99": 2.0}])
def test_a_bad_release_is_taken_back(world, canary):
    assert go(world, canary).phase is Phase.ROLLED_BACK
    world.sleep(100)
    assert world.at_rest == (OLD, None, {OLD: 100})
    assert world.api.specs == [(OLD, None), (NEW, 5), (OLD, 0), (OLD, None)]


def test_a_stale_write_is_a_conflict_and_changes_nothing(world):
    rollout = world.process(Steady())
    rollout.act(Start("run", NEW))
    read = rollout.cluster.read()
    world.api.edit({"metadata": {"labels": {"touched": "yes"}}})
    before = world.api.object
    with pytest.raises(ConflictError):
        rollout.cluster.write(read, read.state, None)
    assert world.api.object == before


def test_a_rollback_between_reading_and_writing_wins(world):
    """The driver has decided on 25 %; before its patch arrives, somebody rolls back."""
    rollout = world.process(Steady())
    rollout.act(Start("run", NEW))
    write, rival = rollout.cluster.write, world.process(Steady())

    def late(service, state, spec, dry_run=False):
        if spec is not None and spec.percent == 25:
            rival.act(Rollback("seen by somebody"))
        write(service, state, spec, dry_run)

    rollout.cluster.write = late
    state = rollout.drive()
    assert (state.phase, state.reason) == (Phase.ROLLED_BACK, "seen by somebody")
    world.sleep(100)
    assert world.at_rest == (OLD, None, {OLD: 100})
    assert (NEW, 25) not in world.api.specs


@pytest.mark.parametrize("place", [1, 2, 3, 4, 7, 12, 20])
def test_killed_another_process_goes_on(make, place):
    """Before the request or after its answer; the list of places is short, the double's test has all."""
    world, left = make(), [place]

    def dies() -> bool:
        left[0] -= 1
        return left[0] == 0

    with pytest.raises(Killed):
        go(world, dies=dies)
    world.sleep(50)
    assert go(world).phase is Phase.PROMOTED
    world.sleep(100)
    assert world.at_rest == (NEW, None, {NEW: 100})
    assert world.api.specs == [(OLD, None), (NEW, 5), (NEW, 25), (NEW, 50), (NEW, None)]


def test_a_second_rollout_is_refused_and_a_retry_is_not(world):
    world.process(Steady()).act(Start("run", NEW))
    with pytest.raises(RolloutError, match="is running"):
        world.process(Steady()).act(Start("second", OTHER))
    version = world.api.object["metadata"]["resourceVersion"]
    world.process(Steady()).act(Start("run", NEW))
    assert world.api.object["metadata"]["resourceVersion"] == version
    assert world.predictor["model"]["storageUri"] == NEW


def test_somebody_elses_change_holds_and_is_left_alone(world):
    rollout = world.process(Steady())
    rollout.act(Start("run", NEW))
    rollout.look()
    # The API server counts generations by itself.
    world.api.edit({"spec": {"predictor": {"minReplicas": 2}}})
    spec = world.predictor
    state = rollout.drive()
    assert (state.phase, state.reason) == (Phase.HELD, "the spec was changed by somebody else")
    assert world.predictor == spec


def test_a_dry_run_is_checked_and_not_kept(world):
    before = world.api.object
    assert world.process(Steady()).act(Start("run", NEW), dry_run=True).spec is not None
    assert world.api.object == before


def test_promotion_by_hand_waits_for_readiness(world):
    rollout = world.process(Steady())
    rollout.act(Start("run", NEW))
    with pytest.raises(RolloutError, match="not ready to have all traffic"):
        rollout.act(Promote())
    world.sleep(60)
    rollout.act(Promote())
    assert rollout.drive().phase is Phase.PROMOTED


@pytest.mark.slow
@pytest.mark.usefixtures("quiet")
def test_random_rollouts_keep_to_the_rules(plane, manifest):
    """Some of the seeds of the double's thousand: faults, crashes, rivals and hands."""
    ends = set()
    for seed in range(24):
        api = RealApi(plane, plane.token_of("waymark-rollout", NAMESPACE), manifest)
        try:
            ends.add(once(seed, api).phase)
        except BaseException as error:
            error.add_note(f"seed {seed}")
            raise
    assert ends == set(FINAL)


def test_the_api_server_is_killed_in_between(world, plane):
    rollout = world.process(Steady(), patience=0)
    rollout.act(Start("run", NEW))
    plane.kill("kube-apiserver")
    try:
        with pytest.raises(ClusterError, match="the API server fails"):
            rollout.look()
    finally:
        plane.start()
    assert go(world).phase is Phase.PROMOTED


def test_kserves_schema_refuses_what_does_not_fit(world, plane):
    """So a patch of a wrong type would be told at once, and change nothing."""
    before = world.api.object
    with pytest.raises(client.ApiException) as refused:
        world.api.edit({"spec": {"predictor": {"canaryTrafficPercent": "5"}}})
    assert refused.value.status == 422
    assert world.api.object == before


def test_the_account_of_the_rollout_may_do_no_more(world, plane):
    api = client.ApiClient(world.api.configuration())
    for ask in (
        lambda: client.CoreV1Api(api).list_namespaced_secret(NAMESPACE),
        lambda: client.CoreV1Api(api).list_namespaced_pod(NAMESPACE),
        lambda: client.CustomObjectsApi(api).delete_namespaced_custom_object(*world.api.where),
        lambda: client.CustomObjectsApi(api).list_cluster_custom_object(
            *world.api.where[:2], "inferenceservices"
        ),
    ):
        with pytest.raises(client.ApiException) as refused:
            ask()
        assert refused.value.status == 403


def test_pipelines_see_what_is_served_and_may_not_change_it(world, plane):
    token = plane.token_of("waymark-pipelines", NAMESPACE)
    settings = {"rollout": {"storage": "pvc://home"}}
    assert served(settings, plane.client(token)) == {OLD.rpartition("/")[2]}
    world.process(Steady()).act(Start("run", NEW))
    assert served(settings, plane.client(token)) == {uri.rpartition("/")[2] for uri in (OLD, NEW)}
    with pytest.raises(client.ApiException) as refused:
        client.CustomObjectsApi(plane.client(token)).patch_namespaced_custom_object(*world.api.where, {})
    assert refused.value.status == 403
    # Another account may not even look, and nothing is deleted then.
    assert served(settings, plane.client(plane.token_of("waymark-server", NAMESPACE))) is None


def test_the_state_is_one_annotation(world):
    go(world)
    assert world.api.object["metadata"]["annotations"][ANNOTATION].startswith('{"version":1,')
