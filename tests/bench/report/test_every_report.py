"""What ``mhsa bench`` shows: on a terminal, as a picture, a page and Markdown; a wrong result has no figures in any of them."""

import html
import io
import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import matplotlib
import pytest
from rich.console import Console

from mhsa.bench.measure.measurement import BASELINE, PASSES, Counters, Measurement, Pass
from mhsa.bench.report import format as wording
from mhsa.bench.report import sentences
from mhsa.bench.report.bench_page import page
from mhsa.bench.report.chart import MatplotlibMissing, as_svg, draw, save_png
from mhsa.bench.report.inline_svg import inline
from mhsa.bench.report.markdown import markdown
from mhsa.bench.report.page_table import folding
from mhsa.bench.report.table import print_report
from mhsa.records.distribution import install_hint
from mhsa.records.shape import SHAPES, Shape, long
from tests.helpers import browser as driver

MACHINE: dict[str, str | int] = {"cpu": "EPYC 9B14", "cores": 2, "torch": "2.13.0"}
HOSTILE = "</script><script>document.title='taken'</script><img src=x onerror=alert(1)>\"'&|`$a_b$`\n# x --> ]]>"
SWEEP = (SHAPES["exercise"], SHAPES["encoder 512"], long(1024), long(2048), long(4096))
NAIVE, FUSED, TORCH, BROKEN = (
    "models.attention:CausalSelfAttention",
    "mhsa fused core",
    "torch.nn.MultiheadAttention",
    "broken.py:Wrong",
)
SECRET = {"seconds": 0.0987654, "ratio": 77.7, "low": 66.6, "high": 88.8, "counters": Counters(8765432, 7, 7, 999 * 2**20)}
LEAKED = ("98.8", "77.7", "66.6", "88.8", "999", "8.77")  # how those figures would be shown


def made(name: str, shape: Shape, passes: Pass = "forward", **more: Any) -> Measurement:
    """A measurement with figures that follow from the shape; NAIVE is slower and keeps all scores."""
    ratio = {NAIVE: 1.5, FUSED: 1.04, TORCH: 1.2}.get(name, 1.0)
    linear, scores = 20 * shape.batch * shape.length * shape.d_model, 8 * shape.scores
    seconds = (linear + scores) * 1e-9 * ratio
    counters = Counters(
        operators=20, flops=2 * shape.scores * shape.d_k, allocated=linear * 2, peak=linear + scores * (name == NAIVE)
    )
    usual = {"outcome": "measured", "seconds": seconds, "ratio": ratio, "low": ratio - 0.01, "high": ratio + 0.01,
             "blocks": 21, "rows": min(shape.length, 64), "counters": counters}  # fmt: skip
    return Measurement(name, passes, shape, "float32", "cpu", **usual | more)


def run(names: tuple[str, ...] = (NAIVE, FUSED, TORCH, BASELINE), passes: tuple[Pass, ...] = PASSES) -> list[Measurement]:
    return [made(name, shape, p) for p in passes for shape in SWEEP for name in names]


def full() -> list[Measurement]:
    """A run with a wrong implementation, whose figures must not be shown, and one that has none at one shape."""
    wrong = [
        made(BROKEN, s, p, **SECRET | {"outcome": "wrong", "reason": "output[0]=1, must be 2"}) for p in PASSES for s in SWEEP
    ]
    rest = [replace(m, outcome="n/a", reason="needs 6 GiB") if (m.implementation, m.shape) == (NAIVE, long(4096)) else m
            for m in run()]  # fmt: skip
    return [*rest, *wrong]


def printed(measurements: list[Measurement], width: int, **options: bool) -> str:
    console = Console(file=io.StringIO(), width=width)
    print_report(console, measurements, MACHINE, **options)
    return console.file.getvalue()  # type: ignore[attr-defined]


