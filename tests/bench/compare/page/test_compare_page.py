"""The page of mhsa compare: verdicts, named lines and flame graphs, in one file that asks for nothing and runs nothing."""

import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from mhsa.bench.compare.attribution.attribute import Attribution, attribute
from mhsa.bench.compare.comparison import Comparison
from mhsa.bench.compare.page.compare_page import page
from mhsa.bench.compare.page.flame_frames import FlameFrame, frames_of
from mhsa.bench.compare.page.flame_graph import flame_graph
from mhsa.bench.compare.sequential_test import Decision
from tests.helpers import browser as driver
from tests.helpers.timed import line, profile, use

HOSTILE = "</script><script>document.title='taken'</script><img src=x onerror=alert(1)>\"'&|`$a_b$`"
BASE = profile(
    line(10, "q = split(x)", use("mm", ms=4.0)), line(30, "return x.t()", use("t", ms=0.5), parent=1, function="split"),
    line(11, "s = q @ k", use("bmm", ms=3.0)), line(12, "return s"),
)  # fmt: skip
HEAD = profile(
    line(10, "q = split(x)", use("mm", ms=4.2)),
    line(31, "return x.t().clone()", use("t", ms=0.5), use("clone", ms=1.5), parent=1, function="split"),
    line(11, "s = q @ k", use("bmm", ms=3.1)), line(12, f"return s  # {HOSTILE}", use("add", ms=0.4)),
)  # fmt: skip


DIED = Attribution("seconds", 0.01, problem="it died")


def compared() -> list[Comparison]:
    found = replace(attribute(BASE, HEAD, "seconds", 2e-3), profiles={"base": BASE, "head": HEAD})
    slower = Decision("slower", 1.2, 1.19, 1.21, 7)
    return [
        Comparison("att forward exercise float32", slower, (9.5e-3, 11.5e-3), attribution=found),
        Comparison("att training exercise float32", slower, (2e-2, 3e-2), attribution=DIED),
        Comparison("att forward wide float32", Decision("not slower", 1.0, 0.99, 1.01, 4), (1e-3, 1e-3)),
        Comparison(HOSTILE, outcome="wrong", reasons={"head": HOSTILE}),
    ]  # fmt: skip


def made() -> str:
    return page(compared(), {"cpu": "EPYC"}, {"base": "aaaa", "head": "bbbb"}, ["a note"])


def frames(frame: FlameFrame) -> Iterator[FlameFrame]:
    yield frame
    for child in frame.children:
        yield from frames(child)


def test_frames_are_functions_lines_and_operators_and_as_wide_as_what_they_hold() -> None:
    whole = frames_of(BASE, HEAD)
    by_name = {frame.name: frame for frame in frames(whole)}
    assert whole.seconds == pytest.approx(HEAD.seconds)
    assert whole.change == pytest.approx(1.9e-3), "a clone and a sum; what does the same has no change"
    assert [child.name for child in by_name["10: q = split(x)"].children] == ["def split", "aten::mm"]
    assert by_name["10: q = split(x)"].seconds == pytest.approx(6.2e-3)
    assert (by_name["aten::clone"].change, by_name["aten::bmm"].change) == (pytest.approx(1.5e-3), 0.0)
    assert by_name["def split"].change == pytest.approx(1.5e-3)


def test_no_frame_is_wider_than_the_one_that_holds_it() -> None:
    for frame in frames(frames_of(BASE, HEAD)):
        assert sum(child.seconds for child in frame.children) <= frame.seconds * (1 + 1e-9)


def test_the_picture_has_a_box_and_a_title_for_each_frame() -> None:
    whole = frames_of(BASE, HEAD)
    svg = ElementTree.fromstring(str(flame_graph(whole, 2e-3, "label")))
    boxes = [(group.find("title").text, group.find("rect")) for group in svg.findall("g")]  # type: ignore[union-attr]
    assert len(boxes) == len(list(frames(whole)))
    kinds = {title.splitlines()[0]: box.get("class") for title, box in boxes if title and box is not None}
    assert (kinds["aten::clone"], kinds["aten::mm"], kinds["one call"]) == ("more", "same", "more")
    assert any("1.50 ms at head, +1.50 ms against base" in (title or "") for title, _ in boxes)
    right = [float(box.get("x", "")) + float(box.get("width", "")) for _, box in boxes if box is not None]
    assert max(right) <= 1200


def test_it_says_which_line_and_why_none_is_named() -> None:
    text = re.sub(r"<wbr>", "", made())
    for words in ("att.py:31", "return x.t().clone()", "+1 aten::clone", "at base: return x.t()", "Head takes 2.00 ms more",
                  "No line is named: it died.", "a note", "slower: 2"):  # fmt: skip
        assert words in text, words


def test_source_is_shown_and_not_run() -> None:
    text = made()
    assert "<img" not in text
    assert "alert(1)&gt;" in text
    assert re.findall(r"<script>(.*?)</script>", text, re.DOTALL) == [""]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with driver.chromium() as found:
        yield found


@pytest.mark.skipif(sys.platform != "linux", reason="the browser is Debian's")
@pytest.mark.parametrize(("width", "scheme"), [(1400, "light"), (1400, "dark"), (400, "light")])
def test_in_a_browser(browser: Any, tmp_path: Path, width: int, scheme: str) -> None:
    file = tmp_path / "compare.html"
    file.write_text(made(), encoding="utf-8")
    with driver.opened(browser, file, width=width, scheme=scheme) as tab:
        assert tab.title().startswith("mhsa compare: wrong: 1 of 4")
        assert driver.too_pale(tab) == []
        assert driver.sticks_out(tab) <= 0
        assert tab.locator("svg.flame").count() == 1
