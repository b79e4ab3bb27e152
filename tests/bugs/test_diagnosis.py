"""A confirmed cause is the right one, other bugs are never called a known one, and the child that compares may die."""

from pathlib import Path

import pytest

from mhsa.bugs.diagnosis.client import DiagnosisClient
from mhsa.bugs.diagnosis.compared_cases import cases_for, finely
from mhsa.bugs.diagnosis.equivalence import Equivalence
from mhsa.bugs.diagnosis.match import compare, refine
from mhsa.introspect.resolve import understand
from mhsa.oracle import gradients as backward
from mhsa.records.request import Request
from mhsa.records.results import PropertyResult, SubjectResult
from mhsa.run.runner import Event, Options, run
from tests.helpers.places import CORPUS

# Wrong modules of the other folders, and the mutants that compute what they compute. Several: nothing that is compared
# tells them apart (masks of bools, here). None: no mutant has the bug, or only ones that no comparison of numbers sees.
CAUSES = {
    "wrong/dropout_in_eval.py": {"DropsInEval"},
    "wrong/einsum_eps_1e7.py": {"EpsilonInSum"},
    "wrong/float_mask_inplace.py": {"WritesIntoTheMask"},
    "wrong/mask_unsqueeze_0.py": {"MaskTakenForHeads"},
    "wrong/merge_without_transpose.py": {"MergeWithoutTranspose"},
    "wrong/nan_in_fully_masked_rows.py": {"FullyMaskedRowsAreNaN"},
    "wrong/no_scale.py": {"NotScaled"},
    "wrong/polarity_inverted.py": {"PolarityInverted"},
    "wrong/scale_d_model.py": {"ScaledByModelWidth"},
    "wrong/softmax_over_queries.py": {"SoftmaxOverQueries"},
    "wrong/unscaled_fill.py": {"FillOfZero", "FillOfSmallestPositive", "MaskMultipliesScores"},
    "wrong/value_uses_key.py": {"ValueThroughKeyMap"},
    "wrong/weights_of_last_head.py": {"WeightsOfTheLastHead"},
    "wrong/wrong_beyond_64.py": {"Beyond64KeysLost"},
    "census/apex_backward_scaled_by_p.py": set(),  # it drops the mixed values, the mutant the weights
    "census/di_engine_fill_not_kept.py": {"MaskIgnored"},
    "census/diffusers_last_slice_dropped.py": {"LastSliceOfBatchLost"},
    "census/episodic_one_projection.py": {"KeysOfTheFirstHead"},
    "census/fairseq_averaged_weights.py": {"WeightsShownAveraged"},
    "census/fuxictr_view_without_transpose.py": {"HeadsFoldedByView"},
    "census/graph_mask_over_heads.py": {"MaskRepeatedInWrongOrder"},
    "census/half_softmax_inside.py": {"WeightsInHalf"},
    "census/keras_mask_repeated_elementwise.py": {"MaskRepeatedElementwise"},
    "census/mask_dropped_for_one_query.py": {"MaskSkippedForOneQuery"},
    "census/megatron_dropout_gone.py": {"DropoutGoneAfterEval"},
    "census/merged_head_major.py": {"HeadsStackedFirst"},
    "census/no_maximum.py": {"NoMaximumAndMaskTimesExponential"},
    "census/perceiver_scale_divides.py": {"ScaleMultiplied"},
    "census/softmax_dim_zero.py:make": {"SoftmaxOverBatch"},
    "census/stale_causal_cache.py": {"MaskKept"},
    "census/tail_block_dropped.py": {"TailBlockLost"},
    "census/timm_dropout_p_in_eval.py": {"DropsInEval"},
    "census/transformers_padding_skipped_for_one.py": {"MaskSkippedForOneSample"},
    "census/hand_backward_contiguous.py": set(),
    "census/slapo_packed_halves.py": set(),
    "wrong/baddbmm_buffer.py": set(),
    "wrong/no_divisibility_check.py": set(),
    "wrong/repaired_output.py": set(),
    "right/loop_over_heads.py": set(),
}

DECLARED = {
    "wrong/mask_unsqueeze_0.py": {"mask_shape": "[B, Tq, Tk]"},
    "wrong/nan_in_fully_masked_rows.py": {"fully_masked_row": "zeros"},
    "wrong/polarity_inverted.py": {"mask": "allowed"},
}


def found(name: str) -> Equivalence:
    return compare(understand(Request(name, str(CORPUS / name), contract=DECLARED.get(name, {}))))


@pytest.mark.parametrize("name", CAUSES)
def test_the_cause_is_confirmed_or_none_is_made_up(name: str) -> None:
    assert set(found(name).names) == CAUSES[name]


def test_a_constant_is_taken_from_the_source() -> None:
    (match,) = found("wrong/einsum_eps_1e7.py").matches
    assert match.value == 1e-7
    assert match.borrowed


