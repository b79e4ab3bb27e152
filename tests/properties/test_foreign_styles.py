"""Wrong modules in foreign styles, which owe nothing to the mutants' code: all of them fail, in words and numbers."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mhsa.commands.verify import options_of
from mhsa.records.request import Request
from mhsa.records.results import SubjectResult
from mhsa.run.runner import Options, run
from tests.helpers.more import chosen
from tests.helpers.places import CORPUS

FOLDER = CORPUS / "foreign"
FACTORIES = {"additive_minus_ten.py", "keep_probability.py"}  # one name of their arguments is not a usual one
NAMES = [f"{p.name}:make" if p.name in FACTORIES else p.name for p in sorted(FOLDER.glob("*.py"))]

# What another convention explains is a question; declared, the usual one is not kept.
DECLARED = {
    "mask_equals_one.py": {"mask": "allowed"},
    "nanogpt_always_causal.py": {"causal": "no"},
    "fill_for_half.py": {"fill": "none"},
    "rate_never_used.py": {"dropout": "applied"},
    "logits_returned.py": {"weights": "softmax"},
}


@pytest.fixture(scope="module")
def judged(request: pytest.FixtureRequest) -> dict[str, SubjectResult]:
    """Every module, judged in one run that ends each at its first failure."""
    chosen_names = chosen(request, "name", NAMES)
    requests = (Request(str(FOLDER / n), str(FOLDER / n), contract=DECLARED.get(n, {})) for n in chosen_names)
    results = run(Options(requests=tuple(requests), exit_first=True))
    return {r.subject.rpartition("/")[2]: r for r in results}


@pytest.mark.parametrize("name", NAMES)
def test_it_is_violated(judged: dict[str, SubjectResult], name: str) -> None:
    assert judged[name].verdict == "violated", judged[name].why
    failed = next(p for p in judged[name].properties if p.outcome == "fail")
    assert "but must" in failed.reason or "raised" in failed.reason


def test_verify_names_the_cause(mhsa, tmp_path: Path) -> None:
    done = mhsa("verify", FOLDER / "wrong_length_in_root.py", "-k", "test_oracle.py", "--json", tmp_path / "o.json")
    assert done.returncode == 1
    assert "CAUSE, confirmed: ScaledByLength" in done.stdout
    assert "softmax(Q K^T / sqrt(Tk))" in done.stdout
    (subject,) = json.loads((tmp_path / "o.json").read_text())["subjects"]
    assert subject["diagnosis"]["kind"] == "confirmed"
    assert subject["diagnosis"]["causes"][0]["name"] == "ScaledByLength"
    assert subject["diagnosis"]["cases"] > 40 > subject["diagnosis"]["wrong"] / 2 > 10


def test_verify_names_no_bug_where_none_gives_the_numbers_and_none_is_near(mhsa) -> None:
    done = mhsa("verify", FOLDER / "two_slips.py")
    assert "CAUSE not known" in done.stdout
    assert "no known bug gives them" in done.stdout
    assert "No known bug fails nearly the same properties." in done.stdout
    assert "CAUSE, perhaps: " not in done.stdout


def test_too_few_properties_make_no_pattern(mhsa) -> None:
    done = mhsa("verify", FOLDER / "two_slips.py", "-k", "output_under_masks")
    assert "CAUSE not known" in done.stdout
    assert "Too few properties were judged" in done.stdout


def test_verify_can_be_asked_for_no_diagnosis(mhsa) -> None:
    done = mhsa("verify", FOLDER / "exp2_without_log2e.py", "-x", "--no-diagnosis")
    assert done.returncode == 1
    assert "CAUSE" not in done.stdout


def test_diagnose_tells_the_whole_story(mhsa, monkeypatch: pytest.MonkeyPatch) -> None:
    def few(*arguments: Any) -> Options:
        """It has no option -k; these find the bug and its smallest case."""
        return replace(options_of(*arguments), keyword="test_oracle.py or one_key or masked_keys")

    monkeypatch.setattr("mhsa.commands.diagnose.options_of", few)
    done = mhsa("diagnose", FOLDER / "mask_along_queries.py", "--no-color")
    assert done.returncode == 1
    for words in (
        "oracle.output_under_masks",
        "FAILED numbers.one_key_is_answered_with_its_value_exactly",  # the smallest case
        "CAUSE, confirmed: MaskTransposed",
        "must be   M_ij",
        "by which the output mixes the values",
        "expected                   observed                   difference",
        "a dot is a key that is masked",
        "violated:",
    ):
        assert words in done.stdout
    assert " pass " not in done.stdout


def test_diagnose_has_nothing_to_say_of_what_holds(mhsa, corpus: Path) -> None:
    done = mhsa("diagnose", corpus / "right" / "plain_function.py")
    assert done.returncode == 0
    assert "Nothing fails, so there is nothing to diagnose." in done.stdout


def test_diagnose_of_what_cannot_be_judged_exits_2(mhsa) -> None:
    done = mhsa("diagnose", "nosuch:thing")
    assert done.returncode == 2
    assert "unjudged: import of nosuch failed" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