def seen(text: str) -> str:
    """A page as one reads it: without style and tags."""
    body = re.sub(r"<(style|script)>.*?</\1>", "", text, flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", body)).split())


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        (4e-10, "0.40 ns"),
        (1.234e-5, "12.3 us"),
        (9.996e-4, "1.00 ms"),
        (0.1234, "123 ms"),
        (9.994, "9.99 s"),
        (12345.0, "12345 s"),
    ],
)
def test_times_have_three_digits_and_a_unit(given: float, shown: str) -> None:
    assert wording.seconds(given) == shown


@pytest.mark.parametrize(
    ("given", "shown"), [(0, "0 B"), (999, "999 B"), (1000, "0.98 KiB"), (12 * 2**20, "12.0 MiB"), (1023 * 2**20, "1.00 GiB")]
)
def test_sizes_count_in_1024(given: int, shown: str) -> None:
    assert wording.size(given) == shown


def test_a_row_is_a_shape_and_a_column_an_implementation_where_there_is_room() -> None:
    text = printed([made(n, s) for s in SWEEP[1:3] for n in (NAIVE, FUSED, BROKEN, BASELINE)], 100).splitlines()
    assert text[0] == "cpu EPYC 9B14  cores 2  torch 2.13.0"
    assert text[2:9] == [
        "forward, float32, cpu: time, and its ratio to the baseline",
        "                      models.",
        "                   attention:",
        "                   CausalSelf      mhsa fused      broken.py:",
        "  shape             Attention            core           Wrong  baseline",
        "  encoder 512  29.1 ms  1.50x  20.2 ms  1.04x  19.4 ms  1.00x   19.4 ms",
        "  long 1024     109 ms  1.50x  75.2 ms  1.04x  72.4 ms  1.00x   72.4 ms",
    ]
    assert text[10] == "forward, float32, cpu: peak memory"
    assert text[15].split() == ["encoder", "512", "18.5", "MiB", "2.50", "MiB", "2.50", "MiB", "2.50", "MiB"]


@pytest.mark.parametrize("width", [80, 100, 120])
def test_no_sentence_is_wrapped_by_the_terminal(width: int) -> None:
    long = [replace(m, outcome="n/a", reason="needs more memory than there is, whatever is asked for " * 5) for m in run()[:1]]
    console = Console(file=io.StringIO(), width=width)
    print_report(console, [*run()[1:], *long], MACHINE | {"os": "Linux-6.1.0-x86_64-with-glibc2.36 and more of it " * 3})
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert max(map(len, lines)) <= width
    assert "whatever is asked for" in " ".join(" ".join(lines).split())


@pytest.mark.parametrize("width", [60, 80, 100, 140])
def test_tables_fit_the_terminal_and_their_columns_stand_below_each_other(width: int) -> None:
    text = printed(run((NAIVE, "mhsa:MultiHeadAttention", FUSED, TORCH, BASELINE)), width, counters=True)
    tables = text[: text.index("growth with")].splitlines()[1:]
    titles = [line for line in tables if line.startswith(("forward", "training"))]
    assert len(titles) == (6 if width >= 80 else 4)  # ratios alone fit where times with their ratios do not
    assert max(len(line) for line in tables if line not in titles) <= width
    counted = tables[tables.index("forward, float32, cpu: counted") :]
    places = {re.search("[0-9.]+ [KM]iB$", line).end() for line in counted[: len(SWEEP) * 6] if line.endswith("iB")}  # type: ignore[union-attr]
    assert len(places) == 1


