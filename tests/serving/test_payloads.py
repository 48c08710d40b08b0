import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.errors import RequestError
from serving.payloads import parse_instances
from serving.settings import ServingSettings

SETTINGS = ServingSettings(max_instances=3)


def refused(payload):
    with pytest.raises(RequestError) as found:
        parse_instances(payload, SETTINGS)
    return str(found.value)


def test_defaults_and_the_contract_example():
    (one,) = parse_instances(
        {
            "instances": [
                {
                    "associate_id": "A17",
                    "limit": 10,
                    "context": {"time": "2026-11-24T08:00:00Z", "shift": "night"},
                    "exclude": ["P1"],
                }
            ]
        },
        SETTINGS,
    )
    assert one.seconds() == 1795507200.0
    assert (one.context.shift, one.exclude, one.limit) == ("night", ["P1"], 10)
    (bare,) = parse_instances({"instances": [{}]}, SETTINGS)
    assert (bare.associate_id, bare.limit, bare.history) == (None, 10, [])
    assert (bare.explain, bare.carousels, bare.context.locale) == (False, False, None)


def test_what_may_be_asked_for_beside_the_list():
    asked = {"explain": True, "carousels": True, "context": {"locale": "en-GB"}}
    (one,) = parse_instances({"instances": [asked]}, SETTINGS)
    assert (one.explain, one.carousels, one.context.locale) == (True, True, "en-GB")


@pytest.mark.parametrize("time", [1795507200, 1795507200.0, 1795507200000, "2026-11-24T09:00:00+01:00"])
def test_times_may_be_text_seconds_or_milliseconds(time):
    (one,) = parse_instances({"instances": [{"context": {"time": time}}]}, SETTINGS)
    assert one.seconds() == 1795507200.0


@pytest.mark.parametrize(
    ("instance", "message"),
    [
        ({"limit": 0}, "instances[0].limit: "),
        ({"limit": 101}, "instances[0].limit: "),
        ({"limit": "5"}, "instances[0].limit: "),
        ({"limit": True}, "instances[0].limit: "),
        ({"explain": 1}, "instances[0].explain: "),
        ({"carousels": "true"}, "instances[0].carousels: "),
        ({"associate_id": 7}, "instances[0].associate_id: "),
        ({"associate_id": " "}, "instances[0].associate_id: "),
        ({"associate_id": "x" * 257}, "instances[0].associate_id: "),
        ({"colour": "red"}, "instances[0].colour: "),
        ({"context": {"time": "yesterday"}}, "instances[0].context.time"),
        ({"context": {"time": "2026-11-24T08:00:00"}}, "instances[0].context.time"),
        ({"context": {"time": -5}}, "instances[0].context.time"),
        ({"context": {"mood": "good"}}, "instances[0].context.mood: "),
        ({"exclude": "P1"}, "instances[0].exclude: "),
        ({"exclude": ["P1"] * 101}, "instances[0].exclude: "),
        ({"history": [{"page_id": "P1"}]}, "instances[0].history[0]"),
        ({"context": {"time": True}}, "instances[0].context.time"),
        ({"context": {"time": float("nan")}}, "instances[0].context.time"),
        ({"context": {"time": 1e17}}, "instances[0].context.time"),
        ({"associate_id": "A\x00"}, "instances[0].associate_id: "),
        (5, "instances[0]: "),
    ],
)
def test_errors_name_the_field(instance, message):
    assert refused({"instances": [instance]}).startswith(message)


def test_errors_name_the_instance_and_hide_the_value():
    text = refused({"instances": [{}, {"associate_id": "x" * 300}]})
    assert text.startswith("instances[1].associate_id")
    assert "xxx" not in text


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        ([], "body: "),
        ({}, "instances: "),
        ({"instances": []}, "instances: "),
        ({"instances": {}}, "instances: "),
        ({"instances": [{}], "signature": "x"}, "signature: unknown field"),
        ({"instances": [{}] * 4}, "instances: 4 are too many, at most 3"),
    ],
)
def test_the_body_as_a_whole(payload, message):
    assert refused(payload).startswith(message)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
FIELDS = st.sampled_from(["associate_id", "limit", "context", "exclude", "history", "time", "role"])


@given(st.dictionaries(FIELDS, JSON, max_size=5))
def test_any_instance_is_read_or_refused_with_its_place(instance):
    try:
        (one,) = parse_instances({"instances": [instance]}, SETTINGS)
    except RequestError as error:
        field = str(error)
    else:
        field = "instances[0]"
        assert 1 <= one.limit <= 100
    assert field.startswith("instances[0]")
