"""The annotations that GitHub shows next to the code."""

from mhsa.records.document.run import RunRecord
from mhsa.reports.annotations import annotate
from tests.helpers.report_data import failing, finding, kinds, read_back, run, subject


class TestAnnotations:
    def test_a_failure_points_to_the_code(self):
        (line,) = annotate(
            RunRecord.of(run(subject(failing(file="a.json"), label="m,1", place={"file": "src/a:b,c.py", "line": 12})))
        )
        assert line.startswith("::error file=src/a%3Ab%2Cc.py,line=12,title=m%2C1%3A masks.masking_is_deleting::output[0]=2,")
        assert read_back(line) == (
            "error",
            {"file": "src/a:b,c.py", "line": "12", "title": "m,1: masks.masking_is_deleting"},
            "output[0]=2, but must be 1\nsmallest: B=1 H=2 Tq=1\nreproduce: mhsa replay a.json",
        )

    def test_without_a_place_there_is_neither_file_nor_line(self):
        (line,) = annotate(RunRecord.of(run(subject(failing(), place=None))))
        assert read_back(line)[1] == {"title": "model.py: masks.masking_is_deleting"}

    def test_of_many_failures_ten_are_shown_and_the_others_counted(self):
        data = run(subject(*[failing(f"masks.p{n}") for n in range(13)]))
        assert kinds(data) == ["error"] * 10 + ["warning"]
        assert read_back(annotate(RunRecord.of(data))[-1])[2] == "3 more properties fail: masks.p10, masks.p11, masks.p12"
        data["subjects"][0]["properties"] = data["subjects"][0]["properties"][:10]
        assert kinds(data) == ["error"] * 10

    def test_each_subject_is_among_the_first(self):
        wrong = [subject(*[failing(f"masks.p{n}") for n in range(12)], name=f"{name}.py") for name in "abc"]
        titles = [
            read_back(line)[1]["title"]
            for line in annotate(RunRecord.of(run(*wrong, subject(verdict="unjudged", name="d.py"))))
        ]
        assert titles[:5] == ["a.py: masks.p0", "b.py: masks.p0", "c.py: masks.p0", "d.py: unjudged", "a.py: masks.p1"]

    def test_what_is_unjudged_is_one_error(self):
        lost = [finding(f"masks.p{n}", "error", reason="gave no result") for n in range(5)]
        (line,) = annotate(RunRecord.of(run(subject(*lost, verdict="unjudged", reason="it died"))))
        assert read_back(line) == ("error", {"title": "model.py: unjudged"}, "it died")

    def test_the_other_things_to_know(self):
        properties = [failing(), finding("masks.e", "error", reason="lost")]
        lines = annotate(RunRecord.of(run(subject(*properties, warnings=["a\nb"], place={"file": "m.py", "line": None}))))
        assert [read_back(line)[0] for line in lines] == ["error", "warning", "warning"]
        assert read_back(lines[1])[2] == "masks.e: lost"
        assert lines[2] == "::warning file=m.py,line=1,title=model.py::a%0Ab"

    def test_what_holds_needs_no_words_but_an_interrupted_or_empty_run_does(self):
        assert annotate(RunRecord.of(run(subject(finding())))) == []
        assert kinds(run(subject(finding()), interrupted=True)) == ["error"]
        assert kinds(run()) == ["error"]