def test_a_row_is_an_implementation_below_its_shape_where_there_is_not_and_long_names_are_folded() -> None:
    broken = made(BROKEN, long(1024), outcome="wrong", reason="w")
    some = [made(NAIVE, long(1024)), made(FUSED, long(1024)), broken, made(TORCH, long(1024)), made(BASELINE, long(1024))]
    text = printed(some, 64).splitlines()
    assert text[2:14] == [
        "forward, float32, cpu: time, its ratio to the baseline, peak memory",
        "                          time  ratio          95 %  peak memory",
        "  long 1024  B=1 T=1024 H=8 d_model=256",
        "    models.attention:",
        "    CausalSelf",
        "    Attention           109 ms  1.50x  1.49 to 1.51     69.0 MiB",
        "    mhsa fused core    75.2 ms  1.04x  1.03 to 1.05     5.00 MiB",
        "    broken.py:Wrong      wrong",
        "    torch.nn.",
        "    Multihead",
        "    Attention          86.8 ms  1.20x  1.19 to 1.21     5.00 MiB",
        "    baseline           72.4 ms      -             -     5.00 MiB",
    ]


def test_many_shapes_in_a_narrow_terminal_are_ratios_by_shape() -> None:
    text = printed(run((NAIVE, "mhsa:MultiHeadAttention", FUSED, TORCH, BASELINE)), 80).splitlines()
    begin = text.index("forward, float32, cpu: ratio of the time to the baseline's, and the baseline's time")
    rows = [line.split() for line in text[begin + 1 :]]
    head = next(n for n, row in enumerate(rows) if row[:1] == ["shape"])
    assert rows[head + 3] == ["long", "1024", "1.50x", "1.00x", "1.04x", "1.20x", "72.4", "ms"]
    assert len(text) < 55, "two passes and growth; a line for each implementation at each shape would make 80"


def test_growth_of_many_is_told_where_it_is_too_much() -> None:
    text = printed(run((NAIVE, "mhsa:MultiHeadAttention", FUSED, TORCH, BASELINE)), 100)
    growth = " ".join(text[text.index("growth with") :].split())
    assert f"{NAIVE}, forward: memory grows as" in growth
    assert re.search(r"\d+ more, none of which shows too much: --html and --markdown have them", growth)
    assert FUSED not in growth


def test_only_a_wide_interval_stands_beside_its_ratio() -> None:
    narrow, wide = made(FUSED, long(1024)), made(TORCH, long(1024), low=1.1, high=1.3)
    text = printed([narrow, wide, made(BASELINE, long(1024))], 200)
    assert "(1.10 to 1.30)" in text
    assert "1.03 to" not in text
    assert "1.03 to 1.05" in printed([narrow, wide], 20)  # where a row is an implementation there is room for all


def test_counters_are_printed_when_asked_for_and_known() -> None:
    assert "operators" not in printed(run(), 100)
    text = printed(run(), 100, counters=True)
    assert re.search(r"^ +operators +FLOPs +TFLOP/s +allocated$", text, re.MULTILINE)
    assert re.search(r"^ +mhsa fused core +20 +134 MFLOP +0\.00665 +5\.00 MiB$", text, re.MULTILINE)
    unknown = [replace(m, counters=Counters()) for m in run()]
    assert "counted" not in printed(unknown, 100, counters=True)
    assert "peak memory" not in printed(unknown, 100)


def test_nothing_is_coloured_and_nothing_folded_in_a_file() -> None:
    text = printed(full(), 80)
    assert "\x1b" not in text
    assert f"  {BROKEN}: failed: wrong result: output[0]=1, must be 2 (every shape)" in text.splitlines()


def test_reasons_are_given_once_with_every_place() -> None:
    assert sentences.reasons(full()) == [
        f"{NAIVE}: n/a: needs 6 GiB (long 4096)",
        f"{BROKEN}: failed: wrong result: output[0]=1, must be 2 (every shape)",
    ]
    once = [
        replace(m, reason="no memory", outcome="n/a") if m.passes == "training" and m.shape.length > 2000 else m
        for m in run((FUSED,))
    ]
    assert sentences.reasons(once) == [f"{FUSED}: n/a: no memory (long 2048, long 4096: training)"]


