import copy
from typing import NamedTuple

import pytest
import yaml
from kfp import compiler, dsl

from pipelines.check_ir import check_ir, load_ir, load_kubernetes, steps


@dsl.component(base_image="python", install_kfp_package=False)
def make(data: str, table: dsl.Output[dsl.Dataset]) -> int:
    """Make a table."""
    return 1


@dsl.component(base_image="python", install_kfp_package=False)
def fit(table: dsl.Input[dsl.Dataset], size: int, model: dsl.Output[dsl.Model], factor: float = 1.0):
    """Fit a model."""


class Fitted(NamedTuple):
    model: dsl.Model
    size: int


@dsl.pipeline(name="inner")
def inner(data: str) -> Fitted:
    made = make(data=data)
    fitted = fit(table=made.outputs["table"], size=made.outputs["Output"])
    return Fitted(model=fitted.outputs["model"], size=made.outputs["Output"])


@dsl.component(base_image="python", install_kfp_package=False)
def use(model: dsl.Input[dsl.Model], any_: dsl.Input[dsl.Artifact], size: int):
    """Use a model."""


@dsl.pipeline(name="outer")
def outer(data: str, other: str = "x"):
    one = inner(data=data).set_display_name("first")
    two = inner(data=other)
    use(model=one.outputs["model"], any_=two.outputs["model"], size=two.outputs["size"])


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    path = tmp_path_factory.mktemp("ir") / "outer.yaml"
    compiler.Compiler().compile(outer, str(path))
    return load_ir(path)


def test_sound_ir_has_no_problems(sound):
    assert check_ir(sound) == []


def test_steps_are_found_through_nested_pipelines(sound):
    assert [(step.component, step.path) for step in steps(sound)] == [
        ("comp-fit", ("first", "fit")),
        ("comp-make", ("first", "make")),
        ("comp-fit-2", ("inner-2", "fit")),
        ("comp-make-2", ("inner-2", "make")),
        ("comp-use", ("use",)),
    ]


def test_platform_document_is_skipped(sound, tmp_path):
    path = tmp_path / "two.yaml"
    path.write_text(yaml.safe_dump_all([sound, {"platforms": {}}]))
    assert load_ir(path) == sound


def test_kubernetes_settings_of_no_executor_are_found(sound):
    def placed(label):
        return {"deploymentSpec": {"executors": {label: {}}}}

    assert check_ir(sound, placed("exec-use")) == []
    assert check_ir(sound, placed("exec-gone")) == ["kubernetes: executor exec-gone does not exist"]


def test_kubernetes_settings_are_the_second_document(sound, tmp_path):
    path = tmp_path / "two.yaml"
    path.write_text(yaml.safe_dump_all([sound, {"platforms": {"kubernetes": {"pipelineConfig": {}}}}]))
    assert load_kubernetes(path) == {"pipelineConfig": {}}
    path.write_text(yaml.safe_dump(sound))
    assert load_kubernetes(path) == {}


def put(ir, path, value):
    """Set, or with None delete, the entry at a dotted path."""
    *way, last = path.split(".")
    for key in way:
        ir = ir[int(key) if key.isdigit() else key]
    if value is None:
        del ir[last]
    else:
        ir[int(last) if last.isdigit() else last] = value


INNER = "components.comp-inner.dag"
USE = "root.dag.tasks.use"


