from collections.abc import Iterator

import pytest

from components.contract import kernels


@pytest.fixture(scope="module", params=[1, 3], ids="threads={}".format)
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    """The loops run on one thread, and on several."""
    kernels.use_threads(request.param)
    yield request.param
    kernels.use_threads(1)
