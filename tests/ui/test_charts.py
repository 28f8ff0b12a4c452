"""Charts are well-formed, said in words too, and carry no markup of their data."""

import xml.etree.ElementTree as ET

import pytest

from mneme.ui import Bar, Series, bar_chart, histogram_chart, line_chart

HOSTILE = '</svg><script>alert("x")</script>'
RISE = [(0.0, 1.0), (1.0, 4.0), (2.0, 3.0)]


def drawn(chart):
    """The picture, parsed: what is not well-formed raises."""
    assert "style=" not in chart
    return ET.fromstring(str(chart))  # noqa: S314 - it was made a line before


def test_a_line_ends_where_its_last_value_is():
    figure = drawn(line_chart([Series("hits", "exact", RISE)], title="T", description="D"))
    line = figure.find(".//polyline")
    places = [tuple(map(float, place.split(","))) for place in line.get("points").split()]
    assert [x for x, _ in places] == [56, 342, 628]
    assert places[1][1] < places[2][1] < places[0][1]  # 4 is above 3 is above 1
    dot = figure.find(".//circle")
    assert (float(dot.get("cx")), float(dot.get("cy"))) == places[-1]
    assert "exact" in line.get("class")


def test_bars_are_as_high_as_their_values_say():
    figure = drawn(bar_chart([Bar("a", 4), Bar("b", 1, "miss"), Bar("c", 0)], title="T", description="D"))
    heights = [float(bar.get("height")) for bar in figure.iter("rect")]
    assert heights[0] == pytest.approx(4 * heights[1], rel=0.01)
    assert heights[2] == 0


def test_two_histograms_share_their_axes():
    first, second = Series("same", "good", [(0.8, 2), (0.9, 4)]), Series("different", "bad", [(0.7, 4)])
    figure = drawn(histogram_chart(first, second, title="T", description="D", width=0.1, marks=[(0.85, "threshold")]))
    bars = list(figure.iter("rect"))
    assert len({bar.get("width") for bar in bars}) == 1
    assert bars[1].get("height") == bars[2].get("height")
    assert [item.text or item[0].tail for item in figure.iter("li")] == ["same", "different"]


def test_what_a_chart_shows_is_said_in_words():
    picture = drawn(line_chart([Series("hits", "exact", RISE)], title="Hits", description="They rise.")).find("svg")
    assert picture.get("role") == "img"
    assert picture.get("aria-label") == "Hits. They rise."
    assert picture.find("title").text == "Hits"
    assert picture.find("desc").text == "They rise."


@pytest.mark.parametrize("points", [[], [(0, 0)], [(5, 3), (5, 3)], [(0, -1), (1, 1)], [(0, 1e9), (1e9, 1e-9)]])
def test_few_equal_and_extreme_values_are_drawn(points):
    drawn(line_chart([Series("x", "muted", points)], title="T", description="D"))


def test_no_bars_are_drawn_too():
    drawn(bar_chart([], title="T", description="D"))
    drawn(histogram_chart(Series("a", "good", []), Series("b", "bad", []), title="T", description="D", width=0.01))


def test_names_and_words_are_text_and_nothing_else():
    charts = [
        line_chart(
            [Series(HOSTILE, "exact", RISE)],
            title=HOSTILE,
            description=HOSTILE,
            x_label=HOSTILE,
            y_label=HOSTILE,
            marks=[(1, HOSTILE)],
        ),
        bar_chart([Bar(HOSTILE, 1, label=HOSTILE)], title=HOSTILE, description=HOSTILE, y_label=HOSTILE),
    ]
    for chart in charts:
        assert not list(drawn(chart).iter("script"))
        assert HOSTILE in "".join(drawn(chart).itertext())


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(ValueError, match="'<b>' is no tone"):
        line_chart([Series("x", "<b>", RISE)], title="T", description="D")
    with pytest.raises(ValueError, match="cannot show nan"):
        line_chart([Series("x", "exact", [(0, float("nan"))])], title="T", description="D")
    with pytest.raises(ValueError, match="negative"):
        bar_chart([Bar("x", -1)], title="T", description="D")
    with pytest.raises(ValueError, match="width"):
        histogram_chart(Series("a", "good", []), Series("b", "bad", []), title="T", description="D", width=0)
