import hashlib
import json
import re

import numpy as np
import polars as pl
import pytest

from components.contract.errors import DataError
from components.contract.time import DAY
from components.ingest.step import run
from components.preprocess.tables import read_pages
from pipelines.academy.generate import make_academy
from pipelines.academy.truth import RECENT, TruePreference
from serving.rules.due import Done, DueDates
from serving.rules.rules import Rules
from tests.support.build import make_requests

SIZE = {"associates": 600, "pages": 240, "days": 24, "seed": 3}


class Academy:
    """A small academy as the pipeline sees it, and its truth."""

    def __init__(self, root):
        self.root = root
        self.figures = make_academy(root / "data", **SIZE)
        self.ingested = run(root / "data", root / "tables", root / "quarantine")
        tables = (
            pl.read_parquet(root / "tables" / f"{name}.parquet") for name in ("events", "pages", "associates")
        )
        self.events, self.pages, self.associates = tables
        self.truth = TruePreference.load(root / "data" / "truth")


@pytest.fixture(scope="module")
def academy(tmp_path_factory):
    return Academy(tmp_path_factory.mktemp("academy"))


def test_every_row_passes_ingest(academy):
    assert academy.ingested["pages"] == SIZE["pages"]
    assert academy.ingested["associates"] == SIZE["associates"]
    assert academy.ingested["events"] == academy.figures["events"]
    assert [academy.ingested[f"{name}_bad"] for name in ("pages", "associates", "events")] == [0, 0, 0]
    assert academy.ingested["events_duplicate"] == 0
    found = dict(academy.events["event_type"].value_counts().rows())
    assert found == {kind: academy.figures[kind] for kind in found}
    assert set(found) == {"impression", "view", "complete", "skip", "rating", "like", "bookmark", "comment"}


def test_volume_is_that_of_a_platform(academy):
    views_per_associate_day = academy.figures["view"] / SIZE["associates"] / SIZE["days"]
    assert 0.2 < views_per_associate_day < 1.0
    assert 0.01 < academy.figures["click_rate"] < 0.1
    views = academy.events.filter(event_type="view")["associate_id"].value_counts()["count"]
    # A long tail: the busiest tenth does far more than its share.
    assert views.sort(descending=True).head(len(views) // 10).sum() > 0.2 * views.sum()


def _digest(folder):
    parts = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in parts}


def test_a_seed_gives_the_same_academy(tmp_path):
    small = {"associates": 40, "pages": 30, "days": 3}
    seeds = {"a": 1, "b": 1, "c": 2}
    for name, seed in seeds.items():
        make_academy(tmp_path / name, **small, seed=seed)
    first, again, other = (_digest(tmp_path / name) for name in seeds)
    assert first == again
    assert first.keys() == other.keys()
    assert [name for name in first if first[name] == other[name]] == []


def test_making_it_again_replaces_it(tmp_path):
    make_academy(tmp_path, associates=40, pages=30, days=3)
    done = []
    figures = make_academy(
        tmp_path, associates=30, pages=20, days=2, progress=lambda day, days: done.append((day, days))
    )
    assert done == [(1, 2), (2, 2)]
    assert sorted(path.name for path in (tmp_path / "events.parquet").iterdir()) == [
        "date=2026-09-01",
        "date=2026-09-02",
    ]
    assert json.loads((tmp_path / "academy.json").read_text())["figures"] == figures
    assert pl.read_parquet(tmp_path / "pages.parquet").height == 20


@pytest.mark.parametrize(("name", "least"), [("associates", 1), ("pages", 10), ("days", 1)])
def test_sizes_are_checked(tmp_path, name, least):
    with pytest.raises(DataError, match=rf"{name}: must be at least {least} \(got {least - 1}\)"):
        make_academy(tmp_path, **{"associates": 5, "pages": 10, "days": 1, name: least - 1})


def test_the_smallest_academy(tmp_path):
    figures = make_academy(tmp_path, associates=1, pages=10, days=1, seed=5)
    assert figures["pages"] == 10


def test_events_lie_in_the_file_of_their_day(academy):
    parts = sorted((academy.root / "data" / "events.parquet").iterdir())
    assert len(parts) == SIZE["days"]
    for part in parts:
        days = pl.read_parquet(part / "part-0.parquet")["timestamp"].dt.date().unique().to_list()
        assert [f"date={day}" for day in days] == [part.name]


