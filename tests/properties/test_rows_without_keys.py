"""Queries from which a declared window or causality hides every key: no law calls a right module wrong for them."""

import inspect
from typing import Any

import hypothesis
import pytest

from mhsa.introspect.resolve import understand
from mhsa.judge.property_modules import Effort, import_properties
from mhsa.judge.strategies import judging
from mhsa.records.case import Case
from mhsa.records.catalogue import properties_folder
from mhsa.records.request import Request
from mhsa.subject import check
from mhsa.subject.subject import Subject
from mhsa.subject.trial import Trial

CASE = Case("float64", 2, 2, 6, 1, 3, data="integers", mask="none", tie="kv", seed=3)
OF_OTHER_CASES = {"heads.one_head_is_single_head_attention", "transforms.in_autocast"}  # of one head, in float32


def laws() -> list[tuple[str, Any]]:
    """Return the properties that are functions of a subject and one case."""
    found = []
    for file in sorted(properties_folder().glob("test_*.py")):
        for name, function in vars(import_properties(file, Effort(profile="thorough"))).items():
            if name.startswith("test_") and hypothesis.is_hypothesis_test(function):
                inner = function.hypothesis.inner_test
                if set(inspect.signature(inner).parameters) == {"subject", "case"}:
                    found.append((f"{file.stem.removeprefix('test_')}.{name.removeprefix('test_')}", inner))
    return found


def said(subject: Subject, law: Any) -> str | None:
    """Return what a law says against a subject, an empty string if nothing, and None where it is about other cases."""
    with check.recording(), judging(subject):
        try:
            law(subject=subject, case=CASE)
        except check.Violation as violation:
            return str(violation)
        except (check.Inapplicable, AssertionError, LookupError, ValueError):  # it draws a mask, say, or several keys
            return None
    return ""


@pytest.mark.parametrize("name", ["Windowed", "CausalAtTheEnd", "CausalWindow"])
def test_no_law_is_broken_by_a_right_module(name: str) -> None:
    subject = understand(Request.of(f"mhsa.bugs.mutants.right_formula:{name}", dtypes=("float64",)))
    answer = Trial(subject, CASE, counted=False)()
    assert not answer.attended.all()
    assert answer.judged.all(), "the contract says what such rows give"
    every = {identity: said(subject, law) for identity, law in laws()}
    assert sum(words is not None for words in every.values()) > 60
    assert {identity: words for identity, words in every.items() if words and identity not in OF_OTHER_CASES} == {}
