"""The command line, the step and its component: real time, HTTP, a kubeconfig, a webhook."""

import json
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import kubernetes.config.kube_config
import pytest
import structlog
import yaml
from kfp import dsl

from components.contract.inference_service import Phase, State
from components.contract.notify import WEBHOOK
from components.contract.release import current, publish, write_release
from components.contract.time import DAY
from components.rollout.__main__ import main
from components.rollout.component import rollout as component
from components.rollout.errors import RolloutError
from components.rollout.metrics import release_of
from components.rollout.notify import notify
from components.rollout.step import run
from tests.components.rollout.world import NEW, OLD, World
from tests.support.webhook import Webhook

QUICK = {"steps": [100], "poll_seconds": 0.1, "settle_seconds": 0.6, "ready_seconds": 30}


@pytest.fixture
def webhook():
    made = Webhook()
    yield made
    made.close()


@pytest.fixture
def world(tmp_path, monkeypatch, webhook):
    """KServe at work in real time, and a kubeconfig that leads to the API double."""
    made = World(start_seconds=lambda uri: 0.2, lag=0.05, status_lag=0.1)
    going, begun = threading.Event(), time.time()

    def work() -> None:
        while not going.wait(0.02):
            made.kserve.tick(made.now + time.time() - begun)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    kubeconfig = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "double",
        "contexts": [{"name": "double", "context": {"cluster": "double", "user": "tester"}}],
        "clusters": [{"name": "double", "cluster": {"server": made.api.url}}],
        "users": [{"name": "tester", "user": {"token": "t"}}],
    }
    file = tmp_path / "kubeconfig"
    file.write_text(yaml.safe_dump(kubeconfig))
    monkeypatch.setattr(kubernetes.config.kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(file))
    monkeypatch.setenv("KUBECONFIG", str(file))
    monkeypatch.setenv(WEBHOOK, webhook.url)
    yield made
    going.set()
    thread.join()
    made.close()


@pytest.fixture
def command(tmp_path, monkeypatch, capsys):
    """Run a command; returns exit status and output."""

    def call(*words: str, **settings) -> tuple[int, str]:
        file = tmp_path / "settings.yaml"
        file.write_text(yaml.safe_dump({"rollout": QUICK | settings}))
        monkeypatch.setattr(sys, "argv", ["rollout", *words, "--settings", str(file)])
        with pytest.raises(SystemExit) as end:
            main()
        shown = capsys.readouterr()
        return end.value.code or 0, shown.out + shown.err

    yield call
    structlog.reset_defaults()


def test_start_status_rollback(world, command, webhook):
    assert "idle" in command("status")[1]
    code, shown = command("start", NEW, "--dry-run")
    assert code == 0
    assert f"would set storageUri {NEW}, canaryTrafficPercent removed" in shown
    assert world.api.history == []
    code, shown = command("start", NEW + "/")
    assert (code, f"{NEW} has all traffic of waymark/waymark" in shown) == (0, True)
    kept = json.loads(command("status", "--json")[1])
    assert kept["state"]["phase"] == "promoted"
    assert sum(kept["traffic"].values()) == 100
    code, shown = command("rollback", "--reason", "wrong titles")
    assert (code, "wrong titles" in shown) == (0, True)
    assert world.at_rest == (OLD, None, {OLD: 100})
    assert [post["rollout"]["phase"] for post in webhook.posted] == ["promoted", "rolled_back"]
    assert webhook.posted[1]["text"].endswith("wrong titles")


def test_exit_status(world, command):
    code, shown = command("promote")
    assert (code, "error: there is no canary to promote" in shown) == (1, True)
    world.kserve.start_seconds = lambda uri: 0.2 if uri == OLD else None
    code, shown = command("start", NEW, steps=[5, 100], ready_seconds=1)
    assert (code, "was taken back" in shown) == (3, True)
    code, shown = command("start", NEW, "--no-wait", steps=[5, 100])
    assert (code, "now waiting" in shown) == (0, True)
    world.api.edit({"spec": {"predictor": {"minReplicas": 2}}})
    code, shown = command("start", NEW, steps=[5, 100])
    assert (code, "waits for a person" in shown) == (4, True)
    assert command("start", NEW, steps=[100, 5])[0] == 1


def test_as_a_module(world):
    done = subprocess.run(
        [sys.executable, "-m", "components.rollout", "status"], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert OLD in done.stdout


def test_no_cluster_is_one_plain_line(monkeypatch, tmp_path, command):
    monkeypatch.setattr(kubernetes.config.kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "none"))
    code, shown = command("status")
    assert (code, shown.count("error:"), "kubeconfig" in shown) == (1, 1, True)


@pytest.fixture
def home(tmp_path):
    """Two releases, the newer one current: names as the world's storageUris would have them."""

    def write(day: int):
        def fill(folder):
            (folder / "part").write_text(str(day))

        return write_release(tmp_path / "home", fill, kind="monthly", last_event=1.79e9 + day * DAY)

    old, new = write(0), write(1)
    publish(tmp_path / "home", new.name)
    return tmp_path / "home", f"pvc://home/releases/{old.name}", f"pvc://home/releases/{new.name}"


