import pytest

from components.contract.errors import DataError
from components.contract.notify import WEBHOOK, post, told_of_failure
from tests.support.webhook import Webhook


@pytest.fixture
def webhook(monkeypatch):
    made = Webhook()
    monkeypatch.setenv(WEBHOOK, made.url)
    yield made
    made.close()


def test_an_error_for_people_is_told_and_goes_on(webhook):
    with pytest.raises(DataError, match="pages: empty"), told_of_failure("validate"):
        raise DataError("pages: empty")
    assert webhook.posted == [{"text": "Waymark, validate: pages: empty", "step": "validate"}]


def test_other_errors_and_success_are_not_told(webhook):
    with pytest.raises(KeyError), told_of_failure("validate"):
        raise KeyError("x")
    with told_of_failure("validate"):
        pass
    assert webhook.posted == []


def test_without_a_webhook_the_error_is_the_same(monkeypatch):
    monkeypatch.delenv(WEBHOOK, raising=False)
    with pytest.raises(DataError), told_of_failure("validate"):
        raise DataError("pages: empty")


def test_a_webhook_that_never_answers_is_given_up():
    webhook, waits = Webhook(failures=9), []
    assert not post({"text": "x"}, webhook.url, sleep=waits.append)
    assert (webhook.tries, waits) == (3, [1.0, 2.0, 4.0])
    webhook.close()
