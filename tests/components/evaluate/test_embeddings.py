import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from kfp import dsl

from components.contract.sources import Vectors
from components.evaluate import embeddings
from components.evaluate.component import embedding_map
from tests.support.build import make_dataset

SOURCES = ("two_tower", "skip_gram", "content_similarity")
HOSTILE = '<script>alert(1)</script>" onload="x" & <b>'


def world(tmp_path, pages: int = 24, topics=("till", "safety", "fresh"), title: str = "Page"):
    """A dataset whose topics stand apart in the two-tower's vectors, and know nothing of the others'."""
    draw = np.random.default_rng(3)
    topic = [topics[number % len(topics)] for number in range(pages)]
    visits = [(0, page, float(page)) for page in range(pages)] + [(1, pages - 1, 1.0)]
    data = make_dataset(visits, pages, page={"topic": topic, "title": [f"{title} {i}" for i in range(pages)]})
    data.save(tmp_path / "dataset")
    near = np.eye(8)[[topics.index(one) % 8 for one in topic]] + draw.normal(scale=0.05, size=(pages, 8))
    for name in SOURCES:
        vectors = near if name == "two_tower" else draw.normal(size=(pages, 8))
        if name == "skip_gram":
            vectors[:4] = 0
        Vectors.normalised(data.page_ids, vectors).save(tmp_path / name / "vectors.npz")
    return tmp_path / "dataset", {name: tmp_path / name for name in SOURCES}


def maps(text: str) -> list[ET.Element]:
    found = re.findall(r'<svg viewBox="0 0 480.*?</svg>', text, re.DOTALL)
    return [ET.fromstring(svg) for svg in found]


@given(arrays(np.float32, st.tuples(st.integers(3, 9), st.integers(1, 5)), elements=st.integers(-9, 9)))
def test_the_plane_keeps_no_less_than_two_of_the_given_axes(vectors):
    places, share = embeddings.project(vectors)
    assert places.shape == (len(vectors), 2)
    spread = np.sort(vectors.astype(np.float64).var(axis=0))
    assert places.var(axis=0).sum() >= spread[-2:].sum() - 1e-6
    assert share == pytest.approx(places.var(axis=0).sum() / spread.sum() if spread.sum() else 0, abs=1e-6)


def test_neighbours_of_the_same_topic_are_counted_as_by_hand():
    draw = np.random.default_rng(1)
    vectors = draw.normal(size=(40, 5)).astype(np.float32)
    topic = np.array(["a", "b", "", "c"])[np.arange(40) % 4]
    has = np.flatnonzero(topic != "")
    expected = []
    for page in has:
        likeness = {other: float(vectors[page] @ vectors[other]) for other in has if other != page}
        nearest = sorted(likeness, key=lambda other: -likeness[other])[:10]
        expected.append(np.mean([topic[other] == topic[page] for other in nearest]))
    assert embeddings.topic_agreement(vectors, topic) == pytest.approx(np.mean(expected))
    assert np.isnan(embeddings.topic_agreement(vectors[:1], np.array(["a"])))


def test_maps_show_each_page_by_its_topic(tmp_path):
    dataset, sources = world(tmp_path)
    figures = embeddings.run(dataset, sources, tmp_path / "map.html")
    text = (tmp_path / "map.html").read_text()
    tower, words, content = maps(text)
    circles = [list(one.iter("circle")) for one in (tower, words, content)]
    # Pages without a vector are not drawn.
    assert [len(one) for one in circles] == [24, 20, 24]
    titles = {circle.find("title").text: circle.get("fill") for circle in circles[0]}
    assert set(titles) == {f"Page {i} ({('till', 'safety', 'fresh')[i % 3]})" for i in range(24)}
    assert len({colour for said, colour in titles.items() if "till" in said}) == 1
    assert len(set(titles.values())) == 3
    # Those of a topic lie together.
    places = np.array([[float(circle.get(axis)) for axis in ("cx", "cy")] for circle in circles[0]])
    assert (places >= 0).all()
    assert (places <= 480).all()
    groups = [
        places[[f"({name})" in circle.find("title").text for circle in circles[0]]]
        for name in ("till", "safety")
    ]
    within = max(group.std(axis=0).max() for group in groups)
    assert np.linalg.norm(groups[0].mean(axis=0) - groups[1].mean(axis=0)) > 3 * within
    assert figures["two_tower"] > 0.6 > 0.5 > figures["content_similarity"]
    assert figures["by_chance"] == pytest.approx(7 / 23, abs=1e-4)
    assert f"<td>{figures['two_tower']:.4f}</td>" in text
    assert tower.get("role") == "img"


def test_a_topic_is_named_at_a_page_of_its_own_and_names_do_not_lie_on_each_other(tmp_path):
    dataset, sources = world(tmp_path)
    embeddings.run(dataset, sources, tmp_path / "map.html")
    for one in maps((tmp_path / "map.html").read_text()):
        pages = [(float(circle.get("cx")), float(circle.get("cy"))) for circle in one.iter("circle")]
        names = [(text.text, float(text.get("x")), float(text.get("y"))) for text in one.iter("text")]
        assert names
        for name, x, y in names:
            of = [c.find("title").text.endswith(f"({name})") for c in one.iter("circle")]
            assert min(np.hypot(px - x, py - y) for (px, py), own in zip(pages, of, strict=True) if own) < 1
    # Where topics stand apart, all are named.
    tower = maps((tmp_path / "map.html").read_text())[0]
    assert {text.text for text in tower.iter("text")} == {"till", "safety", "fresh"}


def test_the_same_vectors_give_the_same_page(tmp_path):
    dataset, sources = world(tmp_path)
    texts = []
    for name in ("one", "two"):
        embeddings.run(dataset, sources, tmp_path / name)
        texts.append((tmp_path / name).read_text())
    assert texts[0] == texts[1]


def test_words_of_the_catalogue_cannot_write_into_the_page(tmp_path):
    dataset, sources = world(tmp_path, title=HOSTILE, topics=(HOSTILE, "b"))
    embeddings.run(dataset, sources, tmp_path / "map.html")
    text = (tmp_path / "map.html").read_text()
    assert "<script" not in text
    assert "<b>" not in text
    assert "&lt;script&gt;" in text
    assert not re.search(r"<[^>]*\sonload=", text)


@pytest.mark.parametrize("pages", [1, 2, 5000])
def test_small_and_large_catalogues(tmp_path, pages):
    dataset, sources = world(
        tmp_path, pages, topics=tuple(f"topic {number}" for number in range(30)), title="x" * 200
    )
    figures = embeddings.run(dataset, sources, tmp_path / "map.html")
    assert figures["pages"] == min(pages, embeddings.MOST)
    assert (tmp_path / "map.html").stat().st_size < 1_000_000
    if pages == 5000:
        assert "other topics" in (tmp_path / "map.html").read_text()


def test_component(tmp_path):
    dataset, sources = world(tmp_path)
    models = {name: dsl.Model(name=name, uri=str(path)) for name, path in sources.items()}
    report, metrics = dsl.HTML(name="report", uri=str(tmp_path / "out.html")), dsl.Metrics()
    embedding_map.python_func(
        dataset=dsl.Dataset(name="dataset", uri=str(dataset)),
        settings={},
        report=report,
        metrics=metrics,
        **models,
    )
    assert (tmp_path / "out.html").read_text().startswith("<!doctype html>")
    assert metrics.metadata["two_tower"] > metrics.metadata["by_chance"]