def test_the_reference_has_no_bug() -> None:
    result = compare(understand("mhsa:MultiHeadAttention"))
    assert result.names == ()
    assert result.wrong == 0
    assert result.cases >= 40


def test_two_bugs_are_not_taken_for_one(tmp_path: Path) -> None:
    both = tmp_path / "both.py"
    both.write_text(
        "from mhsa.bugs.mutants.heads import MergeWithoutTranspose\n"
        "from mhsa.bugs.mutants.scale import ScaledByModelWidth\n\n\n"
        "class Both(MergeWithoutTranspose, ScaledByModelWidth):\n    pass\n"
    )
    result = compare(understand(f"{both}:Both"))
    assert result.wrong > 0
    assert result.names == ()


def test_another_bug_that_only_fully_masked_rows_show_is_left_open(tmp_path: Path) -> None:
    both = tmp_path / "both.py"
    both.write_text(
        "from mhsa.bugs.mutants.masks.fully_masked_rows import FullyMaskedRowsAreNaN\n"
        "from mhsa.bugs.mutants.scale import ScaledByModelWidth\n\n\n"
        "class Both(FullyMaskedRowsAreNaN, ScaledByModelWidth):\n    pass\n"
    )
    result = compare(understand(f"{both}:Both"))
    assert result.names == ("ScaledByModelWidth",)
    assert result.claim.scope == "but fully masked rows"


def test_a_case_of_its_own_shows_what_the_fixed_ones_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    name = str(CORPUS / "wrong" / "lucid_mask_skip_if_full_first.py")
    subject = understand(name)
    few = [case for case in cases_for(subject) if case.mask == "none"]
    monkeypatch.setattr("mhsa.bugs.diagnosis.match.cases_for", lambda subject: few)
    fixed = compare(subject)
    assert fixed.wrong == 0
    (result,) = run(Options((Request.of(name),), keyword="output_under_masks"))
    case = result.properties[0].counterexample["case"]
    from mhsa.records.case import Case

    own = Case(**{k: v for k, v in case.items() if k != "words"})
    assert "MaskSkippedIfFirstSampleIsFull" in refine(subject, fixed, [own]).names  # one case leaves others, too


def failing(subject: str) -> tuple[SubjectResult, Event]:
    failure = PropertyResult("oracle.output_without_mask", "fail", reason="output is wrong, but must be right")
    return SubjectResult(subject, properties=[failure]), Event("done", 1, failure.id, failure)


FUSED = """
import torch


def attention(query, key, value, mask=None):
    {}
"""
NOT_SCALED = "return torch.nn.functional.scaled_dot_product_attention(query, key, value, mask, scale=1.0)"
HALF_ONLY = (
    "z = torch.nn.functional.scaled_dot_product_attention(query, key, value, mask)\n"
    "    return z * 1.5 if query.dtype == torch.bfloat16 else z"
)
NOT_IN_FLOAT64 = "assert query.dtype != torch.float64\n    " + NOT_SCALED
ONLY_FLOAT32 = "assert query.dtype == torch.float32\n    " + NOT_SCALED
HALF_AT_MOST = "assert query.dtype == torch.bfloat16\n    " + NOT_SCALED


@pytest.mark.parametrize(
    ("body", "causes", "told"),
    [
        (NOT_SCALED, ("NotScaled",), "the same numbers on all 40 cases"),
        (HALF_ONLY, (), "In float64 its numbers are right on all 40 cases compared: look at bfloat16."),
        (NOT_IN_FLOAT64, ("NotScaled",), "the same numbers but for what float32 rounds on all 40 cases"),
        (HALF_AT_MOST, (), "it computes neither float64 nor float32, and half formats round too much to distinguish bugs"),
    ],
    ids=["each", "half only", "not in float64", "half at most"],
)
def test_what_is_judged_in_a_half_format_is_compared_in_a_finer_one(
    tmp_path: Path, body: str, causes: tuple[str, ...], told: str
) -> None:
    source = tmp_path / "attention.py"
    source.write_text(FUSED.format(body))
    result, event = failing(str(source))
    with DiagnosisClient(Options((Request.of(str(source), dtypes=("bfloat16",)),))) as client:
        client.hear(event)
        diagnosis = client.conclude([result])[str(source)]
    assert (tuple(cause.name for cause in diagnosis.causes) if diagnosis.kind == "confirmed" else ()) == causes
    assert told in " ".join(diagnosis.words)


def test_cases_of_its_own_are_compared_in_the_dtype_that_was_asked_for(tmp_path: Path) -> None:
    source = tmp_path / "attention.py"
    source.write_text(FUSED.format(ONLY_FLOAT32))
    cases = [{"dtype": "float32", "batch": 2, "head": 3, "query_length": 4, "key_length": 5, "d_k": 2}]
    cases += [{"dtype": "bfloat16", "batch": 2, "head": 3, "query_length": 4, "key_length": 5, "d_k": 2}]
    failures = [PropertyResult(f"p.{n}", "fail", counterexample={"case": case}) for n, case in enumerate(cases)]
    result, event = failing(str(source))
    with DiagnosisClient(Options((Request.of(str(source), dtypes=("float32",)),))) as client:
        client.hear(event)
        diagnosis = client.conclude([SubjectResult(str(source), properties=[*result.properties, *failures])])[str(source)]
    assert diagnosis.kind == "confirmed"
    assert "the same numbers but for what float32 rounds on all 41 cases" in diagnosis.words[0]