def _with_pages(academy, *columns):
    events = academy.events.join(academy.pages.select("page_id", *columns), on="page_id")
    return events.join(academy.associates, on="associate_id")


def test_nothing_happens_before_its_time(academy):
    events = _with_pages(academy, "published_at")
    assert events.filter(pl.col("timestamp") < pl.col("published_at")).is_empty()
    assert events.filter(pl.col("timestamp") < pl.col("hired_at")).is_empty()
    published = academy.pages["published_at"]
    start = academy.events["timestamp"].dt.truncate("1d").min()
    assert 0.2 < (published > start).mean() < 0.6
    assert 0.05 < (academy.associates["hired_at"] > start).mean() < 0.25


def test_pages_for_some_roles_are_used_by_them_only(academy):
    events = _with_pages(academy, "roles")
    closed = events.filter(pl.col("roles").list.len() > 0)
    assert closed.height > 100
    assert closed.filter(~pl.col("role").is_in(pl.col("roles"))).is_empty()


def test_retired_pages_fade_out(academy):
    gone = np.flatnonzero(np.isfinite(academy.truth.retired_at))
    assert len(gone) > 0
    assert set(academy.pages.filter("retired")["page_id"]) == set(academy.truth.page_ids[gone])
    for page in gone:
        last = academy.events.filter(page_id=academy.truth.page_ids[page])["timestamp"].dt.epoch("s").max()
        # A session that was under way may still finish it.
        assert last is None or last < academy.truth.retired_at[page] + 4 * 3600


def test_the_top_of_the_list_is_clicked_more(academy):
    listed = academy.events.filter(
        pl.col("position").is_not_null(), pl.col("event_type").is_in(["impression", "view"])
    )
    counts = (
        listed.group_by("position", "event_type").len().pivot("event_type", index="position", values="len")
    )
    rate = counts.sort("position").select(pl.col("view") / pl.col("impression")).to_series().to_numpy()
    assert len(rate) == 10
    assert rate[0] > 1.3 * rate[1]
    assert rate[:3].mean() > 2 * rate[5:].mean()


def test_hours_follow_the_shift(academy):
    lists = academy.events.filter(event_type="impression").unique("request_id")
    hours = lists.join(academy.associates, on="associate_id").select(
        "shift", pl.col("timestamp").dt.hour().alias("hour")
    )

    def share(shift, low, high):
        own = hours.filter(shift=shift)["hour"]
        return own.is_between(low, high).mean()

    assert share("early", 4, 13) > 0.95
    assert share("late", 11, 22) > 0.95
    assert share("night", 4, 19) < 0.1


def test_prerequisites_come_first_mostly(academy):
    views = (
        academy.events.filter(event_type="view")
        .group_by("associate_id", "page_id")
        .agg(pl.col("timestamp").min())
    )
    before = (
        academy.pages.explode("prerequisites")
        .select("page_id", pl.col("prerequisites").alias("before"))
        .drop_nulls()
    )
    steps = views.join(before, on="page_id").join(
        views.select("associate_id", pl.col("page_id").alias("before"), pl.col("timestamp").alias("earlier")),
        on=["associate_id", "before"],
        how="left",
    )
    assert before.height > 50
    # By chance about a tenth of the pages that someone sees would have theirs behind them.
    assert (steps["earlier"] < steps["timestamp"]).fill_null(False).mean() > 0.55


def test_mandatory_pages_are_compliance_for_their_roles(academy):
    asked = academy.pages.filter(pl.col("mandatory_for").list.len() > 0)
    assert asked.height > 3
    assert asked["due_days"].is_in([14.0, 30.0, 45.0]).all()
    assert (
        academy.pages.filter(pl.col("mandatory_for").list.len() == 0)["due_days"].null_count()
        == SIZE["pages"] - asked.height
    )
    assert (asked["updated_at"] >= asked["published_at"]).all()


