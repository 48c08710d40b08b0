"""The OpenAPI document of the server's own interface, at ``/openapi.json``.

Made from the models that requests are read with. KServe's routes that are of no use here (other
models, versions, the model repository) are not part of it.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute, iter_route_contexts
from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import models_json_schema

from components.contract import columns as c
from components.contract.tables import TABLES
from serving.auth import OPEN, scope_of
from serving.payloads import Instance
from serving.rules.routes import Preview
from serving.rules.rules import Rules
from serving.settings import ServingSettings

_MODEL = "waymark"
_REF = "#/components/schemas/{model}"


class _Answer(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Evidence(_Answer):
    """The page of the history that most made the source propose the page."""

    source: str
    page_id: str
    title: str


class Move(_Answer):
    """What a rule did to a page."""

    rule: str
    effect: str


class Item(_Answer):
    """One page of an answer."""

    page_id: str
    title: str
    score: float = Field(
        ge=0, le=1, description="Probability that the page is opened; under a fallback it only orders"
    )
    source: str = Field(description="The source that has the page highest; catalogue where none names it")
    reason: str
    evidence: Evidence | None = Field(None, description="Only where there is one")
    due: datetime | None = Field(None, description="Only where the page has a date")
    moves: list[Move] | None = Field(None, description="Only if explain was asked for")
    contributions: dict[str, float] | None = Field(
        None, description="Only if explain was asked for: what groups of features add to the logit"
    )


class Carousel(_Answer):
    """A named row of pages."""

    key: str
    title: str
    reason: str
    items: list[Item]


class Prediction(_Answer):
    """The answer to one instance."""

    associate_id: str | None
    request_id: str = Field(description="Name it in the events that follow")
    release: str
    fallback: str | None = Field(description="Null, or why this is less than the usual answer")
    items: list[Item]
    hidden: dict[str, int] | None = Field(
        None, description="Only if explain was asked for: how many pages each rule hides"
    )
    carousels: list[Carousel] | None = Field(None, description="Only if carousels were asked for")


class Predictions(_Answer):
    """Answers in the order of the instances."""

    predictions: list[Prediction]


class Rejected(_Answer):
    """A row that was left out."""

    event: int = Field(ge=0, description="Its place in the request")
    error: str


class EventsAnswer(_Answer):
    """What became of the rows."""

    accepted: int = Field(ge=0)
    new: int = Field(ge=0, description="Accepted and not known before")
    unknown_pages: int = Field(ge=0, description="Accepted, but of pages that the release does not hold")
    rejected: list[Rejected]


class Error(_Answer):
    """The field, then what is wrong with it."""

    error: str


class RulesAnswer(_Answer):
    """The rules were taken over."""

    version: str
    warnings: list[str]


class Shift(_Answer):
    """A page whose place the rules change."""

    page_id: str
    title: str
    before: int | None
    after: int | None
    rules: list[Move]


class PreviewAnswer(_Answer):
    """The answer by the rules in force, and by those that were given."""

    before: Prediction
    after: Prediction
    moves: list[Shift]
    warnings: list[str]


class Tensor(_Answer):
    """The V2 protocol's tensor of texts; each holds one instance or prediction as JSON."""

    name: str
    datatype: Literal["BYTES"]
    shape: Annotated[list[int], Field(min_length=1, max_length=1)]
    data: list[str]


class InstanceTensor(Tensor):
    """Instances, each as JSON."""

    model_config = ConfigDict(extra="allow")
    name: Literal["instances"]


class InferAnswer(BaseModel):
    """The V2 protocol's answer."""

    model_name: str
    id: str
    outputs: list[Tensor]


_MODELS: tuple[type[BaseModel], ...] = (
    Instance, Predictions, EventsAnswer, Error, RulesAnswer, Preview, PreviewAnswer, InstanceTensor,
    InferAnswer, Rules,
)  # fmt: skip
_KINDS: dict[str, dict[str, Any]] = {
    "id": {"type": ["string", "integer", "null"], "maxLength": 256},
    "word": {"type": "string", "maxLength": 256},
    "time": {
        "anyOf": [{"type": "string", "format": "date-time"}, {"type": "number"}],
        "description": "ISO 8601, UTC unless it names a zone; or seconds or milliseconds since 1970",
    },
    "number": {"type": ["number", "null"]},
    "count": {"type": ["integer", "null"]},
}


