"""A real Redis for whoever asks for one, and further releases of the small academy."""

import pytest

from tests.support.redis import redis_server, redis_url  # noqa: F401


@pytest.fixture(scope="session")
def release_small(small_run, small_settings):
    """A function (home, lists=..., settings=...) that publishes the small academy's artifacts once more."""
    from components.contract.release import SOURCES
    from components.release import step as release

    work = small_run / "work"
    sources = {name: work / "3" / name for name in SOURCES}
    sources["content_similarity"] = work / "content_similarity"

    def publish(home, lists=None, **settings):
        return release.run(
            home,
            kind="daily",
            dataset=work / "dataset",
            sources=sources,
            holdout={name: work / "2" / name for name in ("skip_gram", "two_tower")},
            ranker=work / "ranker",
            evaluation=work / "evaluation.json",
            statistics=work / "statistics",
            lists=lists,
            settings={**small_settings, **settings},
        )["release"]

    return publish