def test_growth_is_told_where_a_class_is_left_and_in_brief_elsewhere() -> None:
    lines = dict(sentences.growth_lines(run(passes=("forward",))))
    assert lines[f"{NAIVE}: memory grows as T^1.94 +- 0.02 from 512 on: linear is possible"] is True
    assert lines[f"{BASELINE}: time as T^1.96 +- 0.05, memory as T^1.00, from 1024 to 4096"] is False
    (few,) = sentences.growth_lines([made(FUSED, long(1024)), made(FUSED, long(2048)), made(BASELINE, long(1024))])
    assert few[0].startswith(f"{FUSED}, {BASELINE}: not fitted: it needs three shapes")
    assert sentences.growth_lines([]) == []


def test_what_was_compared_is_told_by_shape() -> None:
    some = [
        made(FUSED, long(1024), rows=1024),
        made(TORCH, long(1024)),
        made(BASELINE, long(1024), rows=0),
        made(FUSED, long(2048)),
    ]
    some.append(made(BROKEN, long(1024), outcome="wrong", rows=3))
    assert sentences.checked(some) == [
        f"long 1024: all 1024 queries: {FUSED}; 64 of 1024 queries: {TORCH}; not compared: {BASELINE}",
        "long 2048: 64 of 2048 queries",
    ]


@pytest.mark.parametrize("width", [80, 200])
def test_a_wrong_implementation_has_no_figure_but_its_reason_everywhere(width: int) -> None:
    figure = draw(full(), MACHINE)
    for text in (
        printed(full(), width, counters=True),
        seen(page(full(), MACHINE)),
        markdown(full(), MACHINE),
        seen(as_svg(figure)),
    ):
        assert not any(leak in text for leak in LEAKED)
        assert "must be 2" in text.replace("\\", "")
    assert BROKEN not in {text.get_text() for text in figure.legends[0].get_texts()}
    assert all(len(panel.lines) == 4 + 2 for panel in figure.axes)  # four implementations, two guides


def test_an_implementation_of_another_size_stands_in_rows_of_its_own() -> None:
    small = long(1024).resized(4, 64)
    some = [made(FUSED, long(1024)), made(BASELINE, long(1024)), made(TORCH, small), made(BASELINE, small)]
    text = printed(some, 120)
    assert re.search(r"long 1024 \(H=8 d_model=256\) +75\.\d ms +1\.04x +72\.\d ms +-$", text, re.MULTILINE)
    assert re.search(r"long 1024 \(H=4 d_model=64\) +- +\S+ ms +\S+ ms +1\.20x$", text, re.MULTILINE)


def test_lines_are_of_one_family_and_the_baseline_is_told_apart_without_colour() -> None:
    figure = draw([*run(), made(TORCH, SHAPES["wide"], "forward")], MACHINE)
    assert [panel.get_title("left") for panel in figure.axes] == [f"{p}: {c}" for p in PASSES for c in ("time", "peak memory")]
    panel = figure.axes[0]
    assert [list(line.get_xdata()) for line in panel.lines[:4]] == [[512, 1024, 2048, 4096]] * 4
    assert len({line.get_marker() for line in panel.lines[:4]}) == 4
    assert [line.is_dashed() for line in panel.lines[:4]] == [False, False, False, True]
    written = " ".join(text.get_text() for text in figure.texts)
    assert "Not drawn, as more than the length differs: exercise, wide" in written
    assert "Cost of one call (float32, cpu)" in written
    assert "cpu EPYC 9B14" in written


def test_who_was_measured_at_few_lengths_is_drawn_at_those_of_the_others() -> None:
    some = [m for m in run() if m.implementation != NAIVE or m.shape.length <= 512]
    line = next(line for line in draw(some, MACHINE).axes[0].lines if line.get_marker() == "o")
    assert list(line.get_xdata()) == [512]


