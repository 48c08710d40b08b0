"""Each object against the schema of its kind."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import kubernetes_validate
import orjson
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError as SchemaError
from pydantic import ValidationError

from components.contract.errors import WaymarkError
from manifests.check import kserve
from manifests.check.build import MANIFESTS
from manifests.check.objects import Finding, Object, title
from manifests.check.third_party import MODELS

KUBERNETES = "1.34"
_LONGEST = 300


class Schemas:
    """The schemas of all kinds.

    Parameters
    ----------
    crds : Path, optional
        Folder of KServe's CRDs; if not given, WAYMARK_CRDS, then ``shared/crds`` beside the checkout,
        then the kserve package.
    kubernetes : str
        Version whose core schemas hold.

    Attributes
    ----------
    source : str
        Where KServe's schemas come from.

    Raises
    ------
    WaymarkError
        The given folder is none, or lacks a CRD.
    """

    def __init__(self, crds: Path | None = None, kubernetes: str = KUBERNETES):
        self._kubernetes = kubernetes
        named = crds or (Path(os.environ["WAYMARK_CRDS"]) if os.environ.get("WAYMARK_CRDS") else None)
        beside = MANIFESTS.parents[1] / "shared" / "crds"
        if named and not named.is_dir():
            raise WaymarkError(f"{named}: no such folder; --crds and WAYMARK_CRDS name one of KServe's CRDs")
        if named or beside.is_dir():
            schemas, self.source = kserve.from_crds(named or beside), f"CRDs in {named or beside}"
        else:
            schemas, self.source = kserve.from_models(), "model classes of the kserve package (no CRDs)"
        self._kserve = {kind: Draft202012Validator(schema) for kind, schema in schemas.items()}
        self._known: dict[bytes, list[Finding]] = {}

    def check(self, items: Iterable[Object]) -> Iterator[Finding]:
        """Findings of all objects."""
        for item in items:
            key = orjson.dumps(item)
            if key not in self._known:
                self._known[key] = list(self._check(item))
            yield from self._known[key]

    def _check(self, item: Object) -> Iterator[Finding]:
        kind = (str(item.get("apiVersion")), str(item.get("kind")))
        if kind in self._kserve or kind in MODELS:
            yield from self._core(
                {"apiVersion": "v1", "kind": "ConfigMap", "metadata": item.get("metadata")}, item
            )
        if kind in self._kserve:
            errors = list(self._kserve[kind].iter_errors(item))
            yield from (_finding(item, error) for error in errors)
        elif kind in MODELS:
            try:
                MODELS[kind].model_validate(item)
            except ValidationError as error:
                for problem in error.errors():
                    yield Finding(title(item), _path(problem["loc"]), problem["msg"])
        else:
            yield from self._core(item, item)

    def _core(self, candidate: Object, item: Object) -> Iterator[Finding]:
        try:
            kubernetes_validate.validate(candidate, self._kubernetes, strict=True)
        except kubernetes_validate.ValidationError as error:
            yield _finding(item, error)
        except kubernetes_validate.SchemaNotFoundError:
            known = f"{item.get('apiVersion')} {item.get('kind')}"
            yield Finding(title(item), "kind", f"Kubernetes {self._kubernetes} knows no {known}")


def _finding(item: Object, error: SchemaError) -> Finding:
    place = [*error.absolute_path]
    if error.validator == "additionalProperties" and isinstance(error.instance, dict):
        unknown = sorted(set(error.instance) - set(error.schema.get("properties", {})))
        return Finding(title(item), _path([*place, *unknown[:1]]), "unknown field")
    if error.validator == "required" and isinstance(error.instance, dict):
        missing = [name for name in error.validator_value if name not in error.instance]
        return Finding(title(item), _path([*place, *missing[:1]]), "is missing")
    return Finding(title(item), _path(place), error.message[:_LONGEST])


def _path(places: Iterable[str | int]) -> str:
    """Write a path as in ``spec.containers[0].image``."""
    text = ""
    for place in places:
        text += f"[{place}]" if isinstance(place, int) else f".{place}"
    return text.lstrip(".") or "(all)"
