import tokenize
from pathlib import Path

import pytest

from components.contract import time

ROOT = Path(time.__file__).parents[2]


def numbers(path):
    """The numbers that a module spells."""
    with tokenize.open(path) as source:
        found = [
            one.string for one in tokenize.generate_tokens(source.readline) if one.type == tokenize.NUMBER
        ]
    return [float(one) for one in found if one.replace("_", "").replace(".", "").isdecimal()]


@pytest.mark.parametrize("folder", ["components", "pipelines", "serving", "tools"])
def test_a_day_has_one_length(folder):
    spelled = [path for path in (ROOT / folder).rglob("*.py") if time.DAY in numbers(path)]
    assert spelled in ([], [Path(time.__file__)])
