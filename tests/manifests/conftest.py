import copy

import pytest

from manifests.check import schemas as schemas_module
from manifests.check.build import build_overlay
from manifests.check.schemas import Schemas


@pytest.fixture(scope="session")
def schemas():
    """As the check finds them: CRDs where there are some, else the kserve package."""
    return Schemas()


@pytest.fixture(scope="session")
def model_schemas(tmp_path_factory):
    """Where no CRDs are at hand."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(schemas_module, "MANIFESTS", tmp_path_factory.mktemp("elsewhere") / "manifests")
        patch.delenv("WAYMARK_CRDS", raising=False)
        return Schemas()


@pytest.fixture(scope="session")
def knative_items():
    return build_overlay("production", ["gpu", "redis"])


@pytest.fixture(scope="session")
def standard_items():
    return build_overlay("production", ["standard-mode", "redis"])


@pytest.fixture
def knative(knative_items):
    """Production with GPUs and Redis."""
    return copy.deepcopy(knative_items)


@pytest.fixture
def standard(standard_items):
    """Production without Knative, with Redis."""
    return copy.deepcopy(standard_items)
