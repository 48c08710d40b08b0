"""Where KServe's schemas come from, and that both sources say the same."""

import os
from pathlib import Path

import pytest

from components.contract.errors import WaymarkError
from manifests.check import kserve
from manifests.check.build import MANIFESTS, build_overlay, folders
from manifests.check.schemas import Schemas

CRDS = Path(os.environ.get("WAYMARK_CRDS", MANIFESTS.parents[1] / "shared" / "crds"))
needs_crds = pytest.mark.skipif(not CRDS.is_dir(), reason=f"no CRDs in {CRDS}; set WAYMARK_CRDS")
SERVICE, RUNTIME = (
    ("serving.kserve.io/v1beta1", "InferenceService"),
    ("serving.kserve.io/v1alpha1", "ServingRuntime"),
)


def test_closing_keeps_what_is_open():
    schema = {
        "properties": {
            "properties": {"type": "string"},
            "labels": {"type": "object", "additionalProperties": {"type": "string"}},
            "status": {"properties": {}, "x-kubernetes-preserve-unknown-fields": True},
            "list": {"items": {"properties": {"a": {}}}},
        }
    }
    closed = kserve.close(schema)
    assert closed["additionalProperties"] is False
    assert closed["properties"]["properties"] == {"type": "string"}
    assert closed["properties"]["labels"] == schema["properties"]["labels"]
    assert "additionalProperties" not in closed["properties"]["status"]
    assert closed["properties"]["list"]["items"]["additionalProperties"] is False


def test_models_know_what_is_required():
    definitions = kserve.from_models()[SERVICE]["$defs"]
    assert definitions["V1Container"]["required"] == ["name"]
    assert definitions["V1beta1InferenceServiceSpec"]["required"] == ["predictor"]
    assert definitions["V1beta1ModelSpec"]["required"] == ["modelFormat"]


@needs_crds
def test_models_know_the_fields_of_the_crds():
    crd, model = kserve.from_crds(CRDS)[SERVICE], kserve.from_models()[SERVICE]["$defs"]
    predictor = crd["properties"]["spec"]["properties"]["predictor"]["properties"]
    # The package is of KServe 0.21, the CRDs are of 0.20 and leave one field of pods out.
    newer = {"schedulingGroup", "ephemeralContainers"}
    assert set(model["V1beta1PredictorSpec"]["properties"]) - newer == set(predictor) - newer
    assert set(model["V1beta1ModelSpec"]["properties"]) == set(predictor["model"]["properties"])


@pytest.mark.parametrize("overlay", folders("overlays"))
def test_overlays_are_valid_without_crds(overlay, model_schemas):
    assert list(model_schemas.check(build_overlay(overlay, ["gpu", "standard-mode", "redis"]))) == []


def test_says_where_schemas_come_from(schemas, model_schemas):
    assert model_schemas.source == "model classes of the kserve package (no CRDs)"
    if CRDS.is_dir():
        assert schemas.source == f"CRDs in {CRDS}"


def test_a_folder_that_is_not_there(monkeypatch, tmp_path):
    monkeypatch.setenv("WAYMARK_CRDS", str(tmp_path / "crds"))
    with pytest.raises(WaymarkError, match="no such folder"):
        Schemas()
