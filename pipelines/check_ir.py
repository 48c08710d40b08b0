"""Check the references inside a compiled pipeline.

KFP's own loader accepts IR whose executor labels, producer tasks or output keys lead nowhere; the
run then fails on the cluster, hours later. Here every reference is followed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

Ir = Mapping[str, Any]


@dataclass(frozen=True)
class Step:
    """One container of a pipeline.

    Attributes
    ----------
    component : str
        Key among the IR's components.
    path : tuple of str
        Display names of the nested pipelines around it, then its own.
    """

    component: str
    path: tuple[str, ...]


def load_ir(path: Path | str) -> dict[str, Any]:
    """Read the pipeline of an IR file; platform settings follow it as a second document."""
    with Path(path).open() as handle:
        return next(yaml.safe_load_all(handle))


def load_kubernetes(path: Path | str) -> dict[str, Any]:
    """Read what an IR file says to Kubernetes: ``deploymentSpec`` and ``pipelineConfig``."""
    with Path(path).open() as handle:
        documents = list(yaml.safe_load_all(handle))
    return documents[1]["platforms"]["kubernetes"] if len(documents) > 1 else {}


def steps(ir: Ir) -> list[Step]:
    """All containers of a pipeline, in the order of the file, nested ones in their place."""

    def walk(dag: Ir, outer: tuple[str, ...]) -> Iterator[Step]:
        for name, task in dag.get("tasks", {}).items():
            path = (*outer, task.get("taskInfo", {}).get("name", name))
            key = task["componentRef"]["name"]
            component = ir["components"][key]
            if "dag" in component:
                yield from walk(component["dag"], path)
            else:
                yield Step(key, path)

    return list(walk(ir["root"]["dag"], ()))


def check_ir(ir: Ir, kubernetes: Ir | None = None) -> list[str]:
    """Follow every reference of a compiled pipeline.

    Parameters
    ----------
    ir : mapping
        The parsed pipeline document.
    kubernetes : mapping, optional
        Its platform settings, :func:`load_kubernetes`.

    Returns
    -------
    list of str
        What is wrong, a line each, with the place; empty when all resolves.
    """
    placed: Ir = (kubernetes or {}).get("deploymentSpec", {}).get("executors", {})
    executors = ir.get("deploymentSpec", {}).get("executors", {})
    stray = [f"kubernetes: executor {label} does not exist" for label in placed.keys() - executors.keys()]
    return sorted([*_Checker(ir).problems(), *stray])


class _Checker:
    def __init__(self, ir: Ir) -> None:
        self.components: Ir = ir.get("components", {})
        self.executors: Ir = ir.get("deploymentSpec", {}).get("executors", {})
        self.root: Ir = ir.get("root", {})
        self.used_components: set[str] = set()
        self.used_executors: set[str] = set()

    def problems(self) -> Iterator[str]:
        if "dag" not in self.root:
            yield "root: it has no dag"
            return
        yield from self._dag("root", self.root)
        for name, component in self.components.items():
            if ("dag" in component) == ("executorLabel" in component):
                yield f"{name}: exactly one of dag and executorLabel is expected"
            elif "dag" in component:
                yield from self._dag(name, component)
            else:
                label = component["executorLabel"]
                self.used_executors.add(label)
                if label not in self.executors:
                    yield f"{name}: executorLabel {label} does not exist"
        for label, executor in self.executors.items():
            container = executor.get("container")
            if container is not None and not container.get("image"):
                yield f"{label}: it has no image"
        yield from (f"{name}: no task uses it" for name in self.components.keys() - self.used_components)
        yield from (f"{name}: no component uses it" for name in self.executors.keys() - self.used_executors)

    def _dag(self, where: str, component: Ir) -> Iterator[str]:
        tasks: Ir = component["dag"].get("tasks", {})
        if not tasks:
            yield f"{where}: its dag has no tasks"
        for name, task in tasks.items():
            yield from self._task(f"{where}.{name}", name, task, tasks, component)
        yield from self._cycles(where, tasks)
        yield from self._outputs(where, component, tasks)

    def _task(self, where: str, name: str, task: Ir, tasks: Ir, parent: Ir) -> Iterator[str]:
        reference = task.get("componentRef", {}).get("name")
        self.used_components.add(reference)
        waits_for = task.get("dependentTasks", [])
        for other in waits_for:
            if other not in tasks or other == name:
                yield f"{where}: dependentTasks names {other}, no other task of its dag"
        target = self.components.get(reference)
        if target is None:
            yield f"{where}: componentRef {reference} does not exist"
            return
        # A loop hands each item of one of its inputs to the pipeline inside it.
        loop: Ir = task.get("parameterIterator", {})
        items = loop.get("items", {}).get("inputParameter")
        if items is not None and items not in task.get("inputs", {}).get("parameters", {}):
            yield f"{where}: it loops over {items}, which is no input of it"
        for kind in ("parameters", "artifacts"):
            declared: Ir = target.get("inputDefinitions", {}).get(kind, {})
            given: Ir = task.get("inputs", {}).get(kind, {})
            for key, spec in declared.items():
                if key not in given and not spec.get("isOptional") and "defaultValue" not in spec:
                    if kind == "parameters" and key == loop.get("itemInput"):
                        continue
                    yield f"{where}: input {key} of {reference} is not given"
            for key, value in given.items():
                # Values that a nested pipeline passes through carry the prefix and need no declaration.
                if key not in declared and not key.startswith("pipelinechannel--"):
                    yield f"{where}: {reference} has no input {key}"
                spot = f"{where}.{key}"
                yield from self._value(spot, kind, value, declared.get(key), waits_for, tasks, parent)

    def _value(
        self, where: str, kind: str, value: Ir, wanted: Ir | None, waits_for: list[str], tasks: Ir, parent: Ir
    ) -> Iterator[str]:
        single = kind[:-1].capitalize()
        found: Ir | None = None
        if f"taskOutput{single}" in value:
            source = value[f"taskOutput{single}"]
            producer, key = source.get("producerTask"), source.get(f"output{single}Key")
            found, problem = self._output(tasks, producer, kind, key)
            if problem:
                yield f"{where}: {problem}"
            elif producer not in waits_for:
                yield f"{where}: it reads {producer}, which dependentTasks does not name"
        elif f"componentInput{single}" in value:
            key = value[f"componentInput{single}"]
            found = parent.get("inputDefinitions", {}).get(kind, {}).get(key)
            if found is None:
                yield f"{where}: the pipeline around it has no input {key}"
        elif "runtimeValue" not in value and "taskFinalStatus" not in value:
            yield f"{where}: it has no value"
        if found and wanted and not _fits(found, wanted):
            yield f"{where}: {_type(found)} is given, {_type(wanted)} is expected"

    def _output(self, tasks: Ir, producer: Any, kind: str, key: Any) -> tuple[Ir | None, str]:
        if producer not in tasks:
            return None, f"producer task {producer} does not exist"
        reference = tasks[producer].get("componentRef", {}).get("name")
        found = self.components.get(reference, {}).get("outputDefinitions", {}).get(kind, {}).get(key)
        return found, "" if found is not None else f"{producer} ({reference}) has no output {key}"

    def _outputs(self, where: str, component: Ir, tasks: Ir) -> Iterator[str]:
        given: Ir = component["dag"].get("outputs", {})
        for kind in ("parameters", "artifacts"):
            declared = component.get("outputDefinitions", {}).get(kind, {})
            for key in declared.keys() ^ given.get(kind, {}).keys():
                yield f"{where}: output {key} is declared or produced, not both"
        selectors = [
            (key, "artifacts", selector)
            for key, spec in given.get("artifacts", {}).items()
            for selector in spec.get("artifactSelectors", [])
        ] + [
            (key, "parameters", spec["valueFromParameter"])
            for key, spec in given.get("parameters", {}).items()
            if "valueFromParameter" in spec
        ]
        for key, kind, selector in selectors:
            output = selector.get(f"output{kind[:-1].capitalize()}Key")
            _, problem = self._output(tasks, selector.get("producerSubtask"), kind, output)
            if problem:
                yield f"{where}: output {key}: {problem}"

    @staticmethod
    def _cycles(where: str, tasks: Ir) -> Iterator[str]:
        waiting = {name: set(task.get("dependentTasks", [])) & tasks.keys() for name, task in tasks.items()}
        while ready := {name for name, others in waiting.items() if not others}:
            waiting = {name: others - ready for name, others in waiting.items() if name not in ready}
        if waiting:
            yield f"{where}: tasks wait for each other: {', '.join(sorted(waiting))}"


def _type(spec: Ir) -> str:
    return spec.get("parameterType") or spec.get("artifactType", {}).get("schemaTitle", "?")


def _fits(found: Ir, wanted: Ir) -> bool:
    return "system.Artifact" in (_type(wanted), _type(found)) or _type(found) == _type(wanted)
