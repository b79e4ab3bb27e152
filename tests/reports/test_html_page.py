"""The HTML report: hostile input is shown and never acts, missing parts are left out, and it works in a real browser."""

import copy
import html
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mhsa.records.catalogue import catalogue
from mhsa.records.document.run import RunRecord
from mhsa.records.document.subject import PropertyRecord
from mhsa.reports.html.chart import distribution
from mhsa.reports.html.markup import breakable, command, escape, tag
from mhsa.reports.html.numbers import decimals, matrices, shown
from mhsa.reports.html.verdict_page import page
from tests.helpers import browser as driver

STATEMENTS = {p.id: p for p in catalogue()}
HOSTILE = "</script><script>document.title='taken'</script><img src=x onerror=alert(1)>\"'&"
ENVIRONMENT = {"mhsa": "0.1.0", "torch": "2.13.0", "device": "cpu", "dtypes": "float64+float32", "profile": "quick", "seed": 0}

MASK = [[[1.0, 0.0, 0.0], [1.0, 1.0, 0.0]]]
EXPECTED = [[[[1.0, 0.0, 0.0], [0.25, 0.75, 0.0]], [[1.0, 0.0, 0.0], [0.5, 0.5, 0.0]]]]
OBSERVED = [[[[1.0, 0.0, 0.0], [0.25, 0.75, 1e-17]], [[1.0, 0.0, 0.0], [0.5, "nan", 0.25]]]]
ANSWER = {
    "weights": {"observed": OBSERVED, "required": EXPECTED, "bound": [[[[1e-15] * 3] * 2] * 2]},
    "output": {
        "observed": [[[0.25, -1.5], ["inf", 3.0]]],
        "required": [[[0.5, -1.5], [2.0, 3.0]]],
        "bound": [[[1e-14] * 2] * 2],
    },
}
COUNTEREXAMPLE = {
    "message": "output[0, 0, 0]=0.25, but must be 0.5 +- 1e-14", "what": "output", "where": [0, 0, 0],
    "observed": 0.25, "required": 0.5, "bound": 1e-14, "error_over_bound": 2.5e13, "file": ".mhsa/case-1.json",
    "observed_all": ANSWER["output"]["observed"], "required_all": ANSWER["output"]["required"], "answer": ANSWER,
    "case": {"dtype": "float64", "batch": 1, "words": "B=1 H=2 Tq=2 Tk=3 d_k=1"}, "mask": MASK,
    "query": [[[1.0, 2.0], [-1.0, 0.5]]], "key": [[[1.0, 2.0]] * 3], "value": None, "query.weight": [[1.0, 0.0], [0.0, 1.0]],
}  # fmt: skip


def result(identity: str, outcome: str, ratio: float | None = 0.02, **more: Any) -> dict[str, Any]:
    by_dtype = {} if ratio is None else {"float64": ratio, "float32": ratio / 2}
    usual = {"cases": 50, "worst_error_over_bound": ratio, "worst_by_dtype": by_dtype, "seconds": 0.25, "reason": ""}
    return {"id": identity, "family": identity.partition(".")[0], "outcome": outcome} | usual | more


def full() -> dict[str, Any]:
    """A run with every part that a page can have."""
    failing = copy.deepcopy(COUNTEREXAMPLE)
    gradient = {"message": "gradient of query[1]=2", "what": "gradient of query", "where": [1], "observed_all": [1.0, 2.0],
                "required_all": [1.0, 1.5], "case": {"words": "B=1"}}  # fmt: skip
    violated = {
        "subject": "model.py", "label": "the model", "place": {"file": "src/model.py", "line": 7}, "verdict": "violated",
        "understood": {"call": "forward(q, k, v)"},
        "warnings": ["edges.no_queries passes, but is declared to fail"],
        "coverage": {"file": "model.py", "missing": [13], "lines": {"12": "if dim % heads:", "13": "    raise ValueError"},
                     "executed": 17, "statements": 18},
        "diagnosis": {"kind": "confirmed", "words": ["The same numbers."], "cases": 45, "wrong": 38,
                      "causes": [{"name": "NotScaled", "summary": "No scale.", "computes": "softmax(Q K^T)",
                                  "must_be": "softmax(Q K^T / sqrt(d_k))", "census": "P01", "shared": None}],
                      "picture": {"what": "as they are returned", "sample": 0, "head": 1, "case": "B=2", "allowed": MASK[0],
                                  "expected": EXPECTED[0][0], "observed": [[1.0, 0.0, 0.0], [None, 0.5, 0.5]]}},
        "properties": [
            result("oracle.output_without_mask", "fail", 2.5e13, reason=failing["message"], counterexample=failing,
                   reproduce="mhsa verify 'my model.py' -k oracle.output_without_mask --seed 0"),
            result("gradients.gradients_of_inputs", "fail", 1e300, reason="gradient of query[1]=2", counterexample=gradient),
            result("masks.masking_is_deleting", "pass", 0.0),
            result("masks.all_small_masks", "pass"),
            result("edges.no_queries", "unexpected-pass", None, reason="declared to fail"),
            result("dropout.eval_is_deterministic", "not-applicable", None, reason="needs dropout"),
        ],
    }  # fmt: skip
    holds = {"subject": "other.py", "verdict": "holds", "properties": [result("oracle.output_without_mask", "pass")]}
    return {"schema": 1, "environment": ENVIRONMENT, "exit_code": 1, "interrupted": True, "subjects": [violated, holds]}


