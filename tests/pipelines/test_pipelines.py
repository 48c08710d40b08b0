"""The pipelines, compiled: wiring, caching, retries, what the UI shows."""

from collections.abc import Iterator
from typing import Any

import pytest

from components.contract.columns import EVERYTHING, HOLDOUT, TRAIN
from pipelines.check_ir import check_ir, load_ir, steps
from pipelines.cli import PipelineName
from pipelines.compiling import compile_all

COUNTS = {"transitions", "neighbours"}
VECTORS = {"skip_gram", "two_tower"}
# They read or change HOME, or make the cache key.
NEVER_CACHED = {"configure", "validate", "evaluate", "gate", "release", "from_release"}
NEVER_CACHED |= {"begin_search", "search", "finish_search", "rollout"}
FAIL_FOR_A_REASON = {"configure", "validate", "gate"}


@pytest.fixture(scope="module")
def compiled(tmp_path_factory) -> dict[str, dict[str, Any]]:
    paths = compile_all(tmp_path_factory.mktemp("ir"), PipelineName)
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
    common += ["trending", "lists", "smoke", "embedding_map", "release"]
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
    assert functions["bootstrap"] == sorted(full)
    assert functions["monthly_ranker"] == sorted([*full, "rollout"])
    daily = [*common, *COUNTS, *COUNTS, "candidates", *["from_release"] * 5, "rollout"]
    assert functions["daily_candidates"] == sorted(daily)
    weekly = [*common, *COUNTS, *COUNTS, *VECTORS, *VECTORS, "candidates", "from_release", "rollout"]
    assert functions["weekly_embeddings"] == sorted(weekly)
    tune = ["configure", "ingest", "validate", "preprocess", "content_similarity", *COUNTS, *VECTORS]
    tune += ["widen", "candidates", "begin_search", "search", "finish_search"]
    assert functions["tune"] == sorted(tune)


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


@pytest.mark.parametrize("name", [name for name in PipelineName if name is not PipelineName.tune])
def test_what_is_released_is_what_was_tried(compiled, name):
    tried, released = origins(compiled[name], "smoke"), origins(compiled[name], "release")
    assert tried == {part: released[part] for part in tried}
    assert {"ranker", "trending", "dataset", "content_similarity", *COUNTS, *VECTORS} == set(tried)
    assert origins(compiled[name], "gate")["latency"] == ("smoke", None)


@pytest.mark.parametrize("name", [name for name in PipelineName if name is not PipelineName.tune])
def test_reports_are_shown_in_the_ui_and_kept_in_the_release(compiled, name):
    ir = compiled[name]
    released = origins(ir, "release")
    makers = {"evaluation": "evaluate", "validation": "validate", "embeddings": "embedding_map"}
    assert {kind: released[f"{kind}_report"] for kind in makers} == {k: (m, None) for k, m in makers.items()}
    # The map is of the vectors that are released.
    drawn = origins(ir, "embedding_map")
    assert drawn == {part: released[part] for part in ("dataset", "content_similarity", *VECTORS)}
    for made, _, component in tasks(ir):
        if made in makers.values():
            kind = component["outputDefinitions"]["artifacts"]["report"]["artifactType"]["schemaTitle"]
            assert kind == "system.HTML"


@pytest.mark.parametrize("name", ["daily_candidates", "weekly_embeddings", "monthly_ranker"])
def test_the_rollout_waits_for_the_release_and_is_the_last_step(compiled, name):
    ir = compiled[name]
    root = ir["root"]["dag"]["tasks"]
    assert set(root["rollout"]["dependentTasks"]) == {"deliver", "prepare"}
    given = root["rollout"]["inputs"]["parameters"]
    assert given["kind"]["runtimeValue"]["constant"] == name.split("_")[0]
    # A retry of the run must be told from another run.
    assert given["run_id"]["runtimeValue"]["constant"] == "{{$.pipeline_job_name}}"
    assert given["settings"]["taskOutputParameter"]["producerTask"] == "prepare"
    assert not any("rollout" in task.get("dependentTasks", []) for task in root.values())


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


def test_tuning_reads_no_holdout(compiled):
    ir = compiled["tune"]
    root = ir["root"]["dag"]["tasks"]
    assert root["candidates"]["inputs"]["parameters"]["stage"]["runtimeValue"]["constant"] == TRAIN
    fitted = [
        task["inputs"]["parameters"] for name, task in root.items() if name in ("co-counts", "embeddings")
    ]
    assert [given["before_stage"]["runtimeValue"]["constant"] for given in fitted] == [TRAIN, TRAIN]


def test_trials_run_in_parallel_and_are_awaited(compiled):
    ir = compiled["tune"]
    root = ir["root"]["dag"]["tasks"]
    loop = next(task for task in root.values() if "parameterIterator" in task)
    producer = loop["inputs"]["parameters"][loop["parameterIterator"]["items"]["inputParameter"]]
    assert producer["taskOutputParameter"]["producerTask"] == "begin-search"
    # No limit: as many pods as there are workers.
    assert "iteratorPolicy" not in loop
    inner = ir["components"][loop["componentRef"]["name"]]["dag"]["tasks"]
    assert [function(ir, task["componentRef"]["name"]) for task in inner.values()] == ["search"]
    assert any(root[name] is loop for name in root["finish-search"]["dependentTasks"])


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
            assert task["retryPolicy"]["backoffFactor"] == 2


@pytest.mark.parametrize("name", [name for name in PipelineName if name is not PipelineName.tune])
def test_release_waits_for_the_gate(compiled, name):
    ir = compiled[name]
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
    assert set(parameters) == {"data", "home", "settings", "date", "beam_runner"}
    for spec in parameters.values():
        assert spec["description"]
        assert "\n" not in spec["description"]
    defaults = {name: spec["defaultValue"] for name, spec in parameters.items() if "defaultValue" in spec}
    assert defaults == {
        "home": "/mnt/waymark",
        "settings": {},
        "date": "",
        "beam_runner": "DirectRunner",
    }
    assert {name for name, spec in parameters.items() if not spec.get("isOptional")} == {"data"}


def test_the_beam_runner_reaches_the_settings(ir):
    configure = ir["components"]["comp-prepare"]["dag"]["tasks"]["configure"]["inputs"]["parameters"]
    assert configure["beam_runner"] == {"componentInputParameter": "beam_runner"}
    prepare = ir["root"]["dag"]["tasks"]["prepare"]["inputs"]["parameters"]
    assert prepare["beam_runner"] == {"componentInputParameter": "beam_runner"}


def test_images_carry_the_code(ir):
    for executor in ir["deploymentSpec"]["executors"].values():
        container = executor["container"]
        assert container["image"].rsplit("/", 1)[1].split(":")[0] in {"data", "train", "light"}
        assert "pip install" not in " ".join(container["command"])