def _event() -> dict[str, Any]:
    """A row of the data contract."""
    table, properties = TABLES["events"], {}
    for name, kind in table.kinds.items():
        properties[name] = dict(_KINDS[kind])
        if name in table.required and kind == "id":
            properties[name]["type"] = ["string", "integer"]
        low, high = table.bounds.get(name, (None, None))
        limits = {"minimum": low, "maximum": high}
        properties[name] |= {key: limit for key, limit in limits.items() if limit is not None}
    properties[c.EVENT_TYPE]["enum"] = list(c.EVENT_TYPES)
    return {
        "title": "Event",
        "type": "object",
        "properties": properties,
        "required": list(table.required),
        "additionalProperties": False,
    }


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


def _list_of(name: str, field: str, most: int) -> dict[str, Any]:
    items = {"type": "array", "items": _ref(name), "minItems": 1, "maxItems": most}
    return {
        "type": "object",
        "properties": {field: items},
        "required": [field],
        "additionalProperties": False,
    }


_WRONG = {
    "400": "Not JSON, or a field is wrong",
    "401": "No token, or none that will do",
    "403": "The token may not do this",
    "404": "There is none",
    "412": "The rules have another version by now",
    "413": "The body is too large, or holds too many rows",
    "503": "Too many requests at once, or the store does not answer",
    "504": "No answer in time",
}


def _operation(
    name: str,
    summary: str,
    good: dict[str, Any],
    *,
    wrong: str = "503 504",
    body: dict[str, Any] | None = None,
    scope: str | None = None,
    parameters: list[dict[str, Any]] | None = None,
) -> dict[str, Any]:
    found: dict[str, Any] = {
        "operationId": name,
        "summary": summary,
        "responses": good | _refusals(f"{wrong} 401 403" if scope else wrong),
    }
    if scope is not None:
        found["security"] = [{"token": [scope]}]
    if body is not None:
        found["requestBody"] = {"required": True, "content": _json(body)}
    if parameters:
        found["parameters"] = parameters
    return found


def _refusals(statuses: str) -> dict[str, Any]:
    return {
        status: {"description": _WRONG[status], "content": _json(_ref("Error"))}
        for status in statuses.split()
    }


def _good(description: str, schema: dict[str, Any] | None = None, status: str = "200") -> dict[str, Any]:
    return {status: {"description": description} | ({"content": _json(schema)} if schema else {})}


def _object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties)}