@pytest.mark.parametrize(
    ("path", "value", "problem"),
    [
        (
            "components.comp-make.executorLabel",
            "exec-gone",
            "comp-make: executorLabel exec-gone does",
        ),
        ("components.comp-make.executorLabel", None, "comp-make: exactly one of dag and executorLabel"),
        ("deploymentSpec.executors.exec-use", None, "comp-use: executorLabel exec-use does not exist"),
        ("deploymentSpec.executors.exec-use.container.image", "", "exec-use: it has no image"),
        ("components.comp-use", None, "root.use: componentRef comp-use does not exist"),
        (f"{USE}.componentRef.name", "comp-gone", "root.use: componentRef comp-gone does not exist"),
        (f"{USE}.dependentTasks", ["inner", "gone"], "root.use: dependentTasks names gone"),
        (f"{USE}.dependentTasks", ["inner"], "root.use.any_: it reads inner-2, which dependentTasks"),
        (
            f"{USE}.inputs.artifacts.model.taskOutputArtifact.producerTask",
            "gone",
            "root.use.model: producer task gone does not exist",
        ),
        (
            f"{USE}.inputs.artifacts.model.taskOutputArtifact.outputArtifactKey",
            "gone",
            "root.use.model: inner (comp-inner) has no output gone",
        ),
        (
            f"{USE}.inputs.parameters.size.taskOutputParameter.outputParameterKey",
            "gone",
            "root.use.size: inner-2 (comp-inner-2) has no output gone",
        ),
        (f"{USE}.inputs.artifacts.any_", None, "root.use: input any_ of comp-use is not given"),
        (f"{USE}.inputs.parameters.size", {}, "root.use.size: it has no value"),
        (
            "root.dag.tasks.inner.inputs.parameters.data.componentInputParameter",
            "gone",
            "root.inner.data: the pipeline around it has no input gone",
        ),
        (
            "root.dag.tasks.inner.inputs.parameters.extra",
            {"runtimeValue": {"constant": 1}},
            "root.inner: comp-inner has no input extra",
        ),
        (
            f"{INNER}.tasks.fit.inputs.artifacts.table.taskOutputArtifact.outputArtifactKey",
            "gone",
            "comp-inner.fit.table: make (comp-make) has no output gone",
        ),
        (
            f"{INNER}.outputs.artifacts.model.artifactSelectors.0.producerSubtask",
            "gone",
            "comp-inner: output model: producer task gone does not exist",
        ),
        (
            f"{INNER}.outputs.parameters.size.valueFromParameter.outputParameterKey",
            "gone",
            "comp-inner: output size: make (comp-make) has no output gone",
        ),
        (
            f"{INNER}.outputs.artifacts.model",
            None,
            "comp-inner: output model is declared or",
        ),
        (f"{INNER}.tasks.make.dependentTasks", ["fit"], "comp-inner: tasks wait for each other: fit, make"),
        (
            "components.comp-make.outputDefinitions.artifacts.table.artifactType.schemaTitle",
            "system.Model",
            "comp-inner.fit.table: system.Model is given, system.Dataset is expected",
        ),
        (
            "components.comp-make.outputDefinitions.parameters.Output.parameterType",
            "STRING",
            "comp-inner.fit.size: STRING is given, NUMBER_INTEGER is expected",
        ),
        ("root.dag", None, "root: it has no dag"),
        ("root.dag.tasks", {}, "root: its dag has no tasks"),
        ("components.comp-idle", {"executorLabel": "exec-use"}, "comp-idle: no task uses it"),
        (
            "deploymentSpec.executors.exec-idle",
            {"container": {"image": "x"}},
            "exec-idle: no component",
        ),
    ],
)
def test_broken_ir_is_found(sound, path, value, problem):
    broken = copy.deepcopy(sound)
    put(broken, path, value)
    assert any(line.startswith(problem) for line in check_ir(broken)), check_ir(broken)


@dsl.component(base_image="python", install_kfp_package=False)
def number() -> list[int]:
    """Number the items."""
    return [0, 1]


@dsl.component(base_image="python", install_kfp_package=False)
def visit(item: int, data: str):
    """Take an item."""


@dsl.pipeline(name="looping")
def looping(data: str):
    with dsl.ParallelFor(number().output) as item:
        visit(item=item, data=data)


def test_items_of_a_loop_come_from_one_of_its_inputs(tmp_path):
    path = tmp_path / "looping.yaml"
    compiler.Compiler().compile(looping, str(path))
    ir = load_ir(path)
    assert check_ir(ir) == []
    loop = "root.dag.tasks.for-loop-1.parameterIterator"
    for place, value, problem in (
        (f"{loop}.items.inputParameter", "gone", "root.for-loop-1: it loops over gone, which is no input"),
        (f"{loop}.itemInput", "gone", "root.for-loop-1: input pipelinechannel--number-Output-loop-item of"),
    ):
        broken = copy.deepcopy(ir)
        put(broken, place, value)
        assert any(line.startswith(problem) for line in check_ir(broken)), check_ir(broken)
