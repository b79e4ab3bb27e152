"""The page of ``mhsa history --html``: all of it in one file, each series with its steps, and what is accepted marked."""

import html
import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mhsa.bench.compare.accepted.acceptance import Acceptance
from mhsa.bench.compare.accepted.figures import Figures
from mhsa.bench.compare.benchmark import Benchmark
from mhsa.bench.git.repository import Commit
from mhsa.bench.history.acknowledged import acknowledged
from mhsa.bench.history.page import page
from mhsa.bench.history.steps import steps_of
from mhsa.bench.measure.measurement import Counters, Measurement
from mhsa.records.request import Request
from mhsa.records.shape import SHAPES
from tests.helpers import browser as driver

HOSTILE = "</script><script>document.title='taken'</script><img src=x onerror=alert(1)>\"'&`$a_b$`"
COMMITS = [Commit(f"{n:02x}" * 20, 1_790_000_000 + 86_400 * n, f"words {n}") for n in range(12)]
MACHINE: dict[str, str | int] = {"device": "cpu", "cpu": "EPYC", "threads": 1}


def made(ratio: float, operators: int = 14, **more: Any) -> Measurement:
    usual = {"outcome": "measured", "seconds": ratio * 1e-3, "ratio": ratio, "low": ratio * 0.99, "high": ratio * 1.01,
             "counters": Counters(operators=operators, peak=4096)}  # fmt: skip
    return Measurement("att", "forward", SHAPES["exercise"], "float32", "cpu", **{**usual, **more})


def benchmark(label: str) -> Benchmark:
    return Benchmark(Request(label, "m:M"), "forward", SHAPES["exercise"], "float32")


SLOW = [made(1.0)] * 5 + [made(1.3, 29)] * 7
FAST = [made(1.2)] * 9 + [made(0.9)] * 3
WRONG = [made(1.0)] * 7 + [made(9.87654, outcome="wrong", reason="output[0]=1, must be 2")] + [None] + [made(1.0)] * 3
OF_SLOW = Acceptance(
    "the softmax is in float64", {"slow forward exercise float32": Figures(1.3, {"operators": 15})}, "2026-11-30",
    "mhsa-accepted.toml", COMMITS[4].sha, COMMITS[5].sha,
)  # fmt: skip


def told(**series: list[Measurement | None]) -> str:
    return drawn(series, COMMITS)


def drawn(series: dict[str, Any], commits: list[Commit], *, accepted: bool = True, solved: bool = True) -> str:
    pairs = [(benchmark(label), figures) for label, figures in series.items()]
    found = [(6, OF_SLOW)] if accepted else []
    steps = acknowledged([s for b, figures in pairs for s in steps_of(b.id, commits, figures)], commits, found)
    return page(commits, pairs, [MACHINE], steps, found, ["a note"], solved=solved)


def seen(text: str) -> str:
    """A page as one reads it: without style and tags."""
    body = re.sub(r"<(style|script|title)>.*?</\1>", "", text, flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", body)).split()).replace(" , ", ", ")


def test_it_needs_nothing_else() -> None:
    text = told(slow=SLOW, fast=FAST)
    assert not re.findall(r"(?:src|href)=|url\(|@import|https?://", text)
    assert "<script></script>" in text
    assert "default-src 'none'" in text


def test_each_series_has_its_steps_with_messages() -> None:
    text = seen(told(slow=SLOW, fast=FAST))
    assert "4 steps in 12 commits" not in text
    assert "3 steps in 12 commits, 2 accepted" in text
    for words in (
        "slow forward exercise float32", "▲✓ slower (accepted) from 1.00x to 1.30x",
        "+✓ more operators (accepted) from 14 to 29", "0505050 2026-09-26 words 5",
        "✓ accepted, 1.300x, +15 operators, 2026-11-30: the softmax is in float64 (mhsa-accepted.toml)",
        "▼ faster from 1.20x to 0.90x", "mhsa compare 0808080808 0909090909", "words 11", "a note",
    ):  # fmt: skip
        assert words in text, words
    assert "mhsa compare 0404040404 0505050505" not in text, "what is accepted needs no further look"


def test_what_is_not_accepted_is_not_marked() -> None:
    text = seen(drawn({"slow": SLOW}, COMMITS, accepted=False))
    assert "2 steps in 12 commits" in text
    assert "▲ slower from 1.00x to 1.30x" in text
    assert "✓ accepted" not in text
    assert "(accepted)" not in text
    assert "mhsa compare 0404040404 0505050505" in text


def test_a_wrong_commit_has_no_figure_and_says_why() -> None:
    text = told(wrong=WRONG)
    assert "9.88" not in text
    assert "9.87" not in text
    assert "✕ wrong : output[0]=1, must be 2" in seen(text)
    assert text.count("<circle") == 10


def circles(text: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in re.findall(r'cx="([\d.]+)%" cy="([\d.]+)"', text)]


def test_the_picture_is_in_proportion() -> None:
    text = told(slow=SLOW)
    points = circles(text)
    xs, ys = zip(*points, strict=True)
    assert list(xs) == sorted(xs)
    assert all(b - a == pytest.approx(93 / 12, abs=0.02) for a, b in itertools.pairwise(xs))
    assert len(set(ys[:5])) == len(set(ys[5:])) == 1
    assert ys[0] > ys[-1] + 50, "slower is higher"
    (step,) = re.findall(r'x1="([\d.]+)%"[^>]*class="step accepted"', text)
    assert xs[4] < float(step) < xs[5]
    levels = re.findall(r'y1="([\d.]+)"[^>]*class="level"', text)
    assert [float(y) for y in levels] == pytest.approx([ys[0], ys[-1]], abs=0.2)


def test_a_level_series_and_one_without_figures() -> None:
    text = seen(told(level=[made(1.0)] * 12, none=[None] * 12))
    assert "No step in 12 commits" in text
    assert text.count("No step: the ratio is level") == 1
    assert text.count("In figures: 12 commits") == 2
    one = seen(drawn({"level": [made(1.0)]}, COMMITS[:1], accepted=False))
    assert "In figures: 1 commit" in one
    assert "No step" not in one, "one commit has none to be compared with"


def test_without_asv_there_are_points_and_no_levels() -> None:
    text = page(COMMITS, [(benchmark("slow"), SLOW)], [MACHINE], [], [], [], solved=False)
    assert 'class="level"' not in text
    assert len(circles(text)) == 12
    assert "No step" not in seen(text), "nobody has looked for one"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with driver.chromium() as started:
        yield started


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1600])
def test_the_page_fits_and_can_be_read(chromium: Any, tmp_path: Path, width: int, scheme: str) -> None:
    file = tmp_path / "history.html"
    file.write_text(told(slow=SLOW, fast=FAST, wrong=WRONG), encoding="utf-8")
    with driver.opened(chromium, file, width=width, scheme=scheme) as tab:
        tab.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
        assert driver.sticks_out(tab) == 0
        assert driver.too_pale(tab) == []


def test_hostile_strings_do_nothing(chromium: Any, tmp_path: Path) -> None:
    commits = [replace_message(commit) for commit in COMMITS]
    file = tmp_path / "history.html"
    file.write_text(drawn({HOSTILE: SLOW}, commits, accepted=True), encoding="utf-8")
    with driver.opened(chromium, file, width=360) as tab:
        assert tab.title() != "taken"
        assert tab.locator("img").count() == 0
        assert driver.sticks_out(tab) == 0


def replace_message(commit: Commit) -> Commit:
    return commit._replace(message=HOSTILE)
