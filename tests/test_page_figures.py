"""Figures: places are numbers, parts sum exactly, what is seen is also said, and colours can be told apart."""

from __future__ import annotations

import re
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from audit.finding import Estimate
from audit.publish import page
from audit.publish.page.beside import separated
from audit.publish.page.dumbbell import axes, dumbbell
from audit.publish.page.lines import Point, Series, curve
from audit.publish.page.position import placed
from audit.publish.page.style import DARK, LIGHT
from audit.publish.page.svg import over
from audit.publish.page.waterfall import waterfall
from audit.scale import Scale
from tests.test_page import around, decomposition, finding, report, saved, whole

SVG = re.compile(r"<svg.*?</svg>", re.DOTALL)


def per_cent(one: ElementTree.Element, name: str) -> float:
    return float(one.attrib[name].removesuffix("%"))


@pytest.mark.parametrize("capable", [True, False])
def test_a_waterfall_sums_exactly(capable: bool) -> None:
    """In rational numbers: floats that are added and subtracted leave a rest, the places of the arms do not."""
    rng = np.random.default_rng(3)
    for floor, silent, adapted, base in rng.normal(0, 0.2, (100, 4)).tolist():
        one = decomposition("bias/x", floor, silent, adapted, base, capable).model_dump(mode="json")
        bars = [bar for bar in ElementTree.fromstring(waterfall(one, "k")) if "data-begin" in bar.attrib]
        ends = [(float(bar.attrib["data-begin"]), float(bar.attrib["data-end"])) for bar in bars]
        *parts, whole_sum, beside = ends
        assert len(parts) == (3 if capable else 2)
        assert parts[0][0] == 0
        assert all(first[1] == second[0] for first, second in pairwise(parts))
        assert sum(Fraction(end) - Fraction(begin) for begin, end in parts) == Fraction(adapted)
        assert (whole_sum, beside) == ((0, adapted), (0, base))


def test_a_bar_is_as_wide_as_its_part() -> None:
    one = decomposition("bias/x", 0.02, 0.3, 0.5, 0.25, capable=True).model_dump(mode="json")
    bars = [bar for bar in ElementTree.fromstring(waterfall(one, "k")) if "data-begin" in bar.attrib]
    widths = [per_cent(bar, "width") for bar in bars]
    assert [width / widths[3] for width in widths] == pytest.approx([0.04, 0.56, 0.4, 1, 0.5], abs=1e-3)


def test_parts_that_do_not_add_up_as_rounded_are_called_rounded(tmp_path: Path) -> None:
    exact, rest = (0.01, 0.3, 0.5), (0.0004, 0.1008, 0.3012)  # .000 + .100 + .200 is not .301
    for values, told in ((exact, False), (rest, True)):
        one = decomposition("bias/x", *values, 0.2, capable=True)
        told_of = finding("bias/x", before=0.2, change=0.3, ideal=0, origin=one.origin)
        made = report([told_of], decompositions=[one])
        assert ("rounded to three places" in page.origins(page.read(saved(tmp_path, made)))) == told


def test_dots_lie_where_their_numbers_are() -> None:
    """Base, adapted and change on linear scales: distances in the figure are in proportion."""
    some = [finding("bias/a", before=0.1, change=0.3), finding("bias/b", before=0.2, change=0.1)]
    read = [one.model_dump(mode="json") for one in some]
    sides, changes = axes(read)
    at = {}
    for one in read:
        drawn = ElementTree.fromstring(dumbbell(one, "worse", sides, changes, "k"))
        circles = [per_cent(dot, "cx") for dot in drawn.iter("circle")]
        at[one["name"]] = circles
        [margin] = [band for band in drawn.iter("rect") if band.attrib["class"] == "ta-band"]
        left, width = per_cent(margin, "x"), per_cent(margin, "width")
        assert not left <= circles[2] <= left + width  # beyond the margin: outside the band
    left = at["a"][0]
    assert [(x - left) / (at["a"][1] - left) for x in (*at["b"][:2], at["a"][1])] == pytest.approx(
        [1 / 3, 2 / 3, 1], abs=1e-3
    )


def test_an_interval_is_read_on_the_scale_as_its_position_is() -> None:
    """Against `audit.scale.Scale`, which reads a position off a measured value."""
    for root in (False, True):
        scale = Scale(name="x", question="q", unit="u", null=0.1, measured=around(0.4, 0.35), ceiling=1.1, root=root)
        place = placed(scale.model_dump(mode="json"), None)
        for end in ("value", "low", "high"):
            measured = Estimate(value=getattr(scale.measured, end))
            assert place[end] == pytest.approx(scale.model_copy(update={"measured": measured}).position)


def test_every_axis_has_three_ticks_or_more_but_not_a_crowd() -> None:
    rng = np.random.default_rng(4)
    for low, width in zip(rng.normal(0, 10, 500).tolist(), (10.0 ** rng.uniform(-6, 6, 500)).tolist(), strict=True):
        ticks = over([low, low + width]).ticks()
        assert 3 <= len(ticks) <= 7
        assert len({label for _, label in ticks}) == len(ticks)
        assert all(2 <= at <= 98 for at, _ in ticks)
    assert over([0.3, 0.3]).ticks()
    assert [over([20.0, 40.0]).at(value) for value in (20, 30, 40)] == pytest.approx(
        [50 - 48 / 1.08, 50, 50 + 48 / 1.08]
    )
    assert over([]).ticks()


