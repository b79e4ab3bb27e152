"""Right modules in many styles hold; wrong ones are violated, at the smallest sizes that can show it."""

import pytest

from mhsa.records.catalogue import catalogue
from mhsa.records.request import Request
from mhsa.records.results import SubjectResult
from mhsa.reports.failure import reproduce
from mhsa.run.runner import Options, run
from tests.helpers.more import chosen
from tests.helpers.places import CORPUS

RIGHT = [
    "additive_mask.py",
    "baddbmm.py",
    "big_negative_fill.py",
    "chunked_online_softmax.py",
    "d2l.py",
    "dict_out.py",
    "einsum_parameters.py",
    "float_mask.py",
    "graph_edges.py",
    "inf_fill_repaired.py",
    "kv_out.py",
    "loop_over_heads.py",
    "loop_over_samples.py",
    "lse.py",
    "mask_without_default.py",
    "packed_by_head.py",
    "packed_projection.py",
    "plain_function.py",
    "sdpa_backends.py:flash",
    "sdpa_backends.py:plain",
    "sdpa_inside.py",
    "softmax_in_float32.py",
    "telling_nothing.py",
    "timm_like.py",
]

# Wrong module: the property that says so first, and the sizes (B, H, Tq, Tk, d_k) of the smallest case, by thought:
# a scale of d_model differs from one of d_k only with two heads, and shows only where a softmax has two terms; ...
WRONG = {
    "baddbmm_buffer.py": ("gradients.gradients_of_inputs", (1, 1, 1, 1, 1)),
    "baddbmm_key_length_kept.py": ("purity.earlier_calls_leave_no_trace", (1, 1, 1, 1, 1)),
    "dropout_in_eval.py": ("oracle.output_without_mask", (1, 1, 1, 1, 1)),
    "einsum_eps_1e7.py": ("oracle.output_without_mask", (1, 1, 1, 1, 1)),
    "float_mask_inplace.py": ("frozen.gradients_where_nothing_else_needs_one", (1, 1, 3, 3, 1)),
    # Two samples would do; the seeds that quick draws show it with three.
    "lucid_mask_skip_if_full_first.py": ("oracle.output_under_masks", (2, 1, 1, 2, 1)),
    "mask_unsqueeze_0.py": ("oracle.output_under_masks", (2, 1, 1, 1, 1)),
    "merge_without_transpose.py": ("oracle.output_without_mask", (1, 2, 2, 1, 1)),
    "nan_in_fully_masked_rows.py": ("oracle.output_under_masks", (1, 1, 1, 1, 1)),
    "no_scale.py": ("oracle.output_without_mask", (1, 1, 1, 2, 2)),
    "polarity_inverted.py": ("oracle.output_under_masks", (1, 1, 2, 2, 1)),
    "repaired_output.py": ("fully_masked_rows.gradients_stay_finite", (1, 1, 1, 1, 1)),
    "scale_d_model.py": ("oracle.output_without_mask", (1, 2, 1, 2, 1)),
    "softmax_over_queries.py": ("oracle.output_without_mask", (1, 1, 2, 1, 1)),
    "unscaled_fill.py": ("oracle.output_under_masks", (1, 1, 1, 2, 1)),
    "value_uses_key.py": ("oracle.output_without_mask", (1, 1, 1, 1, 1)),
    "weights_of_last_head.py": ("oracle.returned_weights", (1, 2, 1, 2, 1)),
    "wrong_beyond_64.py": ("oracle.output_without_mask", (1, 1, 1, 65, 1)),
}

# What another convention explains is a question; declared, the usual one is not kept.
DECLARED = {
    "mask_unsqueeze_0.py": {"mask_shape": "[B, Tq, Tk]"},
    "nan_in_fully_masked_rows.py": {"fully_masked_row": "zeros"},
    "no_divisibility_check.py": {"indivisible": "raises"},
    "polarity_inverted.py": {"mask": "allowed"},
}


