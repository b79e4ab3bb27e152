"""The report in JUnit XML."""

import pytest

from tests.helpers.report_data import counts, failing, finding, parsed, run, subject


class TestJUnit:
    def test_every_outcome_is_what_ci_systems_call_it(self):
        data = run(
            subject(
                finding("oracle.output"),
                failing("masks.a"),
                finding("masks.b", "not-applicable", reason="needs weights"),
                finding("masks.c", "expected-failure", reason="known"),
                finding("masks.d", "unexpected-pass", reason="known"),
                finding("masks.e", "error", reason="gave no result"),
            )
        )
        root = parsed(data)
        (suite,) = root
        assert counts(suite) == [6, 1, 1, 2]
        assert counts(root)[:3] == [6, 1, 1]
        assert suite.get("time") == root.get("time") == "1.500"
        cases = {case.get("name"): case for case in suite.iter("testcase")}
        assert cases["output"].get("classname") == "model.py.oracle"
        assert cases["output"].get("time") == "0.250"
        assert {name: [e.tag for e in case] for name, case in cases.items()} == {
            "output": [], "a": ["failure"], "b": ["skipped"], "c": ["skipped"], "d": ["system-out"], "e": ["error"]
        }  # fmt: skip
        assert cases["b"][0].get("message") == "needs weights"
        assert cases["d"][0].text == "passes, although it is expected to fail: known"

    def test_a_failure_says_all_that_is_needed(self):
        bug = {"name": "NotScaled", "summary": "No scale.", "computes": "a", "must_be": "b", "census": "P01", "shared": None}
        diagnosis = {"kind": "confirmed", "causes": [bug], "words": []}
        failed = subject(failing(), label="model", place={"file": "src/model.py", "line": 12}, diagnosis=diagnosis)
        failure = parsed(run(failed)).find(".//failure")
        assert failure is not None
        assert failure.attrib == {"message": "output[0]=2, but must be 1", "type": "violation"}
        assert failure.text is not None
        assert failure.text.splitlines() == [
            "output[0]=2, but must be 1",
            "smallest: B=1 H=2 Tq=1",
            "cause: NotScaled (No scale)",
            "reproduce: mhsa verify model.py -k masks.masking_is_deleting --seed 7",
            "at src/model.py:12",
        ]

    def test_the_environment_and_the_seed_are_properties(self):
        properties = parsed(run(subject(finding()))).findall("testsuite/properties/property")
        said = {p.get("name"): p.get("value") for p in properties}
        assert said["seed"] == "7"
        assert said["dtypes"] == "float64+float32"
        assert said["subject"] == "model.py"

    @pytest.mark.parametrize("properties", [[], [finding(outcome="not-applicable")], [finding()]])
    def test_what_is_unjudged_has_an_error(self, properties):
        data = run(subject(*properties, verdict="unjudged", reason="it cannot be imported"))
        (error,) = parsed(data).findall("testsuite/testcase[@name='judged']/error")
        assert error.get("message") == "it cannot be imported"

    def test_an_interrupted_run_is_not_green(self):
        root = parsed(run(subject(finding()), interrupted=True))
        assert counts(root)[:3] == [2, 0, 1]
        assert root.find("testsuite/testcase[@name='interrupted']/error") is not None

    def test_a_run_without_subjects_and_an_unknown_outcome_are_not_green(self):
        assert counts(parsed(run()))[2] == 1
        assert counts(parsed(run(subject(finding(outcome="something-new")))))[2] == 1

    def test_warnings_and_the_cause_are_kept(self):
        suite = parsed(run(subject(finding(), warnings=["first", "second"])))[0]
        assert suite.findtext("system-err") == "warning: first\nwarning: second"
        assert suite.find("system-out") is None
