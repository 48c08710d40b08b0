import re
import xml.etree.ElementTree as ET

import matplotlib as mpl
from matplotlib.figure import Figure

from components.contract.report import INK, MAIN, PICTURES, page, picture, table

HOSTILE = "<script>alert('x')</script>\" & more"


def drawn(label: str = "A line") -> str:
    with mpl.rc_context(PICTURES):
        figure = Figure()
        axes = figure.subplots()
        axes.plot([0, 1], [1, 0], color=MAIN)
        axes.set_title("Down")
        return picture(figure, label)


def test_a_page_holds_all_of_itself():
    text = page(HOSTILE, table([HOSTILE], [[HOSTILE]]), drawn(HOSTILE), style="p { color: red }")
    assert "<script" not in text
    assert text.count("&lt;script&gt;") == 5
    assert "p { color: red }" in text
    assert not re.search(r"""(src|href|url)\s*[=(]\s*["']?(https?:)?//""", text)


def test_pictures_take_their_colours_from_the_page_and_say_what_they_show():
    text = drawn()
    assert "stroke: var(--main)" in text
    assert "var(--ink)" in text
    assert INK not in text
    svg = text.removeprefix("<figure>").removesuffix("</figure>")
    root = ET.fromstring(svg)
    assert (root.get("role"), root.get("aria-label")) == ("img", "A line")
    # Words stay words.
    assert "Down" in "".join(root.itertext())


def test_the_same_figure_gives_the_same_bytes():
    assert drawn() == drawn()


def test_tables_show_numbers_and_gaps():
    text = table(["", "a"], [["x", 0.25], ["y", None], ["z", 3]], 0)
    assert "<tr class=whole><td>x</td><td>0.2500</td></tr>" in text
    assert "<tr><td>y</td><td></td></tr><tr><td>z</td><td>3</td></tr>" in text