def test_the_guides_rise_as_they_say_and_below_every_line() -> None:
    panel = draw(run(), MACHINE).axes[1]
    lowest = min(min(line.get_ydata()[-3:]) for line in panel.lines[:4])
    for line, power in zip(panel.lines[4:], (1, 2), strict=True):
        (x0, x1), (y0, y1) = line.get_xdata(), line.get_ydata()
        assert y1 / y0 == pytest.approx((x1 / x0) ** power)
        assert y0 < lowest
        assert y1 < min(other.get_ydata()[-1] for other in panel.lines[:4])
    low, high = panel.get_ylim()
    assert all(low < y < high for line in panel.lines for y in line.get_ydata())


@pytest.mark.parametrize("some", [[], run(passes=("forward",))[:1], [replace(m, counters=Counters()) for m in run()]])
def test_a_picture_of_little_is_drawn_too(some: list[Measurement]) -> None:
    assert "<svg" in as_svg(draw(some, {}, columns=1))
    assert page(some, {}).startswith("<!doctype html>")
    assert markdown(some, {})
    printed(some, 80)


def test_the_same_picture_is_the_same_bytes_and_settings_are_left_alone(tmp_path: Path) -> None:
    before = dict(matplotlib.rcParams)
    files = [tmp_path / "a.png", tmp_path / "b.png"]
    for file in files:
        save_png(draw(full(), MACHINE), file)
    assert files[0].read_bytes() == files[1].read_bytes()
    assert files[0].read_bytes().startswith(b"\x89PNG")
    svg = as_svg(draw(full(), MACHINE))
    assert svg == as_svg(draw(full(), MACHINE))
    assert "date>" not in svg
    assert dict(matplotlib.rcParams) == before
    with matplotlib.rc_context({"font.size": 30, "axes.edgecolor": "red", "lines.linestyle": ":"}):
        assert as_svg(draw(full(), MACHINE)) == svg


def test_dollar_signs_are_no_formula() -> None:
    root = ElementTree.fromstring(as_svg(draw([made("my$a_b$c", long(1024))], MACHINE)))
    assert "my$a_b$c" in [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]


def test_without_matplotlib_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MatplotlibMissing, match=re.escape(install_hint("bench"))):
        draw(run(), MACHINE)
    text = page(run(), MACHINE)
    assert install_hint("bench") in seen(text)
    assert "<svg" not in text


def test_a_picture_in_a_page_has_ids_of_its_own_and_the_colours_of_the_page() -> None:
    text = page(run(), MACHINE)
    ids = re.findall(r'\bid="([^"]+)"', text)
    assert len(ids) == len(set(ids)) > 20
    assert set(re.findall(r'(?:url\(|href=")#([^)"]+)', text)) <= set(ids)
    drawn = "".join(re.findall(r"<svg.*?</svg>", text, re.DOTALL))
    assert "var(--ink)" in drawn
    assert not re.search("#ffffff|#1b1e23|<style|<metadata", drawn)
    ElementTree.fromstring(inline(as_svg(draw(run(), MACHINE)), "a", 'l"<'))


def hostile() -> list[Measurement]:
    names = {NAIVE: HOSTILE, FUSED: "_" + HOSTILE}
    shaped = [replace(m, shape=replace(m.shape, name=m.shape.name + HOSTILE), dtype=HOSTILE, device=HOSTILE) for m in full()]
    return [
        replace(m, implementation=names.get(m.implementation, m.implementation), reason=HOSTILE * bool(m.reason))
        for m in shaped
    ]


def test_hostile_strings_stay_text() -> None:
    text = page(hostile(), {HOSTILE: HOSTILE})
    assert text.count("<script") == 1  # the template's, which is empty
    assert "<img" not in text
    assert "document.title='taken'" in seen(text)
    assert folding("x.a<B:c") == "x.<wbr>a&lt;<wbr>B:<wbr>c"
    lines = markdown(hostile(), {HOSTILE: HOSTILE}).splitlines()
    assert not any("<" in line or line.startswith("# ") for line in lines)
    columns = {len(re.findall(r"\|", line)) for line in lines if line.startswith("|")}
    assert columns == {7}