def words_of(text: str) -> str:
    """The page as one reads it: without style, script and tags."""
    body = re.sub(r"<(style|script)>.*?</\1>", "", text, flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", "", re.sub(r"</(td|th|p|dt|dd|button|span|h\d)>", " ", body))).split())


def hostile(x: Any) -> Any:
    """The same run with every string replaced, but for those that steer the page."""
    if isinstance(x, dict):
        steering = ("verdict", "outcome", "kind")
        return {k: v if k in steering else hostile(v) for k, v in x.items()}
    if isinstance(x, list):
        return [hostile(v) for v in x]
    return HOSTILE if isinstance(x, str) and x not in ("nan", "inf", "-inf") else x


def test_text_is_escaped_unless_it_is_markup() -> None:
    assert tag("p", "a<b", tag("i", "&"), class_='"') == '<p class="&quot;">a&lt;b<i>&amp;</i></p>'
    assert tag("input", hidden=True, disabled=False, title=None) == "<input hidden>"


@pytest.mark.parametrize(
    ("text", "visible"), [("a\x00b", "a\\x00b"), ("x\u202ey", "x\\u202ey"), ("\ud800", "\ufffd"), ("a\tb\nc", "a\tb\nc")]
)
def test_what_would_deceive_or_could_not_be_written_is_visible(text: str, visible: str) -> None:
    assert escape(text) == visible
    escape(text).encode("utf-8")


def test_code_folds_between_its_words_and_keeps_its_lines() -> None:
    drawn = command("mhsa verify a.py --contract mask=blocked\n  b")
    assert "<span>--contract</span> <span>mask=blocked</span>\n" in drawn
    assert html.unescape(re.sub(r"<[^>]+>", "", drawn)) == "mhsa verify a.py --contract mask=blocked\n  b"


def test_a_question_folds_no_option_away_from_its_dashes() -> None:
    asks = {"subject": "a.py", "verdict": "question", "declare": {"option": "--contract mask=blocked"}}
    text = page(RunRecord.of({"subjects": [asks]}), {})
    assert "<span>--contract</span> <span>mask=blocked</span>" in text


def test_ids_and_paths_fold_and_numbers_do_not() -> None:
    assert breakable("a/b.c_d 1.5") == "a/<wbr>b.<wbr>c_<wbr>d 1.5"


def test_hostile_strings_stay_text_everywhere() -> None:
    text = page(RunRecord.of(hostile(full())), {})
    assert text.count("<script") == 1
    assert "<img" not in text
    assert HOSTILE in html.unescape(text)


def test_everything_that_was_found_is_said() -> None:
    said = words_of(page(RunRecord.of(full()), STATEMENTS))
    known = STATEMENTS["oracle.output_without_mask"]
    for words in (
        "2 subjects: 1 holds, 1 violated", "Interrupted.", "torch 2.13.0", "seed 0", "the model", "2 of 5 properties fail",
        "model.py, src/model.py:7", "Warning. edges.no_queries passes", "forward(q, k, v)", "Cause, confirmed: NotScaled",
        "softmax(Q K^T)", known.summary, known.statement, known.source, "output[0, 0, 0]=0.25", "B=1 H=2 Tq=2 Tk=3 d_k=1",
        "mhsa replay .mhsa/case-1.json", "mhsa verify 'my model.py' -k oracle.output_without_mask --seed 0",
        "17 of 18 statements of model.py", "raise ValueError", "needs dropout", "1 = the bound", "✕ violated", "✓ holds",
    ):  # fmt: skip
        assert words in said, words


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"subjects": []},
        {"subjects": [{"subject": "a.py"}]},
        {"subjects": [{"subject": "a.py", "verdict": "unjudged", "reason": "no such file", "properties": []}]},
        {"subjects": [{"subject": "a.py", "verdict": "violated", "properties": [{"id": "x.y", "outcome": "fail"}]}]},
        {"subjects": [{"verdict": "violated", "properties": [result("x.y", "fail", None, counterexample={"answer": None})]}]},
        {"subjects": [{"verdict": "violated", "coverage": {}, "diagnosis": {"kind": "unknown"}, "warnings": None}]},
    ],
)
def test_missing_parts_are_left_out(data: dict[str, Any]) -> None:
    text = page(RunRecord.of(data), {})
    assert text.startswith("<!doctype html>")
    assert "None" not in words_of(text)


@pytest.mark.parametrize("part", ["output", "weights"])
@pytest.mark.parametrize("missing", ["observed", "bound", "required", "all"])
def test_missing_parts_of_an_answer_are_left_out(part: str, missing: str) -> None:
    data = full()
    answer = data["subjects"][0]["properties"][0]["counterexample"]["answer"]
    answer[part] = None if missing == "all" else answer[part] | {missing: None}
    assert "None" not in words_of(page(RunRecord.of(data), STATEMENTS))


