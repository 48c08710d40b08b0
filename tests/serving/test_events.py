import pytest

from components.contract import columns as c
from serving.errors import RequestError
from serving.events import parse_events
from serving.settings import ServingSettings

SETTINGS = ServingSettings(max_events=3)
NOW = 1_795_507_200.0
GOOD = {c.ASSOCIATE_ID: "A1", c.PAGE_ID: "P1", c.EVENT_TYPE: "view", c.TIMESTAMP: NOW}


def test_good_and_bad_rows_are_parted():
    late = {**GOOD, c.TIMESTAMP: NOW + 86_401}
    events, rejected = parse_events(
        {"events": [{**GOOD, c.TIMESTAMP: NOW + 86_399}, {}, late]}, SETTINGS, NOW
    )
    assert [event.associate_id for event in events] == ["A1"]
    assert rejected == [
        {"event": 1, "error": "associate_id: empty"},
        {"event": 2, "error": "timestamp: more than a day in the future"},
    ]


@pytest.mark.parametrize(
    "payload", [None, [], {}, {"events": {}}, {"events": []}, {"events": [GOOD], "more": 1}]
)
def test_what_is_no_batch_is_refused(payload):
    with pytest.raises(RequestError, match=r"^events: a list with at least one event is expected$"):
        parse_events(payload, SETTINGS, NOW)


def test_the_number_of_events_is_bounded():
    with pytest.raises(RequestError, match=r"^events: 4 are too many, at most 3$") as found:
        parse_events({"events": [GOOD] * 4}, SETTINGS, NOW)
    assert found.value.status == 413