@pytest.fixture(scope="module")
def right(request: pytest.FixtureRequest) -> dict[str, SubjectResult]:
    """Every right module, judged in one run."""
    return _judged([f"right/{n}" for n in chosen(request, "right_name", RIGHT)])


@pytest.fixture(scope="module")
def wrong(request: pytest.FixtureRequest) -> dict[str, SubjectResult]:
    """Every wrong module, judged by the property that must be the first to fail and by those before it in the catalogue."""
    names = {*chosen(request, "wrong_name", list(WRONG)), "scale_d_model.py"}  # of the last a test without parameters speaks
    every = [p.id for p in catalogue()]
    found = {}
    for identity in sorted({WRONG[n][0] for n in names}):
        keyword = " or ".join(every[: every.index(identity) + 1])
        found |= _judged([f"wrong/{n}" for n in sorted(names) if WRONG[n][0] == identity], keyword)
    return found


def _judged(names: list[str], keyword: str = "") -> dict[str, SubjectResult]:
    paths = {name.rpartition("/")[2]: str(CORPUS / name) for name in names}
    requests = tuple(Request(path, path, contract=DECLARED.get(name, {})) for name, path in paths.items())
    return dict(zip(paths, run(Options(requests=requests, keyword=keyword)), strict=True))


def test_the_lists_are_the_folders(corpus) -> None:
    assert {name.partition(":")[0] for name in RIGHT} == {p.name for p in (corpus / "right").glob("*.py")}
    assert {*WRONG, "no_divisibility_check.py"} == {p.name for p in (corpus / "wrong").glob("*.py")}


@pytest.mark.parametrize("right_name", RIGHT)
def test_right_modules_hold(right: dict[str, SubjectResult], right_name: str) -> None:
    result = right[right_name]
    assert result.verdict == "holds", [(p.id, p.reason) for p in result.properties if p.outcome in ("fail", "error")]
    assert result.count("pass") >= 8


@pytest.mark.parametrize("wrong_name", WRONG)
def test_wrong_modules_are_violated_at_the_smallest_sizes(wrong: dict[str, SubjectResult], wrong_name: str) -> None:
    result = wrong[wrong_name]
    assert result.verdict == "violated"
    identity, sizes = WRONG[wrong_name]
    first = next(p for p in result.properties if p.outcome == "fail")
    case = first.counterexample["case"]
    assert first.id == identity
    assert tuple(case[n] for n in ("batch", "head", "query_length", "key_length", "d_k")) == sizes
    assert "but must" in first.reason


def test_a_missing_refusal_is_found_with_the_smallest_numbers() -> None:
    name = "no_divisibility_check.py"
    (failed,) = (p for p in _judged([f"wrong/{name}"])[name].properties if p.outcome == "fail")
    assert failed.id == "construction.indivisible_width_is_refused"
    assert failed.reason.startswith("building with head=2, d_model=1 gave a MultiHead, but must raise: 1 % 2 = 1; ")


def test_it_is_a_question_where_nothing_says_that_a_constructor_must_refuse(corpus) -> None:
    (result,) = run(Options((Request.of(str(corpus / "wrong" / "no_divisibility_check.py")),), keyword="construction"))
    assert result.verdict == "question"
    assert result.declaration == {"indivisible": "any"}
    assert result.under is not None
    assert result.under["failed"] == 0


def test_the_reproduce_command_finds_the_same_case(wrong: dict[str, SubjectResult], corpus) -> None:
    name = str(corpus / "wrong" / "scale_d_model.py")
    whole = next(p for p in wrong["scale_d_model.py"].properties if p.outcome == "fail")
    words = reproduce(Request(name, name), whole.id).split()
    assert words == ["mhsa", "verify", name, "-k", whole.id, "--seed", "0"]
    (alone,) = run(Options((Request.of(name),), keyword=whole.id))
    assert [p.id for p in alone.properties] == [whole.id]
    assert alone.properties[0].counterexample == whole.counterexample