def test_the_server_gives_the_due_dates_of_the_truth(academy):
    truth, pages = academy.truth, read_pages(academy.root / "tables" / "pages.parquet", [])
    end = truth.start + SIZE["days"] * DAY
    row = {page: row for row, page in enumerate(truth.page_ids.tolist())}
    dates, late = DueDates(Rules(), pages), 0
    for who in range(50):
        role = academy.associates.filter(associate_id=truth.associate_ids[who])["role"][0]
        tenure = max(end - truth.hired_at[who], 0) / DAY
        found = dates(make_requests([end], role=[role], tenure_days=[tenure]), 0, Done.before({}, end))
        asked = [row[pages["page_id"][page]] for page in found.page.tolist()]
        assert sorted(asked) == np.flatnonzero(truth.mandatory[truth.role[who]]).tolist()
        expected = np.maximum(truth.assigned_at[asked], truth.hired_at[who]) + truth.due_days[asked] * DAY
        np.testing.assert_allclose(found.when, expected)
        # What is overdue became mandatory within the log.
        assert (found.when > truth.start).all()
        late += int((found.when < end).sum())
    assert late


def test_sessions_have_no_long_gap(academy):
    steps = academy.events.filter(event_type="view").sort("associate_id", "timestamp")
    gap = (
        steps.select(pl.col("timestamp").diff().over("associate_id").dt.total_seconds())
        .to_series()
        .drop_nulls()
    )
    within = gap.filter(gap < 90 * 60)
    assert (within < 30 * 60).mean() > 0.97
    assert gap.min() > 0


def _words(text):
    return re.findall(r"[a-z]+", text.lower())


def test_texts_carry_their_topic(academy):
    texts = academy.pages.select("topic", (pl.col("title") + " " + pl.col("body")).alias("text"))
    lengths = academy.pages["body"].str.split(" ").list.len()
    assert lengths.min() >= 80
    assert lengths.max() <= 300
    vocabulary = {
        word: i for i, word in enumerate(sorted({word for text in texts["text"] for word in _words(text)}))
    }
    counts = np.zeros((len(texts), len(vocabulary)))
    for row, text in enumerate(texts["text"]):
        np.add.at(counts[row], [vocabulary[word] for word in _words(text)], 1)
    weights = np.log1p(counts) * np.log(len(counts) / (counts > 0).sum(axis=0))
    weights /= np.linalg.norm(weights, axis=1, keepdims=True)
    names, topic = np.unique(texts["topic"].to_numpy(), return_inverse=True)
    sums = np.zeros((len(names), len(vocabulary)))
    np.add.at(sums, topic, weights)
    # Each page is left out of its own topic's centre; its topic's only page has none to be near to.
    scores = weights @ (sums / np.linalg.norm(sums, axis=1, keepdims=True)).T
    own = sums[topic] - weights
    scores[np.arange(len(topic)), topic] = (weights * own).sum(axis=1) / np.maximum(
        np.linalg.norm(own, axis=1), 1e-9
    )
    several = np.bincount(topic)[topic] > 1
    assert (scores.argmax(axis=1) == topic)[several].mean() > 0.9


def test_pages_of_a_path_share_their_words(academy):
    before = (
        academy.pages.explode("prerequisites").drop_nulls("prerequisites").select("page_id", "prerequisites")
    )
    bodies = {page: set(_words(body)) for page, body in academy.pages.select("page_id", "body").rows()}
    topic = dict(academy.pages.select("page_id", "topic").rows())

    def overlap(a, b):
        return len(bodies[a] & bodies[b]) / len(bodies[a] | bodies[b])

    together = np.mean([overlap(a, b) for a, b in before.rows()])
    pairs = [(a, b) for a in topic for b in topic if a < b and topic[a] == topic[b]]
    assert together > np.mean([overlap(a, b) for a, b in pairs]) + 0.02


def _histories(academy, who, until):
    views = academy.events.filter(
        pl.col("event_type") == "view", pl.col("timestamp").dt.epoch("us") < int(until * 1e6)
    )
    pages = dict(views.group_by("associate_id", maintain_order=True).agg("page_id").rows())
    return [pages.get(str(one), []) for one in who]


