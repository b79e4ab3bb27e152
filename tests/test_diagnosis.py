"""A confirmed cause is the right one, and what is no known bug is never called one."""

from pathlib import Path

import pytest

from mhsa.diagnosis import compare
from mhsa.understanding import understand

WRONG = Path(__file__).resolve().parent / "corpus" / "wrong"

# Modules in foreign styles, and the mutants that compute what they compute. Several: nothing that is compared tells them
# apart (masks of bools, here).
CAUSES = {
    "merge_without_transpose.py": {"MergeWithoutTranspose"},
    "nan_in_empty_rows.py": {"EmptyRowsAreNaN"},
    "no_scale.py": {"NotScaled"},
    "polarity_inverted.py": {"PolarityInverted"},
    "scale_d_model.py": {"ScaledByModelWidth"},
    "softmax_over_queries.py": {"SoftmaxOverQueries"},
    "unscaled_fill.py": {"FillOfZero", "FillOfSmallestPositive", "MaskMultipliesScores"},
    "value_uses_key.py": {"ValueThroughKeyMap"},
    "weights_of_last_head.py": {"WeightsOfTheLastHead"},
}
# Wrong in a way that no mutant has, or only in ways that no comparison of numbers sees.
UNKNOWN = ["dropout_in_eval.py", "einsum_eps_1e7.py", "no_divisibility_check.py", "repaired_output.py"]


@pytest.mark.parametrize("name", CAUSES)
def test_the_cause_is_confirmed(name: str) -> None:
    assert set(compare(understand(str(WRONG / name))).names) == CAUSES[name]


@pytest.mark.parametrize("name", UNKNOWN)
def test_no_cause_is_made_up(name: str) -> None:
    assert compare(understand(str(WRONG / name))).names == ()


def test_the_reference_has_no_bug() -> None:
    found = compare(understand("mhsa:MultiHeadAttention"))
    assert found.names == ()
    assert found.wrong == 0
    assert found.cases >= 40


def test_two_bugs_are_not_taken_for_one(tmp_path: Path) -> None:
    both = tmp_path / "both.py"
    both.write_text(
        "from mhsa.mutants.heads import MergeWithoutTranspose\nfrom mhsa.mutants.scale import ScaledByModelWidth\n\n\n"
        "class Both(MergeWithoutTranspose, ScaledByModelWidth):\n    pass\n"
    )
    found = compare(understand(f"{both}:Both"))
    assert found.wrong > 0
    assert found.names == ()