def _paths(settings: ServingSettings, store: bool) -> dict[str, Any]:
    text, flag = {"type": "string"}, {"type": "boolean"}
    tensors = {"type": "array", "items": _ref("InstanceTensor"), "minItems": 1, "maxItems": 1}
    infer = {"type": "object", "properties": {"id": text, "inputs": tensors}, "required": ["inputs"]}
    metadata = {"type": "array", "items": {"type": "object"}}
    paths: dict[str, Any] = {
        f"/v1/models/{_MODEL}:predict": {
            "post": _operation(
                "predict",
                "Recommend pages",
                _good("A prediction for each instance", _ref("Predictions")),
                wrong="400 413 503 504",
                body=_list_of("Instance", "instances", settings.max_instances),
                scope="recommend",
            )
        },
        f"/v2/models/{_MODEL}/infer": {
            "post": _operation(
                "infer",
                "Recommend pages, over the Open Inference Protocol",
                _good("A tensor of predictions", _ref("InferAnswer")),
                wrong="400 413 503 504",
                body=infer,
                scope="recommend",
            )
        },
    }
    if store:
        rejected = _good("No row was good", _ref("EventsAnswer"), "422")
        paths["/v1/events"] = {
            "post": _operation(
                "post_events",
                "Tell what happened",
                _good("The accepted rows are durable", _ref("EventsAnswer"), "202") | rejected,
                wrong="400 413 503 504",
                body=_list_of("Event", "events", settings.max_events),
                scope="events",
            )
        }
        associate = {"name": "associate_id", "in": "path", "required": True}
        paths["/v1/associates/{associate_id}"] = {
            "delete": _operation(
                "forget",
                "Forget a person",
                _good("Nothing of the person is used any more", status="204"),
                wrong="400 503 504",
                scope="forget",
                parameters=[associate | {"schema": {"type": "string", "minLength": 1, "maxLength": 256}}],
            )
        }
        match = {"name": "If-Match", "in": "header", "description": "The version to replace", "schema": text}
        paths["/v1/rules"] = {
            "get": _operation(
                "get_rules", "The rules in force", _good("Rules", _ref("Rules")), scope="rules"
            ),
            "put": _operation(
                "put_rules",
                "Replace the rules",
                _good("They hold from the next request", _ref("RulesAnswer")),
                wrong="400 412 413 503 504",
                body=_ref("Rules"),
                scope="rules",
                parameters=[match],
            ),
        }
        paths["/v1/rules/preview"] = {
            "post": _operation(
                "preview_rules",
                "Try rules on a question",
                _good("Both answers, and what moves", _ref("PreviewAnswer")),
                wrong="400 413 503 504",
                body=_ref("Preview"),
                scope="rules",
            )
        }
    for path, name, summary, schema in (
        ("/v2/health/live", "live", "Whether the process runs", _object(live=flag)),
        ("/v2/health/ready", "ready", "Whether the server is ready", _object(ready=flag)),
        (f"/v1/models/{_MODEL}", "model", "Whether the model is ready", _object(name=text, ready=flag)),
        (f"/v2/models/{_MODEL}/ready", "model_ready", "The same, over V2", _object(name=text, ready=flag)),
        (
            f"/v2/models/{_MODEL}",
            "metadata",
            "The tensors of V2",
            _object(name=text, inputs=metadata, outputs=metadata),
        ),
        ("/v1/models", "models", "Names of the models", _object(models={"type": "array", "items": text})),
        ("/v2/models", "models_v2", "The same, over V2", _object(models={"type": "array", "items": text})),
        ("/v2", "server", "Name and version of the server", _object(name=text, version=text)),
    ):
        paths[path] = {"get": _operation(name, summary, _good(summary, schema))}
    for path, name, summary, kind in (
        ("/metrics", "metrics", "Metrics of Prometheus", "text/plain"),
        ("/", "home", "The portal", "text/html"),
    ):
        good = {"200": {"description": summary, "content": {kind: {"schema": text}}}}
        paths[path] = {"get": _operation(name, summary, good)}
    return paths


def document(app: FastAPI, settings: ServingSettings, *, store: bool, tokens: bool) -> dict[str, Any]:
    """The OpenAPI 3.1 document.

    Parameters
    ----------
    app : FastAPI
        Its routes that describe themselves (the portal's) are in the document too; KServe's are not.
    settings : ServingSettings
        Its limits are in the schemas.
    store : bool
        Whether the server takes events.
    tokens : bool
        Whether it asks for tokens.
    """
    mode: Literal["validation"] = "validation"
    _, found = models_json_schema([(model, mode) for model in _MODELS], ref_template=_REF)
    paths = _paths(settings, store)
    schemas = found["$defs"] | {"Event": _event()}
    others = _others(app, paths)
    for path, operations in others["paths"].items():
        paths.setdefault(path, {}).update(operations)
    schemas = {
        name: schema for name, schema in others["schemas"].items() if "ValidationError" not in name
    } | schemas
    components: dict[str, Any] = {"schemas": schemas}
    if tokens:
        components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}}
    else:
        for operation in (one for path in paths.values() for one in path.values()):
            operation.pop("security", None)
            for status in ("401", "403"):
                operation["responses"].pop(status, None)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Waymark", "version": "1", "description": "Training pages for associates."},
        "paths": paths,
        "components": components,
    }


def _others(app: FastAPI, described: Mapping[str, Container[str]]) -> dict[str, Any]:
    """Paths and schemas of the routes that describe themselves, with our refusals in place of FastAPI's."""
    routes = [
        route
        for route in iter_route_contexts(app.routes)
        if isinstance(route.original_route, APIRoute)
        and route.include_in_schema
        and not route.original_route.endpoint.__module__.startswith("kserve")
        and not all(
            method.lower() in described.get(route.path_format or "", ()) for method in route.methods or ()
        )
    ]
    generated = get_openapi(title="", version="", routes=routes)
    for path, operations in generated.get("paths", {}).items():
        for method, operation in operations.items():
            operation["responses"].pop("422", None)
            operation["responses"] |= _refusals("400 404 503 504")
            scope = scope_of(method.upper(), path)
            if scope != OPEN:
                operation["security"] = [{"token": [scope]}]
                operation["responses"] |= _refusals("401 403")
    return {
        "paths": generated.get("paths", {}),
        "schemas": generated.get("components", {}).get("schemas", {}),
    }