def test_truth_foretells_the_clicks(academy):
    when = academy.truth.start + 20 * DAY
    day = academy.events.filter(
        pl.col("timestamp").dt.epoch("s").is_between(int(when), int(when) + DAY),
        pl.col("request_id").is_not_null(),
    )
    lists = day.filter(event_type="impression")
    clicked = day.filter(event_type="view").select("request_id", "page_id", clicked=pl.lit(1.0))
    rows = lists.join(clicked, on=["request_id", "page_id"], how="left").with_columns(
        pl.col("clicked").fill_null(0)
    )
    who = rows["associate_id"].unique().sort().to_numpy().astype(str)
    score = academy.truth.score(who, np.full(len(who), when + 43_200), _histories(academy, who, when))
    row = np.searchsorted(who, rows["associate_id"].to_numpy().astype(str))
    column = {page: i for i, page in enumerate(academy.truth.page_ids)}
    wanted = score[row, [column[page] for page in rows["page_id"]]]
    hit = rows["clicked"].to_numpy() > 0
    assert hit.sum() > 20
    order = wanted.argsort().argsort()
    auc = (order[hit].mean() - order[~hit].mean()) / len(order) + 0.5
    assert auc > 0.7
    # Looked at for sure, so clicked as often as the truth says; later pages of the day move it a little.
    top = rows["position"].to_numpy() == 0
    assert hit[top].mean() == pytest.approx(wanted[top].mean(), abs=0.05)


def test_the_best_pages_stand_out_and_differ_between_people(academy):
    assert academy.figures["best_preference"] > 5 * academy.figures["mean_preference"]
    who = academy.truth.associate_ids[:200]
    score = academy.truth.score(who, np.full(200, academy.truth.start + DAY * 10), [[]] * 200)
    best = np.argsort(-score, axis=1)[:, :10]
    assert len(np.unique(best)) > 60


def test_pages_that_cannot_be_had_score_nothing(academy):
    truth = academy.truth
    who = truth.associate_ids
    times = np.linspace(truth.start, truth.start + 24 * DAY, len(who))
    score = truth.score(who, times, [[]] * len(who))
    assert score.shape == (len(who), len(truth.page_ids))
    assert score.dtype == np.float32
    can = (
        (truth.published_at <= times[:, None])
        & (truth.retired_at > times[:, None])
        & truth.eligible[truth.role]
    )
    assert (score[~can] == 0).all()
    assert (score[can] > 0).all()
    assert score.max() <= 1


def test_history_moves_the_truth_as_documented(academy):
    truth = academy.truth
    weights = truth.weights
    after = np.flatnonzero(truth.previous >= 0)
    when = truth.start + 23.5 * DAY
    open_ = truth.eligible[:, after].all(axis=0) & (truth.published_at[after] < when)
    page = after[open_][0]
    before = truth.previous[page]
    others = np.flatnonzero((truth.topic != truth.topic[page]) & (truth.published_at < when))[: RECENT + 1]
    names = truth.page_ids
    histories = [[], [names[before]], [names[before], *names[others]], [names[before], names[page]]]
    score = truth.score(np.repeat(truth.associate_ids[:1], 4), np.full(4, when), histories)[:, page].astype(
        float
    )
    logit = np.log(score / (1 - score))
    assert logit[2] - logit[0] == pytest.approx(weights.next_page - weights.locked, abs=1e-3)
    just = weights.just_before + weights.momentum / RECENT
    assert logit[1] - logit[2] == pytest.approx(just, abs=1e-3)
    assert score[3] < score[1] * 0.2


def test_score_agrees_with_the_rows_it_is_asked_for(academy):
    truth = academy.truth
    who = truth.associate_ids[[5, 17, 5]]
    times = truth.start + np.array([1.0, 9.0, 20.0]) * DAY
    history = [[], [str(truth.page_ids[3]), "of another academy"], [str(truth.page_ids[4])] * 2]
    together = truth.score(who, times, history)
    for row in range(3):
        alone = truth.score(who[row : row + 1], times[row : row + 1], history[row : row + 1])
        np.testing.assert_allclose(together[row], alone[0], rtol=1e-5, atol=1e-7)
    with pytest.raises(DataError, match="nobody is not of this academy"):
        truth.score(["nobody"], [truth.start], [[]])


def test_no_truth(tmp_path):
    with pytest.raises(DataError, match="holds no true preference"):
        TruePreference.load(tmp_path)
