"""No property is vacuous: each is broken by a module with one mistake, and holds for the same module without it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from mhsa.catalogue import catalogue, properties_folder, property_id

BREAKERS = Path(__file__).resolve().parent / "breakers"

# Property: a class in breakers/wrong.py (or file:attr) that it must find.
BROKEN_BY = {
    "oracle.output_without_mask": "NoScale",
    "oracle.output_under_masks": "MaskIgnored",
    "oracle.returned_weights": "ScoresShown",
    "gradients.gradients_of_inputs": "ScaleMissingInBackward",
    "gradients.gradients_of_parameters": "ValueWeightTrainedTwice",
    "gradients.gradients_of_long_rows": "ScaleMissingInBackward",
    "gradients.everything_that_matters_receives_its_gradient": "QueryDetached",
    "gradients.masked_keys_receive_no_gradient": "GradientForEveryKey",
    "gradients.samples_receive_no_gradient_from_each_other": "GradientAcrossSamples",
    "gradients.gradient_through_the_weights": "WeightsWithoutGradient",
    "gradients.layout_of_the_incoming_gradient": "GradientTakenForContiguous",
    "gradients.derivatives_in_both_directions_agree": "ForwardModeDoubled",
    "gradients.second_derivatives": "SecondDerivativeLost",
    "numbers.long_sequences": "WrongBeyond100Keys",
    "numbers.many_heads": "WrongBeyond5Heads",
    "numbers.wide_models": "WrongBeyond512Features",
    "numbers.large_batches": "WrongBeyond5Samples",
    "numbers.huge_scores_stay_finite": "NoMaximum",
    "numbers.values_of_zero_give_the_bias_exactly": "Residual",
    "numbers.one_key_is_answered_with_its_value_exactly": "Epsilon",
    "numbers.keys_that_tie_share_alike": "PositionInScores",
    "masks.masked_weights_are_zero": "LeakyFill",
    "masks.masked_keys_have_no_influence": "LeakyFill",
    "masks.masking_is_deleting": "LeakyFill",
    "masks.poison_that_is_no_number_has_no_influence": "promised.py:NeverRead",
    "masks.more_masked_keys_change_nothing": "LeakyFill",
    "masks.allowing_everything_is_no_mask": "MaskChangesScale",
    "masks.each_sample_has_its_own_mask": "MaskOfFirstSample",
    "masks.every_head_is_masked": "MaskForFirstHead",
    "masks.all_small_masks": "LeakyFill",
    "mask_forms.integers_mean_what_bools_mean": "InvertedBits",
    "mask_forms.a_floating_mask_is_one_of_two_things": "FloatMaskMultiplied",
    "mask_forms.broadcast_shapes_mean_the_same": "SharedMaskFlipped",
    "mask_forms.memory_layouts_mean_the_same": "MaskTakenForContiguous",
    "empty_rows.a_row_without_any_key": "NotANumber",
    "empty_rows.other_rows_do_not_notice": "EmptyRowsSpread",
    "empty_rows.a_sample_without_any_key": "EmptyRowsSpread",
    "empty_rows.gradients_stay_finite": "RepairedTooLate",
    "weights.rows_sum_to_one": "Epsilon",
    "weights.weights_lie_between_zero_and_one": "WeightsShownTooLarge",
    "weights.output_is_weights_times_values": "WeightsAveraged",
    "weights.log_ratios_are_score_differences": "NoScale",
    "weights.output_lies_among_the_values": "Stretched",
    "weights.equal_values_come_out_unchanged": "Epsilon",
    "heads.one_head_is_single_head_attention": "OneHeadUnscaled",
    "heads.each_head_alone": "HeadsReversed",
    "heads.sum_over_heads": "OutputSquashed",
    "heads.heads_may_be_permuted": "FirstHeadLouder",
    "heads.heads_do_not_see_each_other": "HeadsMixed",
    "purity.arguments_are_left_alone": "WritesIntoQuery",
    "purity.earlier_calls_leave_no_trace": "MaskKept",
    "purity.nothing_around_a_call_changes": "CountsCalls",
    "purity.the_same_call_gives_the_same_bits": "DropsInEval",
    "purity.what_was_handed_out_stays": "BufferUsedAgain",
    "purity.two_threads_do_not_disturb_each_other": "Scratch",
    "modes.train_is_eval_without_dropout": "OtherInTrain",
    "modes.eval_knows_no_chance": "DropsInEval",
    "modes.gradient_modes_agree": "OtherWithoutGrad",
    "modes.asking_for_weights_changes_nothing": "OtherWithoutWeights",
    "dropout.what_is_kept_is_scaled_up": "DropoutUnscaled",
    "dropout.the_share_that_is_dropped": "DropoutHalved",
    "dropout.each_weight_is_dropped_by_itself": "DropoutSharedByHeads",
    "dropout.the_backward_pass_drops_the_same": "DropoutDrawnAgain",
    "dropout.dropout_comes_back_after_eval": "DropoutGoneForEver",
    "layout.each_tensor_in_its_own_layout": "QueryTakenForContiguous",
    "layout.slices_of_one_tensor": "QueryTakenForContiguous",
    "edges.an_empty_batch": "EmptyBatchLost",
    "edges.no_queries": "EmptyBatchLost",
    "edges.a_single_token": "SingleTokenForgotten",
    "edges.sizes_that_happen_to_be_equal": "GuessedFromSizes",
    "edges.dtype_and_device_of_the_output": "AlwaysSingle",
    "symmetry.queries_may_be_permuted": "PositionInOutput",
    "symmetry.keys_and_values_may_be_permuted": "PositionInScores",
    "symmetry.tokens_may_be_permuted": "PositionInScores",
    "symmetry.samples_may_be_permuted": "FirstSampleLouder",
    "symmetry.each_sample_is_answered_alone": "BatchStatistics",
    "symmetry.each_query_is_answered_alone": "QueryStatistics",
    "algebra.linear_in_the_values": "ActivatedValues",
    "algebra.shifting_all_keys_changes_nothing": "Clamped",
    "algebra.key_bias_does_not_matter": "Clamped",
    "algebra.value_bias_is_a_constant": "Epsilon",
    "algebra.query_and_key_features_may_be_mixed": "NormalisedQueries",
    "algebra.value_and_output_features_may_be_mixed": "ActivatedValues",
    "algebra.a_query_of_zero_averages": "PositionInScores",
    "algebra.a_long_query_picks_the_best_key": "Clamped",
    "algebra.repeating_every_key_changes_nothing": "LengthInScale",
    "algebra.repeating_one_key_adds_to_its_logit": "LengthInScale",
    "algebra.equal_tokens_are_all_answered_alike": "PositionInOutput",
    "identities.queries_and_keys_are_worth_the_same": "ScaleMissingInBackward",
    "identities.every_mixing_of_query_features_is_undone_by_keys": "QueryGradientFlipped",
    "identities.values_and_outputs_are_worth_the_same": "ValueGradientDoubled",
    "identities.key_bias_has_no_gradient": "KeyGradientShifted",
    "copies.parameters_changed_in_place": "WeightsKept",
    "copies.parameters_loaded_from_a_state_dict": "GainNotSaved",
    "copies.parameters_replaced_as_attributes": "ParametersGathered",
    "copies.deep_copies": "ClosureOverOriginal",
    "copies.pickled_copies": "PickledWithoutScale",
    "copies.moved_to_another_dtype": "ConstantOfFirstDtype",
    "transforms.compiled": "OtherInGraphs",
    "transforms.exported": "OtherInGraphs",
    "transforms.vectorised": "OtherUnderVmap",
    "transforms.called_with_other_parameters": "ParametersGathered",
    "transforms.in_autocast": "OtherInAutocast",
    "transforms.on_meta_tensors": "MetaForgotten",
    "construction.indivisible_width_is_refused": "Indivisible",
    "construction.parameters_are_those_of_four_maps": "DeadLayer",
    "construction.every_map_is_trained": "Frozen",
    "refusals.mask_of_another_width": "promised.py:Fitted",
    "refusals.mask_of_another_batch": "promised.py:Fitted",
    "refusals.mask_of_another_query_length": "promised.py:Fitted",
    "refusals.mask_of_another_rank": "promised.py:Fitted",
    "refusals.values_that_do_not_match_the_keys": "promised.py:Cut",
    "refusals.tokens_of_another_width": "promised.py:Cut",
    "refusals.keys_of_another_batch": "promised.py:Cut",
}
CONTROL = "plain.py:Plain"
EVERY = [p.id for p in catalogue()]


def spec(breaker: str) -> str:
    return str(BREAKERS / (breaker if ":" in breaker else f"wrong.py:{breaker}"))


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], str]:
    """Outcome of each pair of the table, and of every property on the control, by one run of the quick profile."""
    folder = tmp_path_factory.mktemp("power")
    subjects = [*dict.fromkeys(BROKEN_BY.values()), CONTROL]
    wanted = {(subjects.index(b) + 1, p) for p, b in BROKEN_BY.items()} | {(len(subjects), p) for p in EVERY}
    skip = [[n, p] for n in range(1, len(subjects) + 1) for p in EVERY if (n, p) not in wanted]
    (folder / "skip.json").write_text(json.dumps(skip))
    # -k "" would leave the slow ones out; this expression selects everything.
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", str(properties_folder()), "-k", "test_",
               "--report-log", str(folder / "log.jsonl"), "--attention-skip", str(folder / "skip.json"),
               *(f"--attention={spec(b)}" for b in subjects)]  # fmt: skip
    subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=900, check=False)
    found = {}
    for line in Path(folder / "log.jsonl").read_text().splitlines():
        event = json.loads(line)
        said = dict(event.get("user_properties", ()))
        if "mhsa" in said:
            found[property_id(event["nodeid"]), subjects[said["mhsa"]["number"] - 1]] = said["mhsa"]["outcome"]
    return found


def test_every_property_is_in_the_table() -> None:
    assert set(BROKEN_BY) == set(EVERY)


@pytest.mark.parametrize("identity", EVERY)
def test_a_module_with_one_mistake_breaks_it(outcomes: dict[tuple[str, str], str], identity: str) -> None:
    assert outcomes[identity, BROKEN_BY[identity]] == "fail"


@pytest.mark.parametrize("identity", EVERY)
def test_the_module_without_mistakes_does_not(outcomes: dict[tuple[str, str], str], identity: str) -> None:
    assert outcomes[identity, CONTROL] in ("pass", "not-applicable")
