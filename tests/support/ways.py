"""Tests that run over both forms of a computation: the compiled loop, and NumPy."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

from components.contract.kernels import library


def both_ways(module: ModuleType) -> Any:
    """A fixture by which each test of a module runs twice; ``module`` is who looks for the loops."""

    @pytest.fixture(autouse=True, scope="module", params=["compiled", "plain"])
    def way(request: pytest.FixtureRequest) -> Iterator[str]:
        if request.param == "compiled" and library() is None:
            pytest.skip("the compiled loops are not built")
        with pytest.MonkeyPatch.context() as patched:
            if request.param == "plain":
                patched.setattr(module, "library", lambda: None)
            yield request.param

    return way


# For tests that compare both ways themselves.
once = pytest.mark.parametrize("way", ["compiled"], indirect=True)