def test_a_curve_on_a_logarithmic_scale_doubles_evenly() -> None:
    points = [Point(2**n, 0.1) for n in range(4)]
    drawn = ElementTree.fromstring(curve([Series("a", points)], "t", "d", "k", log=True))
    steps = np.diff([per_cent(dot, "cx") for dot in drawn.iter("circle")])
    assert steps == pytest.approx([steps[0]] * 3, abs=0.02)


def test_every_figure_says_what_it_shows_and_has_its_numbers_in_a_table(tmp_path: Path) -> None:
    shown = page.read(saved(tmp_path, whole()))
    ids: list[str] = []
    for section in (page.findings, page.origins, page.gap, page.curves):
        said = section(shown)
        for drawn in SVG.findall(said):
            root = ElementTree.fromstring(drawn)
            if root.attrib.get("aria-hidden") == "true":
                continue  # the scale of the figures below it
            assert root.attrib["role"] == "img"
            title, description = root[0], root[1]
            assert (title.tag, description.tag) == ("title", "desc")
            assert root.attrib["aria-labelledby"].split() == [title.attrib["id"], description.attrib["id"]]
            assert title.text
            assert description.text
            ids += root.attrib["aria-labelledby"].split()
        assert "<summary>The same as a table</summary>" in said
        assert "<caption>" in said
    assert len(set(ids)) == len(ids)


# --- side by side -----------------------------------------------------------------------------------------------------


def test_only_intervals_that_do_not_touch_are_ranked() -> None:
    """By hand: [0, 1] and [2, 3] are apart, [.5, 2] touches both, and none is known of the last."""
    assert separated([(2.0, 3.0), (0.0, 1.0), (0.5, 2.0), None]) == [(1, 0)]


def compared(tmp_path: Path, *made: object) -> str:
    shown = [page.read(saved(tmp_path / str(n), one)) for n, one in enumerate(made)]  # type: ignore[arg-type]
    return page.compare(shown)


def test_adaptations_of_one_base_are_ranked_by_their_changes(tmp_path: Path) -> None:
    mild, harsh = (report([finding("forgetting/x", change=change)]) for change in (0.01, 0.2))
    said = compared(tmp_path, mild, harsh)
    assert "One base, several adaptations" in said
    assert "<strong>1</strong> ahead of 2" in said
    assert "not separated" in compared(tmp_path, mild, mild)


def test_what_was_asked_of_other_items_is_not_ranked(tmp_path: Path) -> None:
    mild = report([finding("forgetting/x", change=0.01)])
    other = report([finding("forgetting/x", change=0.2, items="others")])
    said = compared(tmp_path, mild, other)
    assert "asked of other items: not ranked" in said
    assert "ahead of" not in said


def test_one_recipe_on_several_bases_compares_what_is_left_of_a_signed_quantity(tmp_path: Path) -> None:
    """-.05 lies nearer to 0 than .3, although it is smaller: the size is what harms."""
    first = report([finding("bias/x", before=0.3, change=0.0, ideal=0)])
    second = report([finding("bias/x", before=0.3, change=-0.35, ideal=0)])
    assert "<strong>2</strong> ahead of 1" in compared(tmp_path, first, second)
    third = report([finding("bias/x", before=0.3, change=-0.9, ideal=0)])
    assert "<strong>1</strong> ahead of 2" in compared(tmp_path, first, third)
    moved = second.model_copy(update={"base": second.base.model_copy(update={"revision": "a" * 40})})
    said = compared(tmp_path, first, moved)
    assert "One recipe on several bases" in said
    assert "<strong>2</strong> ahead of 1" in said


def test_what_nobody_shares_is_not_compared(tmp_path: Path) -> None:
    said = compared(tmp_path, report([finding("bias/a")]), report([finding("bias/b")]))
    assert "neither a task nor a declared finding in common" in said
    assert "nothing to compare it with" in compared(tmp_path, report())


def test_the_frontier_has_every_run_and_its_strengths(tmp_path: Path) -> None:
    said = compared(tmp_path, whole(), whole(name="other"))
    [_, *figures] = said.split("What is gained, and what is forgotten")
    drawn = [ElementTree.fromstring(one) for one in SVG.findall(figures[0].split("<details")[0])]
    assert len(drawn) == 2  # next_token and passages
    assert ["".join(one.itertext()).count("task 0.800") for one in drawn] == [2, 2]


# --- colours ----------------------------------------------------------------------------------------------------------


def luminance(colour: str) -> float:
    """Relative luminance, as WCAG 2.2 defines it."""
    parts = [int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(first: str, second: str) -> float:
    """Contrast ratio, as WCAG 2.2 defines it."""
    high, low = sorted((luminance(first), luminance(second)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", [LIGHT, DARK])
def test_text_is_legible_and_marks_are_visible(theme: str) -> None:
    """WCAG 2.2, 1.4.3: text 4.5 to 1; 1.4.11: graphical objects 3 to 1."""
    assert contrast("#ffffff", "#767676") == pytest.approx(4.54, abs=0.01)  # the well-known grey
    colour = dict(re.findall(r"--(\w+):(#[0-9a-f]{6})", theme))
    for ground in ("paper", "raised"):
        for ink in ("ink", "soft", "accent", "worse", "better", "same", "unclear"):
            assert contrast(colour[ink], colour[ground]) >= 4.5, (ink, ground)
    for drawn in ("base", "worse", "better", "same", "unclear", "c0", "c1", "c2", "c3"):
        for ground in ("paper", "band"):
            assert contrast(colour[drawn], colour[ground]) >= 3, (drawn, ground)
    for number in ("c0", "c1", "c2", "c3"):
        assert contrast(colour["on"], colour[number]) >= 4.5, number
