"""The four pipelines, compiled: wiring, caching, retries, what the UI shows."""

from collections.abc import Iterator
from typing import Any

import pytest

from components.contract.columns import EVERYTHING, HOLDOUT, TRAIN
from pipelines.check_ir import check_ir, load_ir, steps
from pipelines.cli import PipelineName, compile_all

COUNTS = {"transitions", "neighbours"}
VECTORS = {"skip_gram", "two_tower"}
# They read or change HOME, or make the cache key.
NEVER_CACHED = {"configure", "validate", "evaluate", "gate", "release", "from_release"}
FAIL_FOR_A_REASON = {"configure", "validate", "gate"}


@pytest.fixture(scope="module")
def compiled(tmp_path_factory) -> dict[str, dict[str, Any]]:
    paths = compile_all(tmp_path_factory.mktemp("ir"))
    return {path.stem: load_ir(path) for path in paths}


@pytest.fixture(params=[str(name) for name in PipelineName])
def ir(request, compiled):
    return compiled[request.param]


def function(ir, component: str) -> str:
    label = ir["components"][component]["executorLabel"]
    arguments = ir["deploymentSpec"]["executors"][label]["container"]["args"]
    return arguments[arguments.index("--function_to_execute") + 1]


def tasks(ir) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Function, task and component of every container."""
    dags = [ir["root"]["dag"], *(part["dag"] for part in ir["components"].values() if "dag" in part)]
    for dag in dags:
        for task in dag["tasks"].values():
            name = task["componentRef"]["name"]
            if "executorLabel" in ir["components"][name]:
                yield function(ir, name), task, ir["components"][name]


def origin(ir, dag, binding, around) -> tuple[str, int | None]:
    """Follow an artifact to the step that makes it: its function and before_stage.

    ``around`` holds the (dag, task) pairs of the pipelines around, outermost first.
    """
    if "componentInputArtifact" in binding:
        outer, task = around[-1]
        return origin(ir, outer, task["inputs"]["artifacts"][binding["componentInputArtifact"]], around[:-1])
    source = binding["taskOutputArtifact"]
    task = dag["tasks"][source["producerTask"]]
    key = source["outputArtifactKey"]
    component = ir["components"][task["componentRef"]["name"]]
    while "dag" in component:
        around = [*around, (dag, task)]
        dag = component["dag"]
        selector = dag["outputs"]["artifacts"][key]["artifactSelectors"][0]
        task, key = dag["tasks"][selector["producerSubtask"]], selector["outputArtifactKey"]
        component = ir["components"][task["componentRef"]["name"]]
    value = task["inputs"].get("parameters", {}).get("before_stage")
    outside = list(around)
    while value and "componentInputParameter" in value:
        _, outer_task = outside.pop()
        value = outer_task["inputs"]["parameters"][value["componentInputParameter"]]
    return function(ir, task["componentRef"]["name"]), int(
        value["runtimeValue"]["constant"]
    ) if value else None


def origins(ir, wanted: str, stage: int | None = None) -> dict[str, tuple[str, int | None]]:
    """Where the artifacts of the step ``wanted`` come from."""
    for task in ir["root"]["dag"]["tasks"].values():
        dag = ir["components"][task["componentRef"]["name"]].get("dag")
        for inner in (dag or {}).get("tasks", {}).values():
            if function(ir, inner["componentRef"]["name"]) != wanted:
                continue
            given = inner["inputs"]["parameters"].get("stage")
            if stage is None or int(given["runtimeValue"]["constant"]) == stage:
                around = [(ir["root"]["dag"], task)]
                return {
                    name: origin(ir, dag, binding, around)
                    for name, binding in inner["inputs"]["artifacts"].items()
                }
    raise AssertionError(f"no {wanted}")


def test_every_reference_resolves(ir):
    assert check_ir(ir) == []


def test_steps(compiled):
    functions = {
        name: sorted(function(ir, step.component) for step in steps(ir)) for name, ir in compiled.items()
    }
    common = ["configure", "ingest", "validate", "preprocess", "content_similarity", "evaluate", "gate"]
    common += ["trending", "release"]
    full = [
        *common,
        *COUNTS,
        *COUNTS,
        *COUNTS,
        *VECTORS,
        *VECTORS,
        *VECTORS,
        "candidates",
        "candidates",
        "ranker",
    ]
    assert functions["bootstrap"] == functions["monthly_ranker"] == sorted(full)
    daily = [*common, *COUNTS, *COUNTS, "candidates", *["from_release"] * 5]
    assert functions["daily_candidates"] == sorted(daily)
    weekly = [*common, *COUNTS, *COUNTS, *VECTORS, *VECTORS, "candidates", "from_release"]
    assert functions["weekly_embeddings"] == sorted(weekly)


@pytest.mark.parametrize("name", ["bootstrap", "monthly_ranker"])
def test_no_part_sees_the_future(compiled, name):
    ir = compiled[name]
    fitted = COUNTS | VECTORS
    for stage in (TRAIN, HOLDOUT):
        found = origins(ir, "candidates", stage)
        assert {part: found[part] for part in fitted} == {part: (part, stage) for part in fitted}
    found = origins(ir, "release")
    assert {part: found[part] for part in fitted} == {part: (part, EVERYTHING) for part in fitted}
    assert found["ranker"] == ("ranker", None)
    assert found["trending"] == ("trending", EVERYTHING)
    assert found["verdict"] == ("gate", None)
    assert found["statistics"] == ("validate", None)


def test_daily_judges_what_it_releases(compiled):
    ir = compiled["daily_candidates"]
    judged, released = origins(ir, "candidates", HOLDOUT), origins(ir, "release")
    assert {judged[part] for part in COUNTS} == {(part, HOLDOUT) for part in COUNTS}
    assert {released[part] for part in COUNTS} == {(part, EVERYTHING) for part in COUNTS}
    for part in VECTORS:
        assert judged[part] == released[part] == ("from_release", None)
    assert origins(ir, "evaluate")["ranker"] == released["ranker"] == ("from_release", None)


def test_weekly_refits_vectors_and_keeps_the_ranker(compiled):
    ir = compiled["weekly_embeddings"]
    judged, released = origins(ir, "candidates", HOLDOUT), origins(ir, "release")
    assert {judged[part] for part in VECTORS} == {(part, HOLDOUT) for part in VECTORS}
    assert {released[part] for part in VECTORS} == {(part, EVERYTHING) for part in VECTORS}
    assert released["ranker"] == ("from_release", None)


def test_cache_never_goes_stale(ir):
    for name, task, component in tasks(ir):
        cached = task.get("cachingOptions", {}).get("enableCache", False)
        assert cached == (name not in NEVER_CACHED), name
        # The settings carry the run's date, so they must be in every key.
        if cached:
            assert "settings" in component["inputDefinitions"]["parameters"], name
            assert "settings" in task["inputs"]["parameters"], name


def test_only_steps_that_can_recover_try_again(ir):
    for name, task, _ in tasks(ir):
        retries = task.get("retryPolicy", {}).get("maxRetryCount", 0)
        assert retries == (0 if name in FAIL_FOR_A_REASON else 2), name
        if retries:
            assert task["retryPolicy"]["backoffDuration"] == "60s"


def test_release_waits_for_the_gate(ir):
    deliver = next(task for task in ir["root"]["dag"]["tasks"] if task.startswith("deliver"))
    dag = ir["components"][ir["root"]["dag"]["tasks"][deliver]["componentRef"]["name"]]["dag"]
    assert "gate" in dag["tasks"]["release"]["dependentTasks"]


def test_preprocessing_waits_for_validation(ir):
    assert "validate" in ir["components"]["comp-prepare"]["dag"]["tasks"]["preprocess"]["dependentTasks"]


def test_ui_shows_names_descriptions_and_defaults(ir):
    info = ir["pipelineInfo"]
    assert info["displayName"]
    assert info["description"].endswith(".")
    parameters = ir["root"]["inputDefinitions"]["parameters"]
    assert set(parameters) == {"data", "home", "settings", "date"}
    assert all(spec["description"] for spec in parameters.values())
    assert parameters["settings"]["defaultValue"] == {}
    assert parameters["date"]["defaultValue"] == ""
    assert {name for name, spec in parameters.items() if not spec.get("isOptional")} == {"data", "home"}


def test_images_carry_the_code(ir):
    for executor in ir["deploymentSpec"]["executors"].values():
        container = executor["container"]
        assert container["image"].rsplit("/", 1)[1].split(":")[0] in {"data", "train", "light"}
        assert "pip install" not in " ".join(container["command"])