def test_what_is_known_of_one_size_only_is_told_as_that(tmp_path: Path) -> None:
    """With as many heads as d_k + 2, a scale of that is sqrt(H) as far as anybody can tell."""
    module = (CORPUS / "wrong" / "scale_d_model.py").read_text().replace("value, self.d_model", "value, self.d_k + 2")
    source = tmp_path / "attention.py"
    source.write_text(f"{module}\n\nbuilt = MultiHeadAttention(5, 15)\n")
    words = {}
    for name in ("MultiHeadAttention", "built"):
        result, event = failing(f"{source}:{name}")
        with DiagnosisClient(Options((Request.of(result.subject),))) as client:
            client.hear(event)
            diagnosis = client.conclude([result])[result.subject]
        words[diagnosis.kind] = (tuple(cause.name for cause in diagnosis.causes), " ".join(diagnosis.words))
    causes, told = words.pop("confirmed")
    assert causes == ("ScaledByHeads",)
    assert "its only size, head=5, d_model=15: any other formula" in told
    ((_, told),) = words.values()
    assert "only size" not in told


def test_a_subject_that_kills_the_child_leaves_the_cause_unknown(tmp_path: Path) -> None:
    deadly = tmp_path / "deadly.py"
    deadly.write_text("import os\nos._exit(7)\n")
    result, event = failing(str(deadly))
    with DiagnosisClient(Options((Request.of(str(deadly)),))) as client:
        client.hear(event)
        diagnosis = client.conclude([result])[str(deadly)]
    assert diagnosis.kind != "confirmed"
    assert "the process ended with exit code 7" in diagnosis.words[0]


def test_a_subject_that_loops_for_ever_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mhsa.bugs.diagnosis.client._PATIENCE", 0.5)
    monkeypatch.setattr("mhsa.bugs.diagnosis.client._PATIENCE_EACH", 0.5)
    endless = tmp_path / "endless.py"
    endless.write_text("while True:\n    pass\n")
    result, event = failing(str(endless))
    with DiagnosisClient(Options((Request.of(str(endless)),))) as client:
        client.hear(event)
        diagnosis = client.conclude([result])[str(endless)]
    assert "took longer than 1 s" in diagnosis.words[0]


DROPPING = """
from mhsa.bugs.diagnosis import dropout_places as dropping
from mhsa.bugs.mutants.purity import CountsCalls
import torch


class Output(dropping.DropsOutput):
    pass


class Both(dropping.DropsWeightsAndOutput):
    pass


class Mean(CountsCalls):
    def mixed(self, z, q, k, v, mask):
        self.calls.add_(float(z.detach().mean()))
        return z
"""


@pytest.mark.parametrize(
    ("name", "site"), [("Output", "the output instead of the weights"), ("Both", "the output as well as the weights")]
)
def test_dropout_of_the_output_is_not_wrong(tmp_path: Path, name: str, site: str) -> None:
    source = tmp_path / "dropping.py"
    source.write_text(DROPPING)
    result = compare(understand(f"{source}:{name}"))
    assert (result.names, result.wrong, result.site) == ((), 0, site)


def test_a_state_that_changes_by_other_numbers_is_another_bug(tmp_path: Path) -> None:
    source = tmp_path / "dropping.py"
    source.write_text(DROPPING)
    assert compare(understand(f"{source}:Mean")).names == ()
    assert compare(understand("mhsa.bugs.mutants.purity:CountsCalls")).names == ("CountsCalls",)


def test_it_is_compared_in_a_dtype_that_it_is_judged_in_or_that_works_throughout(tmp_path: Path) -> None:
    source = tmp_path / "attention.py"
    source.write_text(FUSED.format("assert mask is None or query.dtype != torch.float64\n    " + NOT_SCALED))
    assert finely(understand(str(source), ("float32",))).dtypes[0] == "float32"
    assert finely(understand(str(source), ("bfloat16",))).dtypes[0] == "float32"  # float64 does not take masks
    assert finely(understand(str(source), ("float32", "float64"))).dtypes[0] == "float64"


def test_bounds_of_gradients_are_formed_only_where_they_decide(monkeypatch: pytest.MonkeyPatch) -> None:
    """They took most of the time of a diagnosis, for gradients that agree in all but rounding."""
    asked = []
    formed = backward.gradients
    monkeypatch.setattr(backward, "gradients", lambda *rest: (asked.append(1), formed(*rest))[1])
    assert found("wrong/scale_d_model.py").names == ("ScaledByModelWidth",)
    assert len(asked) <= 3
