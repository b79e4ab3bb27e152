"""Failures that a declaration would explain are a question where there are no others, and failures where there are."""

from mhsa.records.explained import ask_instead
from mhsa.records.results import PropertyResult, SubjectResult

SOFT = PropertyResult(
    "construction.indivisible_width_is_refused", "fail", reason="must raise",
    counterexample={"declaration": {"indivisible": "any"}, "question": "the constructor accepts it"},
)  # fmt: skip
HARD = PropertyResult("oracle.output_without_mask", "fail", reason="wrong", counterexample={"message": "wrong"})
HELD = PropertyResult("oracle.output_under_masks", "pass", cases=10)


def test_alone_it_is_a_question_under_whose_declaration_the_rest_holds() -> None:
    result = SubjectResult("a", properties=[SOFT, HELD])
    ask_instead(result)
    assert result.verdict == "question"
    assert result.reason == "the constructor accepts it"
    assert result.under == {"declaration": {"indivisible": "any"}, "passed": 1, "failed": 0, "judged": 1}
    assert [p.outcome for p in result.properties] == ["not-applicable", "pass"]


def test_with_another_failure_it_is_one_of_the_failures() -> None:
    result = SubjectResult("a", properties=[SOFT, HARD, HELD])
    ask_instead(result)
    assert result.verdict == "violated"
    assert result.count("fail") == 2
    assert result.declaration == {}


def test_it_adds_to_another_question() -> None:
    result = SubjectResult("a", properties=[SOFT, HELD], question=True, reason="it hides", declaration={"mask": "blocked"})
    ask_instead(result)
    assert result.reason == "it hides\nthe constructor accepts it"
    assert result.declaration == {"mask": "blocked", "indivisible": "any"}


def test_what_was_declared_to_raise_fails() -> None:
    declared = PropertyResult(SOFT.id, "fail", reason="must raise", counterexample={"declaration": {}, "question": "?"})
    result = SubjectResult("a", properties=[declared, HELD])
    ask_instead(result)
    assert result.verdict == "violated"