def serve(world: World, uri: str) -> None:
    """Let a release be the stable one."""
    world.api.edit({"spec": {"predictor": {"model": {"storageUri": uri}}}})
    time.sleep(1)


def test_component_rolls_the_current_release_out(world, home, tmp_path):
    folder, old, new = home
    serve(world, old)
    metrics = dsl.Metrics(uri=str(tmp_path / "metrics"))
    settings = {"rollout": {**QUICK, "storage": "pvc://home/"}}
    component.python_func(
        home=str(folder), kind="monthly", run_id="run-1", settings=settings, metrics=metrics
    )
    assert metrics.metadata["release"] == release_of(new)
    assert metrics.metadata["phase"] == "promoted"
    assert world.at_rest == (new, None, {new: 100})


def test_a_release_taken_back_is_not_current_any_more(world, home):
    folder, old, new = home
    serve(world, old)
    world.kserve.start_seconds = lambda uri: None if uri == new else 0.2
    settings = {"rollout": {**QUICK, "steps": [5, 100], "ready_seconds": 1, "storage": "pvc://home"}}
    with pytest.raises(RolloutError, match=r"was taken back.*not ready after 1 s"):
        run(folder, kind="daily", run_id="run-2", settings=settings)
    assert current(folder).name == release_of(old)
    # A retry of the run says the same and tries nothing, though the pointer moved.
    patches = len(world.api.history)
    with pytest.raises(RolloutError, match="was taken back"):
        run(folder, kind="daily", run_id="run-2", settings=settings)
    assert len(world.api.history) == patches


def test_without_a_cluster_nothing_is_rolled_out(home):
    assert run(home[0], kind="daily", run_id="run")["phase"] == "skipped"


def test_a_kind_that_is_not_rolled_out(world, home):
    folder, old, _ = home
    serve(world, old)
    settings = {"rollout": {**QUICK, "storage": "pvc://home", "kinds": ["weekly", "monthly"]}}
    assert run(folder, kind="daily", run_id="run", settings=settings)["phase"] == "skipped"
    assert world.api.history == []


def test_a_release_that_has_all_traffic_needs_no_rollout(world, home):
    """A day without events makes the same release again."""
    folder, _, new = home
    serve(world, new)
    settings = {"rollout": {**QUICK, "storage": "pvc://home"}}
    assert run(folder, kind="daily", run_id="run", settings=settings)["phase"] == "served"
    assert world.api.history == []


@pytest.fixture
def earlier(home, world, command):
    """A rollout of another run waits for its canary; what ends it: a rollback by hand."""
    folder, old, _ = home
    serve(world, old)
    world.kserve.start_seconds = lambda uri: None if uri == NEW else 0.2
    assert command("start", NEW, "--no-wait", steps=[5, 100])[0] == 0
    return folder, lambda: command("rollback")


def weekly(folder, **more):
    settings = {"rollout": {**QUICK, "storage": "pvc://home", **more}}
    return run(folder, kind="weekly", run_id="weekly", settings=settings)


def test_a_second_rollout_waits_for_its_turn(world, earlier):
    folder, end = earlier
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(weekly, folder)
        time.sleep(0.5)
        assert world.predictor["model"]["storageUri"] == NEW
        end()
        assert waiting.result()["phase"] == "promoted"
    assert release_of(world.at_rest[0]) == current(folder).name


def test_the_wait_for_a_turn_ends(world, earlier):
    with pytest.raises(RolloutError, match="is running"):
        weekly(earlier[0], turn_seconds=0.3)
    assert world.predictor["model"]["storageUri"] == NEW


def test_a_run_that_waited_while_a_newer_one_released_leaves_the_rollout_to_that(world, earlier):
    folder, end = earlier

    def fill(into):
        (into / "part").write_text("9")

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(weekly, folder)
        time.sleep(0.3)
        publish(folder, write_release(folder, fill, kind="daily", last_event=1.8e9).name)
        end()
        assert waiting.result()["phase"] == "superseded"
    assert world.at_rest[0] != NEW


STATE = State(
    id="run",
    phase=Phase.HELD,
    stable=OLD,
    canary=NEW,
    stable_revision="r",
    percent=5,
    started=0,
    since=0,
    reason="why",
)


def test_a_webhook_that_fails_at_first_is_tried_again():
    webhook, waits = Webhook(failures=2), []
    assert notify(webhook.url, STATE, "waymark/waymark", sleep=waits.append)
    assert (webhook.tries, waits) == (3, [1.0, 2.0])
    assert (
        webhook.posted[0]["text"]
        == f"the rollout of {NEW} on waymark/waymark is held and waits for a person: why"
    )
    webhook.close()


@pytest.mark.parametrize("url", [None, "", "http://127.0.0.1:9/secret", "no url", "http://[bad"])
def test_nothing_breaks_when_nobody_can_be_told(url, capsys):
    assert not notify(url, STATE, "waymark/waymark", sleep=lambda _: None)
    assert "secret" not in capsys.readouterr().out