def test_markdown_says_what_the_terminal_says() -> None:
    text = markdown(full(), MACHINE)
    assert f"| shape | {NAIVE} | {FUSED} | {TORCH} | baseline | {BROKEN} |" in text
    assert "| long 1024 | 109 ms (1.50x) | 75.2 ms (1.04x) | 86.8 ms (1.20x) | 72.4 ms | wrong |" in text
    assert "| long 4096 | n/a | 20.0 MiB | 20.0 MiB | 20.0 MiB | wrong |" in text
    assert f"- {NAIVE}: n/a: needs 6 GiB (long 4096)" in text
    assert re.search(r"^- \*\*.*memory grows as T\^\S+ \+- \S+ from 512 on: linear is possible\*\*$", text, re.MULTILINE)
    assert "Compared with the oracle before it was timed: exercise: all 16 queries; encoder 512: 64 of 512 queries;" in text
    assert text.endswith("Measured on: cpu EPYC 9B14, cores 2, torch 2.13.0.\n")


def test_the_page_says_everything() -> None:
    text = page(full(), MACHINE)
    said = seen(text)
    for words in (
        "4 implementations at 5 shapes", "cpu EPYC 9B14", "encoder 512: 64 of 512 queries", "forward, float32, cpu",
        "109 ms 1.50x 1.49 to 1.51", "18.5 MiB", "✕ wrong", "n/a: needs 6 GiB (long 4096)", "from 512 on: linear is possible",
        "134 MFLOP", "a multiply-add is two", "causal attention counts whole, not halved", "larger is worse",
    ):  # fmt: skip
        assert words in said, words
    assert re.search(r"T<sup>1\.\d\d</sup> ± 0\.\d\d", text)
    assert "://" not in re.sub(r'xmlns(:xlink)?="http[^"]+"', "", text)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with driver.chromium() as started:
        yield started


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1600])
def test_the_page_fits_and_can_be_read(chromium: Any, tmp_path: Path, width: int, scheme: str) -> None:
    file = tmp_path / "bench.html"
    file.write_text(page(full(), MACHINE), encoding="utf-8")
    with driver.opened(chromium, file, width=width, scheme=scheme) as tab:
        tab.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
        assert driver.sticks_out(tab) == 0
        assert driver.too_pale(tab) == []
        shown = [tab.locator(f".picture .{name}").is_visible() for name in ("broad", "narrow")]
        assert shown == ([True, False] if width == 1600 else [False, True])
        small = (
            "[...document.querySelectorAll('.picture text')].map((t) => t.getBoundingClientRect().height).filter((h) => h > 0)"
        )
        assert min(tab.evaluate(small)) > 8  # pixels: letters do not shrink with the picture
        line = tab.locator(".picture svg:visible g[id$='line2d_1'] path").first
        assert line.count() == 1
        tab.evaluate("document.querySelectorAll('.scroll').forEach((box) => { box.scrollLeft = 200; })")
        lefts = tab.evaluate(
            "[...document.querySelectorAll('.grid th[scope=row], .shape span')].map((th) => th.getBoundingClientRect().left)"
        )
        assert min(lefts) >= 0  # what a row is of stays in sight
        ground = tab.evaluate("getComputedStyle(document.querySelector('.picture svg path')).fill")
        assert (ground == "rgb(255, 255, 255)") == (scheme == "light")


def test_hostile_strings_do_nothing_in_a_browser(chromium: Any, tmp_path: Path) -> None:
    file = tmp_path / "bench.html"
    file.write_text(page(hostile(), {HOSTILE: "x" * 500}), encoding="utf-8")
    with driver.opened(chromium, file, width=360) as tab:
        assert tab.title() != "taken"
        assert tab.locator("img").count() == 0
        assert driver.sticks_out(tab) == 0
