"""Mistakes, one at a time, put into valid objects: each is found, at its object and field."""

import re
from pathlib import Path

import pytest
import yaml

from manifests.check.objects import Objects
from manifests.check.rules import findings

MISTAKES = yaml.safe_load((Path(__file__).parent / "mistakes.yaml").read_text())
KSERVE = ("InferenceService", "ServingRuntime")
OF_KSERVE = [case for case in MISTAKES["knative"] if case["object"].startswith(KSERVE)]


def name(case):
    return case["what"]


def put(items, case):
    """Change one field of one object."""
    place = Objects(items).get(*case["object"].split("/"))
    steps = [
        int(number) if number else key.replace("~", ".")
        for key, number in re.findall(r"([^.\[\]]+)(?![^\[]*\])|\[(\d+)\]", case["field"])
    ]
    for step in steps[:-1]:
        place = place[step] if isinstance(step, int) else place.setdefault(step, {})
    if "value" in case:
        place[steps[-1]] = case["value"]
    else:
        del place[steps[-1]]


def expected(case):
    """Object and field of the finding."""
    return case.get("of", case["object"]), case.get("at", case["field"]).replace("~", ".")


def expect(found, where, field, words):
    """A finding names the object and the field, and says the words."""
    right = [f for f in found if (f.object, f.field) == (where, field) and words in f.message]
    assert right, f"expected {where}: {field}: ...{words}..., found:\n" + "\n".join(map(str, found))


@pytest.mark.parametrize("case", MISTAKES["knative"], ids=name)
def test_mistake_is_found(case, knative, schemas):
    if case.get("crds") and not schemas.source.startswith("CRDs"):
        pytest.skip("KServe's CRDs alone name the field; without them the object is found, below")
    put(knative, case)
    expect(findings(knative, schemas), *expected(case), case["finds"])


@pytest.mark.parametrize("case", MISTAKES["standard"], ids=name)
def test_mistake_without_knative_is_found(case, standard, schemas):
    put(standard, case)
    expect(findings(standard, schemas), *expected(case), case["finds"])


@pytest.mark.parametrize("case", OF_KSERVE, ids=name)
def test_mistake_is_found_without_crds(case, knative, model_schemas):
    """What the CRDs find the kserve package's classes find, or the rules do, if in other words."""
    put(knative, case)
    where, field = expected(case)
    found = findings(knative, model_schemas)
    assert [f for f in found if f.object == where and field.startswith(f.field)], found


def test_no_secret_in_the_repository(knative, schemas):
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "x", "namespace": "waymark"}}
    expect(findings([*knative, secret], schemas), "Secret/x", "kind", "do not belong")


def test_an_unknown_kind_is_refused(knative, schemas):
    strange = {"apiVersion": "example.com/v1", "kind": "Strange", "metadata": {"name": "x"}}
    expect(findings([*knative, strange], schemas), "Strange/x", "kind", "knows no example.com/v1 Strange")
