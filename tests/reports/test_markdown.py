"""The report in Markdown, and GitHub's summary of a step."""

from pathlib import Path

import pytest

from mhsa.records.document.run import RunRecord
from mhsa.records.request import Request
from mhsa.reports.failure import reproduce
from mhsa.reports.markdown import append_to_step_summary, markdown
from tests.helpers.report_data import cells, failing, finding, run, subject


class TestMarkdown:
    def test_what_holds_takes_one_line(self):
        text = markdown(RunRecord.of(run(subject(*[finding(f"masks.p{n}", cases=10) for n in range(3)], label="short"))))
        assert "| `short` | ✅ holds: 3 properties on 30 cases |" in text
        assert text.startswith("## ✅ mhsa verify: 1 holds\n")
        assert "###" not in text

    def test_a_violation_tells_cause_failures_and_command(self):
        bugs = [
            {"name": name, "summary": "No scale.", "computes": "Q K^T", "must_be": "Q | K", "census": "P01", "shared": 0.75}
            for name in ("NotScaled", "AlmostScaled")
        ]
        diagnosis = {"kind": "similar", "causes": bugs, "words": ["A hint, no proof."]}
        failures = [failing("oracle.output", file="cases/a b.json"), failing("masks.a")]
        lost = finding("masks.e", "error", reason="gave no result")
        data = run(subject(*failures, lost, diagnosis=diagnosis, warnings=["slow"]), subject(finding(), name="other.py"))
        text = markdown(RunRecord.of(data))
        assert text.startswith("## ❌ mhsa verify: 1 violated, 1 holds\n")
        assert "| `model.py` | ❌ violated: 2 of 2 properties fail (1 error) |" in text
        assert "**Likely cause, perhaps:** `NotScaled` or `AlmostScaled`. A hint, no proof." in text
        assert "- `NotScaled` (75 % of the failed properties in common): No scale. It computes `Q K^T`, must be <code>Q" in text
        assert ["oracle.output", "output[0]=2, but must be 1", "B=1 H=2 Tq=1"] in cells(text)
        assert "\n```sh\nmhsa replay 'cases/a b.json'\nmhsa verify model.py -k oracle.output --seed 7\n```\n" in text
        assert "- ⚠️ warning: slow\n- could not be judged: `masks.e`: gave no result\n" in text

    def test_the_command_repeats_what_is_not_usual(self):
        asked = Request("encoder", "a:B", seed=7, profile="thorough", device="cuda:1", dtypes=("bfloat16", "float16"))
        command = "mhsa verify encoder -k masks.a --seed 7 --profile thorough --dtype bfloat16 --dtype float16 --device cuda:1"
        assert reproduce(asked, "masks.a") == command

    def test_an_unknown_cause_is_said_to_be_unknown(self):
        text = markdown(
            RunRecord.of(run(subject(failing(), diagnosis={"kind": "unknown", "causes": [], "words": ["Nothing is like it."]})))
        )
        assert "**Cause not known.** Nothing is like it." in text

    def test_what_is_unjudged_says_why(self):
        text = markdown(RunRecord.of(run(subject(verdict="unjudged", reason="it cannot | be imported"))))
        assert ["model.py", "⚠️ unjudged: it cannot | be imported"] in cells(text)

    def test_a_partial_run_promises_nothing(self):
        text = markdown(RunRecord.of(run(subject(finding()), interrupted=True)))
        assert text.startswith("## ⚠️ mhsa verify: 1 holds (partial run)\n")
        assert "**Partial run.**" in text
        assert "⚠️ holds so far: 1 property on 6 cases" in text
        assert "✅" not in text

    def test_the_environment_is_collapsed_and_last(self):
        text = markdown(RunRecord.of(run(subject(finding()))))
        assert text.count("<details>") == text.count("</details>") == 1
        assert text.endswith("| seed | 7 |\n\n</details>\n")

    def test_many_failures_and_many_subjects_stay_within_what_github_takes(self):
        failures = [failing(f"masks.p{n}", reason="much to say " * 1000) for n in range(50)]
        text = markdown(RunRecord.of(run(*[subject(*failures, name=f"m{n}.py") for n in range(200)])))
        assert "30 more properties fail." in text
        assert "more subjects are left out" in text
        assert len(text.encode()) < 2**20
        assert text.count("❌ violated") == 200

    def test_what_holds_with_a_warning_says_it(self):
        text = markdown(RunRecord.of(run(subject(finding("masks.d", "unexpected-pass"), warnings=["masks.d passes"]))))
        assert "✅ holds: 1 property on 6 cases (1 unexpected-pass)" in text
        assert "### ✅ `model.py`\n\n- ⚠️ warning: masks.d passes\n" in text


class TestStepSummary:
    def test_it_is_appended_where_github_says(self, tmp_path: Path):
        file = tmp_path / "summary.md"
        file.write_text("before", encoding="utf-8")
        assert append_to_step_summary("## ✅ now \ud800", {"GITHUB_STEP_SUMMARY": str(file)})
        assert file.read_text(encoding="utf-8") == "before\n## ✅ now ?\n"

    @pytest.mark.parametrize("environ", [{}, {"GITHUB_STEP_SUMMARY": ""}])
    def test_elsewhere_nothing_is_written(self, environ):
        assert not append_to_step_summary("text", environ)

    @pytest.mark.parametrize("name", [".", "missing/summary.md", "nul\0"])
    def test_what_cannot_be_written_is_no_error(self, tmp_path: Path, name):
        assert not append_to_step_summary("text", {"GITHUB_STEP_SUMMARY": f"{tmp_path}/{name}"})