def test_an_empty_tensor_is_said_to_be_empty() -> None:
    data = full()
    data["subjects"][0]["properties"][0]["counterexample"] |= {"answer": None, "observed_all": [[]], "required_all": [[]]}
    assert "an axis is empty" in words_of(page(RunRecord.of(data), STATEMENTS))


def test_what_is_no_number_is_loud_and_what_is_within_its_bound_is_not() -> None:
    text = page(RunRecord.of(full()), STATEMENTS)
    assert "1 of 12 observed numbers are NaN or infinite." in text
    assert re.search(r'<td class="nan"[^>]*>NaN</td>', text)
    assert re.search(r'<td class="nan"[^>]*>∞</td>', text)
    assert re.search(r'<td class="quiet masked"[^>]*>≈0<', text)  # 1e-17 off
    assert re.search(r'<td class="plus masked"[^>]*>0\.25<', text)  # weight on a masked key
    assert re.search(r'<td class="wrong named"[^>]*>\N{MINUS SIGN}0\.25<', text)
    assert "1 more, where nothing is wrong" in text  # head 0


def test_numbers_are_short_and_their_points_stand_below_each_other() -> None:
    assert [shown(x, decimals([0.5, 0.25])) for x in (0.5, 0.25, 0.0)] == ["0.50", "0.25", "0"]
    assert [shown(x, 2) for x in (1e-5, 123456.0, float("-inf"))] == ["1.0e\N{MINUS SIGN}5", "1.2e5", "\N{MINUS SIGN}∞"]
    assert matrices([[[1, "nan"]]])[0][0] == (0,)


def test_the_chart_draws_a_block_per_property_and_dtype_on_the_right_side_of_the_bound() -> None:
    results = [result("a.b", "pass", 1.0), result("a.c", "fail", 2.0, worst_by_dtype={"float64": 2.0}), {"id": "a.d"}]
    drawn = distribution([PropertyRecord.of(each) for each in results])
    assert drawn is not None
    assert (drawn.count('class="within"'), drawn.count('class="over"')) == (2, 1)
    assert distribution([PropertyRecord.of(result("a.b", "pass", None))]) is None


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with driver.chromium() as started:
        yield started


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "report.html"
    path.write_text(page(RunRecord.of(full()), STATEMENTS), encoding="utf-8")
    return path


def shown_rows(tab: Any) -> list[str]:
    return [row.get_attribute("data-id") for row in tab.locator("#s1 tr[data-id]").all() if row.is_visible()]


def test_the_filters_show_what_they_say(chromium: Any, file: Path) -> None:
    with driver.opened(chromium, file) as tab:
        everything = shown_rows(tab)
        assert len(everything) == 6
        failing = tab.locator("#s1").get_by_role("button", name="fail 2")
        failing.click()
        assert shown_rows(tab) == ["oracle.output_without_mask", "gradients.gradients_of_inputs"]
        assert failing.get_attribute("aria-pressed") == "true"
        assert tab.locator("#s1 [role=status]").text_content() == "2 of 6 shown"
        tab.locator("#s1 input").fill("ORACLE")
        assert shown_rows(tab) == ["oracle.output_without_mask"]
        failing.press("Enter")  # a second press, by keyboard, takes the filter off
        assert shown_rows(tab) == ["oracle.output_without_mask"]
        tab.locator("#s1 input").fill("masks")
        assert shown_rows(tab) == ["masks.masking_is_deleting", "masks.all_small_masks"]
        assert tab.locator("#s2 tr[data-id]").is_visible()  # another subject's table is another's


def test_a_link_unfolds_its_failure(chromium: Any, file: Path) -> None:
    with driver.opened(chromium, file) as tab:
        first, second = tab.locator("details.failure").all()
        assert first.get_attribute("open") is not None
        assert second.get_attribute("open") is None
        tab.locator("#s1 td, #s1 th").get_by_role("link", name="gradients.gradients_of_inputs").click()
        second.get_by_text("gradient of query[1]=2").last.wait_for()
        second.locator("summary").first.press("Enter")
        assert second.get_attribute("open") is None


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 390, 1400, 1600])
def test_it_fits_and_can_be_read(chromium: Any, file: Path, width: int, scheme: str) -> None:
    with driver.opened(chromium, file, width=width, scheme=scheme) as tab:
        tab.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
        assert driver.sticks_out(tab) == 0
        assert driver.too_pale(tab) == []
        ground = tab.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (ground == "rgb(255, 255, 255)") == (scheme == "light")
        assert len(tab.screenshot(path=file.with_suffix(".png"), full_page=True)) > 20_000


def test_hostile_strings_do_nothing_in_a_browser(chromium: Any, file: Path) -> None:
    data = hostile(full())
    data["subjects"][0]["label"] = "x" * 500
    file.write_text(page(RunRecord.of(data), {}), encoding="utf-8")
    with driver.opened(chromium, file, width=360) as tab:
        assert tab.title() != "taken"
        assert tab.locator("img").count() == 0
        assert driver.sticks_out(tab) == 0
