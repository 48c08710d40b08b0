import pytest
from pydantic import Field, ValidationError

from components.contract.errors import WaymarkError
from components.contract.settings import StepSettings, section


class Inner(StepSettings):
    share: float = Field(0.5, ge=0, le=1)


class Step(StepSettings):
    size: int = Field(3, ge=1)
    inner: Inner = Inner()


@pytest.mark.parametrize("given", [None, {}, {"step": {}}, {"other": {"size": 9}}])
def test_absent_sections_take_their_defaults(given):
    assert section(given, "step", Step) == Step()


def test_given_values_are_read():
    assert section({"step": {"size": 7, "inner": {"share": 0.1}}}, "step", Step).inner.share == 0.1


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"size": 0}, r"settings\.step\.size: .*greater than or equal to 1.*got 0"),
        ({"siz": 4}, r"settings\.step\.siz: Extra inputs.*got 4"),
        ({"inner": {"share": "much"}}, r"settings\.step\.inner\.share: .*got 'much'"),
        ([1], r"settings\.step: "),
    ],
)
def test_what_does_not_fit_is_named(given, message):
    with pytest.raises(WaymarkError, match=message):
        section({"step": given}, "step", Step)


def test_values_are_frozen():
    with pytest.raises(ValidationError, match="frozen"):
        Step().size = 4
