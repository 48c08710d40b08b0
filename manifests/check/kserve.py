"""KServe's schemas, closed: a field that they do not know is a mistake.

The CRDs are the authority. Where they are not at hand, the model classes of the kserve package, which
are generated from the same API, give fields, types and what is required.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from components.contract.errors import WaymarkError

Schema = dict[str, Any]
KINDS = {"InferenceService": "v1beta1", "ServingRuntime": "v1alpha1", "ClusterServingRuntime": "v1alpha1"}
_PLAIN: dict[str, Schema] = {
    "str": {"type": "string"},
    "int": {"type": "integer"},
    "bool": {"type": "boolean"},
    "float": {"type": "number"},
    "datetime": {"type": "string"},
    "object": {},
    "KnativeURL": {"type": "string"},
    "ResourceQuantity": {"type": ["string", "number"]},
    "IntOrString": {"type": ["string", "integer"]},
}
_COLLECTION = re.compile(r"(list|dict)[\[(](?:str, )?(.+)[\])]")


def close(schema: Any) -> Any:
    """Forbid unknown fields wherever an object lists its fields.

    >>> close({"type": "object", "properties": {"a": {"type": "string"}}})["additionalProperties"]
    False
    """
    if isinstance(schema, list):
        return [close(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {
        name: {key: close(value) for key, value in part.items()} if name == "properties" else close(part)
        for name, part in schema.items()
    }
    open_ended = schema.get("x-kubernetes-preserve-unknown-fields")
    if isinstance(schema.get("properties"), dict) and "additionalProperties" not in schema and not open_ended:
        closed["additionalProperties"] = False
    return closed


def from_crds(folder: Path) -> dict[tuple[str, str], Schema]:
    """Schemas by apiVersion and kind, from a folder of CRDs.

    Raises
    ------
    WaymarkError
        The folder lacks a kind that the manifests use.
    """
    found = {}
    for path in sorted(folder.glob("*.yaml")):
        crd = yaml.load(path.read_text(), Loader=yaml.CSafeLoader)
        if not isinstance(crd, dict) or crd.get("kind") != "CustomResourceDefinition":
            continue
        for version in crd["spec"]["versions"]:
            api = f"{crd['spec']['group']}/{version['name']}"
            schema = version["schema"]["openAPIV3Schema"]
            found[api, crd["spec"]["names"]["kind"]] = close(schema)
    missing = [kind for kind, version in KINDS.items() if (f"serving.kserve.io/{version}", kind) not in found]
    if missing:
        raise WaymarkError(f"{folder}: holds no CRD of {', '.join(missing)}; give KServe's CRDs with --crds")
    for schema in found.values():
        # The CRD leaves metadata to the API server; the core schemas check it.
        schema["properties"]["metadata"] = {}
    return found


def from_models() -> dict[tuple[str, str], Schema]:
    """Schemas by apiVersion and kind, from the classes of the kserve package."""
    import kserve.models

    found = {}
    for kind, version in KINDS.items():
        definitions: dict[str, Schema] = {}
        start = getattr(kserve.models, f"V1{version[2:]}{kind}")
        schema = _model(start, definitions)
        schema["properties"]["metadata"] = {}
        found[f"serving.kserve.io/{version}", kind] = {**schema, "$defs": definitions}
    return found


def _model(model: Any, definitions: dict[str, Schema]) -> Schema:
    properties = {
        model.attribute_map[name]: _type(kind, definitions) for name, kind in model.openapi_types.items()
    }
    return {
        "type": "object",
        "properties": properties,
        "required": _required(model),
        "additionalProperties": False,
    }


def _type(kind: str, definitions: dict[str, Schema]) -> Schema:
    if kind in _PLAIN:
        return _PLAIN[kind]
    collection = _COLLECTION.fullmatch(kind)
    if collection:
        inner = _type(collection[2], definitions)
        if collection[1] == "list":
            return {"type": "array", "items": inner}
        # The core classes write quantities as text; the API takes numbers too.
        return {"type": "object", "additionalProperties": inner}
    if kind not in definitions:
        definitions[kind] = {}  # met again inside itself
        definitions[kind] = _model(_class(kind), definitions) if _class(kind) else {"not": {}}
    return {"$ref": f"#/$defs/{kind}"}


def _class(kind: str) -> Any:
    import kserve.models
    import kubernetes.client.models

    # A class that neither knows cannot be checked: its field is refused.
    short = re.sub(r"^K8sIoApi[A-Z][a-z]+(?=V\d)", "", kind)
    return getattr(kserve.models, kind, None) or getattr(kubernetes.client.models, short, None)


def _required(model: Any) -> list[str]:
    """Fields whose setter refuses None."""
    from kubernetes.client import Configuration

    relaxed = Configuration()
    relaxed.client_side_validation = False
    blank = model(local_vars_configuration=relaxed)
    blank.local_vars_configuration = Configuration()
    found = []
    for name in model.openapi_types:
        try:
            setattr(blank, name, None)
        except ValueError:
            found.append(model.attribute_map[name])
    return found
